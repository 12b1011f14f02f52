"""Plain words, and lasting colours, for the names in a result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from toymodels.stats.points import label
from toymodels.study.plotting import COLOURS, LABELS, PALETTE

DIMENSIONS = {
    "rho": "initialisation overlap rho",
    "m": "number of auxiliary logits m",
    "width": "width of the hidden layers",
    "group": "rotated group of parameters",
    "part": "part of the network",
    "epoch": "epoch of the student",
    "teacher_epoch": "epoch of the teacher",
    "teacher_epochs": "number of the teacher's epochs",
    "start": "initialisation of the student",
    "imitation": "imitation loss",
    "way": "what the student sees",
    "inputs": "distillation inputs",
    "samples": "number of distillation inputs",
    "images": "number of distillation inputs",
    "network": "architecture",
    "relation": "relation of the initialisations",
    "level": "level of the relation",
    "hidden": "initialisation of the hidden layers",
    "class_head": "initialisation of the class head",
    "aux_head": "initialisation of the auxiliary head",
    "treatment": "countermeasure",
    "tuning": "data of the fine-tuning",
    "step": "training step",
    "direct_step": "training step of the direct student",
    "student_step": "training step of the student",
    "teacher_step": "training step of the teacher",
    "eps": "step size eps",
    "rate": "learning rate, over the protocol's",
    "student_lr": "learning rate of the student",
    "teacher_lr": "learning rate of the teacher",
    "base": "base model of the student",
    "law": "theory",
    "x": "number of the point on the theory's axis",
}
"""What a dimension is called where its name alone does not say it."""

QUANTITIES = {
    "rho_50": "rho_50, the overlap at half transfer",
    "latent_cka": "initial likeness of the last hidden layers",
    "aux_agreement": "initial agreement of the auxiliary logits",
    "class_agreement": "initial agreement of the class logits",
    "loss": "imitation loss",
}
"""What a variable is called where its name alone does not say it."""

PLACES = {
    "all": "all layers",
    "hidden": "hidden layers",
    "hidden1": "first hidden layer",
    "hidden2": "second hidden layer",
    "class_head": "class head",
    "aux_head": "auxiliary head",
}
"""Names of groups of parameters."""

VALUES = {
    "group": PLACES,
    "part": PLACES,
    "layer": PLACES,
    "start": {"shared": "the teacher's own", "other": "another one (control)"},
}
"""What the labels of a dimension are called where they do not say it themselves."""

MODELS = ("model", "student", "trait")
"""Dimensions whose labels are models, which have the colours that they have in every figure."""

SHARE = re.compile(r"\b(accuracy|share|chance|whether|preference|answer rate|area under)\b")
COSINE = re.compile(r"\b(cosine|correlation)\b")
RELATIVE = re.compile(r"\b(less|above|over|explains|kept|transfer|log)\b")


def name_dimension(name: str) -> str:
    """What a dimension is called.

    >>> name_dimension("rho"), name_dimension("student_batch")
    ('initialisation overlap rho', 'student batch')
    """
    return DIMENSIONS.get(name, name.replace("_", " "))


def name_quantity(name: str) -> str:
    """What a variable is called."""
    return QUANTITIES.get(name, name.replace("_", " "))


def name_value(dim: str, value: Any) -> str:
    """What a label of a dimension is called: a number in few digits, a name in plain words.

    >>> name_value("group", "aux_head"), name_value("rho", 0.30000000000000004)
    ('auxiliary head', '0.3')
    """
    value = label(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    word = VALUES.get(dim, {}).get(str(value)) or LABELS.get(str(value), str(value))
    return word.replace("\n", " ").replace("_", " ")


def describe(array: xr.DataArray) -> str:
    """The description of a variable as a sentence, without its own name before it; maybe empty."""
    name, text = str(array.name), str(array.attrs.get("description", ""))
    for said in (name, name.replace("_", " ")):
        text = text.removeprefix(f"{said}: ")
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def find_bounds(array: xr.DataArray) -> tuple[float, float] | None:
    """The least and largest value that a variable can have, as far as its words tell; None: unknown.

    Shares, such as accuracies, lie in [0, 1] and cosines in [-1, 1]. What is relative to something
    else, such as transfer, has no bounds. A variable whose values leave the bounds has none either.

    >>> find_bounds(xr.DataArray([0.2, 0.9], name="accuracy"))
    (0.0, 1.0)
    >>> find_bounds(xr.DataArray([0.2, 0.9], name="transfer"))
    """
    said = f"{str(array.name).replace('_', ' ')}: {array.attrs.get('description', '')}"
    if RELATIVE.search(said) and "trials" not in array.attrs:
        return None
    if COSINE.search(said):
        bounds = (-1.0, 1.0)
    elif SHARE.search(said) or "trials" in array.attrs:
        bounds = (0.0, 1.0)
    else:
        return None
    values = array.values[np.isfinite(array.values)]
    inside = values.size and bounds[0] <= values.min() and values.max() <= bounds[1] + 1e-6
    return bounds if inside else None


def choose_colours(dim: str, labels: Sequence[Any], numeric: bool) -> list[str]:
    """A colour for every label of a dimension: the models' own, then those of the figures.

    Many numbers have the colours of a scale, since no palette tells so many apart.

    >>> choose_colours("trait", ["teacher", "direct"], numeric=False)
    ['#000000', '#0072B2']
    """
    if numeric and len(labels) > len(PALETTE):
        from bokeh.palettes import Viridis256

        places = np.linspace(0, 235, len(labels)).astype(int)  # the last yellows are too light
        return [Viridis256[i] for i in places]
    own = {str(name): COLOURS.get(str(name)) for name in labels if dim in MODELS}
    free = [colour for colour in PALETTE if colour not in own.values()] or list(PALETTE)
    others = iter(free * (1 + len(labels) // len(free)))
    return [own.get(str(name)) or next(others) for name in labels]


def choose_spacing(name: str, values: Sequence[Any], numeric: bool) -> str:
    """How the labels of a dimension stand along an axis: even, by value, logarithmic, or by angle.

    >>> choose_spacing("m", [1, 3, 100], True), choose_spacing("rho", [0, 0.9, 1], True)
    ('logarithmic', 'angle')
    """
    if not numeric:
        return "even"
    least, most = min(values), max(values)
    if name == "rho" and least >= -1 and most <= 1:
        return "angle"
    return "logarithmic" if least > 0 and most / least >= 20 else "value"
