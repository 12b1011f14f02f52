"""The sweep of an experiment with the synthetic language: what a seed prepares, and its points."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.study.sweeps import DrawnData, Sweep

if TYPE_CHECKING:
    import jax
    import xarray as xr

    from toymodels.sweep.declarations import Variables


def language_sweep(
    prepare: Callable[..., tuple[Any, Mapping[str, Any]]],
    point: Callable[..., Mapping[str, Any]],
    points: Callable[[Any], Mapping[str, Any]],
    *,
    variables: Variables,
    coords: Callable[[Any], Mapping[str, Sequence[Any]]],
    annotate: Callable[[Any, xr.Dataset], xr.Dataset] = lambda config, dataset: dataset,
) -> Callable[[Any, Path | None], Sweep]:
    """Describe an experiment in which a teacher's students read what the teacher writes.

    Args:
        prepare: ``prepare(setup, key) -> (prepared, records)``, made once for a seed. ``setup`` is the
            `toymodels.language.setup.LanguageSetup` of the config, ``key`` the random key of the seed;
            ``prepared`` is a pytree of arrays, ``records`` are arrays by name.
        point: ``point(setup, prepared, **values) -> records`` at one point of the axes.
        points: ``points(config)`` are the axes of the points by name.
        variables: for each record its dimensions behind the axes, its unit, one sentence.
        coords: ``coords(config)`` of the dimensions behind the axes, beside the observed steps.
        annotate: ``annotate(config, dataset)`` adds what is known without a model.

    """

    def sweep(config: Any, data_dir: Path | None) -> Sweep:
        import jax

        from toymodels.language.setup import language_setup
        from toymodels.sweep import Program

        setup = language_setup(config)
        observed = any("step" in dims for dims, _, _ in variables.values())
        steps = {"step": [0, *config.observed_steps]} if observed else {}

        def prepare_seed(data: tuple[()], seed: jax.Array) -> tuple[Any, Mapping[str, Any]]:
            return prepare(setup, jax.random.key(seed))

        def record_point(data: tuple[()], prepared: Any, **values: Any) -> Mapping[str, Any]:
            return point(setup, prepared, **values)

        return Sweep(
            lambda: Program(prepare_seed, record_point),
            points=points(config),
            variables=variables,
            coords={**steps, **coords(config)},
            task=DrawnData("synthetic language"),
            annotate=functools.partial(annotate, config),
        )

    return sweep
