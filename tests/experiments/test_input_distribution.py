"""Distributions of the inputs: uniform noise is the base protocol, and every set its own."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from experiments import input_distribution
from experiments.input_distribution import PRESETS, PUBLISHED, Config
from toymodels import sweep
from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.study import plotting
from toymodels.study.distillation import STARTS
from toymodels.sweep import RunOptions
from toymodels.training import protocol, tasks
from toymodels.training.distillation import auxiliary_logits

TINY = Config(
    dataset="digits",
    seeds=2,
    widths=(16,),
    noise_images=256,
    teacher_epochs=2,
    student_epochs=2,
    inputs=("gaussian", "uniform", "real", "blend:1", "samples:256", "samples:4", "blend:0"),
)


@pytest.fixture(scope="module")
def tiny():
    return input_distribution.STUDY.run(TINY, options=RunOptions(width=2))


def test_uniform_noise_is_the_base_protocol(tiny):
    """Same teacher, inputs and order of batches, gathered from among other sets."""
    config, task, data = tasks.load(TINY, None)
    network = functional(lambda rngs: MLP((64, 16, 13), rngs=rngs))
    parts, subset = protocol.reference_protocol(config, task, network), auxiliary_logits(10, 3)

    def student(data, begun, start):
        observe = parts.watch(data, begun, subset)
        return parts.distil(parts.start(begun, start), begun, subset, observe)[1]

    base, _ = sweep.grid(
        lambda: sweep.Program(parts.prepare, student),
        shared={"seed": [0, 1]},
        points={"start": STARTS},
        variables=tasks.TEACHER | tasks.STUDENT,
        data=data,
        options=RunOptions(width=2),
    )
    for name in ("teacher_accuracy", "teacher_loss"):
        np.testing.assert_array_equal(tiny[name], base[name])
    here = tiny.sel(inputs="uniform")
    np.testing.assert_allclose(here.loss, base.loss, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(here.accuracy, base.accuracy, atol=1.5 / 360)  # an image


@pytest.mark.parametrize(
    ("name", "same"), [("blend:1", "real"), ("samples:256", "uniform"), ("blend:0", "uniform")]
)
def test_two_names_of_one_set_are_one_student(tiny, name, same):
    names = ["accuracy", "variance", "effective_dimension"]
    xr.testing.assert_allclose(
        tiny[names].sel(inputs=name, drop=True), tiny[names].sel(inputs=same, drop=True), atol=0.005
    )


def test_inputs_are_measured_as_the_sets_they_are(tiny):
    at = tiny.mean("seed").sel
    assert at(inputs="samples:4").effective_dimension < 3  # four points span three directions
    # n = 256 images of 64 white pixels: 1 / (1/64 + 1/256).
    for white in ("uniform", "gaussian"):
        assert float(at(inputs=white).effective_dimension) == pytest.approx(51.2, rel=0.03)
        assert float(at(inputs=white).variance) == pytest.approx(1 / 3, rel=0.05)
    assert at(inputs="real").effective_dimension < 15


def test_a_distribution_does_not_depend_on_those_beside_it(tiny):
    """And seeds stand alone."""
    some = dataclasses.replace(TINY, seeds=1, first_seed=1, inputs=("uniform", "real"))
    alone = input_distribution.STUDY.run(some, options=RunOptions(width=2))
    names = ["accuracy", "effective_dimension", "teacher_accuracy"]
    both = tiny[names].sel(seed=[1], inputs=["uniform", "real"])
    xr.testing.assert_allclose(both, alone[names], rtol=1e-4, atol=0.005)


def result(**transfer):
    """A result with these transfers: each seed has its own spread, the same for all inputs."""
    rows = np.array([[share - 0.01, share, share + 0.01] for share in transfer.values()])
    dims = ("inputs", "seed")
    return xr.Dataset(
        {"transfer": (dims, rows), "failed": (dims, np.zeros(rows.shape, bool))},
        {"inputs": list(transfer), "seed": [0, 1, 2]},
    )


def test_findings_say_what_the_numbers_do():
    shares = {"uniform": 0.5, "gaussian": 0.5, "real": 0.2, "spectrum:1": 0.8, "spectrum:2": 0.7}
    dataset = result(**shares, **{"samples:10": 0.3, "samples:100": 0.5})
    dataset.transfer.loc[{"inputs": ["gaussian", "samples:100"]}] = [[0.51, 0.5, 0.48]] * 2
    *rows, best, first, second, fewest = input_distribution.findings(dataset)
    assert {row.quantity for row in rows} == {"Transfer less that on uniform noise"}
    gaps = {row.at: row for row in rows}
    assert list(gaps) == dataset.inputs.values.tolist()[1:]
    for name, gap, verdict in (
        ("spectrum:1", "0.300", "higher"),
        ("real", "-0.300", "lower"),
        ("samples:10", "-0.200", "lower"),
        ("gaussian", "-0.003", "no difference shown"),
        ("samples:100", "-0.003", "no difference shown"),
    ):
        assert str(gaps[name].estimate).startswith(f"{gap} (")
        assert gaps[name].verdict == verdict
    assert best.at == "spectrum:1"
    assert str(best.estimate).startswith("0.800 ")
    assert [row.at for row in (first, second)] == ["gaussian", "spectrum:2"]
    assert [row.verdict for row in (first, second)] == ["higher", "higher"]
    assert fewest.endswith("distinct: 100.")
    lacking = dataset.sel(inputs=["uniform", "samples:10"])
    assert input_distribution.findings(lacking)[-1].endswith("more than tried.")


def test_findings_compare_laws_of_one_spectrum():
    dataset = result(uniform=0.5, real=0.3, phases=0.6, **{"blurred-signs:1": 0.7, "blur:1": 0.7})
    assert [str(finding) for finding in input_distribution.findings(dataset)[4:]] == [
        "Transfer on real less that on phases, of one power spectrum: "
        "-0.300 (-0.300 to -0.300, n = 3), lower.",
        "Transfer on blurred-signs:1 less that on blur:1, of one power spectrum: "
        "0.000 (0.000 to 0.000, n = 3), no difference shown.",
    ]


def test_the_result_can_be_drawn(tiny):
    assert not tiny.failed.any()
    assert set(plotting.render(input_distribution.STUDY.figure(tiny))) == {
        "figure.png",
        "figure.pdf",
    }
    assert set(PUBLISHED) <= set(PRESETS["paper"].inputs)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"inputs": ("real",)}, r"inputs must include uniform; got \('real',\)"),
        ({"inputs": ("uniform", "uniform")}, "inputs must have one value at least, and none .*"),
        ({"inputs": ("uniform", "pink")}, "inputs must be of uniform, .*; got 'pink'"),
        ({"inputs": ("uniform", "real:1")}, "inputs must be of uniform, .*; got 'real:1'"),
        ({"inputs": ("uniform", "blur")}, "inputs must have a number from 0.0 .*; got 'blur'"),
        ({"inputs": ("uniform", "blend:2")}, "inputs must have .* to 1.0 in blend:; got 'blend:2'"),
        ({"inputs": ("uniform", "blur:nan")}, "inputs must have a number .*; got 'blur:nan'"),
        ({"inputs": ("uniform", "subspace:1.5")}, "inputs must have an integer .*; got .*"),
        ({"noise": "fresh"}, "noise must be one of fixed; got 'fresh'"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
