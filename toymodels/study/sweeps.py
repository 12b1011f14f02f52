"""What an experiment computes: the arguments of a sweep, and the functions behind a single student."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import xarray as xr

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
