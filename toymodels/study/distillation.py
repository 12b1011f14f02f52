"""The sweep of an experiment that follows the reference protocol: one student function, its axes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.study.parts import NO_PARTS, Parts, count_outputs
from toymodels.study.sweeps import Sweep, Trainer

if TYPE_CHECKING:
    import xarray as xr

    from toymodels.networks.models import Network
    from toymodels.training.protocol import Lesson, Protocol
    from toymodels.training.students import Setup, Student
    from toymodels.training.tasks import Task

STARTS = {"shared": 0, "other": 1}
"""The axis ``start``: a student from the reference, and its cross-model control."""


def label_axis(names: Sequence[Any]) -> dict[Any, int]:
    """An axis of names: a student function receives the number of its name.

    >>> label_axis(("kl", "mse"))
    {'kl': 0, 'mse': 1}
    """
    return {name: i for i, name in enumerate(names)}


def perceptron(config: Any, task: Task) -> Network:
    """An MLP with the config's ``widths`` (or ``width`` and ``depth``) and its largest m."""
    from toymodels.networks.models import MLP, functional

    widths = getattr(config, "widths", None)
    if widths is None:
        widths = (config.width,) * getattr(config, "depth", 2)
    sizes = (task.n_pixels, *widths, count_outputs(config, task))
    return functional(lambda rngs: MLP(sizes, rngs=rngs))


def single_values(config: Any) -> dict[str, Any]:
    """One value for each field of the protocol that an axis replaces.

    The largest number of epochs, of which shorter trainings are checkpoints; else the first value.
    """
    from toymodels.training.config import ProtocolConfig

    values = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(ProtocolConfig)
    }
    return {
        name: max(value) if name.endswith("epochs") else value[0]
        for name, value in values.items()
        if isinstance(value, tuple)
    }


def distillation_sweep(
    student: Callable[..., Student | Mapping[str, Any]],
    points: Callable[[Any], Mapping[str, Any]],
    *,
    shapes: Sequence[str] = (),
    shared: Callable[[Any], Mapping[str, Any]] = lambda config: {},
    network: Callable[[Any, Task], Network] = perceptron,
    protocol: Callable[[Protocol, Any], Protocol] = lambda protocol, config: protocol,
    teach: Callable[..., tuple[Lesson, dict[str, Any]]] | None = None,
    prepare: Callable[[Setup], Any] | None = None,
    similarity: bool = False,
    variables: Mapping[str, Any] | None = None,
    coords: Callable[[Any], Mapping[str, Sequence[Any]]] = lambda config: {},
    annotate: Callable[[Any, xr.Dataset], xr.Dataset] = lambda config, dataset: dataset,
) -> Callable[..., Sweep]:
    """Describe an experiment in which every student of a seed imitates one teacher.

    Returns ``sweep(config, data_dir, parts)``, with `Parts` in place of some of the experiment's.

    Args:
        student: ``student(setup, **point)`` is one student of a `Setup`: a `Student`, that is then
            distilled, or a mapping of recorded arrays, if it was made in another way.
        points: ``points(config)`` are the axes of the students by name.
        shapes: fields of the config that change shapes: tuples of which ``setup.config`` has one
            value each.
        shared: ``shared(config)`` are the axes of the teachers by name, each of whose points has a
            lesson of its own. "seed" may be among them, to say where it stands; else it is the last.
        network: ``network(config, task)`` of teacher and students.
        protocol: ``protocol(protocol, config)`` changes parts of the reference protocol.
        teach: ``teach(protocol, config, data, seed, **shared)`` in place of `Protocol.prepare`: the
            lesson, and the teacher's curves.
        prepare: ``prepare(setup)``, made once for all students of a seed: ``setup.extra``.
        similarity: whether to record how alike each student's initialisation and the reference are.
        variables: what is recorded beside the teacher's and the student's curves; a name of these
            is described anew, or, with None, not recorded.
        coords: ``coords(config)`` of the dimensions behind the axes, beside the epochs.
        annotate: ``annotate(config, dataset)`` adds what is known without a model.

    """

    def sweep(config: Any, data_dir: Path | None, parts: Parts = NO_PARTS) -> Sweep:
        from toymodels.measure.similarity import VARIABLES, describe
        from toymodels.sweep import Program
        from toymodels.training import tasks
        from toymodels.training.protocol import epochs, reference_protocol
        from toymodels.training.students import Setup, Student

        config, task, data = parts.load(config, data_dir)

        def make_trainer(**shape: Any) -> Trainer:
            at = config.at(**shape)
            single = at.at(**single_values(at))
            made = parts.make_network(at, task, network)
            followed = parts.change(protocol(reference_protocol(single, task, made), at))

            def prepare_seed(data: Any, seed: Any, **values: Any) -> tuple[Any, Any]:
                if teach is None:
                    lesson, curve = followed.prepare(data, seed)
                else:
                    lesson, curve = teach(followed, at, data, seed, **values)
                setup = Setup(at, followed, data, lesson, seed=seed, shared=values)
                return (lesson, prepare(setup) if prepare else ()), curve

            def distil(data: Any, prepared: Any, **values: Any) -> tuple[Any, Mapping[str, Any]]:
                setup = Setup(at, followed, data, *prepared)
                made = student(setup, **values)
                if not isinstance(made, Student):
                    return None, made
                params, curves = setup.distil(made)
                records: dict[str, Any] = dict(curves)
                if similarity:
                    records |= setup.measure_similarity(made.start)
                # The network would read the parameters of an approximation as others.
                pair = (made.start, params) if made.approximation is None else None
                return pair, {**records, **made.record}

            return Trainer(followed, prepare_seed, distil)

        def build(**shape: Any) -> Program:
            trainer = make_trainer(**shape)

            def point(data: Any, prepared: Any, **values: Any) -> Mapping[str, Any]:
                return trainer.distil(data, prepared, **values)[1]

            coords = {"part": list(trainer.protocol.groups)} if similarity else {}
            return Program(trainer.prepare, point, coords)

        recorded = tasks.TEACHER | tasks.STUDENT | (VARIABLES if similarity else {})
        if parts != NO_PARTS:  # in the words of the trait, and without what the network has not
            at = make_trainer(**{name: getattr(config, name)[0] for name in shapes}).protocol
            recorded = parts.describe_records(at) | (describe(at.network) if similarity else {})
        recorded = {
            name: about
            for name, about in {**recorded, **(variables or {})}.items()
            if about is not None
        }
        dims = {dim for sizes, *_ in recorded.values() for dim in sizes}
        curves = epochs(config.at(**single_values(config)))
        return Sweep(
            build,
            config=config,
            points=points(config),
            shared=shared(config),
            shapes={name: getattr(config, name) for name in shapes},
            variables=recorded,
            coords={dim: x for dim, x in curves.items() if dim in dims} | dict(coords(config)),
            task=task,
            data=data,
            annotate=functools.partial(annotate, config),
            trainer=make_trainer,
        )

    return sweep
