import jax
import numpy as np
import pytest

from toymodels.errors import UserError
from toymodels.sweep.axes import Grid, join_shapes, label_arrays

VARIABLES = {"start": ((), "1", "of a seed"), "curve": (("step",), "m", "of a point")}


def test_a_grid_is_the_product_of_its_axes_the_last_fastest():
    grid = Grid.of({"seed": [3, 1], "kind": {"a": {"x": np.ones(2)}, "b": {"x": np.zeros(2)}}})
    assert (len(grid), grid.shape) == (4, (2, 2))
    assert grid.coords == {"seed": [3, 1], "kind": ["a", "b"]}
    assert grid.columns["seed"].tolist() == [3, 3, 1, 1]
    assert grid.columns["kind"]["x"].tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]


def test_numbers_are_as_wide_as_jax_has_them():
    grid = Grid.of({"seed": [1], "rho": [0.5], "on": [True]})
    assert [grid.columns[name].dtype.name for name in grid.columns] == ["int32", "float32", "bool"]
    with jax.enable_x64(True):
        assert Grid.of({"rho": [0.5]}).columns["rho"].dtype == np.float64


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({}, "axes must be one at least; got none"),
        ({"a": [1.0], "b": []}, "axis b must have one value at least; got none"),
        ({"a": ["x", "y"]}, "axis a must hold numbers, or be a mapping from labels to arrays"),
        ({"a": "xy"}, "axis a must be a sequence of numbers or strings; got 'xy'"),
        ({"a": 3}, "axis a must be a sequence of numbers or strings; got 3"),
        ({"a": [None]}, "axis a must hold numbers or strings; got None"),
        ({"a": [0.5, float("nan")]}, "axis a must hold finite numbers; got nan"),
        ({"a": [1, 2, 1]}, "axis a must hold no value twice; got 1 again"),
        ({"a": [1, 1.0]}, "axis a must hold no value twice; got 1 again"),
        ({"a": [1, 2**32 + 1]}, "axis a must hold numbers that int32 can hold; got 4294967297"),
        ({"a": [0, 2**70]}, "axis a must hold numbers of at most 64 bits; got"),
        ({"a": [0.0, 1e300]}, "axis a must hold numbers that float32 can hold; got 1e\\+300"),
        ({"a": [1.0, 1e-50]}, "axis a must hold numbers that float32 can hold; got 1e-50"),
        ({"a": [0.5, 16777217]}, "axis a must hold numbers that float32 can hold; got 16777217"),
        ({"a": [0.1, 0.1 + 1e-12]}, "axis a must hold numbers that float32 tells apart; got"),
        (
            {"a": {"x": np.ones(2), "y": np.ones(3)}},
            "axis a must map every label to arrays of the same shapes",
        ),
        ({"a": {"x": {"b": 1}, "y": 1}}, "axis a must map every label to arrays of the same"),
        ({"a": {"x": 2**40, "y": 1}}, "axis a must hold numbers that int32 can hold; got array"),
        ({"a": {"x": 1e300, "y": 1}}, "axis a must hold numbers that float32 can hold; got array"),
        (
            {"a": {"x": "b", "y": "c"}},
            "axis a must map every label to arrays .* all of them of num",
        ),
        ({"a": {1, 2}}, "axis a must be a sequence of numbers or strings; got {1, 2}"),
        ({"a": np.ones((2, 2))}, "axis a must be a sequence of numbers or strings; got array"),
        ({"a": [True, 2]}, "axis a must hold numbers, strings or bools, no two of them; got"),
        ({"a": [1 + 1j]}, "axis a must hold numbers or strings; got"),
        ({"a": [np.datetime64("2026-01-01")]}, "axis a must hold numbers or strings; got"),
        ({"a": {"x\n": 1}}, "axis a must hold printable strings; got 'x"),
        ({"a": range(10**9)}, "axis a must have at most 1000000 values; got 1000000000"),
        (
            {"a": range(4000), "b": range(4000)},
            "axes must have at most 10000000 points; got 4000 x 4000 = 16000000",
        ),
    ],
)
def test_axes_that_would_stand_for_other_numbers_are_refused(axes, words):
    with pytest.raises(UserError, match=words):
        Grid.of(axes)


def test_numbers_that_need_64_bits_are_allowed_where_jax_has_them():
    with jax.enable_x64(True):
        assert Grid.of({"seed": [1, 2**32 + 1]}).columns["seed"].tolist() == [1, 2**32 + 1]


def test_rows_beyond_the_end_repeat_the_last_point():
    grid = Grid.of({"x": [1.0, 2.0, 3.0]})
    assert grid.rows([2, 0])["x"].tolist() == [3, 1]
    assert grid.rows(range(2, 5))["x"].tolist() == [3, 3, 3]


def make(curve, start=(0.0, 1.0), coords=None):
    shared, points = (
        Grid.of({"seed": [7, 8]}),
        Grid.of({"rho": [0.0, 1.0], "kind": {"a": 0, "b": 1}}),
    )
    arrays = {"start": np.array(start)}, {"curve": curve}
    return label_arrays(*arrays, shared, points, VARIABLES, coords or {"step": [0, 10, 20]})


def test_results_get_the_names_of_their_axes():
    values = np.arange(24.0).reshape(2, 4, 3)
    dataset = make(values)
    assert dataset.curve.dims == ("seed", "rho", "kind", "step")
    assert dataset.curve.sel(seed=8, rho=1.0, kind="a", step=10) == values[1, 2, 1]
    assert dataset.start.sel(seed=8) == 1
    assert dataset.curve.attrs == {"units": "m", "description": "of a point"}
    assert not dataset.failed.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_value_marks_its_point_and_a_teachers_all_its_students(bad):
    values = np.zeros((2, 4, 3))
    values[1, 2, 1] = bad
    failed = make(values).failed
    assert failed.sum() == 1
    assert failed.sel(seed=8, rho=1.0, kind="a")
    failed = make(np.zeros((2, 4, 3)), start=(bad, 0.0)).failed
    assert failed.sel(seed=7).all()
    assert not failed.sel(seed=8).any()


def test_shapes_keep_their_order_and_what_one_has_not_is_nan():
    short = make(np.ones((2, 4, 2)), coords={"step": [0, 10]})
    long = make(np.full((2, 4, 3), 2.0))
    whole = join_shapes([long, short], {"m": [9, 3]})
    assert whole.m.values.tolist() == [9, 3]
    assert whole.curve.sel(m=9, step=20).values.min() == 2
    assert np.isnan(whole.curve.sel(m=3, step=20)).all()
    assert (whole.curve.sel(m=3, step=10) == 1).all()
    assert whole.failed.dtype == bool
    assert not whole.failed.any()


def test_several_shape_axes_in_the_order_of_their_product():
    parts = [make(np.full((2, 4, 3), float(i))) for i in range(6)]
    whole = join_shapes(parts, {"m": [5, 1, 3], "width": [8, 4]})
    assert whole.curve.dims == ("m", "width", "seed", "rho", "kind", "step")
    np.testing.assert_array_equal(whole.curve[:, :, 0, 0, 0, 0], [[0, 1], [2, 3], [4, 5]])


@pytest.mark.parametrize("depths", [[1, 2], [2, 1], [1, 2, 3], [2, 3, 1]])
def test_labels_keep_the_order_of_the_shape_that_has_most(depths):
    def layers(depth):
        return [*(f"hidden{i + 1}" for i in range(depth)), "head"]

    parts = [make(np.ones((2, 4, d + 1)), coords={"step": layers(d)}) for d in depths]
    whole = join_shapes(parts, {"depth": depths})
    assert whole.step.values.tolist() == layers(max(depths))
    for depth in depths:
        own = whole.curve.sel(depth=depth, step=layers(depth))
        assert (own == 1).all()


def test_axes_that_hold_no_number_are_refused():
    with pytest.raises(UserError, match="axes must hold a number at least; got none in a, b"):
        Grid.of({"a": {"only": {}}, "b": {"also": ()}})
    assert len(Grid.of({"a": {"only": {}}, "b": [1, 2]})) == 2
