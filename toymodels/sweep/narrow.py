"""Numbers in JAX's own widths (32 bits but under x64); what would become another is refused."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from toymodels.errors import UserError


def narrow_data(data: Any) -> Any:
    """Data in JAX's own widths and this machine's order of bytes.

    Raises:
        UserError: an array of strings or objects, integers or floats too large, masked values.

    """

    def checked(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array):
            return leaf
        if isinstance(leaf, np.ma.MaskedArray):
            raise UserError(f"data must not be masked; got {describe_value(leaf)}")
        try:
            array = np.asarray(leaf)
            narrow = narrow_array(array)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"data must be arrays of numbers; got {describe_value(leaf)}"
            ) from error
        check_kept("data", array, narrow)
        return narrow

    return jax.tree.map(checked, data)


def narrow_array(array: np.ndarray) -> np.ndarray:
    """An array in JAX's own width (int32 and float32 but under x64).

    Raises:
        TypeError: it does not hold numbers.

    """
    if not (array.dtype == bool or jax.numpy.issubdtype(array.dtype, np.number)):
        raise TypeError(f"{array.dtype} is no type of numbers")
    width = jax.dtypes.canonicalize_dtype(array.dtype.newbyteorder("="))
    with np.errstate(over="ignore"):  # `check_kept` refuses what becomes infinite
        return array.astype(width, copy=False)


def check_kept(field: str, array: np.ndarray, narrow: np.ndarray) -> None:
    """Refuse an array of which a number is too large for JAX's own width."""
    if array.dtype.kind in "iub":
        kept = narrow == array
    else:
        kept = np.isfinite(narrow) | ~np.isfinite(array)
    if not np.all(kept):
        raise UserError(
            f"{field} must hold numbers that {narrow.dtype} can hold; got {describe_value(array)}"
        )


def check_numbers(field: str, values: Sequence[Any], stacked: np.ndarray) -> None:
    """Refuse numbers that become others in JAX's own width, as 2**32 + 1 does in 32 bits.

    ``stacked`` holds the values in that width. Floats may be rounded, but neither to zero nor to
    infinity, and no two of them to the same number.
    """
    exact = [np.asarray(value).item() for value in values]
    for value, kept in zip(exact, stacked.tolist(), strict=True):
        if isinstance(value, numbers.Integral):
            same = value == kept
        else:
            tiny = float(jax.numpy.finfo(stacked.dtype).tiny) if stacked.dtype.kind == "f" else 0
            same = math.isfinite(kept) and (value == kept == 0 or abs(value) >= tiny)
        if not same:
            raise UserError(f"{field} must hold numbers that {stacked.dtype} can hold; got {value}")
    if len(set(stacked.tolist())) < len(set(exact)):
        apart = f"numbers that {stacked.dtype} tells apart"
        raise UserError(f"{field} must hold {apart}; got {describe_value(exact)}")


def describe_value(value: Any) -> str:
    """A value in a sentence: one line, and not a long one.

    >>> describe_value(np.zeros((2, 2)))
    'array([[0., 0.], [0., 0.]])'
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:150]} ... {text[-40:]}"
