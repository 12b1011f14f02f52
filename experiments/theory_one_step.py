"""Theorem 1 measured: a student's first step against its teacher's, exactly, and its range.

A teacher takes one gradient step of rate eps on its labels, a student one on imitating the teacher's
auxiliary logits on noise: to first order the inner product of the two steps is
E[(J dT)^T M (J dT)] >= 0, if both share an initialisation (`toymodels.theory.one_step`). Measured are
the error of this identity as eps grows, and how the cosine of the two steps falls with the overlap
rho of the initialisations, with the number of the teacher's steps, and with the number of the
student's. Between two initialisations there is a mismatch besides, which may point away from the
teacher; from eps* on, known before any step, the teacher's step outweighs it. Last, a search over
inputs for a student that moves away from its teacher, under the theorem's conditions and with one of
them dropped. Protocol: Cloud et al., Nature 652, 615-621 (2026), MNIST experiment, with plain SGD.
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
    "signal": ((), "1", "inner product of both steps that is due to the teacher's, over eps^2"),
    "mismatch": ((), "1", "inner product that is due to other initialisations, over -eps"),
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
        pair = network, start, reference

        def compare(step: tm.Params) -> tm.one_step.FirstStep:
            return tm.one_step.first_step(*pair, step, inputs, loss, imitated)

        alignment = tm.one_step.split_alignment(*pair, step, inputs, loss, imitated)
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
            **alignment._asdict(),
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


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add eps*, and whether it foretells on which side of a right angle each first step lies."""
    import xarray as xr

    valid = tm.succeeded(runs)
    crossing = xr.apply_ufunc(
        lambda *pair: np.asarray(tm.one_step.Alignment(*pair).crossing),
        *(valid.signal, valid.mismatch),
    )
    foretold = ((valid.eps > crossing) == (valid.cosine > 0)).mean("eps")
    known = valid.signal.notnull()
    about = "the teacher's eps from which on the student's first step points towards it; inf: none"
    share = "share of the eps at which eps* foretells the sign of the cosine of both first steps"
    return runs.assign(
        crossing=crossing.where(known).assign_attrs(units="1", description=about),
        foretold=foretold.where(known).assign_attrs(units="1", description=share),
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """Where the identity holds, how alignment falls, and what the search found."""
    runs = tm.succeeded(runs).transpose("seed", ...)
    shared, searched = runs.sel(rho=1.0, drop=True), runs.searched
    smallest = searched.sel(when="searched", drop=True)
    # At a tiny step any mismatch of the initialisations outweighs what the teacher has learnt; at a
    # larger step it does not.
    return [
        *(sentence for loss in runs.imitation.values for sentence in count_steps(runs, loss)),
        *tm.compare_remaining("Cosine of both first steps", runs.cosine, "rho"),
        *tm.compare(
            "Share of the eps at which eps* foretells the sign of the cosine", runs.foretold, None
        ),
        *tm.compare(
            "Cosine of the student's first step with its teacher's path, rho = 1",
            shared["first"].isel(teacher_step=[0, -1]),
        ),
        *tm.compare(
            "Cosine of the student's path with its trained teacher's, rho = 1",
            shared.path.isel(student_step=[0, -1]),
        ),
        *tm.compare("Cosine of both first steps on noise", searched.sel(when="noise")),
        *tm.compare("Smallest cosine of both first steps that the search found", smallest),
    ]


def count_steps(runs: xr.Dataset, loss: str) -> list[str]:
    """The error of the identity, and how often a student moves away from its teacher."""
    runs = runs.sel(imitation=loss)
    error, smallest = abs(runs.identity.sel(rho=1.0) - 1), runs.searched.sel(when="searched")
    errors = [f"{eps:g}: {tm.scientific(error.sel(eps=eps))}" for eps in sorted(runs.eps.values)]
    negative = [
        f"{rho:g}: {tm.count_negative(runs.cosine.sel(rho=rho))}" for rho in runs.rho.values
    ]
    cases = [f"{case}: {tm.count_negative(smallest.sel(case=case))}" for case in runs.case.values]
    return [
        f"{loss}, shared init: mean relative error of the identity by eps {', '.join(errors)}.",
        f"{loss}: first steps away from the teacher (of every eps and seed), by overlap "
        f"{', '.join(negative)}.",
        f"{loss}: seeds with a negative cosine after the search, by case {', '.join(cases)}.",
    ]


def figure(runs: xr.Dataset) -> Figure:
    """The identity, cosines by eps, by overlap and by steps, eps*, and what the search found."""
    valid = tm.succeeded(runs)
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(16, 6.6, [1, 1, 1.2, 1], rows=2)
        error, by_eps, by_overlap, crossing, *axes = axes
        by_teacher_step, by_student_step, search, unused = axes
        unused.remove()
        draw_crossings(crossing, valid)
        for i, imitation in enumerate(valid.imitation.values):
            part, colour = valid.sel(imitation=imitation), tm.plotting.PALETTE[(1, 4)[i]]
            name = {"kl": "KL", "mse": "MSE"}[str(imitation)]
            wrong = abs(part.identity.sel(rho=1.0) - 1)
            tm.charts.band(error, wrong, "eps", "o-", colour, name, ms=3.5)
            for rho, fmt in ((1.0, "o-"), (min(valid.rho.values), "o:")):
                at, look = part.sel(rho=rho), (fmt, colour, f"{name}, rho = {rho:g}")
                tm.charts.band(by_eps, at.cosine, "eps", *look, ms=3.5)
                tm.charts.band(by_teacher_step, at["first"], "teacher_step", *look, ms=3.5)
                tm.charts.band(by_student_step, at.path, "student_step", *look, ms=3.5)
            limit = float(part.limit.sel(rho=1.0).mean())
            by_eps.axhline(limit, color=colour, lw=0.8, ls="--", label=f"{name}, eps to 0")
            draw_overlaps(by_overlap, part.cosine.mean("seed"), name, ("-", "--")[i])
            rows = np.arange(valid.sizes["case"]) + 0.16 * (1 - 2 * i)
            for stage, face in (("noise", "white"), ("searched", colour)):
                x = part.searched.sel(when=stage).transpose("seed", "case").values
                y, label = np.broadcast_to(rows, x.shape).ravel(), f"{name}, {stage}"
                search.plot(x.ravel(), y, "o", ms=3.5, mec=colour, mfc=face, label=label)
        slope = valid.eps / max(valid.eps.values)
        error.plot(valid.eps, slope, color="grey", lw=0.8, label="slope 1")
        rate, cosine = "eps: rate of the teacher's one step", "cosine of both first steps"
        error.set(xscale="log", yscale="log", xlabel=rate, ylabel="relative error of the identity")
        error.set_title(tm.plotting.caption(runs))
        by_eps.set(xscale="log", xlabel=rate, ylabel=cosine)
        tm.plotting.overlap_axis(by_overlap)
        by_overlap.set_ylabel(f"{cosine}, mean over seeds")
        first, path = "student's first step, cosine", "student's path, cosine"
        by_teacher_step.set(xscale="log", xlabel="teacher's steps", ylabel=first)
        by_student_step.set(xscale="log", xlabel="student's steps", ylabel=path)
        search.set_yticks(range(valid.sizes["case"]), [str(case) for case in valid.case.values])
        search.set(xlabel=cosine, title="search over inputs for the least")
        search.invert_yaxis()
        search.axvline(0, color="black", lw=0.8, ls=":")
        for ax in (by_eps, by_overlap, by_teacher_step, by_student_step):
            ax.axhline(0, color="black", lw=0.8, ls=":")
        for ax in (error, by_eps, search):
            ax.legend(fontsize=7)
    return fig


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


def draw_crossings(ax: Axes, valid: xr.Dataset) -> None:
    """eps* against the overlap, predicted, beside where the measured cosine first is positive."""
    import xarray as xr

    rising = valid.sortby("eps")
    measured = tm.first_crossings(rising.eps, rising.cosine, xr.DataArray(0.0), "eps")
    angle = np.degrees(np.arccos(valid.rho.values))
    for i, imitation in enumerate(valid.imitation.values):
        name = {"kl": "KL", "mse": "MSE"}[str(imitation)]
        for array, fmt, label in (
            (valid.crossing, ".", f"{name}, predicted"),
            (measured, "o", f"{name}, measured"),
        ):
            seeds = array.sel(imitation=imitation).transpose("seed", "rho").values
            seen = np.where(np.isfinite(seeds) & (seeds > 0), seeds, np.nan)
            look: dict[str, Any] = {"color": tm.plotting.PALETTE[(1, 4)[i]], "mfc": "none"}
            places = np.broadcast_to(angle + 0.8 * (2 * i - 1), seen.shape)
            ax.plot(places.ravel(), seen.ravel(), fmt, ms=5, label=label, **look)
    tm.plotting.overlap_axis(ax)
    # A shared initialisation has no mismatch but for rounding.
    ax.set(yscale="log", ylabel="eps* of every seed", ylim=(valid.eps.min() / 10, None))
    ax.legend(fontsize=7)


HEADLINE = ("limit", "cosine", "identity", "searched")
STUDY = tm.Study("theory_one_step", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
