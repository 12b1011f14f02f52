import json

import numpy as np
import pytest
import xarray as xr

from toymodels.study import charts, plotting

VALUES = {"teacher": np.array([0.9, 0.92, 0.94]), "student_aux": np.array([0.5, 0.6, 0.4])}


def draw():
    with plotting.style():
        fig, (left, right) = plotting.panels(6, 3, (1, 1))
        plotting.bars(left, VALUES, {"teacher": 0.944})
        plotting.curves(right, np.arange(2), {k: np.stack([v, v], 1) for k, v in VALUES.items()})
    return fig


def test_the_same_figure_gives_the_same_bytes():
    one, two = plotting.render(draw()), plotting.render(draw())
    assert one == two
    assert one["figure.png"].startswith(b"\x89PNG")
    assert one["figure.pdf"].startswith(b"%PDF")


def test_bars_show_mean_interval_every_seed_and_what_was_published():
    ax = draw().axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.92, 0.5])
    points = sorted(y for line in ax.lines for y in line.get_ydata() if line.get_marker() == ".")
    assert points == pytest.approx(sorted(np.concatenate(list(VALUES.values()))))
    (diamonds,) = [c for c in ax.collections if c.get_label() == "published"]
    np.testing.assert_allclose(diamonds.get_offsets(), [[0.22, 0.944]])


def test_bars_leave_failed_seeds_out():
    """A seed without a value had no place beside its bar, and cost the run its result."""
    spoiled = {"teacher": np.array([0.9, np.nan, 0.94]), "student_aux": np.full(3, np.nan)}
    with plotting.style():
        fig, (ax,) = plotting.panels(3, 3, (1,))
        plotting.bars(ax, spoiled)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.92])
    assert plotting.render(fig)["figure.png"]


def test_shares_of_trials_have_intervals_of_proportions():
    mean, low, high = plotting.means_and_ends(np.ones((3, 2)), [6, 60])
    np.testing.assert_allclose(mean, 1)
    np.testing.assert_allclose(low, [0.8241, 0.9791], atol=1e-4)  # Wilson, 18 of 18, 180 of 180
    np.testing.assert_allclose(high, 1)


def test_every_model_has_a_colour_of_its_own():
    assert len(set(plotting.COLOURS.values())) == len(plotting.COLOURS) == len(plotting.LABELS)


COSINE = xr.DataArray(
    [[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], [[0.3, 0.4, 0.5], [0.6, 0.7, 0.8]]],
    {"seed": [0, 1], "width": [8, 16], "m": [1, 2, 4]},
)


def test_means_stand_where_they_are_told_beside_what_theory_predicts():
    """Both have a line for each width, in the same colour, at the places of that width."""
    at = COSINE.m.values / COSINE.width.values[:, None]
    with plotting.style():
        _, (ax,) = plotting.panels(3, 3, (1,))
        theory = COSINE.mean("seed") + 0.1
        charts.predictions(ax, theory, "m", "width", label=None, at=at)
        charts.means(ax, COSINE, "m", "width", label="width {width}", at=at, hollow=(False, True))
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    predicted, points = lines[:2], lines[2:]
    for i in range(2):
        for line, values in ((predicted[i], theory), (points[i], COSINE.mean("seed"))):
            np.testing.assert_allclose(line.get_xdata(), at[i])
            np.testing.assert_allclose(line.get_ydata(), values[i])
        assert predicted[i].get_color() == points[i].get_color() == plotting.PALETTE[1 + i]
    assert [line.get_markerfacecolor() for line in points] == [plotting.PALETTE[1], "white"]
    assert ax.get_legend_handles_labels()[1] == ["width 8", "width 16"]


@pytest.mark.parametrize(("batch", "places"), [(64, []), (1024, [[0, 0.3], [2, 0.9]])])
def test_published_points_stand_beside_a_result_of_their_protocol_alone(batch, places):
    runs = xr.Dataset(attrs={"config": json.dumps({"batch": batch})})
    with plotting.style():
        _, (ax,) = plotting.panels(3, 3, (1,))
        known = {1: 0.3, 4: 0.9, 100: 1.0}
        charts.published(ax, runs, [1, 2, 4], known, protocol={"batch": 1024})
    drawn = [point.tolist() for dots in ax.collections for point in dots.get_offsets()]
    assert drawn == places
