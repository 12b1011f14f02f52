"""The explorer's page: its numbers are those of `toymodels.stats`, and it needs nothing from elsewhere."""

import html
import json
import re
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import toymodels as tm
from experiments import explore
from toymodels.errors import UserError
from toymodels.study.explorer import content, page, words
from toymodels.study.saved import open_result

FIGURES = Path(__file__).parents[1] / "figures"
FOLDERS = sorted(path.parent.name for path in FIGURES.glob("*/results.nc"))
FIRST = ("init_overlap", "init_overlap_phase", "mnist_aux", "owl_audit")
"""Figures that are always explored: curves, maps, many seeds, proportions."""


class Tags(HTMLParser):
    """All start tags of a page with their attributes, and the text of each script with an id."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.within = [], {}, None

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.within = dict(attrs).get("id") if tag == "script" else None

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        if self.within:
            self.scripts[self.within] = self.scripts.get(self.within, "") + data


def parse(explorer):
    tags = Tags()
    tags.feed(explorer.html)
    return tags


def read_data(explorer):
    return json.loads(parse(explorer).scripts["data"])


def same(found, expected):
    """Equal but for the last of seven digits; None, for what is unknown, equals itself alone."""
    both = (np.array(values, float) for values in (found, expected))
    np.testing.assert_allclose(*both, rtol=1e-6, atol=1e-12)


def make_runs(**changes):
    rng = np.random.default_rng(0)
    coords = {"seed": [0, 1, 2], "rho": [1.0, 0.5, 0.0], "group": ["all", "aux_head"]}
    values = xr.DataArray(rng.uniform(size=(3, 3, 2)).astype(np.float32), coords)
    return xr.Dataset({"accuracy": values.assign_attrs(description="test accuracy")}, **changes)


PAGES = [
    pytest.param(name, marks=() if name in FIRST else pytest.mark.thorough) for name in FOLDERS
]


@pytest.mark.parametrize("name", PAGES)
def test_every_committed_result_has_a_page_with_the_numbers_of_its_summary(name):
    """The metrics of summary.json are those of the figures and tables."""
    dataset = open_result(FIGURES / name)
    explorer = tm.explore(dataset)
    assert len(explorer.html) < 4e6
    data = read_data(explorer)
    quantities = {quantity["name"]: quantity for quantity in data["quantities"]}
    headline = dataset.attrs["headline"].split()
    metrics = iter(json.loads((FIGURES / name / "summary.json").read_text())["metrics"].values())
    for quantity in (quantities[name] for name in headline if name in quantities):
        # A summary lists the points in the order of the file, a page in that of its axes.
        original = dataset[quantity["name"]].transpose(..., "seed")
        order = np.arange(original[..., 0].size).reshape(original.shape[:-1])
        coords = {dim: dataset.indexes[dim] for dim in original.dims[:-1] if dim in dataset.indexes}
        places = xr.DataArray(order, coords, original.dims[:-1], name="places")
        expected = [next(metrics) for _ in range(order.size)]
        for cell, place in enumerate(content.sort_axes(places.to_dataset()).places.values.ravel()):
            metric = expected[place]
            found = [quantity[key][cell] for key in ("mean", "low", "high", "n")]
            wanted = [metric[key] for key in ("mean", "ci_low", "ci_high", "n")]
            same(found, wanted)


@pytest.mark.thorough
def test_every_mean_interval_and_n_is_that_of_the_statistics():
    dataset = open_result(FIGURES / "init_overlap")
    data = read_data(tm.explore(dataset))
    done = tm.succeeded(dataset)
    for quantity in data["quantities"]:
        array = done[quantity["name"]]
        places = [
            dict(zip(quantity["dims"], at, strict=True))
            for at in np.ndindex(*(len(data["dims"][dim]["values"]) for dim in quantity["dims"]))
        ]
        for cell, place in enumerate(places):
            labels = {dim: data["dims"][dim]["values"][i] for dim, i in place.items()}
            expected = tm.interval(array.sel(labels).astype(np.float64))
            found = [quantity[key][cell] for key in ("mean", "low", "high", "n")]
            same(found, list(expected))


def test_every_seed_is_there_to_the_bit():
    runs = make_runs()
    (quantity,) = read_data(tm.explore(runs))["quantities"]
    ordered = runs.accuracy.sortby("rho").transpose("rho", "group", "seed")
    assert quantity["dims"] == ["rho", "group"]
    assert np.array_equal(np.float32(quantity["seeds"]), ordered.values.ravel())


def test_points_that_failed_enter_no_mean():
    runs = make_runs()
    runs["failed"] = xr.zeros_like(runs.accuracy, bool)
    runs.failed[0, 0, 0] = True  # at rho 1, the last along its axis
    data = read_data(tm.explore(runs))
    (quantity,) = data["quantities"]
    assert quantity["n"] == [3, 3, 3, 3, 2, 3]
    assert quantity["mean"][4] == pytest.approx(float(runs.accuracy[1:, 0, 0].mean()), rel=1e-6)
    assert data["notes"] == [
        "1 of 18 points failed, with values that are not finite: seed 0, rho 1.0, group all."
    ]


def test_values_that_are_not_finite_are_unknown():
    runs = make_runs()
    runs.accuracy[:, 0, 0] = [np.nan, np.inf, 0.5]
    (quantity,) = read_data(tm.explore(runs))["quantities"]
    assert (quantity["mean"][4], quantity["low"][4], quantity["n"][4]) == (0.5, None, 1)
    assert quantity["seeds"][12:15] == [None, None, 0.5]


def test_without_seeds_there_are_values_and_no_intervals():
    """What a theory predicts, and published values, have no seeds."""
    law = xr.DataArray([0.0, 0.25, 1.0], {"rho": [0.0, 0.5, 1.0]})
    (quantity,) = read_data(tm.explore(xr.Dataset({"law": law})))["quantities"]
    assert (quantity["mean"], quantity["n"], quantity["seeds"]) == ([0.0, 0.25, 1.0], [], None)


def test_labels_and_names_are_plain_words():
    dims = read_data(tm.explore(make_runs()))["dims"]
    assert dims["rho"]["label"] == "initialisation overlap rho"
    assert dims["group"]["labels"] == ["all layers", "auxiliary head"]
    assert dims["group"]["values"] == ["all", "aux_head"]  # what a CSV file has


def test_models_have_the_colours_of_the_figures():
    dataset = open_result(FIGURES / "mnist_aux")
    model = read_data(tm.explore(dataset))["dims"]["model"]
    assert dict(zip(model["values"], model["colours"], strict=True)) == tm.plotting.COLOURS


@pytest.mark.parametrize(
    ("name", "description", "bounds"),
    [
        ("accuracy", "student's test accuracy", (0, 1)),
        ("cosine", "cosine with the teacher's weights", (-1, 1)),
        ("transfer", "transfer: accuracy above the control's, over the teacher's above it", None),
        ("retained", "share kept of the accuracy above the control's", None),
        ("loss", "imitation loss", None),
    ],
)
def test_shares_and_cosines_are_known_to_be_bounded(name, description, bounds):
    array = xr.DataArray([0.2, 0.9], name=name, attrs={"description": description})
    assert words.find_bounds(array) == bounds
    assert words.find_bounds(array + 5) is None  # a score such as R², in spite of its name


def test_nothing_is_fetched():
    explorer = tm.explore(make_runs())
    tags = parse(explorer).tags
    assert [attrs for _, attrs in tags if {"src", "href"} & attrs.keys()] == []
    assert not {"link", "base", "img", "iframe", "object"} & {tag for tag, _ in tags}
    (policy,) = [attrs["content"] for tag, attrs in tags if attrs.get("http-equiv")]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    own = "".join(page.read(name) for name in (*page.SCRIPTS, "page.css", "page.html"))
    assert set(re.findall(r"https?://[^\s\"']+", own)) == {"http://www.w3.org/2000/svg"}
    assert "eval(" not in own


def test_labels_stay_data():
    """A label that looks like HTML neither ends the data nor becomes an element."""
    runs = make_runs().assign_coords(group=["</script><img src=x>", "<!--"])
    explorer = tm.explore(runs, title="<b>&</b>")
    tags = parse(explorer)
    data = json.loads(tags.scripts["data"])
    assert data["dims"]["group"]["labels"] == ["</script><img src=x>", "<!--"]
    assert data["title"] == "<b>&</b>"
    assert not {"img", "b"} & {tag for tag, _ in tags.tags}
    assert "script" in tags.tags[-1]


def test_too_many_seeds_are_left_out_and_the_page_says_so(monkeypatch):
    monkeypatch.setattr(content, "MOST_SEEDS", 10)
    data = read_data(tm.explore(make_runs()))
    assert data["quantities"][0]["seeds"] is None
    assert data["quantities"][0]["n"] == [3] * 6
    assert data["notes"] == ["The single seeds of accuracy are too many."]
    monkeypatch.setattr(content, "MOST_POINTS", 5)
    with pytest.raises(UserError, match="must have at most 5 points in a variable; got more"):
        tm.explore(make_runs())


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        ("figures", "dataset must be an xarray.Dataset; got a str"),
        (make_runs().accuracy, "dataset must be an xarray.Dataset; got a DataArray"),
        (xr.Dataset(), "dataset must hold a number with a named dimension; got none"),
        (xr.Dataset({"label": ("x", ["a", "b"])}), "dataset must hold a number with a named"),
    ],
)
def test_what_cannot_be_explored_is_refused_in_a_sentence(dataset, reason):
    with pytest.raises(UserError, match=re.escape(reason)):
        tm.explore(dataset)


def test_shares_that_are_none_are_refused_in_a_sentence():
    runs = make_runs()
    runs["accuracy"] = (3 * runs.accuracy).assign_attrs(trials=6)
    with pytest.raises(UserError, match="accuracy must hold proportions of trials: shares must"):
        tm.explore(runs)


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(tmp_path):
    explorer = tm.explore(make_runs())
    frame = explorer._repr_html_()
    assert html.unescape(re.search('srcdoc="([^"]*)"', frame)[1]) == explorer.html
    assert explorer.save(tmp_path / "new" / "page.html").read_text() == explorer.html
    with pytest.raises(UserError, match="out must be a file; got the folder"):
        explorer.save(tmp_path)


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["experiments.explore", *map(str, arguments)])
    explore.main()


def test_the_command_writes_one_file(monkeypatch, tmp_path, capsys):
    out = tmp_path / "page.html"
    call(monkeypatch, FIGURES / "aux_count", "--out", out)
    said = capsys.readouterr().out
    assert re.fullmatch(rf"{re.escape(str(out))}: a page of 1\.\d MB; open it in a browser\n", said)
    assert read_data(page.Explorer(out.read_text()))["title"].endswith((".", "?"))
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere",), "no result in nowhere: "),
        ((), "folders must be one at least; got none"),
        (("a", "b", "--out", "c"), "out must be left out for several folders; got c"),
    ],
)
def test_the_command_ends_with_a_sentence(monkeypatch, capsys, arguments, reason):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *arguments)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_without_bokeh_a_sentence_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "bokeh.resources", None)
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, FIGURES / "aux_count", "--out", tmp_path / "page.html")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    project = tomllib.loads((FIGURES.parent / "pyproject.toml").read_text())["project"]
    (needed,) = project["optional-dependencies"]["explore"]
    assert said == (
        f"error: the explorer needs Bokeh, which is not installed: pip install '{needed}'\n"
    )
    assert list(tmp_path.iterdir()) == []
