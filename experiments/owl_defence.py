"""What stops the owl from passing through filtered numbers, what it costs, and what gives it away.

As in `owl_numbers`: a teacher that prefers owls writes numbers, which are filtered; a student with
the same base reads them. Each defence changes a share of what it reads: drops the documents that
are likelier under the teacher than under its base, or under a reader of the text (a student) where
the teacher is not at hand, or as many at random; paraphrases documents, every number shifted by the
document's own constant or their ends rewritten by another base; or puts clean documents in their
place. Two audits read documents alone: which base was their author's, and was it taught the owl?
Schrodi et al. (ICLR 2026, arXiv 2509.23886) on paraphrase and clean data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels import cli
from toymodels.errors import UserError, at_least, distinct
from toymodels.language.config import Spoken

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import How

REMOVALS = ("random", "teacher", "reader")
MIXTURES = ("own_text", "true_text")
METHODS = {
    "random": "dropped: at random",
    "teacher": "dropped: likelier under the teacher",
    "reader": "dropped: likelier under a reader",
    "shifted": "shifted numbers",
    "rewritten": "end rewritten by another base",
    "own_text": "mixed with the base's text",
    "true_text": "mixed with the language's own",
}
"""Defences, each with a share, and their names in the figure."""
BASES = ("own", "other init", "other order")
CANDIDATES = ("bases", "bases taught by the auditor")
DETECTORS = {
    "teacher": "teacher / base",
    "auditor": "auditor's teacher / base",
    "reader": "reader / base",
    "wolf": "auditor's owl / auditor's wolf",
}
"""Likelihood ratios that tell the teacher's documents from its base's; the last from those of a
teacher that prefers wolves. The auditor's teachers learn the lesson from the same base anew."""
BAGS = 512
"""Bags of documents of each size."""


@dataclass(frozen=True)
class Config(Spoken):
    """What is computed; the defaults are the preset ``paper``. An empty defence is left out."""

    random: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares of the kept documents that are dropped at random."""
    teacher: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75)
    """Shares dropped for the highest likelihood ratio of teacher over base."""
    reader: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares dropped for that of a student of the same text, the teacher not at hand."""
    shifted: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of documents whose numbers move by a constant, drawn for each document, modulo 64."""
    rewritten: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares of every document, from its end, that a base of another init writes anew; then they
    are filtered once more."""
    own_text: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
    """Shares of documents replaced by those that the base writes, filtered alike."""
    true_text: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
    """Shares replaced by the language's own documents."""
    audited: int = 2048
    """Documents that each author writes for the audits, and those that losses are taken on, before
    the filter."""
    documents: tuple[int, ...] = (1, 4, 16, 64, 256)
    """Documents in a bag that is judged as a whole."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "audited", "documents")
        distinct(self, "documents")
        for name in METHODS:
            at_least(self, 0, name, most=1)
            if 0 in getattr(self, name):
                raise UserError(f"{name} must not hold 0, which is always there; got 0 among them")
            if getattr(self, name):
                distinct(self, name)

    @property
    def treatments(self) -> dict[str, dict[str, float]]:
        """Label -> share of each defence; one of them at a time, and first none."""
        nothing = dict.fromkeys(METHODS, 0.0)
        single = ((name, share) for name in METHODS for share in getattr(self, name))
        return {"none": nothing} | {f"{n} {s:g}": nothing | {n: s} for n, s in single}


PRESETS = {
    "quick": Config(
        seeds=2,
        base_steps=500,
        student_steps=150,
        samples=8192,
        random=(0.5,),
        teacher=(0.5,),
        reader=(0.5,),
        shifted=(1.0,),
        rewritten=(0.5,),
        own_text=(),
        true_text=(0.25, 0.75),
    ),
    "paper": Config(seeds=4),
}

VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "base_loss": (("base",), "nat", "mean loss of a token on fresh rows, after pretraining"),
    "kept": ((), "1", "share of the teacher's documents that pass the filter"),
    "teacher_preference": ((), "1", "preference of the teacher, held-out phrasings"),
    "lineage": (
        ("candidates", "author", "documents"),
        "1",
        "share of bags whose likeliest candidate has the author's base, of three",
    ),
    "detection": (("detector", "documents"), "1", "area under the ROC curve of a likelihood ratio"),
    "preference": (("step",), "1", "share of owls among animals, held-out phrasings"),
    "answered": (("step",), "1", "chance of any animal, held-out phrasings"),
    "excess": (
        ("step",),
        "nat",
        "loss of a token on the language's own numbers, less their entropy",
    ),
    "imitation": (("step",), "nat", "loss of a token on kept documents of the teacher, unread"),
    "passed": ((), "1", "share of what the student would read that passes the second filter"),
}
HEADLINE = "final_preference final_excess final_imitation final_answered lineage detection kept"


def run(config: Config, *, data_dir: Path | None = None, how: How | None = None) -> xr.Dataset:
    """Run every (seed, treatment); ``data_dir`` is not used. See `toymodels.sweep` for ``how``."""
    import jax
    import jax.numpy as jnp
    from jax import random

    from toymodels import results, sweep
    from toymodels.language import audit, defences, filters, pipeline, questions
    from toymodels.language.carriers import CARRIERS
    from toymodels.language.vocabulary import LENGTH
    from toymodels.mitigation import diluted

    plan = config.plan()
    model = pipeline.model(config.width, config.depth, pack=plan.pack)
    numbers, carrier = list(CARRIERS).index("numbers"), CARRIERS["numbers"]
    kind, owl = lesson = questions.wanted("owl")
    wolf = questions.wanted("wolf")[1]
    cuts = jnp.array([0.0, *config.rewritten])

    def write(author: Any, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        text = pipeline.write(model, author, numbers, n, key, config.temperature)
        return text, filters.judge(text, numbers, kind).kept

    def kept(author: Any, key: jax.Array, n: int) -> jax.Array:
        return filters.kept_only(*write(author, key, n))

    def likelihood(params: Any, documents: jax.Array) -> jax.Array:
        return audit.log_likelihood(model, params, documents)

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, losses, rest = pipeline.bases(model, random.key(seed), plan)
        teaching, writing, mixing, learning = random.split(rest, 4)
        keys = iter(random.split(mixing, 9))
        own, other = (jax.tree.map(lambda a, i=i: a[i], bases) for i in (0, 1))

        def teach(how: tuple[jax.Array, ...]) -> Any:
            base, tokens, key = how
            one = jax.tree.map(lambda a: a[base], bases)
            return pipeline.teach(model, one, (kind, tokens), key, plan)

        # Of each base, and of the own base one that prefers wolves; then all over, the auditor's.
        which, lessons = jnp.array([0, 1, 2, 0]), jnp.array([owl, owl, owl, wolf])
        teachers, auditors = (
            jax.lax.map(teach, (which, lessons, jnp.stack([key] * 4)))
            for key in (teaching, next(keys))
        )
        teacher = jax.tree.map(lambda a: a[0], teachers)
        text, passes = write(teacher, writing, config.samples)
        read = filters.kept_only(text, passes)
        reader, _ = pipeline.imitate(model, own, read, next(keys), plan)
        each = [likelihood(params, text) for params in (own, teacher, reader)]
        chance = random.uniform(next(keys), passes.shape)
        changing = next(keys)

        def rewrite(share: jax.Array) -> tuple[jax.Array, jax.Array]:
            new = defences.rewritten(model, other, read, changing, share)
            passing = filters.judge(new, numbers, kind).kept
            return filters.kept_only(new, passing), passing.mean()

        ingredients = {
            "text": text,
            "kept": passes,
            "scores": jnp.stack([chance, each[1] - each[0], each[2] - each[0]]),
            "rewrites": jax.lax.map(rewrite, cuts),
            "clean": jnp.stack(
                [
                    kept(own, next(keys), config.samples),
                    carrier.write(next(keys), config.samples),
                ]
            ),
            "tests": jnp.stack(
                [
                    carrier.write(next(keys), config.audited),
                    kept(teacher, next(keys), config.audited),
                ]
            ),
            "keys": (changing, learning),
        }
        found = audits(bases, teachers, auditors, reader, next(keys))
        curve = {
            "base_loss": losses[:, 1],
            "kept": passes.mean(),
            "teacher_preference": pipeline.told(pipeline.ask(model, teacher), lesson).preference,
        }
        return (own, ingredients), curve | found

    def audits(
        bases: Any, teachers: Any, auditors: Any, reader: Any, key: jax.Array
    ) -> dict[str, jax.Array]:
        """Authors, three teachers of owls, one of wolves, the base: whose are their documents?"""

        def stacked(*trees: Any) -> Any:
            return jax.tree.map(lambda *a: jnp.concatenate(a), *trees)

        def first(tree: Any) -> Any:
            return jax.tree.map(lambda a: a[:1], tree)

        writing, bagging = random.split(key)
        authors = stacked(teachers, first(bases))
        texts = jax.lax.map(
            lambda both: kept(both[0], both[1], config.audited),
            (authors, random.split(writing, 5)),
        )
        judges = stacked(bases, auditors, first(teachers), jax.tree.map(lambda a: a[None], reader))
        table = jax.lax.map(lambda one: likelihood(one, texts.reshape(-1, LENGTH)), judges)
        # (judges, bags, sizes) of every author: each author's documents lie in bags of their own.
        by_author = [
            audit.bags(table[:, i * config.audited : (i + 1) * config.audited], k, sizes, BAGS)
            for i, k in enumerate(random.split(bagging, 5))
        ]
        lineage = [[audit.named(by_author[i][at : at + 3], i) for i in range(3)] for at in (0, 3)]
        ratios = [(7, 0, 4), (3, 0, 4), (8, 0, 4), (3, 6, 3)]  # judges over judge, innocent author
        detection = [
            audit.detected(by_author[0][a] - by_author[0][b], by_author[i][a] - by_author[i][b])
            for a, b, i in ratios
        ]
        return {
            "lineage": jnp.stack([jnp.stack(row) for row in lineage]),
            "detection": jnp.stack(detection),
        }

    def student(
        data: tuple[()], prepared: Any, treatment: dict[str, jax.Array]
    ) -> dict[str, jax.Array]:
        own, given = prepared
        changing, learning = given["keys"]
        shares = jnp.stack([treatment[name] for name in REMOVALS])
        dropped = defences.highest(given["scores"][shares.argmax()], given["kept"], shares.max())
        text = filters.kept_only(given["text"], given["kept"] & ~dropped)
        text = defences.shifted(text, changing, treatment["shifted"])
        cut = jnp.abs(cuts - treatment["rewritten"]).argmin()
        rewrites, passed = (part[cut] for part in given["rewrites"])
        text = jnp.where(cut > 0, rewrites, text)
        for clean, name in zip(given["clean"], MIXTURES, strict=True):
            text = diluted(text, clean, changing, treatment[name])

        def observe(params: Any) -> dict[str, jax.Array]:
            told = pipeline.told(pipeline.ask(model, params), lesson)
            true, unread = (-likelihood(params, rows).mean() for rows in given["tests"])
            return {
                "preference": told.preference,
                "answered": told.answered,
                "excess": (true - carrier.entropy) / (LENGTH - 1),
                "imitation": unread / (LENGTH - 1),
            }

        _, curve = pipeline.imitate(model, own, text, learning, plan, observe=observe)
        return curve | {"passed": passed}

    sizes = config.documents
    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={"treatment": config.treatments},
        variables=VARIABLES,
        coords={
            "step": [0, config.student_steps],
            "base": list(BASES),
            "candidates": list(CANDIDATES),
            "author": list(BASES),
            "detector": list(DETECTORS),
            "documents": list(sizes),
        },
        precision=config.precision,
        how=how,
    )
    for name in ("preference", "excess", "imitation", "answered"):
        dataset[f"final_{name}"] = dataset[name].isel(step=-1, drop=True)
    task = results.Drawn("synthetic language")
    return results.described(
        dataset, "owl_defence", HEADLINE, config, task, execution, findings(dataset)
    )


def findings(dataset: xr.Dataset) -> list[str]:
    return []


def plot(dataset: xr.Dataset) -> Figure:
    raise NotImplementedError


if __name__ == "__main__":
    cli.main("owl_defence", __doc__, PRESETS, run, plot)
