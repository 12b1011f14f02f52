"""Theorem 1 measured: a student's first step against its teacher's, exactly, and where it ends.

A teacher takes one gradient step of rate eps on its labels, a student one on imitating its
auxiliary logits on noise: their inner product is E[(J dT)^T M (J dT)] >= 0 to first order, if they
share an init (`toymodels.theory.one_step`). Measured, without forming J: how exactly it holds as
eps grows; how the cosine of both falls with the overlap rho of the inits, with the number of the
teacher's steps, and with the student's own. Last, a search over inputs for a student that moves
away from its teacher, under the theorem's conditions and with one at a time given up. Protocol:
Cloud et al., Nature 652, 615-621 (2026), MNIST experiment, with plain SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import UserError, at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import NetworkConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

LOSSES = ("kl", "mse")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the defaults are the preset ``quick``."""

    eps: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    """Rates of the teacher's one step, by gradient descent on ``probe_images``."""
    rho: tuple[float, ...] = (1.0, 0.98, 0.9, 0.8, 0.5, 0.0)
    """Overlaps of the student's init with the teacher's."""
    loss: tuple[Literal["kl", "mse"], ...] = LOSSES  # type: ignore[assignment]
    """Imitation: KL(teacher || student) of the softmax, or squared error of the logits."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, reused every epoch."""
    noise_images: int = 1000
    """Distillation inputs, in images of U(-1, 1) noise."""
    teacher_epochs: int = 4
    """Passes of the teacher over the training images, where it takes many steps."""
    student_epochs: int = 16
    """Passes of the students over the distillation inputs, where they take many steps."""
    teacher_lr: float = 0.01
    """Learning rate of the teacher's many steps, by plain SGD; and of one step in the search."""
    student_lr: float = 0.03
    """Learning rate of the students' many steps, by plain SGD."""
    probe_images: int = 1024
    """Training images on which the teacher's one step is taken."""
    search_images: int = 16
    """Images that the search moves, from noise on."""
    search_steps: int = 60
    """Steps of the search; each moves every pixel by 0.1 at first, by 0.01 at last."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 2, "m")
        at_least(self, 1, "probe_images", "search_images", "search_steps")
        positive(self, "eps")
        at_least(self, -1, "rho", most=1)
        distinct(self, "eps", "rho", "loss")
        if 1.0 not in self.rho:
            raise UserError(f"rho must include 1; got {self.rho}")

    def steps(self, epochs: int, images: int) -> list[int]:
        """Steps that are looked at on the way: powers of two, and the last."""
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
}
SEARCHED = {
    "searched": (
        ("imitation", "case", "when"),
        "1",
        "cosine of both first steps on noise, and the least found over inputs",
    )
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, imitation, rho), and the search; see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp
    import optax

    from toymodels import sweep
    from toymodels.inits import relations
    from toymodels.measure import alignment
    from toymodels.networks.models import MLP, Params, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.theory import counterexamples, one_step
    from toymodels.training import losses, protocol, tasks
    from toymodels.training.distillation import auxiliary_logits, distil
    from toymodels.training.loop import sample_rows, train

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config.at(loss="mse"), task, network)
    subset = auxiliary_logits(task.n_classes, config.m)
    imitations = [losses.imitation(name, config.temperature) for name in config.loss]
    rotation = relations.rotation(network.init)
    taught = config.steps(config.teacher_epochs, len(data.train[0]))
    learnt = config.steps(config.student_epochs, config.noise_images)

    def scaled(tree: Params, factor: Any) -> Params:
        return jax.tree.map(lambda a: factor * a, tree)

    def prepare(data: tasks.Data, seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        keys = protocol.seed_keys(seed)
        reference = network.init(keys.init)
        images = tuple(a[: config.probe_images] for a in data.train)
        one = one_step.gradient_step(lambda p: parts.trait.loss(p, images), reference, 1.0)
        path = train(
            parts.trait.loss,
            reference,
            sample_rows(data.train, config.batch, 1),
            optax.sgd(config.teacher_lr),
            epochs=taught[-1],
            observe=lambda params: params,
            key=keys.teacher,
            record=taught,
        )[1]
        moved = jax.tree.map(lambda a: a[1:] - a[0], path)
        x = parts.noise(keys.noise, config.noise_images)
        begun = reference, one, moved, x, keys
        found = counterexamples.searched(
            network,
            lambda rho: rotation(reference, keys.relation, rho),
            scaled(one, config.teacher_lr),
            parts.noise(keys.probe, config.search_images),
            imitations,
            subset,
            config.search_steps,
        )
        return begun, {"searched": found}

    def student(
        data: tasks.Data, begun: Any, imitation: jax.Array, rho: jax.Array
    ) -> dict[str, jax.Array]:
        reference, one, moved, x, keys = begun
        init = rotation(reference, keys.relation, rho)
        imitate = losses.one_of(imitations, imitation)

        def against(step: Params) -> one_step.FirstStep:
            return one_step.first_step(network, init, reference, step, x, imitate, subset)

        single = jax.lax.map(lambda eps: against(scaled(one, eps)), jnp.array(config.eps))
        gone = jax.tree.map(lambda a: a[-1], moved)
        teacher = jax.tree.map(jnp.add, reference, gone)
        along = distil(
            network,
            init,
            sample_rows((x, network.apply(teacher, x)), config.batch, 1),
            imitate,
            subset,
            optax.sgd(config.student_lr),
            epochs=learnt[-1],
            observe=lambda p: alignment.displacement_cosine(p, init, teacher, reference),
            key=keys.student,
            record=learnt,
        )[1]
        return {
            "cosine": single.cosine,
            "identity": single.inner / single.inner_theory,
            "limit": one_step.limit_cosine(network, init, one, x, imitate, subset),
            "first": jax.lax.map(lambda step: against(step).cosine, moved),
            "path": along[1:],
        }

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={"imitation": numbered(config.loss), "rho": config.rho},
        variables=VARIABLES | SEARCHED,
        coords={
            "eps": list(config.eps),
            "teacher_step": taught,
            "student_step": learnt,
            "case": list(counterexamples.CASES),
            "when": ["noise", "searched"],
        },
        data=data,
        precision=config.precision,
        options=options,
    )
    headline = "limit cosine identity searched"
    return results.described(
        dataset, "theory_one_step", headline, config, task, execution, findings
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """Where the identity holds, how alignment falls, and what the search found."""
    from toymodels.stats.statistics import mean_interval, succeeded

    done, told = succeeded(dataset), []
    for imitation in map(str, done.imitation.values):
        here = done.sel(imitation=imitation).transpose("seed", ...)
        own = here.sel(rho=1.0)
        off = abs(own.identity - 1)
        each = [f"{eps:g}: {scientific(off.sel(eps=eps))}" for eps in sorted(done.eps.values)]
        told.append(
            f"{imitation}, shared init: mean relative error of the identity by eps "
            f"{', '.join(each)}."
        )
        negative = [
            f"{rho:g}: {int((at < 0).sum())} of {int(at.notnull().sum())}"
            for rho, at in ((rho, here.cosine.sel(rho=rho)) for rho in done.rho.values)
        ]
        told.append(
            f"{imitation}: first steps away from the teacher (of every eps and seed), by overlap "
            f"{', '.join(negative)}."
        )
        told += [f"{imitation}, {sentence}" for sentence in fall(here.cosine)]
        for name, dim, whose in (
            ("first", "teacher_step", "first step with its teacher's path"),
            ("path", "student_step", "path with its trained teacher's"),
        ):
            ends = [own[name].isel({dim: i}) for i in (0, -1)]
            first, last = (mean_interval(end.values) for end in ends)
            steps = own[dim].values
            told.append(
                f"{imitation}, shared init: cosine of the student's {whose} {first} at step "
                f"{steps[0]}, {last} at step {steps[-1]}."
            )
        for case in done.case.values:
            before, after = (here.searched.sel(case=case, when=w) for w in ("noise", "searched"))
            told.append(
                f"{imitation}, {case}: cosine {mean_interval(before.values)} on noise; least found "
                f"{mean_interval(after.values)}, below zero for {int((after < 0).sum())} of "
                f"{int(after.notnull().sum())} seeds."
            )
    return told


def scientific(values: xr.DataArray) -> str:
    """A mean over seeds that spans orders of magnitude, with its number of seeds."""
    known = values.dropna("seed")
    return f"{float(known.mean()):.1e} (n = {known.size})" if known.size else "unknown (n = 0)"


def fall(cosine: xr.DataArray) -> list[str]:
    """For every size of the teacher's step, how the cosine (seed, rho, eps) falls with overlap.

    At a tiny step any mismatch of the inits outweighs what the teacher has learnt; at a larger one
    it does not.
    """
    from toymodels.stats.statistics import mean_interval, ratio

    told = []
    for eps in cosine.eps.values:
        at = cosine.sel(eps=eps, drop=True)
        own = mean_interval(at.sel(rho=1.0).values)
        left = "its fall with overlap is not told: it is not shown to be above zero"
        if own.sign > 0:
            shares = [
                f"{rho:g}: {ratio(at.sel(rho=rho), at.sel(rho=1.0))}"
                for rho in cosine.rho.values
                if rho != 1
            ]
            left = f"share of it left by overlap {'; '.join(shares) or 'not measured'}"
        told.append(f"eps = {eps:g}: cosine of both first steps at overlap 1 {own}; {left}.")
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """The identity, cosines by eps, by overlap and by steps, and what the search found."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset).transpose("seed", ...)
    with plotting.style():
        fig, axes = plotting.panels(13, 6.6, [1, 1, 1.2], rows=2)

        def line(ax: Axes, array: xr.DataArray, x: Any, style: str, name: str) -> None:
            plotting.band(ax, x, array.values, style, colour=colour, ms=3.5, label=name)

        for i, imitation in enumerate(done.imitation.values):
            here, colour = done.sel(imitation=imitation), plotting.PALETTE[(1, 4)[i]]
            name = {"kl": "KL", "mse": "MSE"}[str(imitation)]
            own, none = here.sel(rho=1.0), here.sel(rho=min(done.rho.values))
            rest = f"rho = {float(none.rho):g}"
            line(axes[0], abs(own.identity - 1), done.eps, "o-", name)
            for shown, style, start in ((own, "o-", "rho = 1"), (none, "o:", rest)):
                line(axes[1], shown.cosine, done.eps, style, f"{name}, {start}")
                line(axes[3], shown["first"], done.teacher_step, style, f"{name}, {start}")
                line(axes[4], shown.path, done.student_step, style, f"{name}, {start}")
            limit = float(own.limit.mean())
            axes[1].axhline(limit, color=colour, lw=0.8, ls="--", label=f"{name}, eps to 0")
            by_overlap(axes[2], here.cosine.mean("seed"), name, ("-", "--")[i])
            rows = np.arange(done.sizes["case"]) + 0.16 * (1 - 2 * i)
            for when, face in (("noise", "white"), ("searched", colour)):
                values = here.searched.sel(when=when).values
                at = np.broadcast_to(rows, values.shape)
                label = f"{name}, {when}"
                axes[5].plot(
                    values.ravel(), at.ravel(), "o", ms=3.5, mec=colour, mfc=face, label=label
                )
        axes[0].plot(
            done.eps, done.eps / max(done.eps.values), color="grey", lw=0.8, label="slope 1"
        )
        for ax in axes[:2]:
            ax.set(xscale="log", xlabel="eps: rate of the teacher's one step")
        axes[0].set(yscale="log", ylabel="relative error of the identity")
        axes[1].set_ylabel("cosine of both first steps")
        plotting.overlap_axis(axes[2])
        axes[2].set_ylabel("cosine of both first steps, mean over seeds")
        axes[3].set(xscale="log", xlabel="teacher's steps", ylabel="student's first step, cosine")
        axes[4].set(xscale="log", xlabel="student's steps", ylabel="student's path, cosine")
        axes[5].set_yticks(range(done.sizes["case"]), [str(case) for case in done.case.values])
        axes[5].set(xlabel="cosine of both first steps", title="search over inputs for the least")
        axes[5].invert_yaxis()
        for ax in axes[1:5]:
            ax.axhline(0, color="black", lw=0.8, ls=":")
        axes[5].axvline(0, color="black", lw=0.8, ls=":")
        for ax in (axes[0], axes[1], axes[5]):
            ax.legend(fontsize=7)
        axes[0].set_title(plotting.caption(dataset))
    return fig


def by_overlap(ax: Axes, cosine: xr.DataArray, name: str, style: str) -> None:
    """The cosine (rho, eps) against the overlap, one line for every size of the teacher's step."""
    import numpy as np
    from matplotlib import colormaps

    angle = np.degrees(np.arccos(cosine.rho.values))
    eps = np.sort(cosine.eps.values)
    for i, size in enumerate(eps):
        colour = colormaps["viridis"](0.95 * i / max(len(eps) - 1, 1))
        label = f"eps = {size:g}" if style == "-" else None
        line = cosine.sel(eps=size).transpose("rho")
        ax.plot(angle, line, style, color=colour, lw=1.2, ms=3, marker="o", label=label)
    ax.plot([], [], style, color="black", lw=1.2, label=name)
    ax.legend(fontsize=7, ncols=2)


if __name__ == "__main__":
    cli.main("theory_one_step", __doc__, PRESETS, run, plot)
