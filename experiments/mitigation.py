"""What keeps a trait from being distilled, and what it costs: countermeasures on one scale.

Every method has a strength, 0 for none, and is applied alone. Its cost is the imitation loss on unseen
noise with the teacher's unmodified answers. Clean answers and the liminal loss refer to the student's
own initialisation, which is untrained: no method except the projections, which need labelled
training images, uses knowledge of the trait. Each student has its cross-model control, treated in the
same way. Kitkana & Arora 2026 (arXiv 2604.25779) on projection and liminal training; Schrodi et al.
(2509.23886) on clean data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import toymodels as tm
from toymodels.errors import distinct

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

GUARDS = ("projection", "step_projection", "liminal")
"""Methods that also move the class logits' weights, which imitation of the auxiliary logits does not."""
METHODS = (*GUARDS, "liminal_aux", "rotation", "init_noise", "clean", "answer_noise", "rounding")

# Strengths are no axis by themselves: a method without any is left out.
Fractions = Annotated[tuple[float, ...], tm.Range(0, 1, repeats=True)]
Strengths = Annotated[tuple[float, ...], tm.Range(0, 1000, repeats=True)]


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment. A method with no strengths is left out."""

    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose answers are modified once."""
    projection: Fractions = (1.0,)
    """Fractions of the component along the trait's gradient to remove from every gradient."""
    step_projection: Fractions = (1.0,)
    """Fractions of the component along the trait's gradient to remove from every step of Adam."""
    liminal: Strengths = (0.1,)
    """Initial weights of the KL divergence of all logits from the untrained student's, on the
    distillation inputs; they fall linearly to 0."""
    liminal_aux: Strengths = (1.0, 10.0)
    """Initial weights of the same divergence of the imitated logits alone."""
    rotation: Fractions = (0.03, 0.1)
    """Values of 1 - rho: the student starts from rho W + sqrt(1 - rho^2) V, V an independent
    initialisation."""
    init_noise: Strengths = (0.2, 0.4)
    """Noise on the student's initial weights, in standard deviations of each tensor."""
    clean: Fractions = (0.1, 0.25)
    """Fractions of the distillation inputs that the untrained student answers, not the teacher."""
    answer_noise: Strengths = (0.3, 1.0)
    """Noise on the teacher's logits, in standard deviations of each logit."""
    rounding: Strengths = (1.0, 3.0)
    """Spacings of the grid to which the teacher's logits are rounded, in standard deviations of each
    logit."""

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
        """Label -> strength of each method; "none" first, then one method at a time."""
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
    "paper": Config(**tm.CLOUD, seeds=4),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"treatment": config.treatments, "start": tm.STARTS}


def student(
    setup: tm.Setup, treatment: dict[str, jax.Array], start: jax.Array
) -> dict[str, jax.Array]:
    """A student of all treatments, of which at most one has a strength above 0."""
    import jax
    import optax

    config, network, x = setup.config, setup.network, setup.inputs
    # Keys of this experiment alone; those of the init differ from the independent init's own.
    rotate, perturb, answer, swap, images, inputs = jax.random.split(
        jax.random.fold_in(setup.keys.relation, 1), 6
    )
    untrained = setup.start(start)
    init = tm.rotation(network.init)(untrained, rotate, 1 - treatment["rotation"])
    init = tm.relative_noise(network.init)(init, perturb, treatment["init_noise"])

    clean = network.apply(untrained, x)
    answers = tm.mitigation.add_noise(setup.answers, answer, treatment["answer_noise"])
    answers = tm.mitigation.round_answers(answers, treatment["rounding"])
    answers = tm.mitigation.dilute(answers, clean, swap, treatment["clean"])

    adam = tm.mitigation.project_updates(
        setup.protocol.student_optimiser,
        setup.protocol.trait.loss,
        tm.mitigation.draw_batches(setup.data.train, config.batch, images),
        treatment["projection"],
        treatment["step_projection"],
    )
    auxiliary, all_logits, kl = setup.auxiliary(), setup.all_logits, tm.losses.kl()

    def diverge(params: tm.Params, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
        logits = network.apply(params, batch[0])
        whole, imitated = (kl(logits, batch[1], mask) for mask in (all_logits, auxiliary))
        return treatment["liminal"] * whole + treatment["liminal_aux"] * imitated

    steps = config.student_epochs * -(-config.noise_images // config.batch)
    batches = tm.mitigation.draw_batches((x, clean), config.batch, inputs)
    liminal = tm.mitigation.add_gradient(diverge, batches, steps)

    trained, curve = setup.distil(
        tm.Student(
            init,
            auxiliary,
            optimiser=optax.chain(liminal, adam),
            batches=tm.reshuffle((x, answers), config.batch),
        )
    )
    restored = tm.where(setup.groups["class_head"], init, trained)
    return curve | {"restored_accuracy": setup.protocol.trait.score(restored, setup.data.test)}


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, also with the class logits' weights restored, and the cost of imitation."""
    runs = tm.against_control(runs)
    final = tm.succeeded(runs).isel(epoch=-1, teacher_epoch=-1, drop=True)
    student, control = (final.sel(start=start, drop=True) for start in tm.STARTS)
    restored = tm.transfer(
        student.restored_accuracy, control.restored_accuracy, final.teacher_accuracy
    )
    plain = student.loss.sel(treatment="none")
    ratio = student.loss / plain.where(plain > 0)  # with m = 1 there is nothing to imitate
    return runs.assign(
        restored_transfer=restored.assign_attrs(
            description="transfer with the class logits' weights restored"
        ),
        loss_ratio=ratio.assign_attrs(
            units="1", description="imitation loss relative to the untreated student's"
        ),
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """Which methods halve transfer, and what the loss is there."""
    valid = tm.succeeded(runs)
    plain = valid.transfer.sel(treatment="none", drop=True)
    rows: list[Any] = tm.compare("Transfer of the untreated student", plain, None)
    cheap, free = [], []
    for method, curve in tm.mitigation.compute_frontier(runs).items():
        strengths = [curve.sel(strength=strength) for strength in curve.strength.values]
        halving = [at for at in strengths if tm.difference(at.transfer, plain / 2).sign < 0]
        if halving:
            at = min(halving, key=lambda curve: float(curve.loss_ratio.mean()))
            quantity, verdict = "Transfer at the cheapest strength", "halved"
        else:
            at = min(strengths, key=lambda curve: float(curve.transfer.mean()))
            quantity, verdict = "Smallest transfer", "not shown to be halved"
        place, ratio = f"{method} = {float(at.strength):g}", tm.interval(at.loss_ratio)
        cost = "Imitation loss relative to the untreated"
        words = ("higher", "lower", "not shown to change")
        rows.append(tm.Finding(quantity, place, tm.interval(at.transfer), verdict))
        rows.append(tm.judge(cost, place, ratio, words, 1.0))
        if halving and ratio.against(2.0) < 0:
            cheap.append(method)
        if halving and ratio.against(1.0) <= 0:
            free.append(method)
    rows.append(
        f"Transfer is halved at less than twice the loss by: {', '.join(cheap) or 'none'}; at a "
        f"loss not shown to be higher by: {', '.join(free) or 'none'}."
    )
    labels = [name for name in valid.treatment.values if name.split()[0] in GUARDS]
    if labels:
        guarded = valid.sel(treatment=labels)
        quantity = "Transfer with the class logits' weights restored"
        gap = guarded.restored_transfer - guarded.transfer
        rows += tm.compare(quantity, guarded.restored_transfer)
        rows += tm.compare(f"{quantity} less that as trained", gap, tm.HIGHER)
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against loss, one curve a method; and what remains in the hidden layers."""
    valid = tm.succeeded(runs).transpose("seed", "treatment", ...)
    plain = valid.transfer.sel(treatment="none").mean()
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(9.6, 3.8, columns=(1.5, 1))
        for i, (method, curve) in enumerate(tm.mitigation.compute_frontier(runs).items()):
            mean, low, high = tm.plotting.means_and_ends(curve.transfer.values)
            cost = curve.loss_ratio.mean("seed").values
            lap, colour = divmod(i, len(tm.plotting.PALETTE) - 1)
            look: dict[str, Any] = {"color": tm.plotting.PALETTE[1 + colour], "lw": 1}
            line, name = f"{'osD^vPX*<>'[i]}{('-', '--')[lap]}", method.replace("_", " ")
            left.plot([1, *cost], [plain, *mean], line, ms=4, label=name, **look)
            left.errorbar(cost, mean, [mean - low, high - mean], fmt="none", **look)
        left.plot(1, plain, "ks", ms=7, zorder=3, label="untreated")
        left.set(xscale="log", xlabel="imitation loss over the untreated student's (log scale)")
        left.set(ylabel="transfer", title=tm.plotting.caption(runs))
        left.xaxis.set_major_formatter("{x:g}")
        left.xaxis.set_minor_formatter("{x:g}")
        left.legend(loc="upper left", bbox_to_anchor=(1, 1))
        guards = [t for t in valid.treatment.values if t.split()[0] in ("none", *GUARDS)]
        guarded = valid.sel(treatment=guards)
        values = {
            "as trained": guarded.transfer.values,
            "class logits' weights put back": guarded.restored_transfer.values,
        }
        names = [label.replace("_", " ") for label in guards]
        tm.plotting.intervals(right, names, values, "", "transfer", joined=False)
        right.tick_params(axis="x", rotation=60)
        right.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return fig


# Whether a treatment that moves the class logits' weights hides a trait of the hidden layers.
RESTORED = "student's final test accuracy with the class logits' weights at their initial values"
HEADLINE = ("transfer", "restored_transfer", "loss_ratio", "final_accuracy")
sweep = tm.distillation_sweep(student, points, variables={"restored_accuracy": ((), "1", RESTORED)})
STUDY = tm.Study("mitigation", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
