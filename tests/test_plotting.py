import numpy as np
import pytest

from toymodels.study import plotting

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
