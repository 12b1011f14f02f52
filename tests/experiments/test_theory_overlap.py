"""The law beside students: its values without them, exact limits, findings."""

import jax
import numpy as np
import pytest

from experiments import theory_overlap
from experiments.theory_overlap import Config
from toymodels.errors import UserError
from toymodels.study import plotting
from toymodels.theory import overlap_law

TINY = Config(
    dataset="digits",
    seeds=2,
    rho=(1.0, 0.8, 0.0),
    m=(2, 40),
    width=(24,),
    train_images=600,
    teacher_epochs=6,
    noise_images=400,
    student_epochs=2,
    told=400,
    draws=2,
)


@pytest.fixture(scope="module")
def tiny():
    return theory_overlap.STUDY.run(TINY)


def test_golden(tiny, golden):
    golden(tiny)


def test_the_law_is_an_identity_where_all_is_shared_and_seen(tiny):
    """m >= width at rho = 1: all of the teacher's change, and no more of it with more logits."""
    whole = tiny.sel(m=40)
    np.testing.assert_allclose(whole.law_amount.sel(rho=1), 1, rtol=1e-5)
    assert (whole.law_amount.sel(rho=0.8) < 0.64).all()  # rho^2 and what hidden layers lose
    assert (tiny.law_amount.sel(rho=0) == 0).all()
    np.testing.assert_allclose(tiny.law_amount.sel(m=2, rho=1), 2 / 24, rtol=1e-5)


def test_leading_order_goes_by_m_over_width(tiny):
    lead = tiny.leading_amount.sel(rho=1)
    np.testing.assert_allclose(lead.sel(m=40), 20 * lead.sel(m=2), rtol=1e-3)
    assert (tiny.leading_amount.sel(rho=0) == 0).all()


def test_a_lazy_student_of_the_same_init_answers_as_it_is_told(tiny):
    """Two logits on few inputs can be imitated exactly: conjugate gradients leave little."""
    assert (tiny.residual.sel(m=2, rho=1) < tiny.residual.sel(m=40, rho=1)).all()
    assert (tiny.residual < 0.5).all()


def test_transfer_is_zero_at_the_control_and_findings_follow_the_numbers(tiny):
    assert (tiny.transfer.sel(rho=0) == 0).all()
    assert (tiny.law_transfer.sel(rho=0) == 0).all()
    same = tiny.assign(transfer=tiny.law_transfer + 0 * tiny.transfer)
    assert "differ by 0.000" in theory_overlap.findings(same)[0]
    assert "differ by 0.000" not in theory_overlap.findings(tiny)[0]
    plotting.render(theory_overlap.figure(tiny), kinds=("png",))


def test_the_square_root_is_one():
    x = jax.random.normal(jax.random.key(0), (6, 3))
    root = overlap_law.square_root(x @ x.T)
    np.testing.assert_allclose(root @ root.T, x @ x.T, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rho": (1.0, 0.5)}, r"rho must include 1 \(shared\) and 0 \(the control\); got .*"),
        ({"loss": "kl"}, "loss must be one of mse; got 'kl'"),
        ({"noise": "fresh"}, "noise must be one of fixed; got 'fresh'"),
        ({"told": 500}, "told must be at most noise_images; got 500"),
        ({"m": (3, 3)}, "m must have .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        TINY.at(**change)
