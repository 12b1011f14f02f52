"""The capacity of the channel: known students at all queries, and choices without the teacher."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments import bits, loss
from experiments.bits import Config
from tests.experiments.protocols import SMALL
from toymodels.errors import UserError
from toymodels.study import plotting
from toymodels.study.distillation import perceptron
from toymodels.sweep import RunOptions
from toymodels.training import tasks
from toymodels.training.protocol import reference_protocol
from toymodels.training.students import Setup

TINY = Config(**SMALL, queries=(256, 16, 64), bits=(16, 1))
PASSIVE = ["logits", "16 bits", "1 bit", "largest", "drawn", "comparison"]


@pytest.fixture(scope="module")
def tiny():
    return bits.STUDY.run(TINY, options=RunOptions(width=4))


@pytest.fixture(scope="module")
def setup():
    """A setup of one seed."""
    config, task, data = tasks.load(TINY, None)
    protocol = reference_protocol(config, task, perceptron(config, task))
    data = jax.tree.map(jnp.asarray, data)
    lesson, _ = protocol.prepare(data, jnp.asarray(0))
    return Setup(config, protocol, data, lesson)


@pytest.fixture(scope="module")
def pool(setup):
    return bits.prepare(setup)


def asked(setup, pool, way, queries, start=0):
    """Rows of the pool that a student sees in an epoch, each once."""
    point = {name: jnp.asarray(value) for name, value in bits.points(TINY)["way"][way].items()}
    batches = bits.student(
        dataclasses.replace(setup, extra=pool), point, jnp.asarray(queries), jnp.asarray(start)
    ).batches
    inputs = np.concatenate(
        [batches.batch(rows)[0] for rows in batches.epoch(jax.random.key(0))[0]]
    )
    rows = {row.tobytes(): i for i, row in enumerate(np.asarray(setup.inputs))}
    return {rows[row.tobytes()] for row in inputs}


def test_all_queries_are_the_known_students(tiny):
    known = loss.STUDY.run(loss.Config(**SMALL, temperatures=(1.0,), draws=(1,)))
    for ours, theirs in (("logits", "KL"), ("largest", "largest"), ("drawn", "1 drawn")):
        for name in ("accuracy", "loss"):
            got = tiny[name].sel(way=ours, queries=256).transpose("seed", "start", "epoch")
            expected = known[name].sel(way=theirs).transpose("seed", "start", "epoch")
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=0.01)


def test_random_queries_are_nested_and_the_first_of_the_pool(setup, pool):
    for queries in (16, 64, 256):
        assert asked(setup, pool, "largest", queries) == set(range(queries))


@pytest.mark.parametrize("start", [0, 1])
def test_chosen_queries_have_the_smallest_gaps_under_the_students_own_start(setup, pool, start):
    params = setup.independent if start else setup.reference
    own = np.asarray(setup.network.apply(params, setup.inputs))[:, -3:]
    ranked = np.sort(own, axis=-1)
    pairs = np.asarray(pool.pairs) - setup.task.n_classes
    of_pair = np.ptp(np.take_along_axis(own, pairs, axis=1), axis=1)
    gaps = {"comparison active": of_pair}
    gaps |= dict.fromkeys(("logits active", "largest active"), ranked[:, -1] - ranked[:, -2])
    for way, gap in gaps.items():
        few, more = (asked(setup, pool, way, queries, start) for queries in (16, 64))
        assert len(few) == 16
        assert few < more
        assert gap[[*more]].max() <= np.delete(gap, [*more]).min()


def test_the_choice_does_not_look_at_the_teacher(setup, pool):
    teacher = jax.tree.map(lambda a: -3 * a + 1, setup.teacher)
    answers = setup.network.apply(teacher, setup.inputs)
    lesson = setup.lesson._replace(teacher=teacher, answered=(setup.inputs, answers))
    other = bits.prepare(dataclasses.replace(setup, lesson=lesson))
    np.testing.assert_array_equal(pool.orders, other.orders)
    np.testing.assert_array_equal(pool.pairs, other.pairs)
    assert not np.array_equal(pool.answers.codes, other.answers.codes)


def test_answers_stand_in_the_order_of_their_names(setup, pool):
    forms = bits.points(TINY)["way"]
    assert [forms[name]["form"] for name in PASSIVE] == list(range(len(PASSIVE)))
    values, kept = np.asarray(pool.answers.values), np.asarray(setup.answers)[:, -3:]
    np.testing.assert_array_equal(values[0], setup.answers)
    cells = np.ptp(kept) / 2.0 ** np.array([16, 1])
    for rounded, cell in zip(values[1:3], cells, strict=True):
        assert cell / 4 < abs(rounded[:, -3:] - kept).max() <= cell / 2 * 1.01
    assert (values[3].argmax(-1) == kept.argmax(-1) + setup.task.n_classes).all()
    assert (values[4].sum(-1) == 1).all()
    assert (np.sort(values[5], axis=-1)[:, [0, -1]] == [-1, 1]).all()


def test_many_bits_are_the_logits_and_no_answer_tells_more_than_its_bound(tiny):
    many, logits = (tiny.sel(way=way) for way in ("16 bits", "logits"))
    np.testing.assert_allclose(many.accuracy, logits.accuracy, atol=0.01)
    np.testing.assert_allclose(many.loss, logits.loss, rtol=1e-2)
    assert (tiny.entropy <= tiny.nats / tiny.queries + 1e-5).all()
    assert (tiny.entropy <= 3 * np.log(tiny.queries) + 1e-5).all()
    assert (tiny.entropy.sel(way="logits") == 0).all()
    names = ["16 bits", "1 bit", "largest", "drawn", "comparison"]
    per_query = (tiny.nats / tiny.queries).sel(way=names).isel(queries=0)
    expected = [48 * np.log(2), 3 * np.log(2), np.log(3), np.log(3), np.log(2)]
    np.testing.assert_allclose(per_query, expected)


def test_with_all_queries_the_choice_changes_no_entropy_and_no_bound(tiny):
    """Nor the students, but for the order of their batches."""
    last = tiny.isel(queries=-1)
    for form in bits.ACTIVE:
        own, active = (last.sel(way=way, drop=True) for way in (form, f"{form} active"))
        np.testing.assert_allclose(own.entropy, active.entropy, rtol=1e-5)
        assert own.nats == active.nats
        assert not np.array_equal(own.loss, active.loss)


def made(curve):
    """A result whose logits transfer 0.2, 0.4 and 0.8 by 16, 64 and 256 queries, and bits a curve."""
    ways = [*PASSIVE, *(f"{form} active" for form in bits.ACTIVE)]
    coords = {
        "seed": [0, 1, 2],
        "way": ways,
        "queries": [16, 64, 256],
        "start": ["shared", "other"],
    }
    accuracy = np.zeros((3, len(ways), 3, 2))
    accuracy[..., 0] = [0.2, 0.4, 0.8]
    accuracy[:, 2, :, 0] = curve
    accuracy[:, -1, :, 0] += 0.1
    runs = xr.Dataset(
        {
            "accuracy": ((*coords, "epoch"), accuracy[..., None]),
            "entropy": (tuple(coords), np.ones(accuracy.shape)),
            "teacher_accuracy": (("seed", "teacher_epoch"), np.ones((3, 1))),
            "failed": (tuple(coords), np.zeros(accuracy.shape, bool)),
        },
        coords,
    )
    return bits.analyse(bits.annotate(TINY, runs))


def test_findings_follow_the_numbers():
    runs = made([0.1, 0.2, 0.6])
    rows = [row for row in bits.findings(runs) if not isinstance(row, str)]
    cost = {row.at: row.estimate.mean for row in rows if "logarithm" in row.quantity}
    assert cost["logits"] == pytest.approx(np.log10(64 * 96 * np.log(2)))
    assert cost["1 bit"] == pytest.approx(np.log10(128 * 3 * np.log(2)))
    gaps = {row.at: row for row in rows if "chosen" in row.quantity}
    assert gaps["comparison, queries = 16"].verdict == "higher"
    assert gaps["logits, queries = 64"].verdict == "no difference shown"
    assert len(gaps) == 3 * 2  # with the whole pool there is nothing to choose
    budget = {row.at: row.estimate.mean for row in rows if "at most 177 nats" in row.quantity}
    assert budget["comparison"] == pytest.approx(0.8)
    share = np.log(256 / 3 / 64) / np.log(4)
    assert budget["1 bit"] == pytest.approx(0.2 + 0.4 * share)
    assert "logits" not in budget  # 16 queries already tell more


@pytest.mark.parametrize(
    ("curve", "n"), [([0.1, 0.2, 0.3], 3), ([0.5, 0.6, 0.7], 3), ([0.1, 0.2, np.nan], 3)]
)
def test_what_is_not_reached_or_reached_too_soon_has_no_cost(curve, n):
    runs = made(curve)
    assert int(runs.half_nats.sel(way="1 bit").isnull().sum()) == n
    (sentence,) = (row for row in bits.findings(runs) if isinstance(row, str))
    assert sentence.endswith("1 bit (3 of 3 seeds).")


def test_the_result_has_a_figure_and_findings(tiny):
    plotting.render(bits.STUDY.figure(tiny))
    findings = [row for row in bits.findings(tiny) if not isinstance(row, str)]
    assert [f.at for f in findings if f.quantity == "Transfer by 256 random queries"] == PASSIVE


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"m": 1}, "m must be at least 2, for logits are compared; got 1"),
        ({"queries": (0,)}, "queries must be at least 1; got .*"),
        ({"queries": (300,)}, "queries must be at most the 256 noise_images of the pool; got .*"),
        ({"bits": (17,)}, "bits must be at most 16; got .*"),
        ({"bits": (2, 2)}, "bits must have one value at least, and none twice; got .*"),
        ({"noise": "fresh"}, "noise must be one of fixed; got 'fresh'"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
