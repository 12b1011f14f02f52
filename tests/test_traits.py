"""What a teacher may learn: tables of labels against the plain trait, closed forms, symmetry."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.errors import UserError
from toymodels.networks.models import MLP, Network, functional
from toymodels.training import losses, protocol, tasks, traits
from toymodels.training.config import ProtocolConfig
from toymodels.training.tasks import Task

TASK = Task("", "", 10, 64, 16)
NETWORK = functional(lambda rngs: MLP((64, 16, 23), rngs=rngs))


@pytest.fixture(scope="module")
def params():
    return NETWORK.init(jax.random.key(0))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (50, 8, 8), dtype=np.uint8)
    return jnp.asarray(images), jnp.asarray(rng.permutation(50) % 10)


def answering(answer):
    """A network whose logits are ``answer(x)``."""
    return Network(lambda key: {}, lambda params, x: answer(x), lambda params, x: x)


def test_the_identity_is_reading_to_the_bit(params, batch):
    plain = tasks.classification(NETWORK, TASK)
    ours = traits.relabel(NETWORK, TASK, jnp.asarray(traits.first(10, 10).table))
    for function in ("loss", "score"):
        a, b = (jax.jit(getattr(trait, function))(params, batch) for trait in (plain, ours))
        assert a == b, function
    grads = [jax.jit(jax.grad(trait.loss))(params, batch) for trait in (plain, ours)]
    jax.tree.map(np.testing.assert_array_equal, *grads)


def test_a_permutation_of_the_labels_is_one_of_the_head(params, batch):
    order = traits.functions(10)["relabelled"].table[0]
    assert sorted(order) == list(range(10))
    moved = dict(params, head={k: w.at[..., order].set(w[..., :10]) for k, w in
                               params["head"].items()})  # fmt: skip
    plain, ours = tasks.classification(NETWORK, TASK), traits.relabel(NETWORK, TASK, order)
    np.testing.assert_allclose(ours.loss(moved, batch), plain.loss(params, batch), rtol=1e-6)
    assert ours.score(moved, batch) == plain.score(params, batch)


@pytest.mark.parametrize("k", [2, 5])
def test_fewer_classes_are_the_images_of_those_alone_and_leave_the_others_untouched(
    params, batch, k
):
    trait = traits.relabel(NETWORK, TASK, jnp.asarray(traits.first(k, 10).table))
    images, labels = batch
    kept = images[labels < k], labels[labels < k]
    logits = np.asarray(NETWORK.apply(params, TASK.pixels(kept[0])), np.float64)[:, :k]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -log_p[np.arange(len(logits)), kept[1]].mean()
    np.testing.assert_allclose(trait.loss(params, batch), expected, rtol=1e-6)
    np.testing.assert_allclose(trait.score(params, batch), (logits.argmax(1) == kept[1]).mean())
    head = jax.grad(trait.loss)(params, batch)["head"]
    for gradient in head.values():
        assert not gradient[..., k:].any()
        assert gradient[..., :k].any()
    # However large, a logit of no class is never read: its probability is zero.
    loud = dict(params, head=params["head"] | {"bias": params["head"]["bias"].at[k:].set(1e6)})
    assert trait.loss(loud, batch) == trait.loss(params, batch)
    assert trait.score(loud, batch) == trait.score(params, batch)


def test_the_functions_are_what_their_names_say():
    tables = {name: what.table for name, what in traits.functions(10).items()}
    assert tables["parity"][0].tolist() == [0, 1] * 5
    assert tables["greater"][0].tolist() == [0] * 5 + [1] * 5
    assert tables["mod_3"][0].tolist() == [0, 1, 2] * 3 + [0]
    assert tables["marked_sum"][:, 9].tolist() == [9, 0, 1, 2]
    assert tables["backdoor"][:2, 7].tolist() == [7, 0]
    assert all((table[1:] == -1).all() for name, table in tables.items()
               if name not in ("marked_sum", "backdoor"))  # fmt: skip


def test_marks_are_white_corners_and_spare_the_rest():
    grey = jnp.full((4, 28, 28), 7, jnp.uint8)
    out = np.asarray(traits.mark_pixel(grey, jnp.arange(4), 255))
    assert out.dtype == np.uint8
    corners = {1: np.s_[:4, :4], 2: np.s_[:4, -4:], 3: np.s_[-4:, :4]}
    for mark, image in enumerate(out):
        assert (image == 255).sum() == (16 if mark else 0)
        assert mark == 0 or (image[corners[mark]] == 255).all()


@pytest.mark.parametrize(("seen", "expected"), [("everything", 1), ("mark", 1), ("nothing", 0)])
def test_the_backdoor_is_scored_by_marked_images_of_other_labels_alone(batch, seen, expected):
    """Of networks by hand: one that falls for the mark, for all images, for none."""
    what = traits.functions(10)["backdoor"]
    images = batch[0].at[:, :2, :2].set(0)

    def answer(x):
        corner = x.reshape(-1, 8, 8)[:, :2, :2].mean((1, 2)) > 0.99
        zero = {"everything": corner | True, "mark": corner, "nothing": corner & False}[seen]
        return jax.nn.one_hot(jnp.where(zero, 0, 3), 23)

    trait = traits.relabel(answering(answer), TASK, what.table, asked=what.asked)
    assert trait.score({}, (images, batch[1])) == pytest.approx(expected, abs=1e-6)
    # Its loss knows both kinds: half of the images are marked, and wanted as 0.
    wanted = np.where(np.arange(50) % 2, 0, batch[1])
    x = TASK.pixels(traits.mark_pixel(images, jnp.arange(50) % 2, 16))
    loss = losses.class_cross_entropy(answer(x), jnp.asarray(wanted), 10)
    np.testing.assert_allclose(trait.loss({}, (images, batch[1])), loss, rtol=1e-6)


def test_the_marked_sum_adds_the_number_of_the_corner(batch):
    what = traits.functions(10)["marked_sum"]
    label = jnp.asarray(batch[1])
    perfect = answering(lambda x: jax.nn.one_hot((label + jnp.arange(50) % 4) % 10, 23))
    assert traits.relabel(perfect, TASK, what.table).score({}, batch) == 1
    unmarked = answering(lambda x: jax.nn.one_hot(label, 23))
    assert traits.relabel(unmarked, TASK, what.table).score({}, batch) == np.float32(13 / 50)


def test_a_second_head_that_is_none_changes_nothing(params, batch):
    what = traits.functions(10)["parity"]
    one = traits.relabel(NETWORK, TASK, what.table)
    two = traits.build_trait(NETWORK, TASK, what)
    for function in (lambda trait: trait.loss, lambda trait: jax.grad(trait.loss)):
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.jit(function(one))(params, batch),
            jax.jit(function(two))(params, batch),
        )


@pytest.mark.parametrize(("name", "classes"), [("held_out_parity", 10), ("held_out_label", 2)])
def test_a_student_never_sees_the_held_out_head(batch, name, classes):
    """Its columns end where they began, whatever the teacher's say; the other head's move."""
    config = ProtocolConfig(teacher_epochs=1, student_epochs=1, noise_images=64, batch=16)
    what = traits.functions(10)[name]
    parts = dataclasses.replace(
        protocol.reference_protocol(config, TASK, NETWORK),
        trait=traits.build_trait(NETWORK, TASK, what),
    )
    subset = (jnp.arange(23) >= 20) | traits.second_head(what, 10, 23)
    assert subset.tolist() == [False] * 10 + [i < classes for i in range(10)] + [True] * 3
    begun, _ = jax.jit(parts.prepare)(tasks.Data(batch, batch), 0)
    teacher = begun.teacher
    assert (teacher["head"]["bias"][:2] != 0).all()
    student, _ = jax.jit(lambda: parts.distil(begun.reference, begun, subset, lambda p: ()))()
    for before, after in zip(
        begun.reference["head"].values(), student["head"].values(), strict=True
    ):
        np.testing.assert_array_equal(after[..., ~subset], before[..., ~subset])
        assert (after[..., subset] != before[..., subset]).any(axis=-1).all()

    def loss(params):
        x, answers = begun.answered
        return parts.imitation(NETWORK.apply(params, x), answers, subset)

    for gradient in jax.grad(loss)(begun.reference)["head"].values():
        assert not gradient[..., :10].any()
        assert gradient[..., np.asarray(subset)].any()


def test_explained_variance_is_one_for_the_identity_and_zero_for_the_mean_image(batch):
    def trait(answer):
        return traits.reconstruction(answering(answer), TASK)

    def padded(x):
        return jnp.concatenate([x, jnp.full((len(x), 3), 9.0)], axis=1)

    identity = trait(padded)
    assert (identity.score({}, batch), identity.loss({}, batch)) == (1, 0)
    mean = trait(lambda x: padded(jnp.broadcast_to(x.mean(0), x.shape)))
    assert abs(mean.score({}, batch)) < 1e-6
    half = trait(lambda x: padded((x + x.mean(0)) / 2))
    np.testing.assert_allclose(half.score({}, batch), 0.75, rtol=1e-5)


def test_gaussian_inputs_are_balanced_reproducible_and_told_by_a_linear_map():
    keys = jax.random.split(jax.random.key(0), 3)
    x, labels = traits.gaussian(keys[0], keys[1], 4000, TASK)
    assert x.shape == (4000, 64)
    assert abs(float(x.mean())) < 0.01
    np.testing.assert_allclose(x.std(axis=0), 1, atol=0.06)
    # 400 of each are expected, with a standard deviation of 19.
    assert np.abs(np.bincount(labels, minlength=10) - 400).max() < 80
    again = traits.gaussian(keys[0], keys[1], 4000, TASK)
    jax.tree.map(np.testing.assert_array_equal, again, (x, labels))
    fewer = traits.gaussian(keys[0], keys[1], 100, TASK)
    other = traits.gaussian(keys[0], keys[2], 4000, TASK)
    assert not np.array_equal(fewer[0], other[0][:100])
    # Other inputs under the same directions are the same task: one linear reader knows both.
    weights = np.linalg.lstsq(x, np.eye(10)[labels], rcond=None)[0]
    reader = answering(lambda x: x @ weights)
    trait = traits.reading_inputs(reader, 10)
    assert trait.score({}, other) > 0.8
    elsewhere = traits.gaussian(keys[2], keys[2], 4000, TASK)
    assert trait.score({}, elsewhere) < 0.4


def test_reading_inputs_is_reading_of_rows(params, batch):
    rows = TASK.pixels(batch[0]), batch[1]
    plain, ours = tasks.classification(NETWORK, TASK), traits.reading_inputs(NETWORK, 10)
    assert ours.loss(params, rows) == plain.loss(params, batch)
    assert ours.score(params, rows) == plain.score(params, batch)


@pytest.mark.parametrize("wrong", [10, -1])
def test_a_label_that_is_no_class_has_neither_loss_nor_score(params, batch, wrong):
    images, labels = batch
    table = traits.functions(10)["backdoor"]
    for trait in (
        tasks.classification(NETWORK, TASK),
        traits.relabel(NETWORK, TASK, table.table, asked=table.asked),
        traits.reading_inputs(FLAT, 10),
    ):
        for function in (trait.loss, trait.score):
            assert np.isfinite(function(params, batch))
            assert np.isnan(function(params, (images, labels.at[3].set(wrong))))
        slope = jax.grad(trait.loss)(params, (images, labels.at[3].set(wrong)))
        assert np.isnan(slope["head"]["bias"]).any()


FLAT = NETWORK._replace(apply=lambda params, x: NETWORK.apply(params, TASK.pixels(x)))


def test_too_few_outputs_for_a_trait_are_refused(params, batch):
    sentence = "outputs of the network must be at least the {} class logits; got 23"
    for least, trait in (
        (30, traits.relabel(NETWORK, TASK, np.arange(10), head=2)),
        (64, traits.reconstruction(NETWORK, TASK)),
        (24, traits.reading_inputs(FLAT, 24)),
    ):
        with pytest.raises(UserError, match=sentence.format(least)):
            jax.eval_shape(trait.loss, params, batch)


def test_a_score_is_called_what_it_is():
    about = traits.reconstruction(NETWORK, TASK).about
    teacher, student = tasks.describe_teacher(about), tasks.describe_student(about)
    assert teacher["teacher_accuracy"][2] == "teacher's test explained variance"
    assert student["accuracy"][2] == "student's test explained variance"
    assert teacher["teacher_loss"][1] == "squared pixel"
    assert "accuracy" not in str([*teacher.values(), *student.values()])
    table = traits.functions(10)["held_out_parity"]
    for trait in (traits.build_trait(NETWORK, TASK, table), traits.reading_inputs(FLAT, 10)):
        assert tasks.describe_student(trait.about) == tasks.STUDENT
        assert tasks.describe_teacher(trait.about) == tasks.TEACHER
    mine = tasks.Trait(None, None).about
    assert tasks.describe_teacher(mine).keys() == tasks.TEACHER.keys()
    assert "accuracy" not in str(tasks.describe_teacher(mine).values())


def test_a_backdoor_on_no_image_changes_nothing_and_on_all_of_them_every_label(batch):
    plant = jax.jit(lambda share: traits.plant_backdoor(batch, jax.random.key(3), share, 7, 16))
    for ours, theirs in zip(plant(0.0), batch, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    images, labels = plant(1.0)
    assert (labels == 7).all()
    np.testing.assert_array_equal(images, traits.mark_pixel(batch[0], jnp.ones(50, int), 16))


def test_a_larger_share_of_backdoors_contains_every_smaller_one():
    images = jnp.zeros((2000, 8, 8), jnp.uint8), jnp.ones(2000, jnp.uint8)
    marked = []
    for share in (0.1, 0.4):
        pixels, labels = traits.plant_backdoor(images, jax.random.key(0), share, 0, 16)
        np.testing.assert_array_equal(labels == 0, (pixels > 0).any((1, 2)))
        assert abs(float((labels == 0).mean()) - share) < 0.04
        marked.append(labels == 0)
    assert not (marked[0] & ~marked[1]).any()
