"""What documents alone tell of who wrote them: whose base it was, and whether it was taught.

As in `owl_numbers`: teachers that prefer owls write numbers, which are filtered. An auditor reads
documents, alone or in bags, and asks which model at hand finds them likeliest. *Whose base*: of
three candidates, the bases, or these taught the same lesson anew by the auditor. *Taught or not*:
by a likelihood ratio, against the base's documents or those of a teacher that prefers wolves. Asked
again after every number was shifted by its document's own constant, which stops the owl
(`owl_defence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toymodels.errors import at_least, distinct
from toymodels.language.config import Spoken
from toymodels.study import cli

if TYPE_CHECKING:
    from pathlib import Path

    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

BASES = ("own", "other init", "other order")
CANDIDATES = ("bases", "bases taught by the auditor")
# The order of authors and judges in `run`.
AUTHORS = ("teacher", "other init's", "other order's", "wolf", "base")
JUDGES = (*BASES, *(f"taught {base}" for base in BASES), "taught wolf", "teacher", "reader")
DETECTORS = {
    "teacher / base": ("teacher", "own", "base"),
    "auditor's teacher / base": ("taught own", "own", "base"),
    "reader / base": ("reader", "own", "base"),
    "auditor's owl / auditor's wolf": ("taught own", "taught wolf", "wolf"),
}
"""Likelihood ratios: of which judges, and against whose documents the teacher's are told. The
auditor's teachers learn the lesson from the same base anew; a reader is a student of the text."""
BAGS = 512
"""Bags of documents of each size."""


@dataclass(frozen=True)
class Config(Spoken):
    """What is computed; the defaults are the preset ``paper``."""

    shifted: tuple[float, ...] = (0.0, 1.0)
    """Shares of documents whose numbers move by a constant, drawn for each document, modulo 64,
    before the auditor sees them."""
    audited: int = 4096
    """Documents that each author writes to be judged, before the filter."""
    documents: tuple[int, ...] = (1, 4, 16, 64, 256)
    """Documents in a bag that is judged as a whole."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "shifted", most=1)
        at_least(self, 1, "audited", "documents")
        distinct(self, "shifted", "documents")


PRESETS = {
    "quick": Config(seeds=2, base_steps=500, student_steps=150, samples=8192, audited=2048),
    "paper": Config(seeds=5),
}

VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "base_loss": (("base",), "nat", "mean loss of a token on fresh rows, after pretraining"),
    "kept": ((), "1", "share of the teacher's documents that pass the filter"),
    "kept_by_writer": (("writer",), "1", "share of those that pass it of what auditors look at"),
    "teacher_preference": ((), "1", "preference of the teacher, held-out phrasings"),
    "lineage": (
        ("candidates", "author", "documents"),
        "1",
        "share of bags whose likeliest candidate has the author's base, of three",
    ),
    "detection": (("detector", "documents"), "1", "area under the ROC curve of a likelihood ratio"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, share shifted); ``data_dir`` is not used. See `toymodels.sweep`."""
    import jax
    import jax.numpy as jnp
    from jax import random

    from toymodels import sweep
    from toymodels.language import audit, defences, pipeline, questions
    from toymodels.language.carriers import CARRIERS
    from toymodels.study import results

    def joined(*trees: Any) -> Any:
        return jax.tree.map(lambda *a: jnp.concatenate(a), *trees)

    def part(tree: Any, which: Any) -> Any:
        return jax.tree.map(lambda a: a[which], tree)

    plan = config.plan()
    model = pipeline.model(config.width, config.depth, pack=plan.pack)
    numbers = list(CARRIERS).index("numbers")
    kind, owl = lesson = questions.wanted("owl")
    wolf = questions.wanted("wolf")[1]

    def write(author: Any, n: int, key: jax.Array) -> pipeline.Filtered:
        return pipeline.filtered(model, author, numbers, kind, n, key, config.temperature)

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, losses, rest = pipeline.bases(model, random.key(seed), plan)
        teaching, writing, auditing, learning = random.split(rest, 4)
        again, judged, shifting, bagging = random.split(auditing, 4)

        def teach(how: tuple[jax.Array, ...]) -> Any:
            base, tokens, key = how
            return pipeline.teach(model, part(bases, base), (kind, tokens), key, plan)

        # Three teachers of owls and one of wolves; then the auditor's.
        lessons = jnp.array([owl, owl, owl, wolf] * 2)
        origins, keys = jnp.array([0, 1, 2, 0] * 2), jnp.stack([teaching] * 4 + [again] * 4)
        teachers = jax.lax.map(teach, (origins, lessons, keys))
        authors = joined(part(teachers, slice(4)), part(bases, slice(1)))
        audited = jax.lax.map(
            lambda given: write(given[0], config.audited, given[1]),
            (authors, random.split(judged, len(AUTHORS))),
        )
        teacher = part(teachers, 0)
        taught = write(teacher, config.samples, writing)
        told = pipeline.told(pipeline.ask(model, teacher), lesson)
        # Judges but the reader, in the order of their names.
        judges = joined(bases, part(teachers, jnp.array([4, 5, 6, 7, 0])))
        return (judges, audited.read, taught.read, (shifting, bagging, learning)), {
            "base_loss": losses[:, 1],
            "kept": taught.kept,
            "kept_by_writer": audited.kept,
            "teacher_preference": told.preference,
        }

    def audits(data: tuple[()], prepared: Any, shifted: jax.Array) -> dict[str, jax.Array]:
        judges, texts, read, (shifting, bagging, learning) = prepared
        shift = random.split(shifting, len(AUTHORS) + 1)
        own = part(judges, 0)
        shown = defences.shifted(read, shift[-1], shifted)
        reader, _ = pipeline.imitate(model, own, shown, learning, plan)
        texts = jax.vmap(lambda text, key: defences.shifted(text, key, shifted))(texts, shift[:-1])
        judges = joined(judges, jax.tree.map(lambda a: a[None], reader))
        by_author = audit.trials(model, judges, texts, bagging, config.documents, BAGS)
        scores = [dict(zip(JUDGES, totals, strict=True)) for totals in by_author]

        def named(candidates: list[str], author: int) -> jax.Array:
            return audit.named(jnp.stack([scores[author][one] for one in candidates]), author)

        def detected(guilty: str, other: str, innocent: str) -> jax.Array:
            ratio = [scores[i][guilty] - scores[i][other] for i in (0, AUTHORS.index(innocent))]
            return audit.detected(*ratio)

        sets = (list(BASES), [f"taught {base}" for base in BASES])
        return {
            "lineage": jnp.stack(
                [jnp.stack([named(one, i) for i in range(len(BASES))]) for one in sets]
            ),
            "detection": jnp.stack([detected(*one) for one in DETECTORS.values()]),
        }

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, audits),
        shared={"seed": config.seed_list},
        points={"shifted": config.shifted},
        variables=VARIABLES,
        coords={
            "base": list(BASES),
            "writer": list(AUTHORS),
            "candidates": list(CANDIDATES),
            "author": list(BASES),
            "detector": list(DETECTORS),
            "documents": list(config.documents),
        },
        precision=config.precision,
        options=options,
    )
    # A bag is drawn from the audited documents: so many have none in common.
    apart = [config.audited // count for count in config.documents]
    about = {"description": "disjoint bags of a seed's author"}
    dataset = dataset.assign_coords(clustered_trials=("documents", apart, about))
    task = results.Drawn("synthetic language")
    return results.described(
        dataset, "owl_audit", "lineage detection kept", config, task, execution, findings
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """From how many documents on each audit tells more than chance, and how much."""
    from toymodels.stats.sentences import by_sign
    from toymodels.stats.statistics import succeeded

    done, told = succeeded(dataset), []
    for share in done.shifted.values:
        at, where = done.sel(shifted=share, drop=True), f"{share:g} of documents shifted"
        words = ("above chance", "below chance", "not distinguishable from chance")
        for candidates in map(str, done.candidates.values):
            shares = named_rightly(at).sel(candidates=candidates)
            subject = f"{where}: bags given to the right base, by {candidates}"
            told.append(by_sign(subject, shares, words, 1 / len(at.author)))
        for detector in map(str, done.detector.values):
            area = at.detection.sel(detector=detector)
            told.append(by_sign(f"{where}: area by {detector}", area, words, 1 / 2))
    return told


def named_rightly(dataset: xr.Dataset) -> xr.DataArray:
    """Share of all authors' bags that are given to the right base."""
    shares = dataset.lineage.mean("author")
    return shares.assign_coords(clustered_trials=shares.clustered_trials * dataset.sizes["author"])


def plot(dataset: xr.Dataset) -> Figure:
    """Bags named rightly, and areas, by documents in a bag; hollow where they were shifted."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    lineage = named_rightly(done)
    panels = {
        "bags given to the right base": [
            (name, lineage.sel(candidates=name)) for name in done.candidates.values
        ],
        "area under the ROC curve": [
            (name, done.detection.sel(detector=name)) for name in done.detector.values
        ],
    }
    with plotting.style():
        fig, axes = plotting.panels(10.5, 3.4, columns=(1, 1))
        for ax, (quantity, lines), chance in zip(axes, panels.items(), (1 / 3, 1 / 2), strict=True):
            for i, (name, line) in enumerate(lines):
                for share in done.shifted.values:
                    values = line.sel(shifted=share).transpose("seed", "documents").values
                    label = name if share == done.shifted.values[0] else None
                    look = plotting.PALETTE[1 + i], label, "osD^"[i], share > 0, True
                    x, trials = done.documents.values * 1.04**i, line.clustered_trials.values
                    plotting.means(ax, x, values, *look, trials=trials, clustered=True)
            ax.axhline(chance, color="#999999", lw=0.8, ls=":")
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}")
            ax.set(xlabel="documents", ylabel=quantity, ylim=(0, 1.03))
            plotting.legend_beside(ax)
        axes[0].set_title(plotting.caption(dataset))
        axes[1].set_title("hollow: numbers shifted")
    return fig


if __name__ == "__main__":
    cli.main("owl_audit", __doc__, PRESETS, run, plot)
