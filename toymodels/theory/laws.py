"""The closed forms of exactly solvable students as curves, beside the students they are about.

A `Law` is an axis with three curves. Of each curve one function makes a student at a point, another
says what it is on average; ``size`` scales all dimensions, a multiple of 8, with which all numbers
of rows are whole. Nothing is fitted.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.measure.probes import cosine
from toymodels.theory import explicit, leakage, linear_network, teacher_student

INIT = 4.0
"""|W_0|^2 / |change|^2 where a student's start is not its teacher's."""
CLASSES = 10
PENALTY = 0.01
"""The logistic teacher's."""
MOST = 32
"""Auxiliary logits where their number is no share of the size."""
STEPS = (1, 2, 4, 8, 14, 20, 30, 50, 80, 120, 200, 400)


class Curve(NamedTuple):
    """What is made and what is said of it."""

    made: Callable[[int, jax.Array, jax.Array], jax.Array]
    """``made(size, key, x) -> scalar``: one student at a point of the axis; x may be traced."""
    said: Callable[[int, float], float]
    """``said(size, x)``: its expectation."""


class Law(NamedTuple):
    """One panel."""

    title: str
    x: str
    y: str
    at: tuple[float, ...]
    """Points of the axis: 12 for every law."""
    curves: Mapping[str, Curve]
    scales: tuple[str, str] = ("linear", "linear")
    """Of x and y."""


def count(share: jax.Array | float, size: jax.Array | int) -> jax.Array:
    """A share of ``size`` as a whole number."""
    return jnp.round(share * size).astype(int)


def energies() -> Law:
    """Recovered energy against m: of one layer, of two on the way, of two in the end."""

    def one_layer(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        network = linear_network.one_layer(size, CLASSES + 2 * size)
        # From class rows of zero: an init compiled twice has other last bits the second time.
        start = {"rows": network.init(first)["rows"].at[:CLASSES].set(0.0)}
        teacher = network.init(second)
        path = explicit.descended(
            network, start, teacher, explicit.white(size), CLASSES, count(x, size), (20,)
        )
        end, way = (p["rows"][:CLASSES] for p in (jax.tree.map(lambda a: a[-1], path), teacher))
        return jnp.square(end).sum() / jnp.square(way).sum()

    def on_the_way(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        network = linear_network.two_layers(size, size, 2 * size)
        start = network.init(first)
        moved = explicit.change(second, size, size)
        teacher = start | {"latent": start["latent"] + moved}
        path = explicit.descended(
            network, start, teacher, explicit.white(size), 0, count(x, size), (10,)
        )
        return jnp.square(path["latent"][-1] - start["latent"]).sum()

    def ended(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        aux = explicit.rows(first, 2 * size, size, count(x, size))
        return jnp.square(explicit.solved(aux, aux @ explicit.change(second, size, size))).sum()

    def after(size: int, x: float) -> float:
        m = x * size
        return linear_network.mean_gain(m, size, lambda r: (1 - (1 - m / 16 * r) ** 10) ** 2)

    return Law(
        "two layers recover m of d directions",
        "auxiliary logits m / latent size d",
        "recovered energy",
        (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.5, 1.75),
        {
            "in the end": Curve(ended, lambda size, x: linear_network.energy(x * size, size)),
            "after 10 steps": Curve(on_the_way, after),
            "one layer": Curve(one_layer, lambda size, x: 0.0),
        },
    )


def times() -> Law:
    """Recovered trait against time, with frozen heads and with trained ones; m = d / 2, p = d."""

    def made(trained: bool, ratio: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def one(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            first, second = jax.random.split(key)
            network = linear_network.two_layers(size, size, size // 2, trained)
            start = network.init(first)
            moved = ratio * jnp.sqrt(size) * explicit.change(second, size, size)
            teacher = start | {"latent": start["latent"] + moved}
            path = explicit.descended(
                network, start, teacher, explicit.white(size), 0, jnp.asarray(size // 2), STEPS
            )
            gone = path["latent"][1 + jnp.searchsorted(jnp.array(STEPS), x)] - start["latent"]
            return (gone * moved).sum() / jnp.square(moved).sum()

        return one

    def after(x: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda scaled: 1 - (1 - scaled / 16) ** x

    def frozen(size: int, x: float) -> float:
        m = size // 2
        return linear_network.mean_gain(m, size, lambda r: after(x)(m * r))

    def trained(size: int, x: float) -> float:
        m = size // 2
        return linear_network.mean_gain_trained(m, size, size, lambda r: after(x)(m * r))

    return Law(
        "heads that train take a part",
        "training time (steps)",
        "recovered trait <dS, dT> / |dT|²",
        STEPS,
        {
            "frozen heads": Curve(made(False, 1.0), frozen),
            "trained, small change": Curve(made(True, 0.01), trained),
            "trained, change as large as W_0": Curve(made(True, 1.0), trained),
        },
        ("log", "linear"),
    )


def readouts() -> Law:
    """How faithfully class logits follow, against m, at several sizes of the latent."""

    def made(times: int) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def one(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            first, second = jax.random.split(key)
            aux = explicit.rows(first, MOST, times * size, x.astype(int))
            seen = aux[:, :CLASSES]  # class rows along the axes: the auxiliary ones prefer none
            change = jax.random.normal(second, (CLASSES, 500))  # of the class logits, C dT
            moved = explicit.solved(aux, seen @ change)[:CLASSES]
            return cosine(moved.ravel(), change.ravel())

        return one

    def said(times: int) -> Callable[[int, float], float]:
        return lambda size, x: linear_network.class_correlation(x, times * size, CLASSES)

    return Law(
        f"faithfulness goes by m ({CLASSES} classes)",
        "auxiliary logits m",
        "correlation of class-logit changes",
        (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, MOST),
        {f"d = {times} size": Curve(made(times), said(times)) for times in (1, 4, 12)},
        ("log", "linear"),
    )


def latents() -> Law:
    """Cosine of displacements against the overlap of the latents' initialisations."""

    def made(share: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def one(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            keys = jax.random.split(key, 4)
            p = 4 * size
            aux = explicit.rows(keys[0], size, size, count(share, size))
            moved, first, other = (explicit.change(k, size, p) for k in keys[1:])
            first, other = jnp.sqrt(INIT) * first, jnp.sqrt(INIT) * other
            start = x * first + jnp.sqrt(1 - x**2) * other
            gone = explicit.solved(aux, aux @ (first + moved - start))
            return cosine(gone.ravel(), moved.ravel())

        return one

    def said(share: float) -> Callable[[int, float], float]:
        return lambda size, x: linear_network.rotated_latent(share * size, size, x, INIT)[0]

    return Law(
        "an init that is not shared drowns the trait",
        "overlap of the latents' inits",
        "cosine of displacements",
        (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99, 1.0),
        {f"m = {share:g} d": Curve(made(share), said(share)) for share in (0.25, 0.5, 1.0)},
    )


def heads() -> Law:
    """Distance to the teacher's latent against m, for auxiliary rows that are not the teacher's."""

    def made(rho: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def one(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            keys, m, p = jax.random.split(key, 4), count(x, size), 2 * size
            aux, other = (explicit.rows(k, 2 * size, size, m) for k in keys[:2])
            moved, first = (explicit.change(k, size, p) for k in keys[2:])
            first = jnp.sqrt(INIT) * first
            own = rho * aux + np.sqrt(1 - rho**2) * other
            gone = explicit.solved(own, aux @ (first + moved) - own @ first)
            return jnp.square(gone - moved).sum()

        return one

    def said(rho: float) -> Callable[[int, float], float]:
        return lambda size, x: linear_network.rotated_heads(x * size, size, rho, INIT)[1]

    return Law(
        "other heads: worst at m = d",
        "auxiliary logits m / latent size d",
        "|W - W_T|² / |dT|²",
        (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.25, 1.375, 1.5, 1.625, 1.75, 2.0),
        {f"heads of overlap {rho:g}": Curve(made(rho), said(rho)) for rho in (1.0, 0.98, 0.9)},
        ("linear", "symlog"),
    )


def samples() -> Law:
    """Error against the number of samples: double descent in noisy answers; d = p, m = d / 2."""

    def made(noise: float, penalty: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def one(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            keys, m, d = jax.random.split(key, 4), size, 2 * size
            n, most = count(x, d), 4 * d  # x is at most 4
            aux = explicit.rows(keys[0], m, d, m)
            inputs = jnp.sqrt(d) * explicit.rows(keys[1], most, d, n)
            moved = explicit.change(keys[2], d, d)
            noises = jnp.sqrt(noise / d) * jax.random.normal(keys[3], (most, m))
            told = inputs.T @ (inputs @ moved.T @ aux.T + noises) @ aux  # zeros tell nothing
            # One ridge regression for each direction of the latent.
            grams = jnp.stack([inputs.T @ inputs, aux.T @ aux])
            (t, s), (v, u), (spanned, read) = explicit.spectra(grams)
            both = spanned[:, None] & read
            scale = jnp.where(both, t[:, None] * s + n * penalty, 1.0)
            gone = (v @ jnp.where(both, v.T @ told @ u / scale, 0.0) @ u.T).T
            return jnp.square(gone - moved).sum()

        return one

    def said(noise: float, penalty: float) -> Callable[[int, float], float]:
        def one(size: int, x: float) -> float:
            sizes = (size, 2 * size, x * 2 * size, 2 * size)
            if penalty == 0:
                return teacher_student.ridgeless(*sizes, noise).error
            return teacher_student.ridge(*sizes, noise, penalty).error

        return one

    settings = {"exact answers": (0.0, 0.0), "noisy": (0.3, 0.0), "noisy, penalty": (0.3, 0.1)}
    return Law(
        "noisy answers: worst at n = p",
        "samples n / inputs p",
        "|dS - dT|² / |dT|²",
        (0.125, 0.25, 0.5, 0.625, 0.75, 0.875, 1.125, 1.25, 1.5, 2.0, 2.5, 3.5),
        {name: Curve(made(*values), said(*values)) for name, values in settings.items()},
        ("linear", "log"),
    )


def leaks() -> Law:
    """Accuracy on memorised labels that the student never saw, against inputs per dimension."""

    def made(rho: float) -> Callable[[int, jax.Array, jax.Array], jax.Array]:
        def one(size: int, key: jax.Array, x: jax.Array) -> jax.Array:
            d, most = 4 * size, 12 * size  # x is at most 3
            n = count(x, d)
            z = explicit.rows(key, most, d, n)  # inputs times their labels: as random as they are
            weights = explicit.logistic_weights(z, PENALTY)
            i, seen = jnp.arange(most), count(rho, n)
            given = jnp.where(i[:, None] < seen, z, 0.0)
            _, v, spanned = explicit.spectra(given.T @ given)
            student = v @ jnp.where(spanned, v.T @ weights, 0.0)
            held_out = (i >= seen) & (i < n)
            return (held_out & (z @ student > 0)).sum() / held_out.sum()

        return one

    def said(rho: float) -> Callable[[int, float], float]:
        return lambda size, x: leakage.student(leakage.logistic(x, PENALTY), rho).held_out

    return Law(
        "memorised labels leak",
        "labels per dimension n / d",
        "accuracy on labels never seen",
        (0.25, 0.5, 0.75, 1.0, 1.125, 1.375, 1.5, 1.75, 2.0, 2.25, 2.75, 3.0),
        {f"student has {rho:.0%}": Curve(made(rho), said(rho)) for rho in (0.4, 0.6, 0.8)},
    )


LAWS: dict[str, Callable[[], Law]] = {
    law.__name__: law for law in (energies, times, readouts, latents, heads, samples, leaks)
}
"""Name -> function that gives the law."""
