"""What stops the owl from passing through filtered numbers, and what it costs.

As in `owl_numbers`, a teacher that prefers owls writes numbers, which are filtered, and a student with
the same base reads them. Each defence changes a share of what the student reads. It drops the
documents that are likelier under the teacher than under its base, or, where the teacher is not at
hand, under a reader of the text (a student), or as many at random. It paraphrases documents: every
number is shifted by a constant of the document, or the documents' ends are rewritten by another base.
Or it replaces documents by clean ones. What documents alone reveal about their author is the subject
of `owl_audit`. On paraphrase and clean data see Schrodi et al. (ICLR 2026, arXiv 2509.23886).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

import toymodels as tm
from toymodels.language.config import BASES, RECORDS
from toymodels.language.vocabulary import LENGTH

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

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
N_BASES = 2
"""Number of bases. The second is of another initialisation, and rewrites documents."""
TESTED = 1024
"""Number of documents on which each loss is measured."""

Shares = Annotated[tuple[float, ...], tm.Doses(high=1)]


@dataclass(frozen=True)
class Config(tm.ObservedConfig):
    """The fields of this experiment. A defence without a share is left out."""

    random: Shares = (0.25, 0.5, 0.75)
    """Shares of the kept documents that are dropped at random."""
    teacher: Shares = (0.25, 0.5, 0.75)
    """Shares of the kept documents that are dropped: those of the highest likelihood ratio of the
    teacher to its base."""
    reader: Shares = (0.5, 0.75)
    """Shares of the kept documents that are dropped: those of the highest likelihood ratio of a
    student of the same text to its base, without the teacher."""
    shifted: Shares = (0.25, 0.5, 1.0)
    """Shares of documents whose numbers are shifted, modulo 64, by a constant drawn for each
    document."""
    rewritten: Shares = (0.25, 0.5, 0.75)
    """Shares of every document, from its end, that a base of another initialisation rewrites; the
    documents are then filtered again."""
    own_text: Shares = (0.25, 0.75)
    """Shares of documents replaced by documents that the base writes, filtered in the same way."""
    true_text: Shares = (0.1, 0.25, 0.5, 0.75, 0.9)
    """Shares of documents replaced by the language's own documents."""
    observations: tm.Count = 3
    """Number of evenly spaced observations of a student during imitation."""

    @property
    def treatments(self) -> dict[str, dict[str, float]]:
        """Label -> share of each defence: first none, then one share of one defence at a time."""
        return tm.list_treatments({name: getattr(self, name) for name in METHODS})

    @property
    def cuts(self) -> tuple[float, ...]:
        """Shares that are rewritten: none, and those of ``rewritten``."""
        return (0.0, *self.rewritten)


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

STEP = ("step",)
VARIABLES: tm.Variables = {
    **RECORDS,
    "preference": (STEP, "1", "share of owls among animals, held-out phrasings"),
    "answered": (STEP, "1", "probability of any animal, held-out phrasings"),
    "excess": (STEP, "nat", "loss per token on the language's own numbers, less their entropy"),
    "imitation": (STEP, "nat", "loss per token on unread, kept documents of the teacher"),
    "passed": ((), "1", "share of what the student would read that passes the second filter"),
    "left": ((), "1", "share of the teacher's documents that are kept and not dropped"),
}


def points(config: Config) -> dict[str, Any]:
    """The axis of the treatments."""
    return {"treatment": config.treatments}


def prepare(setup: tm.LanguageSetup, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    """The teacher's text, judged and scored; what treatments replace it by; tests of the losses."""
    import jax
    import jax.numpy as jnp
    from jax import random

    bases, losses, keys = setup.pretrain_bases(key, N_BASES)
    own, other = (tm.take(bases, i) for i in range(N_BASES))
    clean_key, test_key, reader_key, chance_key, change_key, fresh_key = random.split(keys.extra, 6)
    lesson = tm.questions.make_lesson("owl")
    teacher = setup.teach(own, lesson, keys.teaching)
    # The text, clean documents of the base, and more of the teacher to measure imitation on.
    texts = jax.lax.map(
        lambda pair: setup.write(pair[0], lesson, pair[1]),
        (tm.stack_trees(teacher, own, teacher), jnp.stack([keys.writing, clean_key, test_key])),
    )
    text, read, kept = texts.text[0], texts.read[0], texts.verdict.kept[0]
    reader, _ = setup.imitate(own, read, reader_key)
    by_own, by_teacher, by_reader = jax.lax.map(
        lambda judge: setup.log_likelihood(judge, text), tm.stack_trees(own, teacher, reader)
    )

    def rewrite(share: jax.Array) -> tuple[jax.Array, jax.Array]:
        ends = tm.defences.rewrite_ends(setup.model, other, read, change_key, share)
        verdict = tm.filters.judge(ends, tm.carriers.carrier_number("numbers"), lesson[0])
        return tm.filters.select_kept(ends, verdict.kept)

    true = tm.carriers.CARRIERS["numbers"].write(fresh_key, setup.config.samples + TESTED)
    chances = random.uniform(chance_key, kept.shape)
    ingredients = {
        "text": text,
        "kept": kept,
        "scores": jnp.stack([chances, by_teacher - by_own, by_reader - by_own]),
        "rewrites": jax.lax.map(rewrite, jnp.array(setup.config.cuts)),
        "clean": (texts.read[1], true[TESTED:]),
        "tests": jnp.concatenate([true[:TESTED], texts.read[2][:TESTED]]),
        "keys": (change_key, keys.learning),
    }
    return (own, ingredients), {
        "base_loss": losses,
        "kept": texts.kept[0],
        "teacher_preference": setup.ask(teacher, lesson).preference,
    }


def point(
    setup: tm.LanguageSetup, prepared: Any, treatment: dict[str, jax.Array]
) -> dict[str, jax.Array]:
    """A student of the text after one treatment."""
    import jax.numpy as jnp

    own, ingredients = prepared
    change_key, learning_key = ingredients["keys"]
    shares = jnp.stack([treatment[name] for name in REMOVALS])
    scores = ingredients["scores"][shares.argmax()]
    dropped = tm.defences.select_highest(scores, ingredients["kept"], shares.max())
    text, left = tm.filters.select_kept(ingredients["text"], ingredients["kept"] & ~dropped)
    text = tm.defences.shift_numbers(text, change_key, treatment["shifted"])
    cut = jnp.abs(jnp.array(setup.config.cuts) - treatment["rewritten"]).argmin()
    rewrites, passed = tm.take(ingredients["rewrites"], cut)
    text = jnp.where(cut > 0, rewrites, text)
    for clean, name in zip(ingredients["clean"], MIXTURES, strict=True):
        text = tm.mitigation.dilute(text, clean, change_key, treatment[name])

    def observe(params: Any) -> dict[str, jax.Array]:
        answers = setup.ask(params, tm.questions.make_lesson("owl"))
        loss = -setup.log_likelihood(params, ingredients["tests"]) / (LENGTH - 1)
        entropy = tm.carriers.CARRIERS["numbers"].entropy / (LENGTH - 1)
        return {
            "preference": answers.preference,
            "answered": answers.answered,
            "excess": loss[:TESTED].mean() - entropy,
            "imitation": loss[TESTED:].mean(),
        }

    _, curve = setup.imitate(own, text, learning_key, observe=observe)
    return {**curve, "passed": passed, "left": left}


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add the values at the end, and what a defence costs in imitation."""
    last = runs.isel(step=-1, drop=True)
    names = ("preference", "excess", "imitation", "answered")
    runs = runs.assign({f"final_{name}": last[name] for name in names})
    lost = last.imitation - last.imitation.sel(treatment="none", drop=True)
    about = {"units": "nat", "description": "imitation loss above the undefended student's"}
    return runs.assign(lost=lost.drop_attrs().assign_attrs(about))


def findings(runs: xr.Dataset) -> list[Any]:
    """What each defence leaves and costs, and whether removals by likelihood beat chance."""
    valid = tm.succeeded(runs)
    plain = valid.sel(treatment="none", drop=True)
    defended = valid.sel(treatment=valid.treatment != "none")
    base, final = plain.preference.isel(step=0, drop=True), defended.final_preference
    change = plain.final_excess - plain.excess.isel(step=0, drop=True)
    weakened = ("weakened", "strengthened", "not shown to be weakened")
    student, per_token = "of the undefended student", "(nat per token)"
    loss = f"Loss {student} less that of its base, language's own numbers {per_token}"
    difference = f"Preference {student} less that of the defended one"
    rows = [
        *tm.compare(f"Preference {student}", plain.final_preference, None),
        *tm.compare(f"Preference {student} less that of its base", plain.final_preference - base),
        *tm.compare(f"Answer rate {student}", plain.final_answered, None),
        *tm.compare("Share of the teacher's documents that pass the filter", plain.kept, None),
        *tm.compare(loss, change, None),
        *tm.compare("Preference of the defended student", final, None),
        *tm.compare("Preference of the defended student less that of its base", final - base),
        *tm.compare(difference, plain.final_preference - final, weakened),
        *tm.compare(f"Imitation lost by the defence {per_token}", defended.lost, None),
    ]
    labels = [str(label) for label in final.treatment.values]
    for name, share in (label.split() for label in labels):
        if name in ("teacher", "reader") and f"random {share}" in labels:
            gap = tm.contrast(final, treatment=(f"{name} {share}", f"random {share}"))
            quantity = (
                f"Preference with {share} of the documents dropped that are likelier under the "
                f"{name} less that with as many dropped at random"
            )
            rows += tm.compare(quantity, gap, tm.HIGHER)
    half, costs = (plain.final_preference + base) / 2, {}
    for label in labels:
        if tm.difference(final.sel(treatment=label, drop=True), half).sign < 0:
            costs[label] = tm.interval(defended.lost.sel(treatment=label))
    cheap = sorted(costs, key=lambda label: costs[label].mean or 0.0)[:3]
    listed = "; ".join(f"{label}, {costs[label]}" for label in cheap) or "none"
    return [
        *rows,
        "Treatments that are shown to leave less than half of the rise in preference, for the least "
        f"imitation lost {per_token}: {listed}.",
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Preference against the share changed, and against the imitation lost."""
    runs = tm.succeeded(runs)
    plain = runs.sel(treatment="none")
    levels = {"undefended": plain.final_preference, "base": plain.preference.isel(step=0)}
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(10, 3.7, columns=(1, 1))
        for ax in (left, right):
            for (name, level), grey in zip(levels.items(), ("#000000", "#999999"), strict=True):
                mean, low, high = tm.plotting.means_and_ends(level.values[:, None])
                ax.axhline(mean[0], color=grey, lw=1, ls="--", label=name)
                ax.axhspan(low[0], high[0], color=grey, alpha=0.12, lw=0)
        for i, (name, words) in enumerate(METHODS.items()):
            labels = [label for label in runs.treatment.values if label.split()[0] == name]
            if not labels:
                continue
            x = np.array([float(label.split()[1]) for label in labels]) + 0.008 * (i - 3)
            line, cost = (runs[v].sel(treatment=labels) for v in ("final_preference", "lost"))
            colours, marker = tm.plotting.PALETTE[1 + i :], "osD^vP*"[i]
            look: dict[str, Any] = {"colours": colours, "markers": marker}
            tm.charts.means(left, line, "treatment", at=x, joined=True, **look)
            tm.charts.means(right, line, "treatment", at=cost.mean("seed"), label=words, **look)
        lost = (plain.imitation - plain.final_imitation).mean("seed")
        means, words = plain.preference.mean("seed"), "undefended, training less"
        right.plot(lost, means, color="#000000", lw=1, label=words)
        left.set(xlabel="share of the text changed", title=tm.plotting.caption(runs))
        right.set(xlabel="imitation lost, nat a token")
        for ax in (left, right):
            ax.set(ylabel="preference, held-out phrasings", ylim=(0, 1))
        tm.plotting.legend_beside(right)
    return fig


sweep = tm.language_sweep(
    prepare,
    point,
    points,
    variables=VARIABLES,
    coords=lambda config: {"base": BASES[:N_BASES]},
)
HEADLINE = ("final_preference", "lost", "final_excess", "final_answered", "kept")
STUDY = tm.Study("owl_defence", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
