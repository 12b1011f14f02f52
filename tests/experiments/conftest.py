"""Golden values of every experiment: what its small configuration in the tests comes to."""

import json
import os
from pathlib import Path

import pytest

from experiments import mnist_aux
from tests.experiments.protocols import SMALL
from toymodels.study import plotting, results

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def small_language():
    """Fields of a `language.config.LanguageConfig` at which bases, teachers and students take seconds."""
    return {
        "seeds": 2,
        "width": 16,
        "depth": 1,
        "batch": 16,
        "base_steps": 200,
        "base_lr": 2e-2,
        "temperature": 0.3,  # so that some documents of so young a base pass the filter
        "teacher_steps": 2,
        "student_steps": 4,
        "samples": 64,
    }


@pytest.fixture(scope="session")
def tiny_config():
    """A config of `mnist_aux` that runs in seconds."""
    return mnist_aux.Config(
        dataset="digits",
        seeds=2,
        widths=(8,),
        noise_images=64,
        teacher_epochs=1,
        student_epochs=1,
    )


@pytest.fixture(scope="session")
def reference_runs():
    """The result of `mnist_aux` at the smallest protocol, with whose students others must agree."""
    return mnist_aux.STUDY.run(mnist_aux.Config(**SMALL))


@pytest.fixture(scope="session")
def tiny_files(tiny_config):
    """The files of a finished run: their contents by name."""
    dataset = mnist_aux.STUDY.run(tiny_config)
    return results.files(dataset) | plotting.render(mnist_aux.STUDY.figure(dataset))


@pytest.fixture
def golden():
    """Compare the means of a result with those on record, and say what a change means."""

    def compare(dataset, name=None):
        name = name or dataset.attrs["experiment"]
        path = GOLDEN / f"{name}.json"
        means = {key: metric["mean"] for key, metric in results.metrics(dataset).items()}
        if os.environ.get("GOLDEN") == "write":
            GOLDEN.mkdir(exist_ok=True)
            rounded = {k: None if v is None else float(f"{v:.4g}") for k, v in means.items()}
            path.write_text(json.dumps(rounded, indent=1) + "\n")
        known = json.loads(path.read_text())
        assert means.keys() == known.keys()
        both = [k for k in known if known[k] is not None and means[k] is not None]  # thresholds
        assert {k: means[k] for k in both} == pytest.approx(
            {k: known[k] for k in both}, abs=0.05, rel=0.05
        ), (
            f"The values of {name} have changed by more than another machine or version of jax "
            "moves them: so has the science. Find out why, write it into CHANGELOG.md, and only "
            "then record the new ones: GOLDEN=write pytest tests/experiments"
        )

    return compare
