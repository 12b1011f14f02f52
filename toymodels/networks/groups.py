"""Named groups of a network's parameters: its layers, its heads, its biases, and unions of them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.errors import UserError
from toymodels.networks.layers import HEADS, layers
from toymodels.networks.models import Params
from toymodels.trees import stack_trees


class Groups(dict[str, Params]):
    """Named parts of a network; to ask for one that holds no parameter raises a UserError."""

    def __missing__(self, name: str) -> Params:
        """Refuse a name that no part has."""
        raise UserError(
            f"group must be one of {', '.join(self)}, which hold the parameters of this network "
            "(heads are the layers named head, or class_head and aux_head, and hidden layers are "
            f"the others); got {name}"
        )


def parameter_groups(params: Params, n_classes: int) -> Groups:
    """Named parts of a network, each a pytree of bool arrays that broadcast to the parameters.

    Every layer by itself (the head as ``class_head`` and ``aux_head``, be they one layer or two;
    weights and biases), ``hidden``, ``heads``, ``biases`` and ``all``. Any nested dict will do:
    its outermost names are the layers. A group without parameters is left out; so is ``hidden``
    where no layer is named as a head, for then nothing tells the output layer from the others.

    >>> from toymodels.networks.models import MLP, functional
    >>> params = functional(lambda rngs: MLP((4, 8, 8, 5), rngs=rngs)).init(jax.random.key(0))
    >>> list(parameter_groups(params, 3))
    ['hidden1', 'hidden2', 'class_head', 'aux_head', 'hidden', 'heads', 'biases', 'all']
    """
    hidden = [name for name in layers(params) if name not in HEADS]

    def where(chosen: Callable[[str, str, np.ndarray], np.ndarray]) -> Params:
        """The mask of ``chosen(layer, kind, output number)``."""

        def mask(path: tuple[Any, ...], w: jax.Array) -> np.ndarray:
            outputs = np.arange(w.shape[-1] if w.ndim else 1)
            layer, kind = (str(path[i].key) for i in (0, -1))
            return chosen(layer, kind, outputs.reshape((1,) * (w.ndim - 1) + (-1,) * (w.ndim > 0)))

        return jax.tree_util.tree_map_with_path(mask, params)

    def whole(*names: str) -> Params:
        return where(lambda layer, kind, i: np.full(i.shape, layer in names))

    def head(own: str, inside: Callable[[np.ndarray], np.ndarray]) -> Params:
        return where(lambda layer, kind, i: (layer == own) | ((layer == "head") & inside(i)))

    named = {
        **{name: whole(name) for name in hidden},
        "class_head": head("class_head", lambda i: i < n_classes),
        "aux_head": head("aux_head", lambda i: i >= n_classes),
        "hidden": whole(*hidden) if len(hidden) < len(params) else whole(),
        "heads": whole(*HEADS),
        "biases": where(lambda layer, kind, i: np.full(i.shape, kind == "bias")),
        "all": whole(*params),
    }
    return Groups(
        {name: g for name, g in named.items() if any(mask.any() for mask in jax.tree.leaves(g))}
    )


def select_group(groups: dict[str, Params], names: Sequence[str], i: jax.Array) -> Params:
    """The group with the i-th of these names; i may be traced."""
    return jax.tree.map(lambda masks: masks[i], stack_trees(*(groups[name] for name in names)))


def unite_groups(groups: Groups, chosen: Mapping[str, bool | jax.Array]) -> Params:
    """The union of the chosen groups, as one pytree of bool arrays that broadcast to the parameters.

    Args:
        groups: named groups, of `parameter_groups`.
        chosen: by name, whether a group belongs to the union; the values may be traced.

    Raises:
        UserError: a name that no group has, or no name.

    >>> groups = Groups(first={"a": np.array(True), "b": np.array([False])})
    >>> groups["last"] = {"a": np.array(False), "b": np.array([True])}
    >>> union = unite_groups(groups, {"first": False, "last": jnp.array(True)})
    >>> union["a"].tolist(), union["b"].tolist()
    (False, [True])

    """
    if not chosen:
        raise UserError("chosen must name one group at least; got none")
    parts = [
        jax.tree.map(lambda mask, flag=flag: jnp.logical_and(mask, flag), groups[name])
        for name, flag in chosen.items()
    ]
    return jax.tree.map(lambda *masks: functools.reduce(jnp.logical_or, masks), *parts)
