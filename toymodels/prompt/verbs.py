"""Train a teacher, relate an initialisation to its own, distil a student: one verb each.

The defaults are those of the reference protocol (`toymodels.training.config.ProtocolConfig`), and so
are the numbers: ``teach(net, data, seed)`` is the teacher of that seed, and ``distil(net, start,
teacher, key=seed)`` its student, on the same distillation inputs in the same order, as
`toymodels.training.protocol.Protocol` makes them: to the bit, but for the last bits by the squared error
or at another temperature. A training is one compiled program. It is compiled again for other shapes,
functions, numbers of epochs or batch sizes, not for other values of keys, rates, temperatures, masks or
parameters. All verbs may stand inside ``jax.jit`` and ``jax.vmap``.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from toymodels.data.inputs import uniform_noise
from toymodels.errors import FLOAT32, UserError
from toymodels.inits.relations import AMOUNTS, RELATIONS
from toymodels.networks.models import Network, Params
from toymodels.prompt.arguments import (
    Inputs,
    arithmetic,
    as_key,
    check_between,
    check_count,
    check_finite,
    check_function,
    check_inputs,
    check_loss,
    check_mask,
    check_params,
    choose_rate,
)
from toymodels.prompt.images import ImageData
from toymodels.prompt.nets import as_net, refuse_no_net
from toymodels.prompt.programs import (
    LabelFunction,
    Observation,
    answer,
    layout,
    make_recipe,
    make_related,
    measure_score,
    split_key,
    train_student,
    train_teacher,
)
from toymodels.prompt.records import Net, Trained, find_shapes
from toymodels.sweep.narrow import describe_value
from toymodels.training import losses
from toymodels.training.config import ProtocolConfig

HELD_OUT = 1000
"""Number of unseen distillation inputs, on which the loss of a student is measured."""


def teach(
    net: Net | Network,
    data: ImageData,
    key: int | jax.Array,
    *,
    init: Params | None = None,
    epochs: int = ProtocolConfig.teacher_epochs,
    batch: int = ProtocolConfig.batch,
    optimiser: Any = optax.adam,
    lr: float | jax.Array | None = None,
    loss: LabelFunction | None = None,
    score: LabelFunction | None = None,
    observe: Observation | None = None,
) -> Trained:
    """Train a teacher on the training images.

    Args:
        net: the network, of ``tm.mlp``, ``tm.cnn``, ``tm.network`` or ``tm.functional``.
        data: the images.
        key: a seed or a key; initialisation and order of the batches have keys of their own from it.
        init: an initialisation in place of the one drawn from the key.
        epochs: number of passes over the training images.
        batch: batch size, in images.
        optimiser: ``optimiser(lr)`` returns an optax transformation, as ``optax.adam`` and
            ``optax.sgd`` do; or an optax transformation, for which everything is compiled anew.
        lr: learning rate (None: 0.001).
        loss: ``loss(logits, labels)`` of a batch (None: cross-entropy of the class logits, nat).
        score: ``score(logits, labels)`` of the test images (None: accuracy of the class logits).
        observe: ``observe(params) -> arrays by name``, recorded in the curve.

    Returns:
        The teacher: ``.init``, ``.params`` and ``.curve``, with "accuracy" (the score) and "loss" on the
        test images, (epochs + 1,), the first before training. Both are NaN where logits are not finite.

    Raises:
        UserError: an argument that cannot be, in one sentence.

    >>> import toymodels as tm
    >>> digits = tm.load("digits")
    >>> teacher = tm.teach(tm.mlp(digits, widths=(32,)), digits, 0, epochs=2)
    >>> teacher.curve["accuracy"].shape, bool(teacher.curve["accuracy"][-1] > 0.5)
    ((3,), True)

    """
    net = as_net(net, data)
    recipe = make_recipe(net, data, loss, score, observe, optimiser, epochs, batch)
    if loss is not None:
        check_function("loss", loss, "logits", "labels")
    if init is not None:
        net.check("init", init)
    with arithmetic():
        keys = split_key(key)
        start = net.init(keys.init) if init is None else init
        rate = choose_rate(optimiser, lr, ProtocolConfig.teacher_lr)
        params, curve = train_teacher(recipe, start, data.train, data.test, keys.teacher, rate)
    return Trained(start, params, curve, net, data)


def distil(
    net: Net | Network,
    start: Params,
    teacher: Trained,
    *,
    key: int | jax.Array,
    inputs: Inputs = uniform_noise,
    n_inputs: int = ProtocolConfig.noise_images,
    fresh: bool = False,
    logits: jax.Array | None = None,
    loss: Literal["kl", "mse"] | losses.Imitation = ProtocolConfig.loss,
    temperature: float | jax.Array = ProtocolConfig.temperature,
    epochs: int = ProtocolConfig.student_epochs,
    batch: int = ProtocolConfig.batch,
    optimiser: Any = optax.adam,
    lr: float | jax.Array | None = None,
    score: LabelFunction | None = None,
    observe: Observation | None = None,
) -> Trained:
    """Train a student to imitate a teacher's logits on inputs of your choice.

    Args:
        net: the student's network; it may be another than the teacher's, with as many logits.
        start: the student's initialisation.
        teacher: what `teach` or `distil` returned.
        key: a seed or a key; the inputs, the unseen inputs and the order of the batches have keys of
            their own from it. Students with the same key are paired.
        inputs: ``inputs(key, n)`` or ``inputs(key, n, pixels)`` returns inputs (n, pixels), floats,
            made by functions of JAX: ``tm.uniform_noise``, U(-1, 1), or another distribution.
        n_inputs: number of inputs in an epoch.
        fresh: whether inputs are drawn at every step in place of one set for all epochs; an epoch then
            has whole batches only.
        logits: the imitated logits, a mask bool (outputs,) such as ``net.aux`` or ``net.all`` (None:
            ``net.aux``).
        loss: "kl", KL(teacher || student) of the softmax over the imitated logits, in nat; "mse", their
            squared difference; or ``loss(student's logits, teacher's logits, mask) -> number``.
        temperature: temperature of both softmaxes of "kl".
        epochs: number of passes over the inputs.
        batch: batch size, in inputs.
        optimiser: as in `teach`.
        lr: learning rate (None: 0.001).
        score: as in `teach`.
        observe: as in `teach`.

    Returns:
        The student: ``.init``, ``.params`` and ``.curve``, with "accuracy" (the score) on the test
        images and "loss" on 1,000 unseen inputs, (epochs + 1,), the first before training. Both are
        NaN where logits are not finite.

    Raises:
        UserError: an argument that cannot be, in one sentence: a start of another network, a mask of
            another length or of no logit, a rate that is not positive, an unknown loss.

    >>> import toymodels as tm
    >>> digits = tm.load("digits")
    >>> net = tm.mlp(digits, widths=(32,))
    >>> teacher = tm.teach(net, digits, 0, epochs=2)
    >>> student = tm.distil(net, teacher.init, teacher, key=0, n_inputs=1024, epochs=2)
    >>> student.curve["loss"].shape, bool(student.curve["loss"][-1] < student.curve["loss"][0])
    ((3,), True)

    """
    if not isinstance(teacher, Trained):
        raise UserError(
            f"teacher must be what tm.teach or tm.distil returns; got {describe_value(teacher)}"
        )
    data = teacher.data
    net = as_net(net, data)
    net.check("start", start)
    teacher.net.check("teacher", teacher.params)
    outputs = net.n_classes + net.m
    if outputs != teacher.net.n_classes + teacher.net.m:
        raise UserError(
            f"net must have as many logits as the teacher's {teacher.net.name}; got {net.name}"
        )
    mask = net.aux if logits is None else logits
    check_mask("logits", mask, outputs)
    check_count("n_inputs", n_inputs)
    check_inputs(inputs, net.n_pixels)
    check_loss(loss, temperature)
    refresh = (teacher.net, inputs, n_inputs) if fresh else None
    recipe = make_recipe(net, data, loss, score, observe, optimiser, epochs, batch, refresh)
    with arithmetic():
        keys = split_key(key)
        rate = choose_rate(optimiser, lr, ProtocolConfig.student_lr)
        held_out = answer(teacher.net, inputs, HELD_OUT, teacher.params, keys.probe)
        answered = (
            None if fresh else answer(teacher.net, inputs, n_inputs, teacher.params, keys.noise)
        )
        check_finite("inputs", (held_out, answered))
        params, curve = train_student(
            recipe,
            start,
            teacher.params,
            answered,
            held_out,
            data.test,
            jnp.asarray(mask),
            keys.student,
            rate,
            jnp.asarray(temperature, float),
        )
    return Trained(start, params, curve, net, data)


def relate(
    net: Net | Network,
    init: Params,
    relation: str,
    amount: float | jax.Array,
    key: int | jax.Array,
) -> Params:
    """Make an initialisation that resembles another, by a relation of `toymodels.inits.relations`.

    Args:
        net: the network.
        init: W, the teacher's initialisation.
        relation: "rotation", "interpolation", "orthogonal", "entries", "largest", "signs",
            "magnitudes", "units", "noise", "relative_noise", "scaling", "permutation" or "aligned".
        amount: how much both have in common: an overlap, a fraction, a standard deviation, a factor.
        key: decides everything random. The same key at several amounts gives nested students.

    Raises:
        UserError: an unknown relation, an amount that it does not have, a network without units
            that can be told apart, an ``init`` of another network.

    >>> import toymodels as tm
    >>> net = tm.mlp(tm.load("digits"), widths=(8,))
    >>> init = net.init(0)
    >>> twice = tm.relate(net, init, "scaling", 2.0, key=1)
    >>> bool((twice["head"]["kernel"] == 2 * init["head"]["kernel"]).all())
    True

    """
    pure = net if isinstance(net, Network) else refuse_no_net(net).network
    check_params("init", init, find_shapes(pure), pure.name)
    if relation not in RELATIONS:
        raise UserError(
            f"relation must be one of {', '.join(RELATIONS)}; got {describe_value(relation)}"
        )
    check_between("amount", amount, *AMOUNTS.get(relation, (-FLOAT32[1], FLOAT32[1])))
    with arithmetic():
        return make_related(pure, relation, init, as_key(key), jnp.asarray(amount, float))


def accuracy(
    net: Net | Network,
    params: Params,
    data: ImageData,
    *,
    split: Literal["test", "train"] = "test",
    score: LabelFunction | None = None,
) -> jax.Array:
    """Measure the accuracy of the class logits: the fraction of images whose largest is the label's.

    Args:
        net: the network.
        params: its parameters.
        data: the images.
        split: which of them, "test" or "train".
        score: ``score(logits, labels)`` in place of the accuracy.

    Returns:
        A number (), between 0 and 1; NaN if a logit is not finite.

    Raises:
        UserError: parameters of another network, or an unknown split.

    >>> import toymodels as tm
    >>> digits = tm.load("digits")
    >>> net = tm.mlp(digits, widths=(8,))
    >>> bool(0 < tm.accuracy(net, net.init(0), digits) < 0.3)
    True

    """
    net = as_net(net, data)
    net.check("params", params)
    if split not in ("test", "train"):
        raise UserError(f"split must be test or train; got {split!r}")
    if score is not None:
        check_function("score", score, "logits", "labels")
    with arithmetic():
        return measure_score(net, layout(data), score, params, getattr(data, split))
