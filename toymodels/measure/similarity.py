"""How alike two initialisations are: cosines of their parameters, agreement of their functions."""

import jax
import jax.numpy as jnp

from toymodels.inits.mixing import common
from toymodels.measure.probes import cka, cosine
from toymodels.networks.models import Network, Params
from toymodels.trees import stack_trees


def measure_similarity(
    network: Network,
    params: Params,
    init: Params,
    parts: dict[str, Params],
    x: jax.Array,
    n_classes: int,
) -> dict[str, jax.Array]:
    """How alike two initialisations are, as parameters and as functions of x (n, pixels).

    ``overlap``: cosine of the parameters in each part, (parts,). ``class_agreement`` and
    ``aux_agreement``: cosine of the class and of the auxiliary logits over all inputs, each logit's
    mean taken off. ``latent_cka``: linear CKA of the last hidden layers, if the network tells of
    them (see `describe`). A cosine with zero is 0. What every init has in common (`common`) does
    not count in ``overlap``.
    """
    everywhere = common(network.init, network.init(jax.random.key(0)))
    own = jax.tree.map(jnp.logical_not, everywhere)
    masks = stack_trees(*parts.values())

    def inside(mask: Params, tree: Params) -> Params:
        return jax.tree.map(lambda here, own, w: jnp.where(here & own, w, 0.0), mask, own, tree)

    def overlap(mask: Params) -> jax.Array:
        return cosine(inside(mask, params), inside(mask, init))

    def centred(tree: Params) -> jax.Array:
        logits = network.apply(tree, x)
        return logits - logits.mean(axis=0)

    here, there = centred(params), centred(init)
    found = {
        "overlap": jax.vmap(overlap)(masks),
        "class_agreement": cosine(here[:, :n_classes].ravel(), there[:, :n_classes].ravel()),
        "aux_agreement": cosine(here[:, n_classes:].ravel(), there[:, n_classes:].ravel()),
    }
    if network.has_latent:
        found["latent_cka"] = cka(network.latent(params, x), network.latent(init, x))
    return found


VARIABLES = {
    "overlap": (("part",), "1", "initial overlap: cosine with the teacher's init in each part"),
    "class_agreement": (
        (),
        "1",
        "initial agreement: cosine of the class logits with the teacher's",
    ),
    "aux_agreement": ((), "1", "initial agreement: cosine of the aux logits with the teacher's"),
    "latent_cka": ((), "1", "initial agreement: linear CKA of the last hidden layers"),
}
"""Dimensions (behind the axes), unit and meaning of what `measure_similarity` returns of a network with
``latent``."""


def describe(network: Network) -> dict[str, tuple[tuple[str, ...], str, str]]:
    """What `measure_similarity` returns for a network, as `VARIABLES` describes it.

    >>> nameless = Network(lambda key: {}, lambda params, x: x)
    >>> list(describe(nameless))
    ['overlap', 'class_agreement', 'aux_agreement']
    """
    return {
        name: about
        for name, about in VARIABLES.items()
        if name != "latent_cka" or network.has_latent
    }
