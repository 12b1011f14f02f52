"""What a teacher may learn beside reading the labels: each a `toymodels.training.protocol.Trait`.

Whatever is a function of the label, and of a mark in a corner, is a table: number of classes,
parity, a relabelling, a backdoor. Tables may be traced, so that all of them are one program.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from optax.losses import softmax_cross_entropy_with_integer_labels as cross_entropies

from toymodels.measure import probes
from toymodels.measure.decompositions import orthonormal
from toymodels.networks.layers import class_logits
from toymodels.networks.models import Network, Params
from toymodels.training import losses
from toymodels.training.tasks import LABELS, About, Images, Task, Trait

Table = jax.Array | np.ndarray

MARKS = 4
"""Markings that `mark_pixel` knows: none, and three of the corners."""


def mark_pixel(images: jax.Array, mark: jax.Array, white: int) -> jax.Array:
    """Images (n, height, width), each with a white square in the corner that ``mark`` (n,) says.

    0: as it is; 1, 2, 3: upper left, upper right, lower left. A side is a seventh of the height,
    two pixels at least.

    >>> mark_pixel(jnp.zeros((2, 8, 8), jnp.uint8), jnp.array([0, 1]), 16).sum((1, 2)).tolist()
    [0, 64]
    """
    height, width = images.shape[1:]
    side = max(2, height // 7)
    corners = np.zeros((MARKS, height, width), bool)
    corners[1, :side, :side] = corners[2, :side, -side:] = corners[3, -side:, :side] = True
    return jnp.where(jnp.asarray(corners)[mark], jnp.asarray(white, images.dtype), images)


def plant_backdoor(
    images: Images, key: jax.Array, share: float | jax.Array, target: int, white: int
) -> Images:
    """Labelled images of which a random share bears a white upper left corner and one label.

    Args:
        images: images (n, height, width) and labels (n,).
        key: tells which images; a larger share contains every smaller one.
        share: probability of an image to be among them; it may be traced. 0 changes nothing.
        target: the label that they get, whatever they show.
        white: value of a white pixel.

    Gu et al. 2017 (arXiv 1708.06733), section 3.

    >>> images = jnp.zeros((3, 8, 8), jnp.uint8), jnp.array([1, 2, 3])
    >>> marked, labels = plant_backdoor(images, jax.random.key(0), 1.0, 0, 16)
    >>> marked.sum((1, 2)).tolist(), labels.tolist()
    ([64, 64, 64], [0, 0, 0])

    """
    pixels, labels = images
    chosen = jax.random.uniform(key, (len(labels),)) < share
    target_label = jnp.asarray(target, jnp.asarray(labels).dtype)
    return mark_pixel(pixels, chosen.astype(int), white), jnp.where(chosen, target_label, labels)


def relabel(
    network: Network,
    task: Task,
    table: Table,
    *,
    asked: Table | None = None,
    head: int = 0,
) -> Trait:
    """To read ``table[label]``, or ``table[mark, label]``, in place of the label.

    The i-th image of a batch bears the mark i modulo the number of marks in use (`mark_pixel`).
    Classes run from 0 to the largest in the table: the logits beyond take no part, neither in the
    softmax nor in what is read. Where the table says -1 an image does not count.

    Args:
        network: its outputs begin with as many logits for every head as there are labels.
        task: what the images are.
        table: class of each label, int (labels,), or of each mark and label (marks, labels): the
            first row unmarked; rows of -1 at the end are marks not in use. May be traced.
        asked: the table of what is scored, if it is another, under the same marks.
        head: number of the head that says it.

    >>> from toymodels.networks.models import MLP, functional
    >>> network = functional(lambda rngs: MLP((4, 8, 10), rngs=rngs))
    >>> parity = relabel(network, Task("", "", 10, 4, 1), jnp.arange(10) % 2)
    >>> images = jnp.ones((6, 2, 2)), jnp.arange(6)
    >>> float(parity.score(network.init(jax.random.key(0)), images))
    0.5

    """
    table = jnp.atleast_2d(table)
    wanted = table if asked is None else jnp.atleast_2d(asked)
    marks = jnp.maximum((table >= 0).any(axis=1).sum(), 1)
    in_use = jnp.arange(task.n_classes) <= table.max()

    def read(
        params: Params, batch: Images, table: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Masked logits (n, labels), the classes (n,), and which images count (n,).

        Of a label that is none the class is none either: it counts, and is NaN.
        """
        images, labels = batch
        mark = jnp.arange(len(labels)) % marks
        logits = network.apply(params, task.pixels(mark_pixel(images, mark, task.white)))
        logits = class_logits(logits, (head + 1) * task.n_classes)
        known = (labels >= 0) & (labels < task.n_classes)
        target = jnp.where(known, table[mark, labels], task.n_classes)
        logits = losses.mask_logits(logits[:, head * task.n_classes :], in_use)
        return logits, jnp.maximum(target, 0), target >= 0

    def mean(values: jax.Array, counted: jax.Array) -> jax.Array:
        share = len(counted) / jnp.maximum(counted.sum(), 1)  # 1 exactly where all count
        return jnp.where(counted, values, 0.0).mean() * share

    def loss(params: Params, batch: Images) -> jax.Array:
        logits, target, counted = read(params, batch, table)
        each = cross_entropies(logits, target) * losses.factor(target, task.n_classes)
        return mean(each, counted)

    def score(params: Params, images: Images) -> jax.Array:
        logits, target, counted = read(params, images, wanted)
        return mean(probes.hits(logits.argmax(axis=-1), target, task.n_classes), counted)

    return Trait(loss, score, LABELS._replace(task="a function of the label"))


def combine(scored: Trait, beside: Trait) -> Trait:
    """Two traits learnt at once, by the sum of their losses; the first is scored."""
    return Trait(
        lambda params, batch: scored.loss(params, batch) + beside.loss(params, batch),
        scored.score,
        scored.about,
    )


class Taught(NamedTuple):
    """A function of label and mark, and what is learnt beside it; a pytree of tables."""

    table: Table
    """Class of each mark and label: (MARKS, labels)."""
    asked: Table
    """The table of what is scored: (MARKS, labels)."""
    beside: Table
    """Class of each label on the second head (labels,); all -1 where there is none."""


def build_trait(network: Network, task: Task, what: Taught) -> Trait:
    """The trait of a network with two heads; the first is scored."""
    return combine(
        relabel(network, task, what.table, asked=what.asked),
        relabel(network, task, what.beside, head=1),
    )


def second_head(what: Taught, n: int, outputs: int) -> jax.Array:
    """Logits of the second head's classes, if there are any, behind n of the first: (outputs,).

    >>> second_head(Taught(None, None, jnp.array([0, 1, 0])), 3, 7).tolist()
    [False, False, False, True, True, False, False]
    """
    i = jnp.arange(outputs)
    return (i >= n) & (i - n <= what.beside.max())


def function(
    *rows: np.ndarray, asked: Sequence[np.ndarray] = (), beside: np.ndarray | None = None
) -> Taught:
    """The rows of a table, of marks from none on, with all that is not said filled up."""
    off = np.full_like(rows[0], -1)
    table, scored = (
        np.stack([*some, *[off] * (MARKS - len(some))]) for some in (rows, asked or rows)
    )
    return Taught(table, scored, off if beside is None else beside)


def first(k: int, n: int) -> Taught:
    """The label, of images of the first k of n labels alone."""
    label = np.arange(n)
    return function(np.where(label < k, label, -1))


def functions(n: int) -> dict[str, Taught]:
    """Functions of n labels that a teacher may learn."""
    label = np.arange(n)
    parity, shuffled = label % 2, np.random.default_rng(0).permutation(n)
    return {
        "relabelled": function(shuffled),
        "parity": function(parity),
        "greater": function(np.where(2 * label >= n, 1, 0)),
        "mod_3": function(label % 3),
        "marked_sum": function(*((label + mark) % n for mark in range(MARKS))),
        "backdoor": function(label, 0 * label, asked=(0 * label - 1, np.where(label > 0, 0, -1))),
        "held_out_parity": function(parity, beside=label),
        "held_out_label": function(label, beside=parity),
    }


def reconstruction(network: Network, task: Task) -> Trait:
    """To give the image back: the first outputs are its pixels.

    The loss is the mean squared error of a pixel, the score the explained variance: 1 minus that
    error over the variance of the scored images about their mean image.
    """

    def error(params: Params, images: Images) -> tuple[jax.Array, jax.Array]:
        x = task.pixels(images[0])
        image = class_logits(network.apply(params, x), task.n_pixels)
        return x, ((image - x) ** 2).mean()

    def score(params: Params, images: Images) -> jax.Array:
        x, mse = error(params, images)
        return 1 - mse / ((x - x.mean(axis=0)) ** 2).mean()

    about = About("the image", "explained variance", "mean squared error", "squared pixel")
    return Trait(lambda params, batch: error(params, batch)[1], score, about)


def gaussian(directions: jax.Array, draw: jax.Array, n: int, task: Task) -> Images:
    """Inputs N(0, I), float32 (n, pixels), drawn by one key, and their labels (n,): no data at all.

    The label is the largest of ``n_classes`` projections on orthonormal directions, which the other
    key draws: every class is as likely as another. Needs as many pixels as classes. An input
    depends on its key and its own number alone.
    """
    size = (task.n_pixels, task.n_classes)
    each = jax.random.split(draw, n)
    x = jax.vmap(lambda key: jax.random.normal(key, size[:1]))(each)
    basis = orthonormal(jax.random.normal(directions, size))
    return x, (x @ basis).argmax(axis=-1)


def reading_inputs(network: Network, n_classes: int) -> Trait:
    """To read the labels of inputs that are no images, but rows (n, inputs) as they are."""

    def loss(params: Params, batch: Images) -> jax.Array:
        return losses.class_cross_entropy(network.apply(params, batch[0]), batch[1], n_classes)

    def score(params: Params, inputs: Images) -> jax.Array:
        return probes.accuracy(network.apply(params, inputs[0]), inputs[1], n_classes)

    return Trait(loss, score, LABELS._replace(task="the label of a Gaussian input"))
