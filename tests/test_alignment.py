import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.measure.alignment import displacement_cosine, gradient_cosine, loss_barrier
from toymodels.networks.models import MLP, functional
from toymodels.theory.one_step import first_step, gradient_step
from toymodels.training import losses
from toymodels.training.distillation import auxiliary_logits


def at(*values):
    return {"w": jnp.array(values)}


def test_a_convex_quadratic_has_no_barrier(x64):
    curved = jnp.array([1.0, 3.0])
    barrier = loss_barrier(lambda p: (curved * p["w"] ** 2).sum(), at(-1.0, 2.0), at(2.0, 0.5))
    assert float(barrier) == 0.0


@pytest.mark.parametrize("tilt", [0.0, 0.7])
def test_a_double_well_has_its_barrier_however_it_is_tilted(x64, tilt):
    """(x^2 - 1)^2 between its minima rises by 1; a line more adds nothing above the ends."""

    def well(p):
        return ((p["w"] ** 2 - 1) ** 2 + tilt * p["w"]).sum()

    assert float(loss_barrier(well, at(-1.0), at(1.0))) == pytest.approx(1.0, abs=1e-12)
    # From -1 to 0.5, uphill at its end: max over the segment of the quartic less its chord.
    t = np.linspace(0, 1, 11)
    x, chord = -1 + 1.5 * t, t * 0.75**2
    expected = ((x**2 - 1) ** 2 - chord).max()
    assert float(loss_barrier(well, at(-1.0), at(0.5))) == pytest.approx(expected, abs=1e-12)


def test_the_teachers_own_displacement_has_cosine_one_and_none_has_zero():
    start, teacher = at(0.3, -0.2, 1.0), at(0.1, 0.4, 0.9)
    assert float(displacement_cosine(teacher, start, teacher, start)) == pytest.approx(1, abs=1e-6)
    assert float(displacement_cosine(start, start, teacher, start)) == 0.0
    back = jax.tree.map(lambda s, t: 2 * s - t, start, teacher)
    assert float(displacement_cosine(back, start, teacher, start)) == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("imitation", [losses.kl(), losses.mse()])
def test_at_a_shared_init_the_gradient_cosine_is_theorem_1s(x64, imitation):
    """The teacher took one step: positive, and the cosine of the two steps of `theory.one_step`."""
    network = functional(lambda rngs: MLP((5, 16, 7), rngs=rngs))
    x, images = (jax.random.normal(jax.random.key(i), (50, 5)) for i in (1, 2))
    labels, subset = jax.random.randint(jax.random.key(3), (50,), 0, 4), auxiliary_logits(4, 3)
    reference = network.init(jax.random.key(0))

    def trait(params):
        return losses.class_cross_entropy(network.apply(params, images), labels, 4)

    step = gradient_step(trait, reference, 1e-3)
    teacher = jax.tree.map(jnp.add, reference, step)

    def distillation(params):
        return imitation(network.apply(params, x), network.apply(teacher, x), subset)

    found = float(gradient_cosine(trait, distillation, reference))
    theirs = first_step(network, reference, reference, step, x, imitation, subset)
    assert found == pytest.approx(float(theirs.cosine), abs=1e-6)
    assert found > 0.01
    assert float(theirs.inner_theory) > 0
