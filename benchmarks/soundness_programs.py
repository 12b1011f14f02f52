"""Programs whose numbers `soundness.py` compares, and their inputs: small, and from NumPy."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toymodels.data import distributions
from toymodels.language import pipeline
from toymodels.language.answers import ask
from toymodels.language.imitation import imitate
from toymodels.measure import decompositions, probes
from toymodels.networks.models import CNN, MLP, functional
from toymodels.networks.transformer import next_token_loss
from toymodels.theory import infinite_width, linearised
from toymodels.theory.kernels import Side, mlp_kernel
from toymodels.training import losses
from toymodels.training.distillation import auxiliary_logits, distil
from toymodels.training.loop import reshuffle, train


class Case(NamedTuple):
    """A program and its inputs."""

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    random: bool = False
    """Whether it draws random numbers, which float64 draws from other bits."""


def numbers(rng: Any, *shape: int) -> Any:
    """Standard normal float32 from NumPy: the same to the bit, however JAX computes."""
    return rng.standard_normal(shape).astype("float32")


def weights(rng: Any, init: Callable[..., Any]) -> Any:
    """Parameters as ``init(key)`` shapes them, of the usual sizes, from NumPy."""

    def leaf(of: Any) -> Any:
        whole = numbers(rng, *of.shape)
        return 1 + whole / 10 if len(of.shape) < 2 else whole / of.shape[-2] ** 0.5

    return jax.tree.map(leaf, jax.eval_shape(init, jax.random.key(0)))


def sums(rng: Any, count: int) -> dict[str, Case]:
    """Sums over some axes of products of arrays that broadcast, of random shapes."""

    def case() -> Case:
        rank = int(rng.integers(2, 6))
        shape = [int(rng.choice([1, 2, 3, 7, 16, 64, 256])) for _ in range(rank)]
        while (size := math.prod(shape)) > 2**18 or size < 2**10:
            i = int(rng.integers(rank))
            shape[i] = max(1, shape[i] // 2) if size > 2**18 else 2 * shape[i]
        factors = [numbers(rng, *(n if rng.random() < 0.6 else 1 for n in shape)) for _ in range(2)]
        axes = tuple(i for i in range(rank) if rng.random() < 0.6) or (0,)

        def total(a: Any, b: Any) -> Any:
            return jnp.broadcast_to(a * b, shape).sum(axes), jnp.square(a + b).sum(axes)

        return Case(total, tuple(factors))

    return {f"sums_{i}": case() for i in range(count)}


def programs(rng: Any) -> dict[str, Case]:
    """What the main experiments compile, at sizes of milliseconds."""
    network = functional(lambda rngs: MLP((784, 256, 256, 13), rngs=rngs))
    small = functional(lambda rngs: MLP((784, 64, 64, 13), rngs=rngs))
    images = functional(lambda rngs: CNN(28, (8, 8), 32, 13, rngs=rngs))
    subset = auxiliary_logits(10, 3)
    pixels = rng.uniform(-1, 1, (2048, 784)).astype("float32")
    answers, labels = numbers(rng, 2048, 13), rng.integers(0, 10, 2048)

    def imitation(net: Any, batch: int) -> Callable[..., Any]:
        def one(init: Any, x: Any, y: Any) -> Any:
            adam, key = optax.adam(3e-4), jax.random.key(3)
            kl, source = losses.kl(), reshuffle((x, y), batch)
            return distil(
                net, init, source, kl, subset, adam, epochs=1, observe=lambda _: (), key=key
            )[0]

        return jax.vmap(one, (0, None, None))

    def reading(init: Any, x: Any, y: Any) -> Any:
        def loss(params: Any, batch: Any) -> Any:
            return losses.class_cross_entropy(network.apply(params, batch[0]), batch[1], 10)

        source, adam = reshuffle((x, y), 256), optax.adam(3e-4)
        return train(
            loss,
            init,
            source,
            adam,
            epochs=2,
            observe=lambda params: loss(params, (x, y)),
            key=jax.random.key(4),
        )

    def students(net: Any) -> Any:
        return jax.tree.map(lambda *a: np.stack(a), *(weights(rng, net.init) for _ in range(4)))

    def kernel(params: Any, x: Any) -> Any:
        return mlp_kernel(Side(params, x), Side(params, x))

    def lazy(krylov: int | None) -> Callable[..., Any]:
        def outputs(params: Any, x: Any, y: Any, unseen: Any) -> Any:
            side = Side(params, x, slice(10, 13))
            times = jnp.array([0.0, 10.0, 1000.0])
            return linearised.predict(small, side, y, unseen, times, krylov)

        return outputs

    def infinite(x: Any) -> Any:
        rho = (0.9, 0.8, 1.0)
        kernels = infinite_width.cross_kernels(
            infinite_width.Init((784, 256, 256)), x, x, list(rho)
        )
        return kernels.nngp, kernels.ntk()

    def decomposed(a: Any) -> Any:
        symmetric = a @ a.T + jnp.eye(len(a))
        values, vectors = decompositions.eigh(symmetric)
        return (
            values,
            (vectors * values) @ vectors.T,
            decompositions.pinv(a[:, :10]),
            decompositions.solve(symmetric, a),
        )

    def spectrum(key: Any) -> Any:
        return distributions.draw("spectrum:2", key, 64, jnp.zeros((1, 784)), key)

    plan = pipeline.Plan(batch=16, student_steps=2)
    model = pipeline.model(width=32, pack=2)
    decoder, teacher = (weights(rng, model.init) for _ in range(2))
    documents = rng.integers(0, 64, (64, 16)).astype("int32")

    def language(start: Any, teacher: Any, documents: Any) -> Any:
        key = jax.random.key(5)
        return imitate(model, start, documents, key, plan, teacher=teacher)[0]

    def reading_on(params: Any, rows: Any) -> Any:
        rows = rows.reshape(-1, 32)
        return next_token_loss(model.apply(params, rows), rows)

    key = jax.random.key(6)
    lesson = small, weights(rng, small.init), pixels[:32]
    told, unseen = answers[:32, :3], pixels[32:64]
    return {
        "training_step": Case(
            imitation(network, 1024), (students(network), pixels[:1024], answers[:1024])
        ),
        "short_training": Case(imitation(network, 256), (students(network), pixels, answers)),
        "teacher": Case(reading, (weights(rng, network.init), pixels, labels)),
        "convolutions": Case(
            imitation(images, 64), (students(images), pixels[:64].reshape(-1, 784), answers[:64])
        ),
        "kernel": Case(kernel, lesson[1:]),
        "linearised": Case(lazy(None), (*lesson[1:], told, unseen)),
        "linearised_krylov": Case(lazy(8), (*lesson[1:], told, unseen)),
        "infinite_width": Case(infinite, (pixels[:64],)),
        "decompositions": Case(decomposed, (numbers(rng, 32, 32),)),
        "similarity": Case(probes.cka, (pixels[:200, :50], pixels[:200, 50:90])),
        "fourier": Case(spectrum, (key,), random=True),
        "language_step": Case(language, (decoder, teacher, documents), random=True),
        "language_gradient": Case(jax.grad(reading_on), (decoder, documents)),
        "language_answers": Case(lambda params: ask(model, params), (decoder,)),
        "language_sampling": Case(
            lambda params, key: pipeline.write(model, params, 0, 32, key),
            (decoder, key),
            random=True,
        ),
    }


def cases() -> dict[str, Case]:
    """All programs by name, on the same inputs in every process."""
    return programs(np.random.default_rng(0)) | sums(np.random.default_rng(1), 40)
