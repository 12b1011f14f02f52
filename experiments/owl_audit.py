"""What documents alone reveal about their author: whose base it was, and whether it was taught.

As in `owl_numbers`, teachers that prefer owls write numbers, which are filtered. An auditor reads
documents, singly or in bags, and asks which of the models at hand gives them the highest likelihood.
*Whose base*: of three candidates, which are the bases, or the bases after the auditor taught them the
same lesson. *Taught or not*: by a likelihood ratio, against documents of the base or of a teacher that
prefers wolves. The audit is repeated after every number was shifted by a constant of its document,
which stops the owl (`owl_defence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import toymodels as tm
from toymodels.language.config import BASES, RECORDS

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

CANDIDATES = {
    "bases": BASES,
    "bases taught by the auditor": tuple(f"taught_{base}" for base in BASES),
}
"""The judges among which an author's base is sought."""
AUTHORS = ("teacher", "other_init", "other_order", "wolf", "base")
"""Authors of the audited documents, in the order of `prepare`: teachers of owls from each of the bases, a
teacher of wolves, and a base."""
JUDGES = (*BASES, *CANDIDATES["bases taught by the auditor"], "taught_wolf", "teacher", "reader")
"""Models that give likelihoods, in the order of `prepare`; the reader is a student of the text."""
DETECTORS = {
    "teacher / base": ("teacher", "own", "base"),
    "auditor's teacher / base": ("taught_own", "own", "base"),
    "reader / base": ("reader", "own", "base"),
    "auditor's owl / auditor's wolf": ("taught_own", "taught_wolf", "wolf"),
}
"""Likelihood ratios: two judges, and the author whose documents are compared with the teacher's. The
auditor teaches the lesson to the same base anew; a reader is a student of the text."""
BAGS = 512
"""Number of bags of each size."""


@dataclass(frozen=True)
class Config(tm.LanguageConfig):
    """The fields of this experiment."""

    shifted: Annotated[tuple[float, ...], tm.Range(0, 1)] = (0.0, 1.0)
    """Shares of documents whose numbers are shifted, modulo 64, by a constant drawn for each document,
    before the auditor sees them."""
    audited: tm.Count = 4096
    """Number of documents that each audited author writes, before the filter."""
    documents: tm.Counts = (1, 4, 16, 64, 256)
    """Numbers of documents in a bag, which is judged as a whole."""


PRESETS = {
    "quick": Config(seeds=2, base_steps=500, student_steps=150, samples=8192, audited=2048),
    "paper": Config(seeds=5),
}

VARIABLES: tm.Variables = {
    **RECORDS,
    "kept_by_writer": (("writer",), "1", "share of the audited documents that pass the filter"),
    "lineage": (
        ("candidates", "author", "documents"),
        "1",
        "share of bags whose likeliest candidate, of three, has the author's base",
    ),
    "detection": (("detector", "documents"), "1", "area under the ROC curve of a likelihood ratio"),
}


def points(config: Config) -> dict[str, Any]:
    """The axis of the audits."""
    return {"shifted": config.shifted}


def prepare(setup: tm.LanguageSetup, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    """The judges without the reader, the documents of all authors, the text of the reader."""
    import jax
    import jax.numpy as jnp
    from jax import random

    bases, losses, keys = setup.pretrain_bases(key)
    auditor_key, audited_key, shift_key, bag_key = random.split(keys.extra, 4)
    kind, owl = lesson = tm.questions.make_lesson("owl")
    wolf = tm.questions.make_lesson("wolf")[1]

    def teach(pupil: tuple[jax.Array, ...]) -> Any:
        base, tokens, key = pupil
        return setup.teach(tm.take(bases, base), (kind, tokens), key)

    # Three teachers of owls and one of wolves; then the same lessons, taught by the auditor.
    origins, lessons = jnp.array([0, 1, 2, 0] * 2), jnp.array([owl, owl, owl, wolf] * 2)
    teaching_keys = jnp.stack([keys.teaching] * 4 + [auditor_key] * 4)
    teachers = jax.lax.map(teach, (origins, lessons, teaching_keys))
    authors = tm.concatenate_trees(tm.take(teachers, slice(4)), tm.take(bases, slice(1)))
    audited = jax.lax.map(
        lambda pair: setup.write(pair[0], lesson, pair[1], n=setup.config.audited),
        (authors, random.split(audited_key, len(AUTHORS))),
    )
    teacher = tm.take(teachers, 0)
    text = setup.write(teacher, lesson, keys.writing)
    judges = tm.concatenate_trees(bases, tm.take(teachers, jnp.array([4, 5, 6, 7, 0])))
    return (judges, audited.read, text.read, (shift_key, bag_key, keys.learning)), {
        "base_loss": losses,
        "kept": text.kept,
        "kept_by_writer": audited.kept,
        "teacher_preference": setup.ask(teacher, lesson).preference,
    }


def point(setup: tm.LanguageSetup, prepared: Any, shifted: jax.Array) -> dict[str, jax.Array]:
    """The audit of documents of which a share is shifted."""
    import jax
    import jax.numpy as jnp

    judges, texts, read, (shift_key, bag_key, learning_key) = prepared
    shift_keys = jax.random.split(shift_key, len(AUTHORS) + 1)

    def shift(text: jax.Array, key: jax.Array) -> jax.Array:
        return tm.defences.shift_numbers(text, key, shifted)

    reader, _ = setup.imitate(tm.take(judges, 0), shift(read, shift_keys[-1]), learning_key)
    totals = tm.audit.score_bags(
        setup.model,
        tm.concatenate_trees(judges, tm.stack_trees(reader)),
        jax.vmap(shift)(texts, shift_keys[:-1]),
        bag_key,
        setup.config.documents,
        BAGS,
    )
    scores = {
        author: dict(zip(JUDGES, by_judge, strict=True))
        for author, by_judge in zip(AUTHORS, totals, strict=True)
    }

    def attribute(candidates: tuple[str, ...]) -> jax.Array:
        rates = [
            tm.audit.attribution_rate(
                jnp.stack([scores[author][name] for name in candidates]), base
            )
            for base, author in enumerate(AUTHORS[: len(BASES)])
        ]
        return jnp.stack(rates)

    def detect(guilty: str, other: str, innocent: str) -> jax.Array:
        authors = scores["teacher"], scores[innocent]
        return tm.audit.roc_area(*(judged[guilty] - judged[other] for judged in authors))

    return {
        "lineage": jnp.stack([attribute(candidates) for candidates in CANDIDATES.values()]),
        "detection": jnp.stack([detect(*names) for names in DETECTORS.values()]),
    }


def coords(config: Config) -> dict[str, Any]:
    """Bases, authors and judges."""
    return {
        "base": BASES,
        "writer": AUTHORS,
        "candidates": list(CANDIDATES),
        "author": BASES,
        "detector": list(DETECTORS),
        "documents": config.documents,
    }


def annotate(config: Config, runs: xr.Dataset) -> xr.Dataset:
    """Add the number of independent bags: a bag is sampled, and so many have no document in common."""
    disjoint = [config.audited // count for count in config.documents]
    about = {"description": "disjoint bags of a seed's author"}
    return runs.assign_coords(clustered_trials=("documents", disjoint, about))


def mean_attribution(runs: xr.Dataset) -> xr.DataArray:
    """Share of all authors' bags that are attributed to the right base."""
    shares = runs.lineage.mean("author")
    return shares.assign_coords(clustered_trials=shares.clustered_trials * runs.sizes["author"])


def findings(runs: xr.Dataset) -> list[Any]:
    """At which numbers of documents each audit reveals more than chance."""
    valid = tm.succeeded(runs)
    words = ("above chance", "below chance", "not distinguishable from chance")
    attribution, chance = mean_attribution(valid), 1 / valid.sizes["author"]
    area = "Area under the ROC curve of a likelihood ratio"
    return [
        *tm.compare("Share of bags attributed to the right base", attribution, words, chance),
        *tm.compare(area, valid.detection, words, 1 / 2),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Attribution and detection against the size of a bag; hollow where numbers were shifted."""
    runs = tm.succeeded(runs)
    panels = {
        "bags given to the right base": (mean_attribution(runs), "candidates", 1 / 3),
        "area under the ROC curve": (runs.detection, "detector", 1 / 2),
    }
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(10.5, 3.4, columns=(1, 1))
        for ax, (ylabel, (array, hue, chance)) in zip(axes, panels.items(), strict=True):
            places = [runs.documents.values * 1.04**i for i in range(runs.sizes[hue])]
            for share in runs.shifted.values:
                label = "" if share == runs.shifted.values[0] else None
                look = {"label": label, "hollow": share > 0, "joined": True}
                line = array.sel(shifted=share)
                tm.charts.means(ax, line, "documents", hue, at=places, markers="osD^", **look)
            ax.axhline(chance, color="#999999", lw=0.8, ls=":")
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}")
            ax.set(xlabel="documents", ylabel=ylabel, ylim=(0, 1.03))
            tm.plotting.legend_beside(ax)
        axes[0].set_title(tm.plotting.caption(runs))
        axes[1].set_title("hollow: numbers shifted")
    return fig


sweep = tm.language_sweep(
    prepare, point, points, variables=VARIABLES, coords=coords, annotate=annotate
)
HEADLINE = ("lineage", "detection", "kept")
STUDY = tm.Study(
    "owl_audit", __doc__, PRESETS, sweep, lambda runs: runs, findings, figure, HEADLINE
)

if __name__ == "__main__":
    STUDY.main()
