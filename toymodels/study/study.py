"""An experiment is a value: what is computed, what is concluded, how it is drawn.

``STUDY.run(config)`` returns the labelled result, ``STUDY.main()`` is the command line. Notebooks, the
figures, benchmarks and tests use the same value. Nothing heavy is imported before a run.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from toymodels.errors import UserError
from toymodels.study.configs import rebuild_config

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.stats.findings import Finding
    from toymodels.study.single import Pair
    from toymodels.sweep import Execution, Program, RunOptions
    from toymodels.sweep.axes import Axis
    from toymodels.sweep.declarations import Variables
    from toymodels.sweep.plan import Plan
    from toymodels.training.protocol import Protocol


@dataclass(frozen=True)
class DrawnData:
    """What stands in the place of a data set where the data are drawn from the seeds."""

    name: str
    """The law that the data are drawn from."""
    sha256: str = "none: drawn from the seeds"


class Trainer(NamedTuple):
    """The functions of an experiment in which a teacher's students imitate it, at one shape.

    They are those of the sweep's program, which does not return parameters.
    """

    protocol: Protocol
    """The protocol, with the network."""
    prepare: Callable[..., Any]
    """``prepare(data, **shared) -> ((lesson, extra), teacher's curves)``."""
    distil: Callable[..., Any]
    """``distil(data, prepared, **values) -> (student's initialisation and parameters, records)``;
    None for the former where a point is not one student."""


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
    trainer: Callable[..., Trainer] | None = None
    """``trainer(**shape) -> Trainer``, if the experiment distils one student at each point."""

    def run(self, config: Any, options: RunOptions | None) -> tuple[xr.Dataset, Execution]:
        """Compute every point of every seed of a config."""
        from toymodels.sweep import grid

        dataset, execution = grid(self.build, **self.arguments(config), options=options)
        return self.annotate(dataset), execution

    def plan(self, config: Any, options: RunOptions | None) -> Plan:
        """Tell what `run` would do."""
        from toymodels.sweep.plan import plan_grid

        return plan_grid(self.build, **self.arguments(config), options=options)

    def arguments(self, config: Any) -> dict[str, Any]:
        """The arguments of `toymodels.sweep.grid` beside the function that builds programs."""
        return {
            "shapes": self.shapes,
            "shared": {**self.shared, "seed": config.seed_list},
            "points": self.points,
            "variables": self.variables,
            "coords": self.coords,
            "data": self.data,
            "precision": config.precision,
        }


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

    def plan(self, config: Any, options: RunOptions | None) -> Plan:
        """Tell what `run` would do."""
        first, *others = (sweep.plan(config, options) for sweep in self.sweeps)
        return functools.reduce(type(first).join, others, first)


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
        return results.describe_result(
            dataset,
            self.name,
            " ".join(self.headline),
            config,
            plan.task,
            execution,
            self.findings,
        )

    def plan(
        self, config: Any, *, data_dir: Path | None = None, options: RunOptions | None = None
    ) -> Plan:
        """Tell what `run` would do with the same arguments: how many models, what of them the store of
        ``options`` has, memory, and time if it is known. Nothing is compiled or computed.
        """
        sweep = self.sweep(config, data_dir)
        return sweep.plan(config if sweep.config is None else sweep.config, options)

    def train(
        self, config: Any, *, seed: int = 0, data_dir: Path | None = None, **point: Any
    ) -> Pair:
        """Train the teacher of a seed and one student, and return both with their parameters.

        The functions are those of `run`, compiled for one model. The numbers equal those of `run` within
        rounding and not to the bit: the order of the sums in a product of matrices depends on the number
        of cores (a command trains each model on one), and on an accelerator on how many students are
        trained side by side. Trained in float32, two such students drift apart slowly.

        Args:
            config: the config, or the result of a run (`read_config`).
            seed: the seed; it need not be among the config's.
            data_dir: folder of the images (None: as in `run`).
            point: a label of each axis of the result: ``group="all", rho=0.9, m=3``. An axis with a
                single label need not be named.

        Returns:
            ``(teacher, student)``, two `tm.Trained`: ``.init``, ``.params``, ``.curve``,
            and ``.net`` and ``.data`` for the verbs: ``tm.accuracy(student.net, student.params,
            student.data)``.

        Raises:
            UserError: an axis or label that there is not; a study that distils no student, or more
                than one at a point.

        >>> from experiments.init_overlap import STUDY
        >>> config = STUDY.config(dataset="digits", noise_images=100, student_epochs=1, width=(8,))
        >>> teacher, student = STUDY.train(config, seed=0, group="all", rho=0.9)
        >>> student.params["head"]["kernel"].shape, student.curve["accuracy"].shape
        ((8, 13), (2,))

        """
        from toymodels.study.single import train_pair

        config = config if dataclasses.is_dataclass(config) else self.read_config(config)
        return train_pair(self, config, seed, data_dir, point)

    def read_config(self, runs: xr.Dataset) -> Any:
        """The config by which a result of this study was made.

        Raises:
            UserError: it is a result of another study, or this study has other fields now.

        """
        if runs.attrs.get("experiment") != self.name:
            raise UserError(
                f"runs must be a result of {self.name}; got one of {runs.attrs.get('experiment')}"
            )
        kind = type(self.presets["quick"])
        return rebuild_config(kind, json.loads(runs.attrs["config"]), self.name)

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
