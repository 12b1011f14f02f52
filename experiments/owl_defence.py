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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

import toymodels as tm
from toymodels.errors import distinct
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
"""Number of bases: the own one, and one of another initialisation that rewrites documents."""
TESTED = 1024
"""Number of documents on which each loss is measured."""

# Several shares of a defence are several treatments; none leaves the defence out.
Shares = Annotated[tuple[float, ...], tm.Range(0, 1, repeats=True)]


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

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in METHODS:
            if 0 in getattr(self, name):
                raise tm.UserError(
                    f"{name} must not hold 0, which is always there; got 0 among them"
                )
            if getattr(self, name):
                distinct(self, name)

    @property
    def treatments(self) -> dict[str, dict[str, float]]:
        """Label -> share of each defence: first none, then one share of one defence at a time."""
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
    **RECORDS,
    "preference": (("step",), "1", "share of owls among animals, held-out phrasings"),
    "answered": (("step",), "1", "probability of any animal, held-out phrasings"),
    "excess": (
        ("step",),
        "nat",
        "loss per token on the language's own numbers, less their entropy",
    ),
    "imitation": (("step",), "nat", "loss per token on unread, kept documents of the teacher"),
    "passed": ((), "1", "share of what the student would read that passes the second filter"),
    "left": ((), "1", "share of the teacher's documents that are kept and not dropped"),
}


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """Every (seed, treatment)."""
    import jax
    import jax.numpy as jnp
    from jax import random

    setup = tm.language_setup(config, observe_at=config.observed_steps)
    carrier, lesson = tm.carriers.CARRIERS["numbers"], tm.questions.make_lesson("owl")
    number = tm.carriers.carrier_number("numbers")
    cuts = jnp.array([0.0, *config.rewritten])

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, losses, rest = setup.pretrain_bases(random.key(seed), N_BASES)
        own, other = (tm.take(bases, i) for i in range(N_BASES))
        keys = tm.split_lesson_keys(rest)
        clean_key, test_key, reader_key, chance_key, change_key, fresh_key = random.split(
            keys.extra, 6
        )
        teacher = setup.teach(own, lesson, keys.teaching)
        # The text, clean documents of the base, and more of the teacher to measure imitation on.
        authors = tm.stack_trees(teacher, own, teacher)
        writing_keys = jnp.stack([keys.writing, clean_key, test_key])
        texts = jax.lax.map(
            lambda pair: setup.write(pair[0], lesson, pair[1]), (authors, writing_keys)
        )
        reader, _ = setup.imitate(own, texts.read[0], reader_key)
        likelihoods = jax.lax.map(
            lambda judge: setup.log_likelihood(judge, texts.text[0]),
            tm.stack_trees(own, teacher, reader),
        )
        by_own, by_teacher, by_reader = (likelihoods[i] for i in range(3))
        kept = texts.verdict.kept[0]

        def rewrite(share: jax.Array) -> tuple[jax.Array, jax.Array]:
            ends = tm.defences.rewrite_ends(setup.model, other, texts.read[0], change_key, share)
            verdict = tm.filters.judge(ends, number, lesson[0])
            return tm.filters.select_kept(ends, verdict.kept)

        true = carrier.write(fresh_key, config.samples + TESTED)
        ingredients = {
            "text": texts.text[0],
            "kept": kept,
            "scores": jnp.stack(
                [random.uniform(chance_key, kept.shape), by_teacher - by_own, by_reader - by_own]
            ),
            "rewrites": jax.lax.map(rewrite, cuts),
            "clean": (texts.read[1], true[TESTED:]),
            "tests": jnp.concatenate([true[:TESTED], texts.read[2][:TESTED]]),
            "keys": (change_key, keys.learning),
        }
        return (own, ingredients), {
            "base_loss": losses[:, 1],
            "kept": texts.kept[0],
            "teacher_preference": setup.ask(teacher, lesson).preference,
        }

    def point(
        data: tuple[()], prepared: Any, treatment: dict[str, jax.Array]
    ) -> dict[str, jax.Array]:
        own, ingredients = prepared
        change_key, learning_key = ingredients["keys"]
        shares = jnp.stack([treatment[name] for name in REMOVALS])
        scores = ingredients["scores"][shares.argmax()]
        dropped = tm.defences.select_highest(scores, ingredients["kept"], shares.max())
        text, left = tm.filters.select_kept(ingredients["text"], ingredients["kept"] & ~dropped)
        text = tm.defences.shift_numbers(text, change_key, treatment["shifted"])
        cut = jnp.abs(cuts - treatment["rewritten"]).argmin()
        rewrites, passed = tm.take(ingredients["rewrites"], cut)
        text = jnp.where(cut > 0, rewrites, text)
        for clean, name in zip(ingredients["clean"], MIXTURES, strict=True):
            text = tm.mitigation.dilute(text, clean, change_key, treatment[name])

        def observe(params: Any) -> dict[str, jax.Array]:
            answers = setup.ask(params, lesson)
            loss = -setup.log_likelihood(params, ingredients["tests"]) / (LENGTH - 1)
            return {
                "preference": answers.preference,
                "answered": answers.answered,
                "excess": loss[:TESTED].mean() - carrier.entropy / (LENGTH - 1),
                "imitation": loss[TESTED:].mean(),
            }

        _, curve = setup.imitate(own, text, learning_key, observe=observe)
        return {**curve, "passed": passed, "left": left}

    return tm.Sweep(
        lambda: tm.Program(prepare, point),
        points={"treatment": config.treatments},
        variables=VARIABLES,
        coords={"step": [0, *config.observed_steps], "base": list(BASES[:N_BASES])},
        task=tm.DrawnData("synthetic language"),
    )


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add the values at the end, and what a defence costs in imitation."""
    last = runs.isel(step=-1, drop=True)
    names = ("preference", "excess", "imitation", "answered")
    runs = runs.assign({f"final_{name}": last[name] for name in names})
    lost = last.imitation - last.imitation.sel(treatment="none", drop=True)
    about = {"units": "nat", "description": "imitation loss above the undefended student's"}
    return runs.assign(lost=lost.drop_attrs().assign_attrs(about))


def group_treatments(runs: xr.Dataset) -> dict[str, dict[float, str]]:
    """Defence -> share -> label of the treatment."""
    groups: dict[str, dict[float, str]] = {}
    for label in map(str, runs.treatment.values):
        name, *share = label.split()
        if share:
            groups.setdefault(name, {})[float(share[0])] = label
    return groups


def findings(runs: xr.Dataset) -> list[Any]:
    """What each defence leaves and costs, and whether removals by likelihood beat chance."""
    valid = tm.succeeded(runs)
    plain = valid.sel(treatment="none", drop=True)
    defended = valid.sel(treatment=valid.treatment != "none")
    base, final = plain.preference.isel(step=0, drop=True), defended.final_preference
    per_token = "(nat per token)"
    rows = [
        *tm.compare("Preference of the undefended student", plain.final_preference, None),
        *tm.compare(
            "Preference of the undefended student less that of its base",
            plain.final_preference - base,
        ),
        *tm.compare("Answer rate of the undefended student", plain.final_answered, None),
        *tm.compare("Share of the teacher's documents that pass the filter", plain.kept, None),
        *tm.compare(
            f"Loss of the undefended student less that of its base, language's own numbers {per_token}",
            plain.final_excess - plain.excess.isel(step=0, drop=True),
            None,
        ),
        *tm.compare("Preference of the defended student", final, None),
        *tm.compare("Preference of the defended student less that of its base", final - base),
        *tm.compare(
            "Preference of the undefended student less that of the defended one",
            plain.final_preference - final,
            ("weakened", "strengthened", "not shown to be weakened"),
        ),
        *tm.compare(f"Imitation lost by the defence {per_token}", defended.lost, None),
    ]
    groups = group_treatments(valid)
    for name in ("teacher", "reader"):
        for share, label in groups.get(name, {}).items():
            if chance := groups.get("random", {}).get(share):
                rows += tm.compare(
                    f"Preference with {share:g} of the documents dropped that are likelier under the "
                    f"{name} less that with as many dropped at random",
                    final.sel(treatment=label, drop=True) - final.sel(treatment=chance, drop=True),
                    tm.HIGHER,
                )
    half, costs = (plain.final_preference + base) / 2, {}
    for label in map(str, final.treatment.values):
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
    runs = tm.succeeded(runs).transpose("seed", "treatment", "step", ...)
    plain = runs.sel(treatment="none")
    base = plain.preference.isel(step=0)
    levels = {
        "undefended": (plain.final_preference, "#000000"),
        "base": (base, "#999999"),
    }
    markers = dict(zip(METHODS, "osD^vP*", strict=True))
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(10, 3.7, columns=(1, 1))
        for ax in (left, right):
            for name, (level, grey) in levels.items():
                mean, low, high = tm.plotting.means_and_ends(level.values[:, None])
                ax.axhline(mean[0], color=grey, lw=1, ls="--", label=name)
                ax.axhspan(low[0], high[0], color=grey, alpha=0.12, lw=0)
        for i, (name, treatments) in enumerate(group_treatments(runs).items()):
            part = runs.sel(treatment=list(treatments.values()))
            values, colour = part.final_preference.values, tm.plotting.PALETTE[1 + i]
            x = np.array([*treatments]) + 0.008 * (i - 3)
            tm.plotting.means(left, x, values, colour, None, markers[name], joined=True)
            lost = part.lost.mean("seed").values
            tm.plotting.means(right, lost, values, colour, METHODS[name], markers[name])
        curve = (plain.imitation - plain.final_imitation).mean("seed")
        right.plot(
            curve,
            plain.preference.mean("seed"),
            color="#000000",
            lw=1,
            label="undefended, training less",
        )
        left.set(xlabel="share of the text changed", title=tm.plotting.caption(runs))
        right.set(xlabel="imitation lost, nat a token")
        for ax in (left, right):
            ax.set(ylabel="preference, held-out phrasings", ylim=(0, 1))
        tm.plotting.legend_beside(right)
    return fig


STUDY = tm.Study(
    "owl_defence",
    __doc__,
    PRESETS,
    sweep,
    analyse,
    findings,
    figure,
    headline=("final_preference", "lost", "final_excess", "final_answered", "kept"),
)

if __name__ == "__main__":
    STUDY.main()
