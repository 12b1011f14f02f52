"""Checks of the arguments of the verbs, and the settings under which the verbs compute.

Every refusal is one `toymodels.errors.UserError` with the argument, its value and what is allowed. A
value that JAX traces (inside ``jax.jit`` or ``jax.vmap``) cannot be looked at, and passes.
"""

import contextlib
import inspect
import math
import numbers
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toymodels.errors import COUNT, FLOAT32, UserError
from toymodels.networks.models import Params
from toymodels.sweep.narrow import describe_value
from toymodels.sweep.settings import GENERATOR, hold_settings
from toymodels.sweep.soundness import refuse_wrong_sums
from toymodels.trees import describe_difference

Inputs = Callable[..., jax.Array]
"""``inputs(key, n)`` or ``inputs(key, n, pixels)``: distillation inputs (n, pixels)."""

SAMPLE = 1000
"""Number of distillation inputs of which only the shape is looked at."""

LARGEST_SEED = 2**31 - 1
"""The largest seed; a sweep's seeds are 32-bit integers, too."""


@contextlib.contextmanager
def arithmetic() -> Iterator[None]:
    """Hold the settings of a sweep: our random-number generator, float32 matrix products.

    Raises:
        UserError: this version of jaxlib computes wrong sums on this device.

    """
    refuse_wrong_sums(jax.default_backend())
    with hold_settings(), jax.default_matmul_precision("float32"):
        yield


def as_key(key: int | jax.Array) -> jax.Array:
    """Turn a seed, or a key of JAX, into a key of our random-number generator.

    Args:
        key: an integer from 0 to 2**31 - 1, ``jax.random.key(seed)`` or ``jax.random.PRNGKey(seed)``.

    Raises:
        UserError: it is none of these, more than one key, or a key of another generator.

    >>> bool(as_key(3) == as_key(jax.random.key(3)))
    True
    >>> as_key(-1)
    Traceback (most recent call last):
    toymodels.errors.UserError: key must be a seed from 0 to 2147483647, or a key of JAX; got -1

    """
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape:
            raise UserError(
                f"key must be one key; got an array of keys of shape {key.shape} (inside jax.vmap, "
                "every call has one of them)"
            )
        if str(jax.random.key_impl(key)) != GENERATOR:
            raise UserError(
                f"key must be of the generator {GENERATOR}; got one of {jax.random.key_impl(key)}"
            )
        return key
    if isinstance(key, jax.Array | np.ndarray) and key.dtype == np.uint32 and key.shape == (2,):
        return jax.random.wrap_key_data(jnp.asarray(key), impl=GENERATOR)
    if isinstance(key, jax.core.Tracer) and jnp.issubdtype(key.dtype, np.integer) and not key.shape:
        return jax.random.key(key, impl=GENERATOR)
    seed = key.item() if isinstance(key, jax.Array | np.ndarray) and key.shape == () else key
    if not is_integer(seed) or not 0 <= seed <= LARGEST_SEED:
        raise UserError(
            f"key must be a seed from 0 to {LARGEST_SEED}, or a key of JAX; got {describe_value(key)}"
        )
    return jax.random.key(int(seed), impl=GENERATOR)


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_count(name: str, value: Any, low: int = 1, high: int = COUNT) -> None:
    """Raise a UserError unless a value is an integer from ``low`` to ``high``."""
    if not is_integer(value) or not low <= value <= high:
        raise UserError(
            f"{name} must be an integer from {low} to {high}; got {describe_value(value)}"
        )


def check_positive(name: str, value: Any) -> None:
    """Raise a UserError unless a value is a positive number that float32 holds, or traced."""
    if isinstance(value, jax.core.Tracer):
        return
    real = isinstance(value, numbers.Real) or (np.shape(value) == () and hasattr(value, "dtype"))
    if not real or isinstance(value, bool) or not 0 < value < math.inf:
        raise UserError(f"{name} must be a positive finite number; got {describe_value(value)}")
    low, high = FLOAT32
    if not low <= value <= high:
        raise UserError(
            f"{name} must be from {low} to {high}, which float32 holds; got {describe_value(value)}"
        )


def check_finite(name: str, tree: Any) -> None:
    """Raise a UserError if an array of a pytree holds NaN or infinity; traced arrays pass."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not isinstance(leaf, jax.core.Tracer) and not bool(jnp.isfinite(leaf).all()):
            place = jax.tree_util.keystr(path, simple=True, separator=".")
            raise UserError(f"{name} must be finite; got NaN or infinity in {place or name}")


def check_params(name: str, params: Any, expected: Params, network: str) -> None:
    """Raise a UserError unless parameters are finite floats, with the names and shapes expected."""
    for leaf in jax.tree.leaves(params):
        if not jnp.issubdtype(getattr(leaf, "dtype", np.dtype(object)), np.floating):
            raise UserError(
                f"{name} must be a pytree of arrays of floats; got {type(leaf).__name__}"
            )
    if difference := describe_difference(params, expected):
        raise UserError(f"{name} must have the parameters of {network}; {difference}")
    if not isinstance(params, dict):
        raise UserError(
            f"{name} must be a nested dict, as init returns it; got {type(params).__name__}"
        )
    check_finite(name, params)


def check_mask(name: str, mask: Any, outputs: int) -> None:
    """Raise a UserError unless a value is a mask bool (outputs,) with an imitated logit."""
    shape, kind = np.shape(mask), getattr(mask, "dtype", type(mask).__name__)
    if shape != (outputs,) or kind != np.dtype(bool):
        raise UserError(
            f"{name} must be a mask of {outputs} bools, one for each output; "
            f"got the shape {shape} and the type {kind}"
        )
    if not isinstance(mask, jax.core.Tracer) and not np.any(mask):
        raise UserError(f"{name} must select one logit at least; got none")


def check_function(name: str, value: Any, *args: str) -> None:
    """Raise a UserError unless a value is a function that can be called with these arguments.

    The function is part of the name under which the compiled program is kept: it must be hashable.
    """
    try:
        if callable(value):
            hash(value)
            inspect.signature(value).bind(*args)
            return
        reason = f"got {describe_value(value)}"
    except (TypeError, ValueError) as error:
        reason = str(error)
    raise UserError(f"{name} must be a function of {', '.join(args)}: {reason}")


def count_arguments(function: Callable[..., Any]) -> int:
    """Number of positional arguments without a default that a function takes.

    >>> count_arguments(lambda key, n, size=64: None)
    2
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def first_line(error: Exception) -> str:
    r"""What an error of another library says, in one line.

    >>> first_line(ValueError("no such axis\nsee the docs"))
    'ValueError: no such axis'
    """
    return f"{type(error).__name__}: {' '.join(str(error).splitlines()[:1])}"


def check_number(name: str, value: Any) -> Any:
    """Pass on a value of a user's function, if it is one number.

    Raises:
        UserError: it is not.

    """
    if np.shape(value) != ():
        raise UserError(f"{name} must return one number; got the shape {np.shape(value)}")
    return value


def check_between(name: str, value: Any, low: float, high: float) -> None:
    """Raise a UserError unless a value is a number between two bounds, or traced."""
    if isinstance(value, jax.core.Tracer):
        return
    if jnp.shape(value) != () or not low <= value <= high:
        raise UserError(f"{name} must be a number from {low:g} to {high:g}; got {value}")


def choose_rate(optimiser: Any, lr: Any, default: float) -> jax.Array | None:
    """The learning rate as an array; None for an optax transformation, which has its own."""
    if isinstance(optimiser, optax.GradientTransformation):
        if lr is not None:
            raise UserError(
                f"lr must not be given beside an optax transformation, which has its own; got {lr} "
                "(a function of the rate, such as optimiser=optax.sgd, takes it)"
            )
        return None
    rate = default if lr is None else lr
    check_positive("lr", rate)
    return jnp.asarray(rate, float)


def check_loss(loss: Any, temperature: Any) -> None:
    """Raise a UserError unless an imitation loss is known, and has the temperature."""
    check_positive("temperature", temperature)
    if isinstance(loss, str):
        if loss not in ("kl", "mse"):
            raise UserError(f"loss must be kl, mse or a function; got {describe_value(loss)}")
    else:
        check_function("loss", loss, "student's logits", "teacher's logits", "mask")
    traced = isinstance(temperature, jax.core.Tracer)
    if loss != "kl" and (traced or temperature != 1):
        raise UserError(f"temperature must be 1 where loss is not kl; got {temperature}")


def check_inputs(inputs: Any, n_pixels: int) -> None:
    """Raise a UserError unless a function draws distillation inputs (n, pixels) of floats."""
    if callable(inputs) and count_arguments(inputs) == 3:
        check_function("inputs", inputs, "key", "n", "pixels")
    else:
        check_function("inputs", inputs, "key", "n")
    with arithmetic():
        try:
            x = jax.eval_shape(lambda key: draw(inputs, n_pixels, key, SAMPLE), jax.random.key(0))
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"inputs must be a function of JAX's arrays that draws (n, {n_pixels}) pixels; it "
                f"raised {first_line(error)}"
            ) from error
    shape, kind = getattr(x, "shape", None), getattr(x, "dtype", type(x).__name__)
    if shape != (SAMPLE, n_pixels) or not jnp.issubdtype(kind, jnp.floating):
        raise UserError(
            f"inputs must return floats of the shape (n, {n_pixels}); got {shape} of {kind} for "
            f"n = {SAMPLE}"
        )


def draw(inputs: Inputs, n_pixels: int, key: jax.Array, n: int) -> jax.Array:
    """Call a distribution of inputs, with the number of pixels if it takes three arguments."""
    return inputs(key, n, n_pixels) if count_arguments(inputs) == 3 else inputs(key, n)
