"""What keeps a trait from being distilled, and what it costs: countermeasures on one scale.

Every method has a strength, 0 for none, and is used alone. Cost: the imitation loss on unseen noise
with the teacher's true answers. "Clean" answers and the liminal pull come from the student's own
initialisation, which is untrained: no method but the projections, which need labelled training
images, knows the trait. Each student has its cross-model control, treated alike. Kitkana & Arora
2026 (arXiv 2604.25779) on projection and liminal training; Schrodi et al. (2509.23886) on clean
data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

GUARDS = ("projection", "step_projection", "liminal")
"""Methods that also move the class logits' weights, which imitation of the others never does."""
METHODS = (*GUARDS, "liminal_aux", "rotation", "init_noise", "clean", "answer_noise", "rounding")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; ``quick`` has fewer strengths. An empty method is left out."""

    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose answers are tampered with once."""
    projection: tuple[float, ...] = (1.0,)
    """Shares of the component along the trait's gradient taken out of every gradient."""
    step_projection: tuple[float, ...] = (1.0,)
    """Shares of the component along the trait's gradient taken out of every step of Adam."""
    liminal: tuple[float, ...] = (0.1,)
    """First weights of the KL divergence of all logits from the untrained student's, on the
    distillation inputs; they fall linearly to 0."""
    liminal_aux: tuple[float, ...] = (1.0, 10.0)
    """The same with the imitated logits alone."""
    rotation: tuple[float, ...] = (0.03, 0.1)
    """1 - rho: the student starts from rho W + sqrt(1 - rho^2) W', W' another initialisation."""
    init_noise: tuple[float, ...] = (0.2, 0.4)
    """Noise on the student's initial weights, in standard deviations of each tensor."""
    clean: tuple[float, ...] = (0.1, 0.25)
    """Shares of the distillation inputs that the untrained student answers, not the teacher."""
    answer_noise: tuple[float, ...] = (0.3, 1.0)
    """Noise on the teacher's logits, in standard deviations of each logit."""
    rounding: tuple[float, ...] = (1.0, 3.0)
    """Steps of the grid to which the teacher's logits are rounded, in the same unit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in METHODS:
            share = name in ("projection", "step_projection", "rotation", "clean")
            at_least(self, 0, name, most=1 if share else 1000)
            if 0 in getattr(self, name):
                raise UserError(f"{name} must not hold 0, which is always there; got 0 among them")
            if getattr(self, name):
                distinct(self, name)

    @property
    def treatments(self) -> dict[str, dict[str, float]]:
        """Label -> strength of each method; one of them at a time, and first none."""
        nothing = dict.fromkeys(METHODS, 0.0)
        single = ((name, strength) for name in METHODS for strength in getattr(self, name))
        return {"none": nothing} | {f"{n} {s}": nothing | {n: s} for n, s in single}


PRESETS = {
    "quick": Config(
        seeds=3,
        student_epochs=5,
        step_projection=(),
        liminal_aux=(),
        rotation=(0.1,),
        init_noise=(0.4,),
        clean=(0.25,),
        answer_noise=(1.0,),
        rounding=(3.0,),
    ),
    "paper": Config(**CLOUD, seeds=4),
}

RESTORED = "student's final test accuracy, the class logits' weights put back as they began"
VARIABLES = {"restored_accuracy": ((), "1", RESTORED)}
"""Dimensions (behind the axes), unit and meaning of what is recorded beside the usual: whether a
treatment that moves the class logits' weights covers a trait that the hidden layers have."""


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, treatment, start); see `toymodels.sweep` for ``options``."""
    import jax
    import optax

    from toymodels import sweep, trees
    from toymodels.inits import relations
    from toymodels.networks.models import MLP, Params, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import losses, mitigation, protocol, tasks
    from toymodels.training.distillation import all_logits, auxiliary_logits
    from toymodels.training.loop import reshuffle

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)
    subset, every = (f(task.n_classes, config.m) for f in (auxiliary_logits, all_logits))
    steps = config.student_epochs * -(-config.noise_images // config.batch)

    def student(
        data: tasks.Data,
        begun: protocol.Lesson,
        treatment: dict[str, jax.Array],
        start: jax.Array,
    ) -> dict[str, jax.Array]:
        # Keys of this experiment alone; those of the init differ from the unrelated init's own.
        rotate, perturb, answer, swap, images, inputs = jax.random.split(
            jax.random.fold_in(begun.keys.relation, 1), 6
        )
        own = parts.start(begun, start)
        init = relations.rotation(network.init)(own, rotate, 1 - treatment["rotation"])
        init = relations.relative_noise(network.init)(init, perturb, treatment["init_noise"])
        assert begun.answered is not None
        x, answers = begun.answered
        untrained = network.apply(own, x)
        answers = mitigation.noised(answers, answer, treatment["answer_noise"])
        answers = mitigation.rounded(answers, treatment["rounding"])
        answers = mitigation.diluted(answers, untrained, swap, treatment["clean"])
        adam = mitigation.projected(
            parts.student_optimiser,
            parts.trait.loss,
            mitigation.drawn(data.train, config.batch, images),
            treatment["projection"],
            treatment["step_projection"],
        )

        def apart(params: Params, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
            logits, kl = network.apply(params, batch[0]), losses.kl()
            whole, imitated = (kl(logits, batch[1], among) for among in (every, subset))
            return treatment["liminal"] * whole + treatment["liminal_aux"] * imitated

        recalled = mitigation.drawn((x, untrained), config.batch, inputs)
        pull = mitigation.pulled(apart, recalled, steps)
        one = replace(parts, student_optimiser=optax.chain(pull, adam))
        source = reshuffle((x, answers), config.batch)
        trained, curve = one.distil(init, begun, subset, parts.watch(data, begun, subset), source)
        restored = trees.where(parts.groups["class_head"], init, trained)
        return curve | {"restored_accuracy": parts.trait.score(restored, data.test)}

    dataset, execution = sweep.grid(
        lambda: sweep.Program(parts.prepare, student),
        shared={"seed": config.seed_list},
        points={"treatment": config.treatments, "start": numbered(protocol.STARTS)},
        variables={**tasks.TEACHER, **tasks.STUDENT, **VARIABLES},
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "transfer restored_transfer loss_ratio final_accuracy"
    return results.described(dataset, "mitigation", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add transfer, also with the class logits' weights put back, and what imitation costs."""
    from toymodels.stats import transfer
    from toymodels.stats.statistics import succeeded
    from toymodels.training import protocol

    dataset = transfer.against_control(dataset)
    last = succeeded(dataset).isel(epoch=-1, teacher_epoch=-1, drop=True)
    own, other = (last.sel(start=start, drop=True) for start in protocol.STARTS)
    restored = transfer.transfer(
        own.restored_accuracy, other.restored_accuracy, last.teacher_accuracy
    )
    plain = own.loss.sel(treatment="none")
    ratio = own.loss / plain.where(plain > 0)  # with m = 1 there is nothing to imitate
    about = "imitation loss over the untreated student's"
    return dataset.assign(
        restored_transfer=restored.assign_attrs(
            description="transfer: class logits' weights put back"
        ),
        loss_ratio=ratio.assign_attrs(units="1", description=about),
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """Which methods halve transfer, and what the loss is there."""
    from toymodels.stats.statistics import difference, mean_interval, succeeded
    from toymodels.training.mitigation import frontier

    done = succeeded(dataset)
    plain = done.transfer.sel(treatment="none", drop=True)
    told = [f"Untreated, transfer is {mean_interval(plain.values)}."]
    cheap: list[str] = []
    free: list[str] = []

    def least(among: list[xr.Dataset], of: str) -> xr.Dataset:
        return min(among, key=lambda one: float(one[of].mean()))

    for method, curve in frontier(dataset).items():
        each = [curve.sel(strength=s) for s in curve.strength.values]
        halving = [one for one in each if difference(one.transfer, plain / 2).sign < 0]
        at, how = least(each, "transfer"), "not shown to be halved, least"
        if halving:
            at, how = least(halving, "loss_ratio"), "halved, cheapest"
        left, ratio = mean_interval(at.transfer.values), at.loss_ratio.values
        change = mean_interval(ratio - 1).verdict("higher", "lower", "not shown to change")
        told.append(
            f"{method}: transfer is {how} at {float(at.strength):g}: {left}; the imitation loss "
            f"there is {change}, {mean_interval(ratio)} times the untreated."
        )
        if halving and mean_interval(ratio - 2).sign < 0:
            cheap.append(method)
        if halving and mean_interval(ratio - 1).sign <= 0:
            free.append(method)
    told.append(
        f"Transfer is halved at less than twice the loss by: {', '.join(cheap) or 'none'}; at a "
        f"loss not shown to be higher by: {', '.join(free) or 'none'}."
    )
    for label in map(str, done.treatment.values):
        if label.split()[0] in GUARDS:
            rest = done.sel(treatment=label)
            share = mean_interval(rest.restored_transfer.values)
            more = difference(rest.restored_transfer, rest.transfer)
            shown = share.verdict("above zero", "below zero", "not distinguishable from zero")
            word = more.verdict("more than", "less than", "not shown to differ from")
            told.append(
                f"{label}: with the class logits' weights put back, transfer is {shown}, {share}, "
                f"and {word} that as trained, by {more}."
            )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Trait kept against loss paid, one curve a method; and what the hidden layers still have."""
    from toymodels.stats import statistics
    from toymodels.study import plotting
    from toymodels.training.mitigation import frontier

    done = statistics.succeeded(dataset).transpose("seed", "treatment", ...)
    plain = done.transfer.sel(treatment="none").mean()
    with plotting.style():
        fig, (left, right) = plotting.panels(9.6, 3.8, columns=(1.5, 1))
        for i, (method, curve) in enumerate(frontier(dataset).items()):
            mean, low, high = plotting.means_and_ends(curve.transfer.values)
            cost = curve.loss_ratio.mean("seed").values
            lap, colour = divmod(i, len(plotting.PALETTE) - 1)
            look: dict[str, Any] = {"color": plotting.PALETTE[1 + colour], "lw": 1}
            line, name = f"{'osD^vPX*<>'[i]}{('-', '--')[lap]}", method.replace("_", " ")
            left.plot([1, *cost], [plain, *mean], line, ms=4, label=name, **look)
            left.errorbar(cost, mean, [mean - low, high - mean], fmt="none", **look)
        left.plot(1, plain, "ks", ms=7, zorder=3, label="untreated")
        left.set(xscale="log", xlabel="imitation loss over the untreated student's (log scale)")
        left.set(ylabel="transfer", title=plotting.caption(dataset))
        left.xaxis.set_major_formatter("{x:g}")
        left.xaxis.set_minor_formatter("{x:g}")
        left.legend(loc="upper left", bbox_to_anchor=(1, 1))
        guards = [t for t in done.treatment.values if t.split()[0] in ("none", *GUARDS)]
        kept = done.sel(treatment=guards)
        values = {
            "as trained": kept.transfer.values,
            "class logits' weights put back": kept.restored_transfer.values,
        }
        names = [label.replace("_", " ") for label in guards]
        plotting.intervals(right, names, values, "", "transfer", joined=False)
        right.tick_params(axis="x", rotation=60)
        right.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return fig


if __name__ == "__main__":
    cli.main("mitigation", __doc__, PRESETS, run, plot)
