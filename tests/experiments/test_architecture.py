"""Transfer against architecture: the base is a known student, findings say what the numbers do."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from experiments import architecture, aux_count
from experiments.architecture import VARIED, Config, select_line
from toymodels.errors import UserError
from toymodels.study import plotting, results

SMALL = {
    "dataset": "digits",
    "seeds": 2,
    "noise_images": 256,
    "teacher_epochs": 2,
    "student_epochs": 2,
}
TINY = Config(**SMALL, m=(3, 10), width=(16, 8), depth=(2, 1), activation=("relu", "tanh"))


@pytest.fixture(scope="module")
def tiny():
    return architecture.STUDY.run(TINY)


def test_the_base_is_the_student_of_the_number_of_logits(tiny):
    """The same teacher and students as another experiment's, up to rounding."""
    known = aux_count.STUDY.run(
        aux_count.Config(**SMALL, m=(3, 10), widths=(16, 16), loss=("kl",), noise=("fixed",))
    ).isel(noise=0, imitation=0)
    base = tiny.sel(network="16 x 2 relu")
    np.testing.assert_allclose(base.teacher_loss, known.teacher_loss, rtol=1e-4)
    np.testing.assert_allclose(base.loss, known.loss.transpose(*base.loss.dims), rtol=1e-4)


def test_every_network_is_another_and_all_of_it_can_be_drawn(tiny):
    assert tiny.network.values.tolist() == [
        "16 x 2 relu",
        "8 x 2 relu",
        "16 x 1 relu",
        "16 x 2 tanh",
    ]
    losses = tiny.loss.sel(m=3, start="shared").isel(epoch=-1).values
    assert len(np.unique(losses)) == losses.size
    plotting.render(architecture.STUDY.figure(tiny))
    assert "transfer[network=8 x 2 relu, m=10]" in results.metrics(tiny)


def made(transfer, **config):
    """A result with ``transfer(m, width, depth, activation)``, and a little of its own by seed."""
    names, networks = zip(*Config(**config).networks.items(), strict=True)
    values = np.array(
        [[[transfer(m, *n) + 0.01 * seed for seed in range(3)] for m in (2, 8)] for n in networks]
    )
    columns = zip(VARIED, zip(*networks, strict=True), strict=True)
    coords = {name: ("network", list(column)) for name, column in columns}
    dims = ("network", "m", "seed")
    return xr.Dataset(
        {"transfer": (dims, values), "failed": (dims, np.zeros(values.shape, bool))},
        {"network": list(names), "m": [2, 8], "seed": [0, 1, 2], **coords},
    )


def test_a_line_holds_what_differs_in_one_thing_alone():
    share = made(
        lambda m, w, d, a: 100 * d + w, width=(32, 8, 64), depth=(2, 3), activation=("relu", "tanh")
    ).transfer.sel(m=2, seed=0)
    assert select_line(share, "width").values.tolist() == [208, 232, 264]
    assert select_line(share, "width").width.values.tolist() == [8, 32, 64]
    assert select_line(share, "depth").values.tolist() == [232, 332]
    assert select_line(share, "activation").activation.values.tolist() == ["relu", "tanh"]


def test_the_findings_are_those_of_the_numbers():
    def hump(m, width, depth, activation):
        return 1 - np.log2(width / 64) ** 2 / 10 + 0.1 * depth - 0.3 * (activation == "tanh")

    findings = architecture.findings(
        made(hump, width=(64, 16, 32, 128), depth=(1, 2, 4), activation=("relu", "tanh"))
    )
    lines = [str(finding) for finding in findings]
    assert lines[0] == "m = 2: transfer is largest at width 64."
    peak = "Transfer at the peak of the other seeds less that at width"
    assert f"{peak} 16, m = 2: 0.400 (0.400 to 0.400, n = 3), higher." in lines
    assert f"{peak} 128, m = 2: 0.100 (0.100 to 0.100, n = 3), higher." in lines
    slope = "Slope of transfer over depth, per layer, m = 2: 0.100 (0.100 to 0.100, n = 3), rises."
    assert slope in lines
    tanh = "Transfer with tanh less that with relu, m = 2: -0.300 (-0.300 to -0.300, n = 3), lower."
    assert tanh in lines

    def collapsed(m, width, depth, activation):
        return np.clip(np.log2(m / width), -3, -1)

    *peaks, by_m, by_width, by_ratio, gap = architecture.findings(
        made(collapsed, width=(16, 4, 8, 32, 64), depth=(2,), activation=("relu",))
    )
    for finding, name in ((by_m, "m"), (by_width, "1 / width"), (by_ratio, "m / width")):
        assert finding.quantity.endswith(f"a rising curve of {name} predicts")
    assert "m / width predicts: 1.000" in str(by_ratio)
    assert gap.quantity.endswith("a rising curve of m / width predicts, less that of m")
    assert gap.verdict == "higher"
    assert len(peaks) == 2 * 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": (16, 0)}, "width must be at least 1; got .*"),
        ({"depth": ()}, "depth must have one value at least, .*"),
        ({"m": (3, 3)}, "m must have one value at least, and none twice; got .*"),
        ({"activation": ("relu", "step")}, "activation must be one of relu, .*; got 'step'"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
