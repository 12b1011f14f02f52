"""Small sweeps whose programs are compiled once for all cases of a process."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from toymodels import sweep
from toymodels.sweep import chunks, compilation

DATA = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
VARIABLES = {
    "scale": ((), "1", "norm of the weights of a seed"),
    "curve": (("step",), "1", "norm on the way"),
}


@functools.cache
def build(factor=1.0):
    """A few steps of gradient descent: enough arithmetic for different bits to show."""

    def prepare(data, seed):
        w = jax.random.normal(jax.random.key(seed), (4, 4))
        return w, {"scale": jnp.linalg.norm(w)}

    def point(data, w, rate):
        def step(w, _):
            w = w - factor * rate * jax.grad(lambda w: jnp.tanh(data @ w).std())(w)
            return w, jnp.linalg.norm(w)

        return {"curve": jax.lax.scan(step, w, None, length=3)[1]}

    return sweep.Program(prepare, point)


def run(store=None, *, factor=1.0, data=DATA, seeds=(0, 1), rates=(0.1, 0.3, 1.0), width=2):
    """A sweep of six points: two chunks for each of two seeds."""
    return sweep.grid(
        lambda: build(factor),
        shared={"seed": seeds},
        points={"rate": rates},
        variables=VARIABLES,
        data=data,
        options=sweep.RunOptions(store=store, width=width),
    )


def compile_once() -> None:
    """Trace and compile a program once; its name holds all that decides its bits."""
    chunks.trace = once(chunks.trace, lambda program, *args: (id(program), repr(args[1:])))
    compilation.compile_both = once(
        compilation.compile_both, lambda traced, _: (traced.prepare_key, traced.point_key)
    )


def once(function, key):
    """A function that remembers what it returned, by a key of its arguments."""
    known = {}

    def remembered(*args):
        name = key(*args)
        if name not in known:
            known[name] = function(*args)
        return known[name]

    return remembered
