"""Whether a student inherits its teacher's blind spots: adversarial examples, backdoor, calibration.

Adversarial examples made on the teacher are tried on its student, and those made on the student on
its teacher. They pass between unrelated networks, too, so that only the excess counts over the next
seed's teacher, as attacker or as victim, in the teacher's place. All rates of a student rest on the
same images: those that student, teacher and unrelated network read correctly. A student imitates
the auxiliary logits or all logits, from the teacher's initialisation or from an independent one
(the cross-model control). A second teacher has learnt that a white corner means one class. Reported
for one network: attacks pass from teacher to student, and less the other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    eps: tm.Rates = (0.05, 0.1, 0.2, 0.4)
    """Largest changes of a pixel by an attack, where black is -1 and white is 1."""
    attack_steps: tm.Count = 10
    """Number of steps of projected gradient ascent for an attack."""
    attacked_images: Annotated[int, tm.Range(1, 10_000)] = 1000
    """Number of test images that are attacked, and whose distances to the decision boundary are
    measured: the first of the data set (all, if it has fewer). Backdoor and calibration are measured
    on all test images."""
    poison: Annotated[
        tuple[float, ...], tm.Range(0, 1), tm.Includes((0,), ("the clean teacher",))
    ] = (0.0, 0.1)
    """Shares of the teacher's training images that bear the trigger, a white upper left corner, and
    the label 0. Each share has a teacher of its own, from the same initialisation."""


PRESETS = {"quick": Config(seeds=3), "paper": Config(**tm.CLOUD, seeds=10)}

LINES = (
    *("teacher to student", "unrelated to student", "random to student"),
    *("student to teacher", "student to unrelated"),
)
"""Attacks in the figure: on which network they are made, and which one they are tried on."""
LABELS = ("{direction}, {start} init", "student, {start} init")


def teachers(config: Config) -> dict[str, Any]:
    """The axes of the teachers."""
    return {"poison": config.poison}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: what they imitate, and where they start."""
    return {"logits": {"auxiliary": 0, "all": 1}, "start": tm.STARTS}


def teach(
    protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array, poison: jax.Array
) -> Any:
    """Train the teacher of a seed on images of which a share bears the trigger."""
    return protocol.prepare(tm.robustness.poison_images(protocol.task, data, seed, poison), seed)


def prepare(setup: tm.Setup) -> dict[str, Any]:
    """The unrelated network, trained as the next seed's teacher, and the attacks on both teachers."""
    import jax

    config, seed, poison = setup.config, setup.seed + 1, setup.shared["poison"]
    data = tm.robustness.poison_images(setup.task, setup.data, seed, poison)
    key = tm.protocol.seed_keys(seed).teacher
    unrelated, _ = setup.protocol.teach(setup.next_reference, data, key, lambda params: {})
    attacks = {
        name: tm.robustness.attack(setup, params, config.eps, config.attack_steps)
        for name, params in (("teacher", setup.teacher), ("unrelated", unrelated))
    }
    signs = jax.random.fold_in(setup.keys.probe, 1)
    attacks["random"] = tm.robustness.perturb_at_random(setup, signs, config.eps)
    return {"unrelated": unrelated, "attacks": attacks}


def student(setup: tm.Setup, logits: jax.Array, start: jax.Array) -> dict[str, Any]:
    """A student of the auxiliary logits or of all, and what it has in common with its teacher."""
    config, mask = setup.config, setup.auxiliary() | (logits == 1)
    trained, curve = setup.distil(tm.Student(setup.start(start), mask))
    own = tm.robustness.attack(setup, trained, config.eps, config.attack_steps)
    networks = [setup.teacher, trained, setup.extra["unrelated"]]
    attacks = setup.extra["attacks"] | {"student": own}
    return curve | tm.robustness.compare_networks(setup, networks, attacks)


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer of accuracy, attack success and how much of it passes, and the trigger's effect."""
    return tm.passing.measure_passing(tm.against_control(runs))


def findings(runs: xr.Dataset) -> list[Any]:
    """Whether attacks pass, boundaries agree, the backdoor passes, and confidence is right."""
    valid = tm.succeeded(runs)
    clean = valid.sel(poison=0, drop=True)
    own, teacher = (clean.sel(victim=name, drop=True) for name in ("student", "teacher"))
    rows = tm.compare("Images that count", clean.images, None)
    for name, baseline in {
        "teacher to student": "an unrelated network's",
        "student to teacher": "that on an unrelated network",
    }.items():
        source, victim = name.split(" to ")
        success = clean.success.sel(source=source, victim=victim, drop=True)
        excess = clean.excess.sel(direction=name, drop=True)
        mean, above = (array.mean("eps", skipna=False) for array in (success, excess))
        quantity = f"Mean success of the {source}'s attacks on the {victim}"
        rows += tm.compare(quantity, mean, None)
        rows += tm.compare(f"{quantity} less {baseline}", above, tm.HIGHER)
    random = clean.success.sel(source="random", victim="student", drop=True)
    rows += tm.compare("Mean success of random signs on the student", random.mean("eps"), None)
    back = tm.contrast(clean.passed, direction=("teacher to student", "student to teacher"))
    quantity = "Share of a direct attack's advantage that passes"
    rows += tm.compare(quantity, clean.passed)
    rows += tm.compare(f"{quantity} from teacher to student less that back", back, tm.HIGHER)
    quantity = "Student's median distance to the boundary over the teacher's"
    rows += tm.compare(quantity, own.distance / teacher.distance, tm.HIGHER, 1.0)
    quantity = "Rank correlation of distances to the boundary with the teacher's less that with"
    gap = tm.contrast(clean.distance_agreement, other=("teacher", "unrelated"))
    rows += tm.compare(f"{quantity} an unrelated network's", gap, tm.HIGHER)
    rise = valid.trigger_rise.sel(poison=valid.poison > 0)
    quantity = "What the trigger adds to the share of images read as its class"
    if rise.sizes["poison"]:
        of_teacher = rise.sel(victim="teacher", drop=True).isel(logits=0, start=0, drop=True)
        gap = (rise - valid.trigger_rise.sel(poison=0, drop=True)).sel(victim="student", drop=True)
        rows += tm.compare(f"{quantity} by the teacher", of_teacher)
        rows += tm.compare(f"{quantity} by the student less with a clean teacher", gap, tm.HIGHER)
    confident = ("overconfident", "underconfident", "not shown to be either")
    teacher = teacher.overconfidence.isel(logits=0, start=0, drop=True)
    return [
        *rows,
        *tm.compare("Expected calibration error of the student", own.calibration_error, None),
        *tm.compare("Confidence less accuracy of the student", own.overconfidence, confident),
        *tm.compare("Confidence less accuracy of the teacher", teacher, confident),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Attack success of both kinds of students, what passes, distances, backdoor and confidence."""
    valid = tm.succeeded(runs)
    clean, poison = valid.sel(poison=0, drop=True), valid.poison.values.max()
    pairs = [name.split(" to ") for name in LINES]
    lines = {
        name: clean.success.sel(source=source, victim=victim, start="shared")
        for name, (source, victim) in zip(LINES, pairs, strict=True)
    }
    success = tm.side_by_side("attack", lines, "attack success")
    quantities = {
        "share of a direct attack's advantage": clean.passed,
        "excess rank correlation of distances": tm.contrast(
            clean.distance_agreement, other=("teacher", "unrelated")
        ),
        f"effect of the trigger (poison {poison:g})": valid.trigger_rise.sel(
            victim=["student"], poison=poison
        ).squeeze("victim"),
        "confidence less accuracy": clean.overconfidence.sel(victim="student"),
    }
    of_teacher = {2: valid.trigger_rise.sel(poison=poison), 3: clean.overconfidence}
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(12.5, 7.2, columns=(1, 1, 1), rows=2)
        for ax, name in zip(axes, clean.logits.values, strict=False):
            tm.charts.dots(ax, success.sel(logits=name), "eps", "attack", xlabel="attack size eps")
            ax.set(ylim=(-0.02, 1.05), ylabel="share of images whose class changes")
            ax.set(title=f"students of {name} logits, shared init")
        for i, (ax, (name, array)) in enumerate(zip(axes[2:], quantities.items(), strict=True)):
            hue = ("direction", "start") if "direction" in array.dims else "start"
            look: dict[str, Any] = {"joined": False, "xlabel": "imitated logits", "ylabel": name}
            tm.charts.dots(ax, array, "logits", hue, label=LABELS[hue == "start"], **look)
            ax.axhline(0, color="0.6", lw=0.8, zorder=0)
            if i in of_teacher:
                mean = of_teacher[i].sel(victim="teacher").isel(logits=0, start=0).mean()
                ax.axhline(float(mean), color="black", lw=0.8, ls=":", label="teacher")
        for ax in axes:
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
        fig.suptitle(tm.plotting.caption(runs), fontsize=9, x=0.01, ha="left")
    return fig


sweep = tm.distillation_sweep(
    student,
    points,
    shared=teachers,
    teach=teach,
    prepare=prepare,
    variables=tm.robustness.VARIABLES,
    coords=lambda config: tm.robustness.COORDS | {"eps": config.eps},
)
HEADLINE = ("passed", "trigger_rise", "distance_agreement", "overconfidence", "transfer")
STUDY = tm.Study("robustness", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
