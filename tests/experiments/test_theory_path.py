"""The path beside trained students: one piece is the lazy student, several are the library's path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toymodels as tm
from experiments import theory_path
from experiments.theory_path import Config
from toymodels.errors import UserError
from toymodels.study import plotting

TINY = Config(
    dataset="digits",
    seeds=2,
    rho=(1.0, 0.8, 0.0),
    m=(2, 3),
    widths=(24, 24),
    train_images=600,
    noise_images=400,
    teacher_epochs=2,
    student_epochs=2,
    pieces=(1, 3),
    solver_steps=6,
)


@pytest.fixture(scope="module")
def tiny():
    return theory_path.STUDY.run(TINY)


def test_golden(tiny, golden):
    golden(tiny)


def test_the_path_is_that_of_the_library(tiny):
    """For one student, by hand; one piece would be another one."""
    config, task, data = tm.tasks.load(TINY, None)
    network = tm.perceptron(config, task)
    protocol = tm.protocol.reference_protocol(config.at(m=3), task, network)
    lesson, _ = jax.jit(protocol.prepare)(data, 0)
    mask = tm.auxiliary_logits(10, 3)
    follow = jax.jit(tm.path.follow_path, static_argnames=("network", "centred"))
    held_out, answers = lesson.held_out
    losses = []
    for pieces in TINY.pieces:
        given = (network, lesson.reference, *lesson.answered, mask)
        end, _ = follow(*given, pieces, TINY.solver_steps)
        missing = jnp.square((network.apply(end, held_out) - answers)[:, 10:]).mean()
        losses.append(float(missing))
    ours = tiny.path_loss.sel(seed=0, m=3, rho=1.0)
    np.testing.assert_allclose(ours, losses, rtol=1e-3)
    assert abs(losses[0] / losses[1] - 1) > 0.01


def test_transfer_is_zero_at_the_control_and_findings_follow_the_numbers(tiny):
    assert (tiny.transfer.sel(rho=0) == 0).all()
    assert (tiny.path_transfer.sel(rho=0) == 0).all()
    same = tiny.assign(path_transfer=tiny.transfer + 0 * tiny.path_transfer)
    assert "differ by 0.000" in theory_path.findings(same)[0]
    assert "differ by 0.000" not in theory_path.findings(tiny)[0]
    plotting.render(theory_path.figure(tiny), kinds=("png",))


def test_bad_config_is_one_sentence():
    with pytest.raises(
        UserError, match=r"^pieces must include 1 \(the lazy student\); got \(2,\)$"
    ):
        Config(pieces=(2,))
