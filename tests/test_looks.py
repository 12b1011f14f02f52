"""Figures in a style, size or panel of the user's."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from toymodels.errors import UserError
from toymodels.study import looks, plotting


def draw():
    """Two panels, the second with a map and the scale of its colours."""
    with plotting.style():
        fig, (left, right) = plotting.panels(6, 3, columns=(1, 2))
        left.set_title("left")
        left.plot([0, 1])
        plotting.heat(right, [1, 2], np.array([0.0, 1.0]), np.eye(2), "m", "share")
        right.set_title("right")
    return fig


def picture(fig):
    return imread(io.BytesIO(plotting.render(fig, ("png",))["figure.png"]))


def test_without_a_choice_figures_are_as_they_were():
    before = plotting.render(draw())
    with looks.restyle():
        assert plotting.render(draw()) == before


def test_a_users_parameters_win_over_the_house_style_and_end_with_the_block():
    with looks.restyle({"axes.spines.top": True, "axes.titlesize": 20}), plotting.style():
        assert mpl.rcParams["axes.spines.top"]
        assert mpl.rcParams["axes.titlesize"] == 20
        assert not mpl.rcParams["axes.spines.right"]
    with plotting.style():
        assert not mpl.rcParams["axes.spines.top"]


@pytest.mark.parametrize("source", ["name", "file"])
def test_a_style_by_name_or_file(tmp_path, source):
    (tmp_path / "own.mplstyle").write_text("axes.facecolor: 123456\n")
    style = "ggplot" if source == "name" else tmp_path / "own.mplstyle"
    with looks.restyle(style):
        face = draw().axes[0].get_facecolor()
    expected = "#E5E5E5" if source == "name" else "#123456"
    assert mpl.colors.to_hex(face) == expected.lower()


def test_a_size_is_that_of_the_picture():
    with looks.restyle(size=(3, 2)):
        assert picture(draw()).shape[:2] == (400, 600)
    assert picture(draw()).shape[:2] == (600, 1200)


def test_a_panel_keeps_its_size_and_its_scale_of_colours():
    left, right = draw(), draw()
    looks.keep_panel(left, 1)
    assert [ax.get_title(loc="left") for ax in left.axes] == ["left"]
    assert picture(left).shape[:2] == (600, 400)
    looks.keep_panel(right, 2)
    assert [looks.is_colorbar(ax) for ax in right.axes] == [False, True]
    assert picture(right).shape[:2] == (600, 800)
    with looks.restyle(size=(5, 5)):
        fig = draw()
        looks.keep_panel(fig, 1)
    assert fig.get_size_inches().tolist() == [5, 5]


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_panel_that_is_not_there(number):
    with pytest.raises(UserError, match=f"panel must be from 1 to 2 in this figure; got {number}"):
        looks.keep_panel(draw(), number)


@pytest.mark.parametrize(
    ("style", "size", "words"),
    [
        ("no_such", None, r"style must be an \.mplstyle file, or one of .*ggplot.*; got no_such"),
        ("no_such.mplstyle", None, "style must be"),
        (None, (0.1, 3), "size must be from 1 to 100 inches each way; got 0.1x3"),
        (None, (3, 1e9), "size must be from 1 to 100 inches each way"),
    ],
)
def test_what_cannot_be_drawn(style, size, words):
    with pytest.raises(UserError, match=words), looks.restyle(style, size):
        pytest.fail("must not begin")


@pytest.mark.parametrize(("name", "points", "inches"), [("paper", 7, 7.0), ("slide", 14, 13.0)])
def test_a_look_of_the_project_has_one_size_of_type_and_one_width(name, points, inches):
    with looks.restyle(name), plotting.style():
        fig, axes = plotting.panels(16, 3, columns=(1, 1, 1, 1, 2))
        axes[0].set(xlabel="x", title="title")
    assert len(axes) == len(fig.axes) == 5
    assert fig.get_size_inches()[0] == inches
    texts = [axes[0].xaxis.label, axes[0].title, axes[0].xaxis.get_ticklabels()[0]]
    assert {text.get_fontsize() for text in texts} == {points}
