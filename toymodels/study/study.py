"""An experiment is a value: what is computed, what is concluded, how it is drawn.

``STUDY.run(config)`` returns the labelled result, ``STUDY.main()`` is the command line. Notebooks, the
figures, benchmarks and tests use the same value. Nothing heavy is imported before a run.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import UserError
from toymodels.study.configs import rebuild_config
from toymodels.study.parts import Parts, check_parts
from toymodels.study.sweeps import JoinedSweeps, Sweep

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.stats.findings import Finding
    from toymodels.study.single import Pair
    from toymodels.sweep import RunOptions
    from toymodels.sweep.plan import Plan


@dataclass(frozen=True)
class Study:
    """An experiment."""

    name: str
    """Name of the module in ``experiments``."""
    description: str
    """The module's docstring: the first lines of ``--help``."""
    presets: Mapping[str, Any]
    """Configs by name; "quick" is the default."""
    sweep: Callable[..., Sweep | JoinedSweeps]
    """``sweep(config, data_dir)``: what to compute."""
    analyse: Callable[[xr.Dataset], xr.Dataset]
    """Adds to the records of a sweep what follows from them: transfer, thresholds."""
    findings: Callable[[xr.Dataset], Sequence[Finding | str]]
    """What an analysed result shows, with intervals and verdicts."""
    figure: Callable[[xr.Dataset], Figure]
    """Draws an analysed result."""
    headline: tuple[str, ...]
    """Variables that become metrics, the closing table's own first."""
    takes: tuple[str, ...] = ()
    """Parts that a user may replace (`with_parts`): those that the study uses as they are everywhere."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """By name, what a user's own part is, where this study is another one `with_parts`."""

    def run(
        self, config: Any, *, data_dir: Path | None = None, options: RunOptions | None = None
    ) -> xr.Dataset:
        """Run every point, and return the analysed result with every seed.

        ``data_dir`` (where the images lie) and ``options`` (`toymodels.sweep.RunOptions`) change how
        it runs, not what comes out. Without options a run in a notebook shows its progress and keeps
        compiled programs, as a command does (`toymodels.study.notebook`).
        """
        from toymodels.study import notebook, results

        with notebook.usual_options(options) as options:
            plan = self.sweep(config, data_dir)
            config = config if plan.config is None else plan.config
            dataset, execution = plan.run(config, options)
        dataset = self.analyse(dataset)
        if self.parts:  # no published value was obtained with them
            published = ["published", "published_half_width", "source"]
            dataset = dataset.drop_vars(published, errors="ignore")
        return results.describe_result(
            dataset,
            self.name,
            " ".join(self.headline),
            config,
            plan.task,
            execution,
            self.findings,
            self.parts,
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

        >>> from toymodels.experiments.init_overlap import STUDY
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

    def with_parts(self, name: str, **parts: Any) -> Study:
        """Replace parts of this study by a user's own, in a study with a name of its own.

        Axes, students, findings and figure stay. A result names the parts and does not keep the fields of
        the config that have no effect beside them, and no published value stands beside it.

        Args:
            name: of the new study, for results: letters, digits and underscores.
            parts: by name, those that `takes` lists, of these. ``images``: what `tm.images` or `tm.load`
                returned. ``network``: ``network(config, task)`` that returns a `tm.Network`, of the
                config's width where that is swept. ``trait``: ``trait(network, task)`` that returns a
                `tm.tasks.Trait`, what the teacher learns and its score. ``imitation``:
                ``loss(student's logits, teacher's logits, mask)``. ``noise``: ``noise(key, n)``, the
                distillation inputs (n, pixels). ``teacher_optimiser``, ``student_optimiser``: of optax.

        Raises:
            UserError: a part that this study does not take or that is of another kind, a name that is
                taken, or a study that has such parts already.

        >>> import jax.numpy as jnp
        >>> import toymodels as tm
        >>> from toymodels.experiments.init_overlap import STUDY
        >>> def build(config, task):
        ...     sizes = task.n_pixels, config.width, tm.count_outputs(config, task)
        ...     return tm.functional(lambda rngs: tm.MLP(sizes, activation=jnp.tanh, rngs=rngs))
        >>> mine = STUDY.with_parts("tanh_overlap", network=build)
        >>> config = mine.config(dataset="digits", noise_images=100, student_epochs=1, width=(8,))
        >>> teacher, student = mine.train(config, seed=0, group="all", rho=0.9)
        >>> teacher.net
        Net(MLP 64-8-13, tanh: 10 class logits, 3 auxiliary logits)

        """
        if self.parts:
            raise UserError(f"all parts must be given at once; {self.name} has some already")
        check_parts(parts, self.name, self.takes)
        taken = (
            importlib.util.find_spec(f"toymodels.experiments.{name}")
            if name.isidentifier()
            else True
        )
        if taken:
            raise UserError(
                f"name must be of letters, digits and underscores, and no experiment's; got {name!r}"
            )
        protocol = {key: part for key, part in parts.items() if key not in ("images", "network")}
        given = Parts(parts.get("images"), parts.get("network"), protocol)
        return dataclasses.replace(
            self,
            name=name,
            description=f"{self.name} with {', '.join(parts)} of one's own",
            sweep=functools.partial(self.sweep, parts=given),
            parts=given.describe(),
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
