"""What the verbs read and return beside images: a network, a trained network."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.errors import UserError
from toymodels.networks.models import Network, Params
from toymodels.prompt.arguments import arithmetic, as_key, check_params
from toymodels.prompt.images import ImageData
from toymodels.training.distillation import all_logits, auxiliary_logits


@dataclass(frozen=True)
class Net:
    """A network with class logits and auxiliary logits, as pure functions.

    Two of them are equal, and share their compiled programs, if they were made by the same call.
    """

    network: Network
    """The network as the rest of the library takes it: ``tm.RELATIONS["units"](net.network)``."""
    n_pixels: int
    """Number of pixels that it reads."""
    n_classes: int
    """Number of class logits, the first of its outputs."""
    m: int
    """Number of auxiliary logits, the others."""

    @property
    def name(self) -> str:
        """Kind and size."""
        return self.network.name

    @property
    def aux(self) -> jax.Array:
        """The mask of the auxiliary logits, bool (n_classes + m,).

        Raises:
            UserError: there is none (m = 0).

        """
        with jax.ensure_compile_time_eval():
            return auxiliary_logits(self.n_classes, self.m)

    @property
    def classes(self) -> jax.Array:
        """The mask of the class logits, bool (n_classes + m,)."""
        with jax.ensure_compile_time_eval():
            return jnp.arange(self.n_classes + self.m) < self.n_classes

    @property
    def all(self) -> jax.Array:
        """The mask of all logits, bool (n_classes + m,)."""
        with jax.ensure_compile_time_eval():
            return all_logits(self.n_classes, self.m)

    @property
    def shapes(self) -> Params:
        """The parameters' shapes and types."""
        return find_shapes(self.network)

    def init(self, key: int | jax.Array) -> Params:
        """Draw an initialisation: parameters as a nested dict.

        Args:
            key: a seed or a key.

        >>> import toymodels as tm
        >>> net = tm.mlp(tm.load("digits"), widths=(8,), m=2)
        >>> jax.tree.map(jnp.shape, net.init(0))["head"]
        {'bias': (12,), 'kernel': (8, 12)}

        """
        with arithmetic():
            return initialise(self.network, as_key(key))

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """Compute the logits (n, n_classes + m) of inputs x (n, pixels) in [-1, 1].

        Raises:
            UserError: ``params`` are not of this network, or ``x`` has another number of pixels.

        """
        return self.call("apply", params, x)

    def latent(self, params: Params, x: jax.Array) -> jax.Array:
        """Compute the activations (n, width) of the last hidden layer, of inputs x (n, pixels).

        Raises:
            UserError: as `apply`; or the module has no method ``latent``.

        """
        return self.call("latent", params, x)

    def call(self, function: str, params: Params, x: jax.Array) -> jax.Array:
        """Call one of the network's two functions, compiled."""
        self.check("params", params)
        if np.ndim(x) < 1 or np.shape(x)[-1] != self.n_pixels:
            raise UserError(f"x must have the shape (n, {self.n_pixels}); got {np.shape(x)}")
        with arithmetic():
            return evaluate(self.network, function, params, x)

    def check(self, name: str, params: Any) -> None:
        """Raise a UserError unless parameters are finite and this network's.

        ``name`` is that of the argument.
        """
        check_params(name, params, self.shapes, self.name)

    def __repr__(self) -> str:
        """Name and logits."""
        return f"Net({self.name}: {self.n_classes} class logits, {self.m} auxiliary logits)"


@functools.lru_cache(maxsize=256)
def find_shapes(network: Network) -> Params:
    """Shapes and types of a network's parameters."""
    with arithmetic():
        return jax.eval_shape(network.init, jax.random.key(0))


@functools.partial(jax.jit, static_argnums=0)
def initialise(network: Network, key: jax.Array) -> Params:
    """Draw an initialisation; compiled once for every network."""
    return network.init(key)


@functools.partial(jax.jit, static_argnums=(0, 1))
def evaluate(network: Network, function: str, params: Params, x: jax.Array) -> jax.Array:
    """Call ``network.apply`` or ``network.latent``; compiled once for every network and shape."""
    return getattr(network, function)(params, x)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["init", "params", "curve"],
    meta_fields=["net", "data"],
)
@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network: a teacher, or a student, who may be the next one's teacher.

    It is a pytree: ``jax.vmap`` over a function that returns one gives one with a leading axis.
    """

    init: Params
    """The initialisation."""
    params: Params
    """The trained parameters."""
    curve: dict[str, Any]
    """``accuracy`` and ``loss`` on what the network was not trained on, before training and after
    each epoch, (epochs + 1,); and what else was observed."""
    net: Net
    """The network."""
    data: ImageData
    """The images on which accuracy is measured."""

    def __repr__(self) -> str:
        """Name and accuracy in place of arrays."""
        accuracy = self.curve.get("accuracy")
        text = f"Trained({self.net.name} on {self.data.name}"
        if isinstance(accuracy, jax.Array) and not isinstance(accuracy, jax.core.Tracer):
            text += f", accuracy {'' if accuracy.ndim == 1 else 'on average '}"
            text += f"{float(accuracy[..., 0].mean()):.3f} before training, "
            text += f"{float(accuracy[..., -1].mean()):.3f} after {accuracy.shape[-1] - 1} epochs"
        return text + ")"
