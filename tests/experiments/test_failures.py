"""Results in which points, a seed or everything failed still have findings and a figure.

Each experiment's own result, as the figures keep it, is spoiled as a diverged run spoils it: what
was recorded is NaN, and what is derived from that is derived anew.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import figures, load_study
from toymodels.study import plotting, results

FOLDER = Path(__file__).parents[2] / "figures"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/results.nc"))
SLOW = [
    pytest.param(kind, marks=pytest.mark.slow)
    for kind in ("half of the points", "one seed alone", "one point")
]


def spoiled(dataset: xr.Dataset, kind: str) -> xr.Dataset:
    """The result with some points failed, analysed anew."""
    if kind == "one seed alone":
        return figures.analyse(dataset.isel(seed=[0]))
    failed = dataset.failed
    at = xr.zeros_like(failed)
    if kind == "one seed":
        at[{"seed": 0}] = True
    elif kind == "every point":
        at = ~at
    elif kind == "half of the points":  # the same of every seed, as too high a rate fails
        beside = [dim for dim in failed.dims if dim != "seed"]
        shape = [failed.sizes[dim] for dim in beside]
        chosen = np.random.default_rng(0).random(shape) < 0.5
        at = at | xr.DataArray(chosen, dims=beside)
    else:
        at[dict.fromkeys(failed.dims, 0)] = True
    dataset = dataset.assign(failed=(failed | at).transpose(*failed.dims))
    for name, array in dataset.data_vars.items():
        if array.dtype.kind == "f" and "seed" in array.dims:
            beside = [dim for dim in failed.dims if dim not in array.dims]
            lost = dataset.failed.all(beside)
            dataset[name] = array.where(~lost).transpose(*array.dims)
    points = results.to_json(results.failed_points(dataset))
    return figures.analyse(dataset.assign_attrs(failed_points=points))


@pytest.fixture(scope="module", params=NAMES)
def kept(request):
    return results.open_result(FOLDER / request.param)


@pytest.mark.parametrize("kind", ["one seed", "every point", *SLOW])
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:All-NaN slice")
def test_findings_survive_what_failed_and_make_nothing_of_it(kept, kind):
    dataset = spoiled(kept, kind)
    findings = load_study(dataset.attrs["experiment"]).findings(dataset)
    lines = [str(finding) for finding in findings]
    words = r"\b(nan|inf|None)\b"
    assert not [line for line in lines if re.search(words, line)]
    concluded = results.with_findings(dataset, findings)
    complete = json.loads(concluded.attrs["findings"])
    if kind == "every point":
        assert len(complete) == 1
        assert complete[0].startswith("Every point failed")
    if kind in ("every point", "one seed alone"):
        # Numbers of one seed have no interval, and so there is no verdict.
        verdicts = r"above zero (?!at [01] of)|below zero (?!for)|no difference shown"
        assert not [line for line in lines if re.search(verdicts, line)]
    table = json.loads(results.files(concluded)["summary.json"])["metrics"]
    assert all((row["mean"] is None) == (row["n"] == 0) for row in table.values())


@pytest.mark.parametrize(
    "kind", ["one seed", pytest.param("every point", marks=pytest.mark.slow), *SLOW]
)
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:All-NaN slice")
def test_figures_survive_what_failed(kept, kind, monkeypatch):
    monkeypatch.setitem(plotting.STYLE, "savefig.dpi", 20)  # whether, not how well, it is drawn
    dataset = spoiled(kept, kind)
    assert plotting.render(load_study(dataset.attrs["experiment"]).figure(dataset), ("png",))
