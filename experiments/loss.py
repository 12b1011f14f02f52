"""What the student sees of the teacher's logits, and which loss it descends.

All students of a seed imitate the auxiliary logits of one teacher on the same noise. A student sees
the logits themselves (KL at several temperatures, squared error, or KL of the joint softmax with
the class logits), or only labels sampled from their softmax (once for each input, like the tokens
of a language model), or the largest logit, or the sign of each. Each student has its cross-model
control. Protocol: Cloud et al., Nature 652, 615-621 (2026), MNIST experiment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

LOSSES = ("kl", "mse", "labels", "bits")


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment. ``loss`` and ``temperature`` are those of the imitation loss on
    unseen noise, which is the same for all students."""

    temperatures: Annotated[tm.Rates, tm.Includes((1,))] = (0.3, 1.0, 3.0, 10.0)
    """Temperatures of the KL losses; 1 is required."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose labels are sampled once."""
    draws: Annotated[tuple[int, ...], tm.Range(1, 2**20)] = (1, 10, 100)
    """Numbers of labels sampled for each input."""


PRESETS = {"quick": Config(seeds=3), "paper": Config(**tm.CLOUD, seeds=10)}

PUBLISHED = {"KL": 0.451, "MSE": 0.566}
"""Accuracy at 50,000 training images, otherwise the reference protocol (replications)."""


def label_kl(temperature: float) -> str:
    """Name of KL at a temperature."""
    return "KL" if temperature == 1 else f"KL, T = {temperature:g}"


def answer_forms(config: Config) -> list[str]:
    """Names of the forms in which a student may see the teacher's answers."""
    return ["logits", "largest", "signs", *(f"{n} drawn" for n in config.draws)]


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: what a student sees and by which loss, and where it starts."""
    forms = answer_forms(config)

    def signal(
        form: str, loss: str, temperature: float = 1.0, class_logits: bool = False
    ) -> dict[str, Any]:
        numbers = {"form": forms.index(form), "loss": LOSSES.index(loss)}
        return {**numbers, "temperature": temperature, "class_logits": class_logits}

    signals = {
        "all logits": signal("logits", "kl", class_logits=True),
        "MSE": signal("logits", "mse"),
        **{label_kl(t): signal("logits", "kl", t) for t in sorted(config.temperatures)},
        **{form: signal(form, "labels") for form in forms[3:]},
        "largest": signal("largest", "labels"),
        "signs": signal("signs", "bits"),
    }
    return {"way": signals, "start": tm.STARTS}


def prepare(setup: tm.Setup) -> jax.Array:
    """The teacher's answers in every form: (forms, inputs, outputs)."""
    import jax
    import jax.numpy as jnp

    logits, auxiliary = setup.answers, setup.auxiliary()
    key = jax.random.fold_in(setup.keys.noise, 1)
    samples = [tm.sampled_labels(key, logits, auxiliary, n) for n in setup.config.draws]
    signs = (logits > 0).astype(logits.dtype)
    return jnp.stack([logits, tm.argmax_labels(logits, auxiliary), signs, *samples])


def student(setup: tm.Setup, way: dict[str, jax.Array], start: jax.Array) -> Any:
    """A student of one form of the answers by one loss; one measure serves all students."""
    losses = [tm.losses.kl(way["temperature"]), tm.losses.mse()]
    losses += [tm.losses.labels(), tm.losses.bits()]
    student = tm.Student(
        start=setup.start(start),
        logits=setup.auxiliary() | way["class_logits"],
        loss=tm.losses.one_of(losses, way["loss"]),
        batches=tm.reshuffle((setup.inputs, setup.extra[way["form"]]), setup.config.batch),
    )
    return setup.distil(student, observe=setup.watch())[1]


def findings(runs: xr.Dataset) -> list[Any]:
    """What transfers at all, and every student against that of KL at temperature 1."""
    valid = tm.succeeded(runs)
    accuracy = valid.final_accuracy.sel(start="shared", drop=True)
    rivals = [name for name in valid.way.values if name not in ("KL", "all logits")]
    gap = accuracy.sel(way=rivals) - accuracy.sel(way="KL", drop=True)
    return [
        *tm.compare("Transfer", valid.transfer),
        *tm.compare("Test accuracy less that by KL", gap, tm.HIGHER),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy of every student and its control, and through distillation."""
    runs = tm.succeeded(runs)
    names = runs.way.values.tolist()
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(10, 3.6, columns=(1.6, 1))
        accuracy = runs.final_accuracy.sel(start=["shared", "other"])
        tm.charts.dots(left, accuracy, "way", "start", label="{start} init", joined=False)
        teacher = float(runs.teacher_accuracy.isel(teacher_epoch=-1).mean())
        left.axhline(teacher, color="black", lw=0.8, ls=":")
        tm.charts.published(left, runs, names, PUBLISHED, label="published, 50,000 images")
        tm.plotting.slanted(left, 40)
        left.set(ylabel="test accuracy", ylim=(0, 1.05), title=tm.plotting.caption(runs))
        left.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
        main = [name for name in names if ", T" not in name and not name.endswith(" drawn")]
        tm.charts.lines(right, runs.accuracy.sel(way=main, start="shared"), "epoch", "way")
        right.set(xlabel="distillation epoch", ylim=(0, 1.05))
        tm.plotting.legend_beside(right)
    return fig


sweep = tm.distillation_sweep(student, points, prepare=prepare)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study(
    *("loss", __doc__, PRESETS, sweep, tm.against_control, findings, figure, HEADLINE),
    takes=tm.list_parts("imitation"),  # an axis
)

if __name__ == "__main__":
    STUDY.main()
