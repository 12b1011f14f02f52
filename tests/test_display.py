import pytest
import xarray as xr

from toymodels import sweep
from toymodels.study import results
from toymodels.study.display import PlainLines, duration, number, print_table
from toymodels.study.sweeps import DrawnData
from toymodels.training.config import SeedConfig


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (3725, "1:02:05")])
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_unknown_numbers_are_dashes():
    assert (number(None), number(0.12345)) == ("-", "0.123")


def test_plain_lines_tell_each_tenth_once(capsys):
    lines = PlainLines()
    for done in (0, 1, 2, 3, 20):
        lines("models", done, 20, None if done == 0 else 5.0)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "models ..."
    assert [line.split(",")[0] for line in told[1:]] == ["models: 2 of 20", "models: 20 of 20"]


def test_an_axis_named_source_is_no_published_value(capsys):
    """`lineage` has one; only `published` makes columns of what others found."""
    values = xr.DataArray([[0.5, 0.7]], dims=("seed", "source"), coords={"source": ["a", "b"]})
    dataset = xr.Dataset({"found": values.assign_attrs(description="found")})
    dataset["failed"] = dataset.found.isnull()
    task = DrawnData("nothing")
    done = sweep.Execution("cpu", "float32", 1, 1, 2, 0, 0.0, 0.0)
    described = results.describe_result(
        dataset, "lineage", "found", SeedConfig(seeds=1), task, done, ["said"]
    )
    print_table(described)
    assert "said" in capsys.readouterr().out
