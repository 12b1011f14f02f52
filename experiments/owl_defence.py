"""What stops the owl from passing through filtered numbers, and what it costs.

As in `owl_numbers`: a teacher that prefers owls writes numbers, which are filtered; a student with
the same base reads them. Each defence changes a share of what it reads: drops the documents that
are likelier under the teacher than under its base, or under a reader of the text (a student) where
the teacher is not at hand, or as many at random; paraphrases documents, every number shifted by the
document's own constant or their ends rewritten by another base; or puts clean documents in their
place. What documents alone tell of their author is asked in `owl_audit`.
Schrodi et al. (ICLR 2026, arXiv 2509.23886) on paraphrase and clean data.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import UserError, at_least, distinct, multiple
from toymodels.language.config import Spoken, evenly
from toymodels.study import cli

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

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
BASES = ("own", "other init")
TESTED = 1024
"""Documents that each loss is taken on."""


@dataclass(frozen=True)
class Config(Spoken):
    """What is computed; the defaults are the preset ``paper``. An empty defence is left out."""

    random: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares of the kept documents that are dropped at random."""
    teacher: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares dropped for the highest likelihood ratio of teacher over base."""
    reader: tuple[float, ...] = (0.5, 0.75)
    """Shares dropped for that of a student of the same text, the teacher not at hand."""
    shifted: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of documents whose numbers move by a constant, drawn for each document, modulo 64."""
    rewritten: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares of every document, from its end, that a base of another init writes anew; then they
    are filtered once more."""
    own_text: tuple[float, ...] = (0.25, 0.75)
    """Shares of documents replaced by those that the base writes, filtered alike."""
    true_text: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
    """Shares replaced by the language's own documents."""
    observations: int = 3
    """Times that a student is asked on its way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "observations")
        multiple(self, self.observations, "student_steps")
        for name in METHODS:
            at_least(self, 0, name, most=1)
            if 0 in getattr(self, name):
                raise UserError(f"{name} must not hold 0, which is always there; got 0 among them")
            if getattr(self, name):
                distinct(self, name)

    @property
    def asked(self) -> tuple[int, ...]:
        """The steps after which students are asked."""
        return evenly(self.student_steps, self.observations)

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
    "preference": (("step",), "1", "share of owls among animals, held-out phrasings"),
    "answered": (("step",), "1", "chance of any animal, held-out phrasings"),
    "excess": (
        ("step",),
        "nat",
        "loss of a token on the language's own numbers, less their entropy",
    ),
    "imitation": (("step",), "nat", "loss of a token on kept documents of the teacher, unread"),
    "passed": ((), "1", "share of what the student would read that passes the second filter"),
    "left": ((), "1", "share of the teacher's documents that are kept and not dropped"),
}
LOST = "imitation loss above the undefended student's"
HEADLINE = "final_preference lost final_excess final_answered kept"


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, treatment); ``data_dir`` is not used. See `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp
    from jax import random

    from toymodels import sweep
    from toymodels.language import audit, defences, filters, pipeline, questions
    from toymodels.language.carriers import CARRIERS
    from toymodels.language.vocabulary import LENGTH
    from toymodels.study import results
    from toymodels.training.mitigation import dilute

    def stacked(*trees: Any) -> Any:
        return jax.tree.map(lambda *a: jnp.stack(a), *trees)

    plan = config.plan(record=config.asked)
    model = pipeline.model(config.width, config.depth, pack=plan.pack)
    numbers, carrier = list(CARRIERS).index("numbers"), CARRIERS["numbers"]
    kind, _ = lesson = questions.wanted("owl")
    cuts = jnp.array([0.0, *config.rewritten])

    def write(given: tuple[Any, jax.Array]) -> pipeline.Filtered:
        author, key = given
        return pipeline.filtered(
            model, author, numbers, kind, config.samples, key, config.temperature
        )

    def likelihood(params: Any, documents: jax.Array) -> jax.Array:
        return audit.log_likelihood(model, params, documents)

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, losses, rest = pipeline.bases(model, random.key(seed), plan, len(BASES))
        own, other = (jax.tree.map(operator.itemgetter(i), bases) for i in range(len(BASES)))
        teaching, writing, mixing, learning = random.split(rest, 4)
        clean, testing, reading, chance, changing, fresh = random.split(mixing, 6)
        teacher = pipeline.teach(model, own, lesson, teaching, plan)
        texts, reads, verdicts, shares = jax.lax.map(
            write, (stacked(teacher, own, teacher), jnp.stack([writing, clean, testing]))
        )
        reader, _ = pipeline.imitate(model, own, reads[0], reading, plan)
        known = jax.lax.map(lambda one: likelihood(one, texts[0]), stacked(own, teacher, reader))

        def rewrite(share: jax.Array) -> tuple[jax.Array, jax.Array]:
            new = defences.rewritten(model, other, reads[0], changing, share)
            return filters.kept_only(new, filters.judge(new, numbers, kind).kept)

        true = carrier.write(fresh, config.samples + TESTED)
        kept = verdicts.kept[0]
        ingredients = {
            "text": texts[0],
            "kept": kept,
            "scores": jnp.stack(
                [random.uniform(chance, kept.shape), known[1] - known[0], known[2] - known[0]]
            ),
            "rewrites": jax.lax.map(rewrite, cuts),
            "clean": (reads[1], true[TESTED:]),
            "tests": jnp.concatenate([true[:TESTED], reads[2][:TESTED]]),
            "keys": (changing, learning),
        }
        told = pipeline.told(pipeline.ask(model, teacher), lesson)
        return (own, ingredients), {
            "base_loss": losses[:, 1],
            "kept": shares[0],
            "teacher_preference": told.preference,
        }

    def student(
        data: tuple[()], prepared: Any, treatment: dict[str, jax.Array]
    ) -> dict[str, jax.Array]:
        own, given = prepared
        changing, learning = given["keys"]
        shares = jnp.stack([treatment[name] for name in REMOVALS])
        dropped = defences.highest(given["scores"][shares.argmax()], given["kept"], shares.max())
        text, left = filters.kept_only(given["text"], given["kept"] & ~dropped)
        text = defences.shifted(text, changing, treatment["shifted"])
        cut = jnp.abs(cuts - treatment["rewritten"]).argmin()
        rewrites, passed = jax.tree.map(lambda a: a[cut], given["rewrites"])
        text = jnp.where(cut > 0, rewrites, text)
        for clean, name in zip(given["clean"], MIXTURES, strict=True):
            text = dilute(text, clean, changing, treatment[name])

        def observe(params: Any) -> dict[str, jax.Array]:
            told = pipeline.told(pipeline.ask(model, params), lesson)
            loss = -likelihood(params, given["tests"]) / (LENGTH - 1)
            return {
                "preference": told.preference,
                "answered": told.answered,
                "excess": loss[:TESTED].mean() - carrier.entropy / (LENGTH - 1),
                "imitation": loss[TESTED:].mean(),
            }

        _, curve = pipeline.imitate(model, own, text, learning, plan, observe=observe)
        return {**curve, "passed": passed, "left": left}

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={"treatment": config.treatments},
        variables=VARIABLES,
        coords={
            "step": [0, *config.asked],
            "base": list(BASES),
        },
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    task = results.Drawn("synthetic language")
    return results.described(dataset, "owl_defence", HEADLINE, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add what a student comes to at the end, and what its defence costs of the imitation."""
    last = dataset.isel(step=-1, drop=True)
    names = ("preference", "excess", "imitation", "answered")
    dataset = dataset.assign({f"final_{name}": last[name] for name in names})
    lost = last.imitation - last.imitation.sel(treatment="none", drop=True)
    about = {"units": "nat", "description": LOST}
    return dataset.assign(lost=lost.drop_attrs().assign_attrs(about))


def labels(dataset: xr.Dataset) -> dict[str, dict[float, str]]:
    """Defence -> share -> label of its treatment."""
    found: dict[str, dict[float, str]] = {}
    for label in map(str, dataset.treatment.values):
        name, *share = label.split()
        if share:
            found.setdefault(name, {})[float(share[0])] = label
    return found


def findings(dataset: xr.Dataset) -> list[str]:
    """What each defence leaves and costs; whether filters beat chance."""
    from toymodels.stats.statistics import difference, mean_interval, succeeded

    done = succeeded(dataset)
    final, plain = done.final_preference, done.sel(treatment="none", drop=True)
    base, known = plain.preference.isel(step=0, drop=True), labels(done)
    told = [
        f"Undefended: preference {mean_interval(plain.final_preference.values)}, against the base "
        f"{difference(plain.final_preference, base)}; answers "
        f"{mean_interval(plain.final_answered.values)}; {mean_interval(plain.kept.values)} of the "
        "teacher's documents pass the filter."
    ]
    halving, quarters = {}, []
    for name, shares in known.items():
        each = []
        for share, label in shares.items():
            end = final.sel(treatment=label, drop=True)
            lost = mean_interval(done.lost.sel(treatment=label).values)
            above, less = difference(end, base), difference(plain.final_preference, end)
            does = "weakens it" if less.sign > 0 else "is not shown to weaken it"
            does = does if above.sign > 0 else "leaves it not shown above the base"
            each.append(
                f"{share:g} {does}, {mean_interval(end.values)}, for {lost} nat of imitation"
            )
            if difference(end, (plain.final_preference + base) / 2).sign < 0:
                halving[label] = lost
            if name in MIXTURES and share == 0.25:
                does = (
                    "does not stop it" if above.sign > 0 else "leaves it not shown above the base"
                )
                quarters.append(
                    f"A quarter of the text replaced ({METHODS[name]}) {does}: {above} above the "
                    f"base, {less} less than the undefended."
                )
        told.append(f"{METHODS[name]}: {'; '.join(each)}.")
    told += quarters
    cheap = sorted(halving, key=lambda label: halving[label].mean or 0.0)[:3]
    told.append(
        "Shown to leave less than half the rise, for the fewest nats of imitation: "
        f"{'; '.join(f'{label}, {halving[label]}' for label in cheap) or 'none'}."
    )
    for name in ("teacher", "reader"):
        pairs = [
            f"{share:g} {difference(final.sel(treatment=label), final.sel(treatment=other))}"
            for share, label in known.get(name, {}).items()
            if (other := known.get("random", {}).get(share))
        ]
        if pairs:
            told.append(f"{METHODS[name]}, against as many at random: {'; '.join(pairs)}.")
    told.append(
        "On the language's own numbers the undefended student loses "
        f"{difference(plain.final_excess, plain.excess.isel(step=0))} nat a token more than its "
        "base."
    )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Preference by share changed, and by imitation lost."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset).transpose("seed", "treatment", "step", ...)
    plain = done.sel(treatment="none")
    base = plain.preference.isel(step=0).values
    markers = dict(zip(METHODS, "osD^vP*", strict=True))
    with plotting.style():
        fig, (left, right) = plotting.panels(10, 3.7, columns=(1, 1))
        for ax in (left, right):
            for level, name in ((plain.final_preference, "undefended"), (base, "base")):
                mean, low, high = plotting.means_and_ends(np.asarray(level)[:, None])
                grey = "#000000" if name == "undefended" else "#999999"
                ax.axhline(mean[0], color=grey, lw=1, ls="--", label=name)
                ax.axhspan(low[0], high[0], color=grey, alpha=0.12, lw=0)
        for i, (name, shares) in enumerate(labels(done).items()):
            some = done.sel(treatment=list(shares.values()))
            values, colour = some.final_preference.values, plotting.PALETTE[1 + i]
            beside = np.array([*shares]) + 0.008 * (i - 3)
            plotting.means(left, beside, values, colour, None, markers[name], joined=True)
            lost = some.lost.mean("seed").values
            plotting.means(right, lost, values, colour, METHODS[name], markers[name])
        on_the_way = plain.imitation - plain.final_imitation
        right.plot(
            on_the_way.mean("seed"),
            plain.preference.mean("seed"),
            color="#000000",
            lw=1,
            label="undefended, training less",
        )
        left.set(xlabel="share of the text changed", title=plotting.caption(dataset))
        right.set(xlabel="imitation lost, nat a token")
        for ax in (left, right):
            ax.set(ylabel="preference, held-out phrasings", ylim=(0, 1))
        plotting.legend_beside(right)
    return fig


if __name__ == "__main__":
    cli.main("owl_defence", __doc__, PRESETS, run, plot)
