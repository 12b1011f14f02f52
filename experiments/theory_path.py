"""The Gauss-Newton path beside trained students: transfer without an optimiser, not lazy.

The students of `experiments.init_overlap` (all parameters rotated, overlap rho) are trained by the
protocol. Beside each stands the end of the path of `toymodels.theory.path` from the same
initialisation to the same answers, in 1 piece (the lazy student, evaluated in its network) and in
several. Nothing is fitted. Training and path stop at different imitation losses; the path's amount is
therefore also compared where its loss is the trained student's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, that the path is told, too."""
    loss: Literal["kl", "mse"] = "mse"
    """Imitation loss: kl, of the softmax over the auxiliary logits, or their squared error, mse."""
    rho: Annotated[
        tuple[float, ...], tm.Range(0, 1), tm.Includes((1, 0), ("shared", "the control"))
    ] = (1.0, 0.95, 0.8, 0.0)
    """Overlaps: cosines of the angle of rotation. 1 (shared) and 0 (the control) are required."""
    m: tm.Counts = (4, 16)
    """Numbers of auxiliary logits."""
    widths: tm.Widths = (256, 256)
    """Widths of the hidden layers of the ReLU network, in units."""
    pieces: Annotated[tm.Counts, tm.Includes((1,), ("the lazy student",))] = (1, 4, 8)
    """Numbers of pieces of the path, each linearised where the last one ended. 1 is required."""
    solver_steps: tm.Count = 40
    """Number of steps of conjugate gradients in each piece."""


PRESETS = {
    "quick": Config(seeds=3, noise_images=4096, student_epochs=20, widths=(64, 64)),
    "paper": Config(
        dataset="mnist",
        seeds=10,
        student_epochs=6,
        widths=(128, 128),
        pieces=(1, 4),
    ),
}

VARIABLES = {
    "amount": (
        ("epoch",),
        "1",
        "trained student's change of class logits along the teacher's, over it",
    ),
    "path_accuracy": (("pieces",), "1", "test accuracy at the end of the path"),
    "path_loss": (("pieces",), tm.LOSS_UNIT, "imitation loss there, as loss"),
    "path_amount": (("pieces",), "1", "change of class logits along the teacher's there, over it"),
}


def student(setup: tm.Setup, m: jax.Array, rho: jax.Array) -> tm.Student:
    """A trained student, and the paths from its start."""
    import jax
    import jax.numpy as jnp

    network, config, imitated = setup.network, setup.config, setup.auxiliary(m)
    start = tm.rotation(network.init)(setup.reference, setup.keys.relation, rho)
    observe = setup.watch_amount(start, setup.extra)

    def follow(pieces: jax.Array) -> dict[str, jax.Array]:
        end, _ = tm.path.follow_path(
            *(network, start, setup.inputs, setup.answers, imitated),
            *(pieces, config.solver_steps, config.loss == "kl"),
        )
        found = setup.watch(imitated)(end) | observe(end)
        return {f"path_{name}": value for name, value in found.items()}

    return tm.Student(
        start=start,
        logits=imitated,
        observe=observe,
        record=jax.lax.map(follow, jnp.array(config.pieces)),
    )


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer of trained students and of paths, and last amounts."""
    valid = tm.succeeded(runs).isel(epoch=-1, teacher_epoch=-1, drop=True)
    trained, path = (
        tm.transfer(score, score.sel(rho=0, drop=True), valid.teacher_accuracy)
        for score in (valid.accuracy, valid.path_accuracy)
    )
    path.attrs["description"] += ", at the end of the path"
    return runs.assign(transfer=trained, path_transfer=path, final_amount=valid.amount)


def findings(runs: xr.Dataset) -> list[Any]:
    """How far the path is from the trained student, in transfer and in amount."""
    valid = tm.succeeded(runs)
    overlaps = valid.isel(rho=np.flatnonzero(valid.rho.values))
    rows: list[Any] = []
    for pieces in valid.pieces.values:
        gaps = (overlaps.path_transfer.sel(pieces=pieces) - overlaps.transfer).transpose(
            "seed", ...
        )
        law = tm.measure_agreement(gaps.values.reshape(gaps.sizes["seed"], -1))
        rows.append(f"Transfer at rho > 0 of the path in {pieces} pieces and of the student {law}.")
    shared = valid.sel(rho=1, drop=True)
    ratio = (shared.path_amount / shared.final_amount).transpose("seed", ...)
    quantity = "Amount of the path over the trained student's, rho = 1"
    loss = (shared.path_loss / shared.loss.isel(epoch=-1, drop=True)).transpose("seed", ...)
    return [
        *rows,
        *tm.compare(quantity, ratio, None),
        *tm.compare("Imitation loss of the path over the trained student's, rho = 1", loss, None),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against overlap by m; amount against imitation loss at rho = 1."""
    valid = tm.succeeded(runs)
    angle = np.degrees(np.arccos(valid.rho.values))
    with tm.plotting.style():
        columns = [1.0] * (valid.sizes["m"] + 1)
        fig, (*axes, right) = tm.plotting.panels(4 * len(columns), 3.6, columns=columns)
        for ax, m in zip(axes, valid.m.values, strict=True):
            part = valid.sel(m=m).assign_coords(rho=angle).rename(rho="angle")
            students = {"trained": part.transfer.transpose("seed", "angle").values}
            tm.charts.lines(
                ax, part.path_transfer, "angle", "pieces", label="path, K = {pieces}", also=students
            )
            tm.plotting.overlap_axis(ax)
            ax.set(ylabel="transfer", title=f"m = {m}")
            ax.legend()
        shared = valid.sel(rho=1).mean("seed")
        for i, m in enumerate(valid.m.values):
            colour, part = tm.plotting.PALETTE[i], shared.sel(m=m)
            after = part.isel(epoch=slice(1, None))
            right.plot(
                after.loss, after.amount, "o-", color=colour, ms=3, label=f"trained, m = {m}"
            )
            right.plot(
                part.path_loss, part.path_amount, "s--", color=colour, mfc="white", label="path"
            )
        tm.plotting.log_axis(right, "x")
        right.invert_xaxis()
        right.set(xlabel="imitation loss on unseen inputs", ylabel="amount <dS, dT> / |dT|²")
        right.set_title(tm.plotting.caption(runs))
        right.legend()
    return fig


STUDY = tm.Study(
    "theory_path",
    __doc__,
    PRESETS,
    tm.distillation_sweep(
        student,
        lambda config: {"m": config.m, "rho": config.rho},
        prepare=lambda setup: setup.teacher_change,
        variables=VARIABLES,
        coords=lambda config: {"pieces": config.pieces},
    ),
    analyse,
    findings,
    figure,
    headline=("transfer", "path_transfer", "final_amount", "path_amount"),
)

if __name__ == "__main__":
    STUDY.main()
