"""Who taught this student? N candidate teachers, and what tells them apart.

Candidates are ``inits`` (N initialisations, the same images in the same order) or ``siblings`` (one
initialisation; images, each a random half, and order differ). Each teaches a student that starts
from rho W + sqrt(1 - rho^2) W', W its own teacher's initialisation and W' the same for all. Probes
of weights, representations and outputs (`toymodels.lineage`) point to a candidate, before
distillation, when there is only a start to be seen, and after. Chance is 1 / N. Students are traced
so in an autoencoder by openreview owvbayFmdV; leakage differs by seed in Okatan et al. 2025 (arXiv
2511.01023).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodels import cli
from toymodels.config import CLOUD, Protocol
from toymodels.errors import UserError, at_least, distinct

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import How

FAMILIES = ("inits", "siblings")
MOMENTS = ("before", "after")


@dataclass(frozen=True)
class Config(Protocol):
    """What is computed; the defaults are the preset ``quick``."""

    teachers: int = 6
    """Number of candidate teachers."""
    families: tuple[Literal["inits", "siblings"], ...] = FAMILIES  # type: ignore[assignment]
    """What the candidates differ in: initialisation, or images and their order."""
    m: tuple[int, ...] = (3, 100)
    """Numbers of auxiliary logits."""
    rho: tuple[float, ...] = (1.0, 0.9, 0.0)
    """Overlaps of the student's initialisation with its own teacher's."""
    width: tuple[int, ...] = (256,)
    """Widths of the two hidden layers, in units."""
    queries: tuple[int, ...] = (1, 10, 100)
    """Numbers of inputs on which networks are compared."""
    directions: int = 8
    """Principal directions of a last hidden layer that make up its subspace."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 2, "teachers", "train_images")
        at_least(self, 1, "m", "width", "directions", "queries")
        at_least(self, -1, "rho", most=1)
        distinct(self, "families", "m", "rho", "width", "queries")
        if self.noise == "fresh":
            raise UserError("noise must be fixed, the same for all candidates; got 'fresh'")


PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(**CLOUD, seeds=5, teachers=8, m=(3, 100), rho=(1.0,)),
    "width": Config(seeds=3, m=(3,), rho=(1.0,), width=(32, 64, 128, 256, 512)),
}


def run(config: Config, *, data_dir: Path | None = None, how: How | None = None) -> xr.Dataset:
    """Run every (width, family, seed, source, m, rho); see `toymodels.sweep` for ``how``."""
    import jax
    import jax.numpy as jnp

    from toymodels import lineage, overlap, probes, protocol, representations, results, sweep
    from toymodels.axes import numbered
    from toymodels.distillation import auxiliary_logits
    from toymodels.models import MLP, functional

    config, task, data = protocol.load(config, data_dir)
    most, asked, many = max(config.m), config.queries, max(config.queries)
    siblings = FAMILIES.index("siblings")

    def build(width: int) -> sweep.Program:
        sizes = (task.n_pixels, width, width, task.n_classes + most)
        network = functional(lambda rngs: MLP(sizes, rngs=rngs))
        parts = protocol.parts(config, task, network)

        def look(params, queries):
            return [lineage.seen(network, params, x, asked, config.directions) for x in queries]

        def prepare(data, family, seed):
            keys = protocol.seed_keys(seed)

            def teach(i: jax.Array):
                same = family == siblings
                reference = network.init(jax.random.fold_in(keys.init, jnp.where(same, 0, i)))
                which, order = jax.random.split(
                    jax.random.fold_in(keys.teacher, jnp.where(same, i, 0))
                )
                n = len(data.train[1])
                half = jax.random.permutation(which, n)[: n // 2]
                own = data._replace(train=jax.tree.map(lambda a: jnp.asarray(a)[half], data.train))
                score = lambda params: parts.trait.score(params, data.test)
                teacher, curve = parts.teach(reference, own, order, score)
                return reference, teacher, curve

            references, teachers, curve = jax.lax.map(teach, jnp.arange(config.teachers))
            x = parts.noise(keys.noise, config.noise_images)
            unseen = parts.noise(keys.probe, max(many, 1000))
            answers, held_out = (jax.lax.map(lambda t: network.apply(t, z), teachers) for z in (x, unseen))
            queries = [unseen[:many], task.pixels(jnp.asarray(data.train[0][:many]))]
            views = jax.lax.map(lambda t: look(t, queries), teachers)
            return (references, teachers, x, answers, unseen, held_out, queries, views, keys), {
                "teacher_accuracy": curve
            }

        def student(data, prepared, source, m, rho):
            references, teachers, x, answers, unseen, held_out, queries, views, keys = prepared
            reference, teacher, a, h = jax.tree.map(
                lambda z: z[source], (references, teachers, answers, held_out)
            )
            begun = protocol.Begun(reference, protocol.Lesson(teacher, (x, a)), (unseen, h), keys)
            subset = auxiliary_logits(task.n_classes, most, first=m)
            init = overlap.rotation(network.init)(reference, keys.relation, rho)
            trained, curve = parts.distil(init, begun, subset, parts.watch(data, begun, subset))

            def scores(params):
                here = look(params, queries)
                shape = (len(lineage.WEIGHTS), 2, len(asked))

                def one(teacher, reference, there):
                    w = lineage.weight_scores(params, teacher, reference)
                    w = jnp.broadcast_to(w[:, None, None], shape)
                    q = [lineage.query_scores(s, t, asked, task.n_classes, subset) for s, t in zip(here, there)]
                    return jnp.concatenate([w, jnp.stack(q, 1)])

                return jax.vmap(one)(teachers, references, views)

            score = jax.lax.map(scores, jax.tree.map(lambda *p: jnp.stack(p), init, trained))
            return curve | {"score": score}

        return sweep.Program(prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"width": config.width},
        shared={"family": {f: FAMILIES.index(f) for f in config.families}, "seed": config.seed_list},
        points={"source": range(config.teachers), "m": config.m, "rho": config.rho},
        variables=protocol.STUDENT | {"teacher_accuracy": (("candidate", "teacher_epoch"), "1", "x"), "score": (("moment", "candidate", "probe", "inputs", "queries"), "1", "s")},
        coords=protocol.epochs(config) | {"candidate": range(config.teachers), "moment": list(MOMENTS), "probe": list(lineage.PROBES), "inputs": ["noise", "images"], "queries": list(asked)},
        data=data,
        precision=config.precision,
        how=how,
    )
    dataset["hit"] = lineage.identified(dataset.score)
    print(execution)
    return dataset
