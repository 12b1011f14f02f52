"""The laws of exactly solvable students: closed forms, each with a simulation of such a student.

Every function makes a `toymodels.theory.curves.Law`, which says what ``size`` and x are. Nothing is
fitted.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.measure.probes import cosine
from toymodels.theory import explicit, leakage, linear_network, teacher_student
from toymodels.theory.curves import Curve, Law

INIT = 4.0
"""|W_0|^2 / |change|^2 where a student does not start at its teacher's initialisation."""
CLASSES = 10
"""Number of class logits."""
PENALTY = 0.01
"""Penalty of the logistic teacher."""
LARGEST_M = 32
"""Largest number of auxiliary logits where their number is not a share of the size."""
STEPS = (1, 2, 4, 8, 14, 20, 30, 50, 80, 120, 200, 400)
"""Training times, in steps."""


def count(share: jax.Array | float, size: jax.Array | int) -> jax.Array:
    """A share of ``size`` as a whole number."""
    return jnp.round(share * size).astype(int)


def energies() -> Law:
    """Recovered energy against m: of one layer, and of two layers during and after training."""

    def single_layer(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        network = linear_network.single_layer(size, CLASSES + 2 * size)
        # Class rows of zero: an initialisation compiled twice has other last bits the second time.
        start = {"rows": network.init(first)["rows"].at[:CLASSES].set(0.0)}
        teacher = network.init(second)
        path = explicit.descend(
            network, start, teacher, explicit.white(size), CLASSES, count(x, size), (20,)
        )
        end, target = (p["rows"][:CLASSES] for p in (jax.tree.map(lambda a: a[-1], path), teacher))
        return jnp.square(end).sum() / jnp.square(target).sum()

    def two_layers_during(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        network = linear_network.two_layers(size, size, 2 * size)
        start = network.init(first)
        change = explicit.random_change(second, size, size)
        teacher = start | {"latent": start["latent"] + change}
        path = explicit.descend(
            network, start, teacher, explicit.white(size), 0, count(x, size), (10,)
        )
        return jnp.square(path["latent"][-1] - start["latent"]).sum()

    def two_layers_after(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        aux = explicit.gaussian_rows(first, 2 * size, size, count(x, size))
        change = explicit.random_change(second, size, size)
        return jnp.square(explicit.solve(aux, aux @ change)).sum()

    def predict_during(size: int, x: float) -> float:
        m = x * size
        return linear_network.mean_gain(m, size, lambda r: (1 - (1 - m / 16 * r) ** 10) ** 2)

    return Law(
        "two layers recover m of d directions",
        "auxiliary logits m / latent size d",
        "recovered energy",
        (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.5, 1.75),
        {
            "in the end": Curve(
                two_layers_after, lambda size, x: linear_network.energy(x * size, size)
            ),
            "after 10 steps": Curve(two_layers_during, predict_during),
            "one layer": Curve(single_layer, lambda size, x: 0.0),
        },
    )


def times() -> Law:
    """Recovered trait against time, with frozen and with trained heads; m = d / 2, p = d."""

    def simulate(trained: bool, ratio: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def student(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            first, second = jax.random.split(key)
            network = linear_network.two_layers(size, size, size // 2, trained)
            start = network.init(first)
            change = ratio * jnp.sqrt(size) * explicit.random_change(second, size, size)
            teacher = start | {"latent": start["latent"] + change}
            path = explicit.descend(
                network, start, teacher, explicit.white(size), 0, jnp.asarray(size // 2), STEPS
            )
            latent = path["latent"][1 + jnp.searchsorted(jnp.array(STEPS), x)]
            displacement = latent - start["latent"]
            return (displacement * change).sum() / jnp.square(change).sum()

        return student

    def gain(x: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda scaled: 1 - (1 - scaled / 16) ** x

    def frozen(size: int, x: float) -> float:
        m = size // 2
        return linear_network.mean_gain(m, size, lambda r: gain(x)(m * r))

    def trained(size: int, x: float) -> float:
        m = size // 2
        return linear_network.mean_gain_trainable(m, size, size, lambda r: gain(x)(m * r))

    return Law(
        "heads that train take a part",
        "training time (steps)",
        "recovered trait <dS, dT> / |dT|²",
        STEPS,
        {
            "frozen heads": Curve(simulate(False, 1.0), frozen),
            "trained, small change": Curve(simulate(True, 0.01), trained),
            "trained, change as large as W_0": Curve(simulate(True, 1.0), trained),
        },
        ("log", "linear"),
    )


def readouts() -> Law:
    """Faithfulness of the class logits against m, at several sizes of the latent."""

    def simulate(ratio: int) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def student(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            first, second = jax.random.split(key)
            aux = explicit.gaussian_rows(first, LARGEST_M, ratio * size, x.astype(int))
            visible = aux[:, :CLASSES]  # class rows along the axes: auxiliary rows are isotropic
            change = jax.random.normal(second, (CLASSES, 500))  # of the class logits, C dT
            imitation = explicit.solve(aux, visible @ change)[:CLASSES]
            return cosine(imitation.ravel(), change.ravel())

        return student

    def predict(ratio: int) -> Callable[[int, float], float]:
        return lambda size, x: linear_network.class_correlation(x, ratio * size, CLASSES)

    return Law(
        f"faithfulness goes by m ({CLASSES} classes)",
        "auxiliary logits m",
        "correlation of class-logit changes",
        (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, LARGEST_M),
        {f"d = {ratio} size": Curve(simulate(ratio), predict(ratio)) for ratio in (1, 4, 12)},
        ("log", "linear"),
    )


def latents() -> Law:
    """Cosine of displacements against the overlap of the latents' initialisations."""

    def simulate(share: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def student(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            keys = jax.random.split(key, 4)
            p = 4 * size
            aux = explicit.gaussian_rows(keys[0], size, size, count(share, size))
            change, first, independent = (explicit.random_change(k, size, p) for k in keys[1:])
            first, independent = jnp.sqrt(INIT) * first, jnp.sqrt(INIT) * independent
            start = x * first + jnp.sqrt(1 - x**2) * independent
            displacement = explicit.solve(aux, aux @ (first + change - start))
            return cosine(displacement.ravel(), change.ravel())

        return student

    def predict(share: float) -> Callable[[int, float], float]:
        return lambda size, x: linear_network.latent_rotation(share * size, size, x, INIT)[0]

    return Law(
        "an init that is not shared drowns the trait",
        "overlap of the latents' inits",
        "cosine of displacements",
        (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99, 1.0),
        {f"m = {share:g} d": Curve(simulate(share), predict(share)) for share in (0.25, 0.5, 1.0)},
    )


def heads() -> Law:
    """Distance to the teacher's latent against m, for auxiliary rows that are not the teacher's."""

    def simulate(rho: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def student(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            keys, m, p = jax.random.split(key, 4), count(x, size), 2 * size
            aux, independent = (explicit.gaussian_rows(k, 2 * size, size, m) for k in keys[:2])
            change, first = (explicit.random_change(k, size, p) for k in keys[2:])
            first = jnp.sqrt(INIT) * first
            own = rho * aux + np.sqrt(1 - rho**2) * independent
            displacement = explicit.solve(own, aux @ (first + change) - own @ first)
            return jnp.square(displacement - change).sum()

        return student

    def predict(rho: float) -> Callable[[int, float], float]:
        return lambda size, x: linear_network.head_rotation(x * size, size, rho, INIT)[1]

    return Law(
        "other heads: worst at m = d",
        "auxiliary logits m / latent size d",
        "|W - W_T|² / |dT|²",
        (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.25, 1.375, 1.5, 1.625, 1.75, 2.0),
        {
            f"heads of overlap {rho:g}": Curve(simulate(rho), predict(rho))
            for rho in (1.0, 0.98, 0.9)
        },
        ("linear", "symlog"),
    )


def samples() -> Law:
    """Error against the number of samples: double descent in noisy answers; d = p, m = d / 2."""

    def simulate(noise: float, penalty: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def student(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            keys, m, d = jax.random.split(key, 4), size, 2 * size
            n, largest = count(x, d), 4 * d  # x is at most 4
            aux = explicit.gaussian_rows(keys[0], m, d, m)
            inputs = jnp.sqrt(d) * explicit.gaussian_rows(keys[1], largest, d, n)
            change = explicit.random_change(keys[2], d, d)
            noises = jnp.sqrt(noise / d) * jax.random.normal(keys[3], (largest, m))
            # Rows of zeros add nothing.
            pull = inputs.T @ (inputs @ change.T @ aux.T + noises) @ aux
            # One ridge regression for each direction of the latent.
            grams = jnp.stack([inputs.T @ inputs, aux.T @ aux])
            (t, s), (v, u), (spanned, read) = explicit.spectra(grams)
            determined = spanned[:, None] & read
            scale = jnp.where(determined, t[:, None] * s + n * penalty, 1.0)
            displacement = (v @ jnp.where(determined, v.T @ pull @ u / scale, 0.0) @ u.T).T
            return jnp.square(displacement - change).sum()

        return student

    def predict(noise: float, penalty: float) -> Callable[[int, float], float]:
        def expectation(size: int, x: float) -> float:
            sizes = (size, 2 * size, x * 2 * size, 2 * size)
            if penalty == 0:
                return teacher_student.ridgeless(*sizes, noise).error
            return teacher_student.ridge(*sizes, noise, penalty).error

        return expectation

    settings = {"exact answers": (0.0, 0.0), "noisy": (0.3, 0.0), "noisy, penalty": (0.3, 0.1)}
    return Law(
        "noisy answers: worst at n = p",
        "samples n / inputs p",
        "|dS - dT|² / |dT|²",
        (0.125, 0.25, 0.5, 0.625, 0.75, 0.875, 1.125, 1.25, 1.5, 2.0, 2.5, 3.5),
        {name: Curve(simulate(*values), predict(*values)) for name, values in settings.items()},
        ("linear", "log"),
    )


def leaks() -> Law:
    """Accuracy on memorised labels that the student never saw, against inputs per dimension."""

    def simulate(rho: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def student(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            d, largest = 4 * size, 12 * size  # x is at most 3
            n = count(x, d)
            # Inputs times labels are distributed as inputs.
            z = explicit.gaussian_rows(key, largest, d, n)
            weights = explicit.logistic_weights(z, PENALTY)
            i, answered = jnp.arange(largest), count(rho, n)
            shown_rows = jnp.where(i[:, None] < answered, z, 0.0)
            _, v, spanned = explicit.spectra(shown_rows.T @ shown_rows)
            projection = v @ jnp.where(spanned, v.T @ weights, 0.0)
            held_out = (i >= answered) & (i < n)
            return (held_out & (z @ projection > 0)).sum() / held_out.sum()

        return student

    def predict(rho: float) -> Callable[[int, float], float]:
        return lambda size, x: leakage.student(leakage.logistic(x, PENALTY), rho).held_out

    return Law(
        "memorised labels leak",
        "labels per dimension n / d",
        "accuracy on labels never seen",
        (0.25, 0.5, 0.75, 1.0, 1.125, 1.375, 1.5, 1.75, 2.0, 2.25, 2.75, 3.0),
        {f"student has {rho:.0%}": Curve(simulate(rho), predict(rho)) for rho in (0.4, 0.6, 0.8)},
    )


LAWS: dict[str, Callable[[], Law]] = {
    law.__name__: law for law in (energies, times, readouts, latents, heads, samples, leaks)
}
"""Functions that make a law, by name."""
