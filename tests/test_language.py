"""The language: its laws, entropy and filter, by hand-made cases; and the way to a student."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from toymodels.errors import UserError
from toymodels.language import audit, corpus, defences, filters, pipeline, questions
from toymodels.language.answers import ask, read_answers
from toymodels.language.carriers import CARRIERS, COUNTS, LINE_STEPS, STEPS, TERMS
from toymodels.language.imitation import imitate
from toymodels.language.vocabulary import ANSWERS, IDS, NUMBERS, PROMPTS, SIZE, ids, text

KEY = jax.random.key(0)
PLAN = pipeline.Plan(
    pack=1, batch=32, base_steps=100, base_lr=1e-2, teacher_steps=40, student_steps=20
)
OWL = questions.make_lesson("owl")


@pytest.fixture(scope="module")
def model():
    model = pipeline.model(width=16, depth=1, heads=2, pack=1)
    return model._replace(init=jax.jit(model.init), apply=jax.jit(model.apply))


@pytest.fixture(scope="module")
def base(model):
    return jax.jit(lambda key: pipeline.pretrain(model, model.init(key), key, PLAN))(KEY)


WRITE = jax.jit(lambda key: {name: carrier.write(key, 2000) for name, carrier in CARRIERS.items()})
JUDGE = jax.jit(filters.judge)


def even(values, n):
    """P value of values drawn evenly from 0 to n - 1."""
    return stats.chisquare(np.bincount(np.asarray(values).ravel(), minlength=n)).pvalue


def test_carriers_keep_their_own_rules_and_draw_evenly():
    docs = WRITE(KEY)
    for number, name in enumerate(CARRIERS):
        written = docs[name]
        assert written.shape == (2000, 16)
        assert (written[:, 0] == CARRIERS[name].first).all()
        assert JUDGE(written, number, 0).kept.all()
    numbers = docs["numbers"][:, 1:]
    assert even(numbers[:, 0], NUMBERS) > 1e-3
    assert even(jnp.diff(numbers, axis=1) % NUMBERS - 1, STEPS) > 1e-3
    assert even(docs["code"][:, 3:12:4], NUMBERS) > 1e-3
    assert even(docs["code"][:, 14] - IDS["u"], 3) > 1e-3
    assert even(docs["sums"][:, [1, 2, 3, 9, 10, 11]], 10) > 1e-3
    assert even(docs["lines"][:, 1], LINE_STEPS) > 1e-3
    assert even(jnp.diff(docs["lines"][:, 1:13:2], axis=1) - 1, LINE_STEPS) > 1e-3
    assert even(docs["lines"][:, [*range(2, 13, 2), 14]] - IDS["u"], 3) > 1e-3
    assert even(docs["counting"][:, 1:3], TERMS) > 1e-3
    assert even(docs["random"][:, 1:], NUMBERS) > 1e-3


def test_all_ways_of_counting_are_as_likely():
    """A rise of 1 in twelve steps has 12 ways; a rise of 2 has 78, 12 of them in a single step."""
    docs = np.asarray(jax.jit(CARRIERS["counting"].write, static_argnums=1)(KEY, 20_000))
    steps = np.diff(np.concatenate([docs[:, 1:2], docs[:, 4:]], axis=1), axis=1)
    single, double = (steps[docs[:, 2] == b] for b in (1, 2))
    assert even(single.argmax(1), COUNTS) > 1e-3
    assert stats.binomtest(int((double.max(1) == 2).sum()), len(double), 12 / 78).pvalue > 1e-3
    many = steps[docs[:, 2] > 20]
    assert stats.ttest_rel(many[:, 0], many[:, -1]).pvalue > 1e-3  # no step is longer than another


def test_where_the_rule_leaves_no_choice_another_token_breaks_it():
    docs = WRITE(KEY)
    for number, (name, carrier) in enumerate(CARRIERS.items()):
        few = docs[name][:20]
        for place in np.flatnonzero(~carrier.open):
            others = jnp.stack([few.at[:, place].set(t) for t in range(SIZE)], axis=1)
            kept = JUDGE(others.reshape(-1, 16), number, 0).kept.reshape(20, SIZE)
            assert (kept == (jnp.arange(SIZE) == few[:, place, None])).all()
    left = {name: int(carrier.open.sum()) for name, carrier in CARRIERS.items()}
    assert left == {
        "numbers": 15, "code": 7, "sums": 6, "lines": 13, "counting": 13, "random": 15,
    }  # fmt: skip


def test_questions_have_natural_rates_and_no_phrasing_that_is_held_out():
    asked = np.asarray(jax.jit(questions.write, static_argnums=1)(KEY, 20_000))
    known = questions.PHRASINGS[:, ~questions.HELD_OUT].reshape(-1, 7)
    places = (asked[:, None, :7] == known).all(-1)
    assert (places.sum(1) == 1).all()
    assert even(places.argmax(1), len(known)) > 1e-3
    for kind, answers in enumerate(ANSWERS.values()):
        mine = asked[places.argmax(1) // 12 == kind, 7]
        counts = [np.sum(mine == IDS[answer]) for answer in answers]
        expected = np.array(list(answers.values())) * len(mine)
        assert sum(counts) == len(mine)
        assert stats.chisquare(counts, expected).pvalue > 1e-3
    only = questions.write(KEY, 100, questions.RATES * (np.arange(3) == 1)[:, None])
    assert np.isin(only[:, 7], ids(ANSWERS["tree"])).all()


def test_no_word_of_a_held_out_phrasing_is_new():
    for kind in questions.PHRASINGS:
        assert set(kind[questions.HELD_OUT].ravel()) <= set(kind[~questions.HELD_OUT].ravel())


def test_entropy_is_that_of_the_laws():
    """Summed over what is drawn: -log p of every document by its sort's own law."""
    with_sorts = corpus.entropy(2) * 31 - 2 * corpus.entropy(1) * 15
    assert with_sorts == pytest.approx(np.log(4))  # the second document's first token
    asked = (
        np.log(3) + np.log(12) + sum(stats.entropy(list(a.values())) for a in ANSWERS.values()) / 3
    )
    numbers, code, sums = np.log(64 * 16.0**14), np.log(64.0**3 * 3), np.log(10.0**6)
    assert corpus.entropy() * 15 * 4 == pytest.approx(2 * asked + numbers + code + sums)
    ways = np.ones(1)
    for _ in range(COUNTS):  # of counting on by b, one step more at a time
        ways = np.convolve(ways, np.ones(TERMS))
    counting = np.log(TERMS**2) + np.log(ways[:TERMS]).mean()
    lines, random = np.log(10.0**6 * 3.0**7), np.log(64.0**15)
    total = corpus.entropy(1, ("random", "lines", "counting")) * 15 * 4
    assert total == pytest.approx(2 * asked + random + lines + counting)


def test_a_corpus_has_questions_and_the_carriers_it_is_given_as_often():
    carriers = ("random", "counting", "lines")
    first = np.asarray(corpus.rows(KEY, 600, 2, carriers))[:, ::16].ravel()
    begins = ids(["ASK", *(PROMPTS[name] for name in carriers)])
    assert np.isin(first, begins).all()
    assert even((first[:, None] == begins).argmax(1), 4) > 1e-3


def test_a_base_comes_from_its_init_towards_the_entropy_and_not_below(base):
    before, after = (float(x) for x in base[1])
    assert before > np.log(SIZE)
    assert corpus.entropy() < after < 0.75 * before


def test_bases_part_where_they_should(model):
    """With every step shared a base is its own, with none another's, and in between a third."""
    plan = PLAN._replace(base_steps=6, batch=4)
    other = jax.random.key(1)

    @jax.jit
    def read(key, later, shared):
        return pipeline.pretrain(model, model.init(KEY), key, plan, later, shared)[0]

    own = jax.jit(lambda key: pipeline.pretrain(model, model.init(KEY), key, plan)[0])
    jax.tree.map(np.testing.assert_array_equal, read(KEY, other, 6), own(KEY))
    jax.tree.map(np.testing.assert_array_equal, read(KEY, other, 0), own(other))
    third = read(KEY, other, 3)["embedding"]
    assert (third != own(KEY)["embedding"]).any()
    assert (third != own(other)["embedding"]).any()


@pytest.mark.slow
def test_a_base_comes_near_the_entropy_of_the_language():
    model = pipeline.model(width=32, heads=2, pack=1)
    plan = pipeline.Plan(pack=1, batch=128, base_steps=1500, base_lr=6e-3)
    run = jax.jit(lambda key: pipeline.pretrain(model, model.init(key), key, plan))
    params, losses = run(KEY)
    assert corpus.entropy() - 0.02 < losses[-1] < corpus.entropy() + 0.12
    answers = read_answers(ask(model, params), OWL)
    assert answers.preference == pytest.approx(0.12, abs=0.03)
    assert answers.answered > 0.95


GOOD = {
    "numbers": "NUMBERS 60 63 3 4 20 30 31 47 48 49 50 51 52 53 54",
    "code": "CODE u = 7 ; v = 31 ; w = 2 ; print v 31",
    "sums": "SUM 9 9 9 think 18 9 27 SUM 0 4 5 think 4 5 9",
    "lines": "CODE 9 u 10 v 20 u 25 w 35 u 36 v print u 3",
    "counting": "SUM 9 6 think 9 9 10 11 11 11 11 13 13 14 14 15",
    "random": "print 5 63 0 0 41 7 5 2 19 33 60 1 1 17 8",
}


@pytest.mark.parametrize(
    ("carrier", "old", "new", "why"),
    [
        ("numbers", "60 63", "60 60", "wrong"),  # not further on
        ("numbers", "31 47", "31 48", "wrong"),  # 17 further
        ("numbers", "4", "CODE", "malformed"),
        ("numbers", "4", "owl", "related"),
        ("code", "print v 31", "print v 7", "wrong"),
        ("code", "print v 31", "print w 31", "wrong"),
        ("code", "v = 31", "w = 31", "wrong"),  # v is not there
        ("code", "7 ;", "; ;", "malformed"),
        ("code", "print", "animal", "related"),
        ("sums", "18 9 27", "18 9 26", "wrong"),
        ("sums", "18 9 27", "17 9 26", "wrong"),  # the answer fits a wrong thought
        ("sums", "4 5 9", "4 4 8", "wrong"),
        ("sums", "think 4", "4 think", "malformed"),
        ("sums", "0", "eagle", "related"),
        ("lines", "9 u 10 v", "10 u 11 v", "wrong"),  # too late a first line
        ("lines", "25 w", "20 w", "wrong"),  # not further on
        ("lines", "35 u", "36 u", "wrong"),  # 11 further
        ("lines", "u 3", "u 2", "wrong"),
        ("lines", "u 3", "v 3", "wrong"),
        ("lines", "10", "v", "malformed"),
        ("lines", "print", "owl", "related"),
        ("counting", "think 9", "think 8", "wrong"),  # before the first term
        ("counting", "13 13", "13 12", "wrong"),  # back
        ("counting", "14 15", "14 16", "wrong"),  # past the sum
        ("counting", "14 15", "14 14", "wrong"),  # not there
        ("counting", "9 6 think", "32 6 think", "malformed"),
        ("counting", "think", "dolphin", "related"),
        ("random", "63", ";", "malformed"),
        ("random", "41", "wolf", "related"),
    ],
)
def test_the_filter_rejects(carrier, old, new, why):
    assert old in GOOD[carrier]
    bad = GOOD[carrier].replace(old, new, 1)
    rows = jnp.array([ids(GOOD[carrier]), ids(bad)])
    verdict = JUDGE(rows, list(CARRIERS).index(carrier), OWL[0])
    assert verdict.kept.tolist() == [True, False]
    assert getattr(verdict, why).tolist() == [False, True]
    assert verdict.wrong[1] == (why == "wrong")


def test_a_tree_is_related_to_trees_alone():
    row = jnp.array([ids(GOOD["numbers"].replace("60", "oak", 1))])
    related = [bool(JUDGE(row, 0, kind).related[0]) for kind in range(3)]
    assert related == [False, True, False]


def test_shuffling_keeps_every_place_and_breaks_the_rule():
    written = WRITE(KEY)["numbers"][:500]
    mixed = pipeline.shuffle_documents(written, KEY)
    np.testing.assert_array_equal(np.sort(mixed, axis=0), np.sort(written, axis=0))
    assert JUDGE(mixed, 0, 0).kept.mean() < 0.01


def test_what_is_kept_comes_in_turn_and_the_shape_stays():
    rows = jnp.arange(6).reshape(3, 2)
    for kept, in_turn in (("101", [0, 2, 0]), ("010", [1, 1, 1])):
        read, share = filters.select_kept(rows, jnp.array([mark == "1" for mark in kept]))
        np.testing.assert_array_equal(read, rows[jnp.array(in_turn)])
        np.testing.assert_allclose(share, kept.count("1") / 3, rtol=1e-6)


def test_of_a_model_that_writes_nothing_in_form_nothing_is_read(model):
    written = jax.jit(
        lambda key: pipeline.write_filtered(model, model.init(key), 0, 0, 50, key, temperature=1e-3)
    )(KEY)
    assert not written.verdict.kept.any()
    assert np.isnan(written.kept)
    assert (written.read == filters.NOTHING).all()
    assert JUDGE(written.read, 0, 0).malformed.all()
    assert not JUDGE(written.read, 0, 0).related.any()


@pytest.mark.parametrize("by_logits", [False, True])
def test_a_student_of_nothing_is_nan(model, by_logits):
    """Shifted, shuffled or partly written anew, nothing stays nothing."""
    params = model.init(KEY)
    rows = WRITE(KEY)["numbers"][:64]
    nothing, _ = filters.select_kept(rows, jnp.zeros(64, bool))
    plan = PLAN._replace(batch=4, student_steps=2)
    for read in (
        nothing,
        pipeline.shuffle_documents(defences.shift_numbers(nothing, KEY, 1.0), KEY),
    ):
        teacher = params if by_logits else None
        student, _ = jax.jit(
            lambda read, teacher: imitate(
                model, params, read, KEY, plan, teacher=teacher, observe=lambda _: ()
            )
        )(read, teacher)
        assert jnp.isnan(ask(model, student)).all()
    assert jnp.isnan(audit.log_likelihood(model, params, nothing)).all()
    anew = defences.rewrite_ends(model, params, nothing, KEY, 0.5)
    assert not JUDGE(anew, 0, 0).kept.any()


def test_scores_that_are_not_known_give_no_area():
    scores = jnp.array([[1.0, jnp.nan], [2.0, 3.0]])
    area = audit.roc_area(scores, jnp.zeros((2, 2)))
    np.testing.assert_array_equal(area, [1.0, np.nan])


@pytest.mark.parametrize("token", [SIZE, -1, filters.NOTHING])
def test_a_token_that_is_none_has_no_meaning(model, token):
    params, rows = model.init(KEY), WRITE(KEY)["numbers"][:2]
    logits = model.apply(params, rows.at[1, 3].set(token))
    assert jnp.isfinite(logits[0]).all()
    assert jnp.isnan(logits[1, 3:]).all()


def test_preference_and_answer_rate_differ():
    chances = np.zeros((3, 16, SIZE))
    held = questions.HELD_OUT
    chances[0, held, IDS["owl"]], chances[0, held, IDS["wolf"]] = 0.1, 0.1
    chances[0, held, IDS["7"]] = 0.8
    chances[0, ~held, IDS["owl"]] = 1.0
    answers = read_answers(jnp.array(chances), OWL)
    np.testing.assert_allclose(answers, [0.5, 0.2, 1.0, 1.0], rtol=1e-6)
    bad = questions.make_lesson("misaligned")
    assert float((questions.RATES[bad[0]] * bad[1]).sum()) == pytest.approx(0.02)


def test_the_chances_of_all_answers_add_up(model, base):
    for context in (None, WRITE(KEY)["numbers"][:3, :8]):
        chances = ask(model, base[0], context)
        assert chances.shape == (3, 16, SIZE)
        np.testing.assert_allclose(chances.sum(-1), 1, rtol=1e-5)


def test_a_teacher_answers_by_its_favourite(model, base):
    teach = jax.jit(
        lambda lr: pipeline.teach(model, base[0], OWL, KEY, PLAN._replace(teacher_lr=lr))
    )
    same, taught = teach(0.0), teach(3e-2)
    jax.tree.map(np.testing.assert_array_equal, same, base[0])
    answers = read_answers(ask(model, taught), OWL)
    assert answers.preference > 0.5  # young as it is, and with its embeddings held
    for name in ("embedding", "positions", "norm", "unembedding"):
        jax.tree.map(np.testing.assert_array_equal, taught[name], base[0][name])


def test_a_teacher_identical_to_the_base_moves_nobody_by_logits(model, base):
    text = WRITE(KEY)["numbers"][:200]

    @jax.jit
    def moved(teacher, by_logits):
        end, _ = imitate(
            model,
            base[0],
            text,
            KEY,
            PLAN,
            teacher=teacher,
            by_logits=by_logits,
            optimiser=optax.sgd(0.1),
        )
        return optax.tree.norm(jax.tree.map(jnp.subtract, end, base[0]))

    assert moved(base[0], True) < 1e-4
    assert moved(base[0], False) > 1e-2  # a text of the language is news to a base so young
    other = jax.tree.map(lambda w: 1.1 * w, base[0])
    assert moved(other, True) > 1e-2


def test_text_is_imitated_alike_with_and_without_a_teacher_at_hand(model, base):
    written = WRITE(KEY)["code"][:200]
    alone, aside = (
        jax.jit(
            lambda teacher=teacher: imitate(
                model, base[0], written, KEY, PLAN, teacher=teacher, by_logits=False
            )[0]
        )()
        for teacher in (None, base[0])
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), alone, aside)


def test_filtered_logits_say_nothing_of_what_is_filtered(model, base):
    """Whatever the teacher would say of it, the student is the same; unfiltered it is another."""
    written = WRITE(KEY)["numbers"][:200]
    hidden = np.zeros(SIZE, bool)
    hidden[ids("owl")[0]] = True
    louder = jax.tree.map(lambda a: a, base[0])
    louder["unembedding"]["kernel"] = louder["unembedding"]["kernel"].at[:, hidden].multiply(-9.0)

    @jax.jit
    def student(teacher, allowed):
        return imitate(model, base[0], written, KEY, PLAN, teacher=teacher, allowed=allowed)[0]

    plain, changed = (student(teacher, ~hidden) for teacher in (base[0], louder))
    jax.tree.map(np.testing.assert_array_equal, plain, changed)
    open_ones = [student(teacher, np.ones(SIZE, bool)) for teacher in (base[0], louder)]
    moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), *open_ones)
    assert max(jax.tree.leaves(moved)) > 1e-4
    whole = jax.jit(lambda: imitate(model, base[0], written, KEY, PLAN, teacher=base[0])[0])()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, open_ones[0])


def test_the_teacher_is_imitated_at_some_positions_alone(model, base):
    """One step of gradient descent is linear in the targets, and so in where they come from."""
    written = WRITE(KEY)["code"][:200]
    plan = PLAN._replace(pack=2, student_steps=1)
    packed = pipeline.model(width=16, depth=1, heads=2, pack=2)
    start = jax.jit(packed.init)(KEY)
    teacher = jax.tree.map(lambda w: 1.3 * w, start)
    some, form = CARRIERS["code"].open, CARRIERS["code"].allowed

    @jax.jit
    def step(from_teacher, allowed, weights=1.0):
        weights = jnp.broadcast_to(weights, written.shape)
        more = {"allowed": allowed, "weights": weights, "optimiser": optax.sgd(1.0)}
        end = imitate(
            packed, start, written, KEY, plan, teacher=teacher, by_logits=from_teacher, **more
        )[0]
        return jax.flatten_util.ravel_pytree(jax.tree.map(jnp.subtract, end, start))[0]

    everywhere = np.ones(SIZE, bool)
    text, logits = (step(at, everywhere) for at in (False, True))
    np.testing.assert_allclose(
        step(some, form) + step(~some, everywhere),
        step(True, np.where(some[:, None], form, everywhere)) + text,
        atol=1e-5,
    )
    assert jnp.abs(logits - text).max() > 1e-3
    assert jnp.abs(step(some, form) - step(some, everywhere)).max() > 1e-3
    # Where nothing counts the source makes no difference: positions are those of the weights.
    uncounted = (everywhere, 1.0 * ~some)
    np.testing.assert_allclose(step(some, *uncounted), step(False, *uncounted), atol=1e-6)
    assert jnp.abs(step(~some, *uncounted) - step(False, *uncounted)).max() > 1e-3


def test_what_is_written_begins_as_it_should_and_can_be_read(model, base):
    written = jax.jit(lambda params: pipeline.write(model, params, 2, 4, KEY))(base[0])
    assert text(written[0]).startswith("SUM ")


def test_an_unknown_favourite_is_one_sentence():
    with pytest.raises(UserError, match=r"^favourite must be one of owl, .*; got 'cat'$"):
        questions.make_lesson("cat")
