"""One teacher and one student of a study, with their trained parameters."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from toymodels.errors import UserError
from toymodels.prompt.arguments import LARGEST_SEED, check_count
from toymodels.prompt.images import ImageData
from toymodels.prompt.records import Net, Trained
from toymodels.study.sweeps import JoinedSweeps, Sweep
from toymodels.sweep.axes import stack
from toymodels.sweep.declarations import list_names
from toymodels.sweep.forks import refuse_forked
from toymodels.sweep.narrow import describe_value, narrow_data
from toymodels.sweep.programs import arithmetic, device_mesh
from toymodels.sweep.settings import compiler_options
from toymodels.sweep.soundness import refuse_wrong_sums

if TYPE_CHECKING:
    from toymodels.study.study import Study


class Pair(NamedTuple):
    """A teacher and its student, each with ``.init``, ``.params`` and ``.curve``."""

    teacher: Trained
    student: Trained


def train_pair(
    study: Study, config: Any, seed: int, data_dir: Path | None, point: Mapping[str, Any]
) -> Pair:
    """Train the teacher and the student of one point; see `toymodels.study.study.Study.train`."""
    check_count("seed", seed, 0, LARGEST_SEED)
    source = study.sweep, config, data_dir
    number, labels = choose_labels(list_sweeps(*source), point)
    sweep = list_sweeps(*source)[number]
    if sweep.trainer is None:
        raise UserError(
            "train must be of a study in which students imitate a teacher of the reference "
            f"protocol; {study.name} is another"
        )
    refuse_forked()
    mesh = device_mesh(1, 1, 1)
    refuse_wrong_sums(mesh.devices.flat[0].platform)
    data = narrow_data(sweep.data)
    with arithmetic(config.precision, mesh):
        shape = tuple((name, labels[name]) for name in sweep.shapes)
        network, prepare, distil = list_functions(*source, number, shape)
        shared = pick(sweep.shared, labels) | {"seed": jnp.int32(seed)}
        prepared, curve = prepare(data, **shared)
        trained, records = distil(data, prepared, **pick(sweep.points, labels))
    if trained is None:
        raise UserError(
            "train must be of a study that distils one student, of the network itself, at each "
            f"point; {study.name} records something else"
        )
    start, params = trained
    images = ImageData(sweep.task, *map(jnp.asarray, (*data.train, *data.test)))
    lesson, n_classes = prepared[0], sweep.task.n_classes
    m = lesson.held_out[1].shape[-1] - n_classes
    net = Net(network, sweep.task.n_pixels, n_classes, m)
    curve = {name.removeprefix("teacher_"): array for name, array in curve.items()}
    return Pair(
        Trained(lesson.reference, lesson.teacher, curve, net, images),
        Trained(start, params, dict(records), net, images),
    )


@functools.lru_cache(maxsize=8)
def list_sweeps(sweep: Any, config: Any, data_dir: Path | None) -> tuple[Sweep, ...]:
    """The sweeps of a study's config: one, or those that are joined."""
    plan = sweep(config, data_dir)
    return tuple(plan.sweeps) if isinstance(plan, JoinedSweeps) else (plan,)


@functools.lru_cache(maxsize=8)
def list_functions(
    sweep: Any, config: Any, data_dir: Path | None, number: int, shape: tuple[tuple[str, Any], ...]
) -> tuple[Any, Any, Any]:
    """The network of a shape and its two functions, compiled at their first call and kept."""
    trainer = list_sweeps(sweep, config, data_dir)[number].trainer
    assert trainer is not None
    protocol, prepare, distil = trainer(**dict(shape))
    options = compiler_options(jax.default_backend()) or None
    compiled = functools.partial(jax.jit, compiler_options=options)
    return protocol.network, compiled(prepare), compiled(distil)


def choose_labels(sweeps: Sequence[Sweep], point: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The number of the sweep that has a point, and a label for each of its axes.

    An axis of one label need not be named.

    Raises:
        UserError: an axis that is unknown, or without a label; a label that an axis does not have.

    """
    axes = [
        {
            name: list(axis)
            for name, axis in {**sweep.shapes, **sweep.shared, **sweep.points}.items()
            if name != "seed"
        }
        for sweep in sweeps
    ]
    if unknown := sorted(point.keys() - axes[0].keys()):
        raise UserError(
            f"{unknown[0]} is no axis of this study; its axes are {list_names(axes[0])}"
        )
    labels = {}
    for name in axes[0]:
        allowed = list(dict.fromkeys(label for sizes in axes for label in sizes[name]))
        options = " or ".join(filter(None, [", ".join(map(str, allowed[:-1])), str(allowed[-1])]))
        if name not in point and len(allowed) > 1:
            raise UserError(f"{name} must be given: {options}")
        label = point.get(name, allowed[0])
        if label not in allowed:
            raise UserError(f"{name} must be {options}; got {describe_value(label)}")
        labels[name] = allowed[allowed.index(label)]
    for number, own in enumerate(axes):
        if all(labels[name] in own[name] for name in own):
            return number, labels
    raise UserError(f"point must be one of the study's; got {labels}")


def pick(axes: Mapping[str, Any], labels: Mapping[str, Any]) -> dict[str, Any]:
    """The values that axes have at labels, in the types in which a sweep passes them."""
    values = {}
    for name, axis in axes.items():
        if name != "seed":
            i = list(axis).index(labels[name])
            values[name] = jax.tree.map(lambda a, i=i: a[i], stack(f"axis {name}", axis))
    return values
