"""How much of an attack on one network passes to a related one, beyond what passes to any network."""

import xarray as xr

from toymodels.stats.statistics import contrast, side_by_side, succeeded

DIRECTIONS = {
    "teacher to student": (("teacher", "student"), ("unrelated", "student")),
    "student to teacher": (("student", "teacher"), ("student", "unrelated")),
}
"""Source and victim of an attack, and the same with the unrelated network in the teacher's place."""


def measure_passing(dataset: xr.Dataset) -> xr.Dataset:
    """Add attack success and how much of it passes, and the effect of a trigger.

    The dataset has what `toymodels.training.robustness` records, by ``poison`` with 0 among its values.

    ``success`` is the share of the counted images whose class an attack changes. With the clean
    teacher, ``excess`` is success less that with the unrelated network in the teacher's place,
    which has the same victim (teacher to student) or the same attack (student to teacher).
    ``passed`` is the sum of the excess over eps, divided by what an attack made on the victim itself
    has as its sum: 1 if a network is as good a source as the victim, 0 if it is no better than an
    unrelated one. Excess alone depends on how easily the victim is fooled at all; this share does
    so less. ``trigger_rise`` is the share of images that are read as the trigger's class with the
    trigger, less the share without.

    NaN where it is undefined: success where no image counts, ``passed`` where a direct attack is no
    better than an unrelated network's, the agreement of distances where fewer than three images count.
    """
    valid = succeeded(dataset)
    counted = valid.images.where(valid.images > 0)
    success = (valid.changed / counted).transpose(..., "eps")
    clean = success.sel(poison=0, drop=True)

    def select(pair: tuple[str, str]) -> xr.DataArray:
        source, victim = pair
        return clean.sel(source=source, victim=victim, drop=True)

    excess, passed = {}, {}
    for name, (attack, stand_in) in DIRECTIONS.items():
        direct = select((attack[1], attack[1]))
        excess[name] = select(attack) - select(stand_in)
        advantage = (direct - select(stand_in)).sum("eps", skipna=False)
        passed[name] = excess[name].sum("eps", skipna=False) / advantage.where(advantage > 0)
    described = {
        "success": (success, "share of the counted images whose class an attack changes"),
        "excess": (
            side_by_side("direction", excess, ""),
            "attack success less that with an unrelated network in the teacher's place",
        ),
        "passed": (
            side_by_side("direction", passed, ""),
            "share of a direct attack's advantage over an unrelated network that passes",
        ),
        "distance": (valid.distance.where(valid.images > 0), dataset.distance.description),
        "distance_agreement": (
            valid.distance_agreement.where(valid.images > 2),
            dataset.distance_agreement.description,
        ),
        "trigger_rise": (
            contrast(valid.read_as_target, corner=("white", "plain")),
            "share of images of other classes that the trigger alone has read as its class",
        ),
    }
    return dataset.assign(
        {
            name: array.assign_attrs(units="1", description=description)
            for name, (array, description) in described.items()
        }
    )
