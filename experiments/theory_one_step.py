"""Theorem 1 measured: a student's first step against its teacher's, exactly, and its range.

A teacher takes one gradient step of rate eps on its labels, a student one on imitating the teacher's
auxiliary logits on noise: to first order the inner product of the two steps is
E[(J dT)^T M (J dT)] >= 0, if both share an initialisation (`toymodels.theory.one_step`). Measured are
the error of this identity as eps grows, and how the cosine of the two steps falls with the overlap
rho of the initialisations, with the number of the teacher's steps, and with the number of the
student's. Last, a search over inputs for a student that moves away from its teacher, under the
theorem's conditions and with one of them dropped. Protocol: Cloud et al., Nature 652, 615-621
(2026), MNIST experiment, with plain SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Config(tm.NetworkFields, tm.RateFields, tm.EpochFields, tm.ImageConfig):
    """The fields of this experiment."""

    m: Annotated[int, tm.Range(2)] = 3
    """Number of auxiliary logits."""
    eps: tm.Rates = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    """Rates of the teacher's single step, by gradient descent on ``probe_images``."""
    rho: Annotated[tuple[float, ...], tm.Range(-1, 1), tm.Includes((1,))] = (
        *(1.0, 0.98, 0.9, 0.8, 0.5, 0.0),
    )
    """Overlaps of the student's initialisation with the teacher's."""
    loss: tuple[Literal["kl", "mse"], ...] = ("kl", "mse")
    """Imitation losses: KL(teacher || student) of the softmax, or squared error of the logits."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, reused in every epoch."""
    noise_images: tm.Count = 1000
    """Number of distillation inputs: images of U(-1, 1) noise."""
    teacher_epochs: tm.Count = 4
    """Number of passes of the teacher over the training images, where it takes many steps."""
    student_epochs: tm.Count = 16
    """Number of passes of the students over the distillation inputs, where they take many steps."""
    teacher_lr: tm.Rate = 0.01
    """Learning rate of the teacher's many steps, by plain SGD, and of its one step in the search."""
    student_lr: tm.Rate = 0.03
    """Learning rate of the students' many steps, by plain SGD."""
    probe_images: tm.Count = 1024
    """Number of training images on which the teacher takes its single step."""
    search_images: tm.Count = 16
    """Number of images that the search moves; it starts from noise."""
    search_steps: tm.Count = 60
    """Number of steps of the search; the first moves every pixel by 0.1, the last by 0.01."""

    def steps(self, epochs: int, images: int) -> list[int]:
        """The steps of a training that are recorded: powers of two, and the last."""
        last = epochs * -(-images // self.batch)
        return sorted({last, *(2**i for i in range(last.bit_length()))})


PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(
        dataset="mnist",
        seeds=10,
        eps=(1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
        rho=(1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.65, 0.5, 0.25, 0.0),
    ),
}

VARIABLES = {
    "cosine": (("eps",), "1", "cosine of the student's first step with the teacher's one step"),
    "identity": (("eps",), "1", "inner product of both, over the theorem's quadratic form"),
    "limit": ((), "1", "cosine of both as eps goes to 0, where the student starts"),
    "first": (("teacher_step",), "1", "cosine of the student's first step with the teacher's path"),
    "path": (("student_step",), "1", "cosine of the student's path with the trained teacher's"),
    "searched": (
        ("imitation", "case", "when"),
        "1",
        "cosine of both first steps on noise, and the smallest found over inputs",
    ),
}


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """The teachers and the search of every seed; a student for every loss and overlap."""
    import jax
    import jax.numpy as jnp
    import optax

    config, task, data = tm.tasks.load(config, data_dir)
    network = tm.perceptron(config, task)
    protocol = tm.protocol.reference_protocol(config.at(loss="mse"), task, network)
    imitated = tm.auxiliary_logits(task.n_classes, config.m)
    losses = [tm.losses.imitation(name, config.temperature) for name in config.loss]
    rotate = tm.rotation(network.init)
    teacher_steps = config.steps(config.teacher_epochs, len(data.train[0]))
    student_steps = config.steps(config.student_epochs, config.noise_images)

    def scale(tree: tm.Params, factor: Any) -> tm.Params:
        return jax.tree.map(lambda a: factor * a, tree)

    def prepare(data: Any, seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        keys, loss = tm.protocol.seed_keys(seed), protocol.trait.loss
        reference = network.init(keys.init)
        images = tuple(a[: config.probe_images] for a in data.train)
        step = tm.one_step.gradient_step(lambda p: loss(p, images), reference, 1.0)
        _, path = tm.train(
            loss,
            reference,
            tm.sample_rows(data.train, config.batch, 1),
            optax.sgd(config.teacher_lr),
            epochs=teacher_steps[-1],
            observe=lambda params: params,
            key=keys.teacher,
            record=teacher_steps,
        )
        displacements = jax.tree.map(lambda a: a[1:] - a[0], path)
        inputs = protocol.noise(keys.noise, config.noise_images)
        cosines = tm.counterexamples.search(
            network,
            lambda rho: rotate(reference, keys.relation, rho),
            scale(step, config.teacher_lr),
            protocol.noise(keys.probe, config.search_images),
            losses,
            imitated,
            config.search_steps,
        )
        return (reference, step, displacements, inputs, keys), {"searched": cosines}

    def student(
        data: Any, shared: Any, imitation: jax.Array, rho: jax.Array
    ) -> dict[str, jax.Array]:
        reference, step, displacements, inputs, keys = shared
        start = rotate(reference, keys.relation, rho)
        loss = tm.losses.one_of(losses, imitation)

        def compare(step: tm.Params) -> tm.one_step.FirstStep:
            return tm.one_step.first_step(network, start, reference, step, inputs, loss, imitated)

        single = jax.lax.map(lambda eps: compare(scale(step, eps)), jnp.array(config.eps))
        teacher = jax.tree.map(lambda a, d: a + d[-1], reference, displacements)
        _, path = tm.distillation.distil(
            network,
            start,
            tm.sample_rows((inputs, network.apply(teacher, inputs)), config.batch, 1),
            loss,
            imitated,
            optax.sgd(config.student_lr),
            epochs=student_steps[-1],
            observe=lambda p: tm.alignment.displacement_cosine(p, start, teacher, reference),
            key=keys.student,
            record=student_steps,
        )
        return {
            "cosine": single.cosine,
            "identity": single.inner / single.inner_theory,
            "limit": tm.one_step.limit_cosine(network, start, step, inputs, loss, imitated),
            "first": jax.lax.map(lambda step: compare(step).cosine, displacements),
            "path": path[1:],
        }

    return tm.Sweep(
        lambda: tm.Program(prepare, student),
        config=config,
        points={"imitation": tm.label_axis(config.loss), "rho": config.rho},
        variables=VARIABLES,
        coords={
            "eps": list(config.eps),
            "teacher_step": teacher_steps,
            "student_step": student_steps,
            "case": list(tm.counterexamples.CASES),
            "when": ["noise", "searched"],
        },
        task=task,
        data=data,
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """Where the identity holds, how alignment falls, and what the search found."""
    runs = tm.succeeded(runs).transpose("seed", ...)
    smallest = runs.searched.sel(when="searched", drop=True)
    first, path = (runs[name].sel(rho=1.0, drop=True) for name in ("first", "path"))
    sentences = [sentence for loss in runs.imitation.values for sentence in count_steps(runs, loss)]
    return [
        *sentences,
        *compare_overlaps(runs.cosine),
        *tm.compare(
            "Cosine of the student's first step with its teacher's path, rho = 1",
            first.isel(teacher_step=[0, -1]),
        ),
        *tm.compare(
            "Cosine of the student's path with its trained teacher's, rho = 1",
            path.isel(student_step=[0, -1]),
        ),
        *tm.compare("Cosine of both first steps on noise", runs.searched.sel(when="noise")),
        *tm.compare("Smallest cosine of both first steps that the search found", smallest),
    ]


def count_steps(runs: xr.Dataset, loss: str) -> list[str]:
    """The error of the identity, and how often a student moves away from its teacher."""
    runs = runs.sel(imitation=loss)
    error, smallest = abs(runs.identity.sel(rho=1.0) - 1), runs.searched.sel(when="searched")
    errors = [f"{eps:g}: {scientific(error.sel(eps=eps))}" for eps in sorted(runs.eps.values)]
    negative = [f"{rho:g}: {count_negative(runs.cosine.sel(rho=rho))}" for rho in runs.rho.values]
    cases = [f"{case}: {count_negative(smallest.sel(case=case))}" for case in runs.case.values]
    return [
        f"{loss}, shared init: mean relative error of the identity by eps {', '.join(errors)}.",
        f"{loss}: first steps away from the teacher (of every eps and seed), by overlap "
        f"{', '.join(negative)}.",
        f"{loss}: seeds with a negative cosine after the search, by case {', '.join(cases)}.",
    ]


def scientific(values: xr.DataArray) -> str:
    """A mean over seeds that spans orders of magnitude, with its number of seeds."""
    known = values.dropna("seed")
    return f"{float(known.mean()):.1e} (n = {known.size})" if known.size else "unknown (n = 0)"


def count_negative(values: xr.DataArray) -> str:
    """How many of the values that are known are negative."""
    return f"{int((values < 0).sum())} of {int(values.notnull().sum())}"


def compare_overlaps(cosine: xr.DataArray) -> list[tm.Finding]:
    """The cosine at overlap 1, and what share of it remains at other overlaps.

    At a tiny step any mismatch of the initialisations outweighs what the teacher has learnt; at a
    larger step it does not. There is no share of a cosine that is not shown to be above zero.
    """
    findings = []
    for name, part in tm.points(cosine, "rho"):
        whole, at = part.sel(rho=1.0), f"{name}, " if name else ""
        rows = tm.compare("Cosine of both first steps", whole)
        findings += [row._replace(at=f"{at}rho = 1") for row in rows]
        if tm.interval(whole).sign > 0:
            quantity = "Cosine of both first steps over that at rho = 1"
            findings += [
                tm.Finding(quantity, f"{at}rho = {rho:g}", tm.ratio(part.sel(rho=rho), whole))
                for rho in part.rho.values
                if rho != 1
            ]
    return findings


def figure(runs: xr.Dataset) -> Figure:
    """The identity, cosines by eps, by overlap and by steps, and what the search found."""
    valid = tm.succeeded(runs).transpose("seed", ...)
    smallest = min(valid.rho.values)
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(13, 6.6, [1, 1, 1.2], rows=2)
        for i, imitation in enumerate(valid.imitation.values):
            part, colour = valid.sel(imitation=imitation), tm.plotting.PALETTE[(1, 4)[i]]
            name = {"kl": "KL", "mse": "MSE"}[str(imitation)]
            draw(axes[0], abs(part.identity.sel(rho=1.0) - 1), "o-", name, colour)
            for rho, fmt in ((1.0, "o-"), (smallest, "o:")):
                at, label = part.sel(rho=rho), f"{name}, rho = {rho:g}"
                draw(axes[1], at.cosine, fmt, label, colour)
                draw(axes[3], at["first"], fmt, label, colour)
                draw(axes[4], at.path, fmt, label, colour)
            limit = float(part.limit.sel(rho=1.0).mean())
            axes[1].axhline(limit, color=colour, lw=0.8, ls="--", label=f"{name}, eps to 0")
            draw_overlaps(axes[2], part.cosine.mean("seed"), name, ("-", "--")[i])
            rows = np.arange(valid.sizes["case"]) + 0.16 * (1 - 2 * i)
            for stage, face in (("noise", "white"), ("searched", colour)):
                x, label = part.searched.sel(when=stage).values, f"{name}, {stage}"
                y = np.broadcast_to(rows, x.shape).ravel()
                axes[5].plot(x.ravel(), y, "o", ms=3.5, mec=colour, mfc=face, label=label)
        slope = valid.eps / max(valid.eps.values)
        axes[0].plot(valid.eps, slope, color="grey", lw=0.8, label="slope 1")
        for ax in axes[:2]:
            ax.set(xscale="log", xlabel="eps: rate of the teacher's one step")
        axes[0].set(yscale="log", ylabel="relative error of the identity")
        axes[1].set_ylabel("cosine of both first steps")
        tm.plotting.overlap_axis(axes[2])
        axes[2].set_ylabel("cosine of both first steps, mean over seeds")
        axes[3].set(xscale="log", xlabel="teacher's steps", ylabel="student's first step, cosine")
        axes[4].set(xscale="log", xlabel="student's steps", ylabel="student's path, cosine")
        axes[5].set_yticks(range(valid.sizes["case"]), [str(case) for case in valid.case.values])
        axes[5].set(xlabel="cosine of both first steps", title="search over inputs for the least")
        axes[5].invert_yaxis()
        for ax in axes[1:5]:
            ax.axhline(0, color="black", lw=0.8, ls=":")
        axes[5].axvline(0, color="black", lw=0.8, ls=":")
        for ax in (axes[0], axes[1], axes[5]):
            ax.legend(fontsize=7)
        axes[0].set_title(tm.plotting.caption(runs))
    return fig


def draw(ax: Axes, array: xr.DataArray, fmt: str, label: str, colour: str) -> None:
    """A line (seed, x) with its band."""
    x = array[array.dims[1]]
    tm.plotting.band(ax, x, array.values, fmt, colour=colour, ms=3.5, label=label)


def draw_overlaps(ax: Axes, cosine: xr.DataArray, name: str, style: str) -> None:
    """The cosine (rho, eps) against the overlap, a line for every size of the teacher's step."""
    from matplotlib import colormaps

    angle, eps = np.degrees(np.arccos(cosine.rho.values)), np.sort(cosine.eps.values)
    for i, size in enumerate(eps):
        colour = colormaps["viridis"](0.95 * i / max(len(eps) - 1, 1))
        label = f"eps = {size:g}" if style == "-" else None
        line = cosine.sel(eps=size).transpose("rho")
        ax.plot(angle, line, style, color=colour, lw=1.2, ms=3, marker="o", label=label)
    ax.plot([], [], style, color="black", lw=1.2, label=name)
    ax.legend(fontsize=7, ncols=2)


HEADLINE = ("limit", "cosine", "identity", "searched")
STUDY = tm.Study(
    "theory_one_step", __doc__, PRESETS, sweep, lambda runs: runs, findings, figure, HEADLINE
)

if __name__ == "__main__":
    STUDY.main()
