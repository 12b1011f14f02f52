"""An experiment is a value: what is computed, what is concluded, how it is drawn.

``STUDY.run(config)`` returns the labelled result, ``STUDY.main()`` is the command line. Notebooks, the
figures, benchmarks and tests use the same value. Nothing heavy is imported before a run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.stats.findings import Finding
    from toymodels.sweep import Execution, Program, RunOptions
    from toymodels.sweep.axes import Axis
    from toymodels.sweep.declarations import Variables


@dataclass(frozen=True)
class DrawnData:
    """What stands in the place of a data set where the data are drawn from the seeds."""

    name: str
    """The law that the data are drawn from."""
    sha256: str = "none: drawn from the seeds"


@dataclass(frozen=True)
class Sweep:
    """What an experiment computes: the arguments of `toymodels.sweep.grid`."""

    build: Callable[..., Program]
    """``build(**shape) -> Program``, called once for every combination of the axes in ``shapes``."""
    points: Mapping[str, Axis]
    """Axes of a program's points."""
    variables: Variables
    """For each recorded array its dimensions behind the axes, its unit, one sentence."""
    task: Any
    """Where the data come from: something with ``name`` and ``sha256``, such as `DrawnData`."""
    config: Any = None
    """The config as it was run, if anything in it was decided here (the data set of "auto")."""
    shared: Mapping[str, Axis] = field(default_factory=dict)
    """Axes beside ``seed`` that a program prepares for."""
    shapes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Axes that change shapes."""
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Coordinates of the dimensions behind the axes."""
    data: Any = ()
    """Arrays that every model reads."""
    annotate: Callable[[xr.Dataset], xr.Dataset] = lambda dataset: dataset
    """Adds what is known without a model: coordinates, closed forms, published values."""

    def run(self, config: Any, options: RunOptions | None) -> tuple[xr.Dataset, Execution]:
        """Compute every point of every seed of a config."""
        from toymodels.sweep import grid

        dataset, execution = grid(
            self.build,
            shapes=self.shapes,
            shared={**self.shared, "seed": config.seed_list},
            points=self.points,
            variables=self.variables,
            coords=self.coords,
            data=self.data,
            precision=config.precision,
            options=options,
        )
        return self.annotate(dataset), execution


@dataclass(frozen=True)
class JoinedSweeps:
    """Several sweeps as one, joined along an axis whose values need programs of their own."""

    dim: str
    """Name of the axis along which the sweeps are joined."""
    sweeps: Sequence[Sweep]
    """The sweeps, in the order of their values."""

    @property
    def task(self) -> Any:
        """Where the data come from: the same for all."""
        return self.sweeps[0].task

    @property
    def config(self) -> Any:
        """The config as it was run, if anything in it was decided in a sweep."""
        return self.sweeps[0].config

    def run(self, config: Any, options: RunOptions | None) -> tuple[xr.Dataset, Execution]:
        """Compute every point of every seed of a config."""
        from toymodels.sweep import along

        return along(self.dim, [sweep.run(config, options) for sweep in self.sweeps])


@dataclass(frozen=True)
class Study:
    """An experiment."""

    name: str
    """Name of the module in ``experiments``."""
    description: str
    """The module's docstring: the first lines of ``--help``."""
    presets: Mapping[str, Any]
    """Configs by name; "quick" is the default."""
    sweep: Callable[[Any, Path | None], Sweep | JoinedSweeps]
    """``sweep(config, data_dir)``: what to compute."""
    analyse: Callable[[xr.Dataset], xr.Dataset]
    """Adds to the records of a sweep what follows from them: transfer, thresholds."""
    findings: Callable[[xr.Dataset], Sequence[Finding | str]]
    """What an analysed result shows, with intervals and verdicts."""
    figure: Callable[[xr.Dataset], Figure]
    """Draws an analysed result."""
    headline: tuple[str, ...]
    """Variables that become metrics, the closing table's own first."""

    def run(
        self, config: Any, *, data_dir: Path | None = None, options: RunOptions | None = None
    ) -> xr.Dataset:
        """Run every point, and return the analysed result with every seed.

        ``data_dir`` (where the images lie) and ``options`` (`toymodels.sweep.RunOptions`) change how
        it runs, not what comes out.
        """
        from toymodels.study import results

        plan = self.sweep(config, data_dir)
        config = config if plan.config is None else plan.config
        dataset, execution = plan.run(config, options)
        dataset = self.analyse(dataset)
        return results.described(
            dataset,
            self.name,
            " ".join(self.headline),
            config,
            plan.task,
            execution,
            self.findings,
        )

    def main(self) -> None:
        """Run from the command line."""
        from toymodels.study import cli

        cli.main(self)

    def config(self, **fields: Any) -> Any:
        """The preset "quick" with some fields changed.

        Raises:
            UserError: a value is not allowed.

        """
        return dataclasses.replace(self.presets["quick"], **fields)
