"""Related initialisations: what each relation keeps, to the bit where it can be."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.optimize import linear_sum_assignment

from toymodels import trees
from toymodels.errors import UserError
from toymodels.inits import relations
from toymodels.measure import similarity
from toymodels.measure.probes import cosine, layer_cosines
from toymodels.networks.groups import parameter_groups, select_group, unite_groups
from toymodels.networks.layers import layers
from toymodels.networks.models import CNN, MLP, Network, functional, no_latent
from toymodels.networks.order import align, partial_shuffle
from toymodels.trees import flatten

SIZES, CLASSES = (96, 80, 64, 13), 10
KEY = jax.random.key(1)
HEADS = [None, CLASSES]

TABLE = dict(re.findall(r"^``(\w+)`` .*?(?:= (\d)|any)$", relations.__doc__, re.MULTILINE))
"""The docstring's table: each relation and the amount at which it changes nothing."""
UNCHANGED = [
    (name, float(a)) for name, amount in TABLE.items() for a in (amount or (0, 0.3, 0.7, 1))
]


@functools.cache
def network(split=None):
    return functional(lambda rngs: MLP(SIZES, split=split, rngs=rngs))


def biased(init, dtype=None):
    """The same with biases that are not zero, and in another precision if one is given."""
    keys = jax.random.split(jax.random.key(9), len(init))
    return {
        name: {
            "kernel": init[name]["kernel"].astype(dtype),
            "bias": 0.3 * jax.random.normal(key, init[name]["bias"].shape, dtype),
        }
        for name, key in zip(layers(init), keys, strict=True)
    }


@functools.cache
def drawn(split=None, seed=0):
    """An init, a teacher's by default."""
    return network(split).init(jax.random.key(seed))


@functools.cache
def start(name, split=None):
    """A relation, and a teacher's init."""
    relation = relations.RELATIONS[name](network(split))
    return jax.jit(relation) if name == "aligned" else relation, drawn(split)


def same_bits(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(v).tobytes() == np.asarray(w).tobytes() for v, w in leaves)


def numbers(tree):
    return np.asarray(flatten(tree))


@functools.cache
def measure(split):
    """What `measured` says of two networks, compiled."""

    def measure(params, init):
        x = jax.random.normal(jax.random.key(2), (300, SIZES[0]))
        parts = parameter_groups(init, CLASSES)
        return similarity.measure_similarity(network(split), params, init, parts, x, CLASSES)

    return jax.jit(measure)


def likeness(params, init, split=None):
    """What `measured` says of two networks, as numbers and by part."""
    found = measure(split)(params, init)
    assert set(found) == set(similarity.VARIABLES)
    by_part = zip(parameter_groups(init, CLASSES), found.pop("overlap").tolist(), strict=True)
    return dict(by_part) | {name: float(value) for name, value in found.items()}


def equal(params, init):
    """Where two networks have the same numbers."""
    return jax.tree.map(lambda a, b: np.asarray(a == b), params, init)


def test_the_table_names_every_relation():
    assert set(TABLE) == set(relations.RELATIONS)


@pytest.mark.parametrize(("name", "amount"), UNCHANGED)
def test_at_its_unchanged_amount_a_relation_gives_the_teachers_init_to_the_bit(name, amount):
    relation, init = start(name)
    for teacher in (init, biased(init)):
        assert same_bits(relation(teacher, KEY, amount), teacher)


@pytest.mark.parametrize("name", ["units", "permutation"])
def test_with_a_split_head_too_all_units_may_be_shared(name):
    relation, init = start(name, CLASSES)
    assert same_bits(relation(biased(init), KEY, 1.0), biased(init))


@pytest.mark.parametrize("name", [name for name in relations.RELATIONS if name != "aligned"])
def test_at_another_amount_every_relation_moves_the_weights(name):
    relation, init = start(name)
    params = relation(init, KEY, 0.5)
    assert not same_bits(params, init)
    assert name == "scaling" or max(layer_cosines(params, init)) < 0.95


@pytest.mark.parametrize("name", relations.RELATIONS)
def test_the_amount_may_be_traced_and_vmapped(name):
    init, other = biased(drawn()), drawn(seed=1)
    relation = relations.RELATIONS[name](network()._replace(init=lambda key: other))
    amounts = [0.0, 0.4, 1.0]
    unchanged = [i for n, a in UNCHANGED if n == name for i in range(3) if a == amounts[i]]
    together = jax.jit(jax.vmap(relation, (None, None, 0)))(init, KEY, jnp.array(amounts))
    for i, amount in enumerate(amounts):
        mapped = jax.tree.map(lambda a, i=i: a[i], together)
        alone = (start(name)[0] if name == "aligned" else relation)(init, KEY, amount)
        np.testing.assert_allclose(numbers(mapped), numbers(alone), rtol=1e-5, atol=1e-6)
        assert i not in unchanged or same_bits(mapped, init)


@pytest.mark.parametrize(
    "name", [n for n in relations.RELATIONS if n not in ("scaling", "aligned")]
)
def test_the_key_decides_all_that_is_random(name):
    relation, init = start(name)
    one, again, other = (relation(init, jax.random.key(k), 0.5) for k in (1, 1, 2))
    assert same_bits(one, again)
    assert not same_bits(one, other)


def test_rotation_by_a_right_angle_is_the_independent_draw():
    relation, init = start("rotation")
    np.testing.assert_array_equal(numbers(relation(init, KEY, 0.0)), numbers(network().init(KEY)))


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.3, 0.6, 0.95])
def test_rotation_keeps_the_size_of_every_tensor_and_has_the_stated_overlap(rho):
    relation, init = start("rotation")
    params = relation(init, KEY, rho)
    for name, fan_in in zip(layers(init), SIZES[:-1], strict=True):
        kernel = np.asarray(params[name]["kernel"])
        # 5 standard errors of a variance estimated from so many entries.
        assert abs((kernel**2).mean() * fan_in - 1) < 5 * np.sqrt(2 / kernel.size)
        assert not np.any(params[name]["bias"])
    n = len(numbers(init))
    # A cosine of n Gaussian pairs has the standard error (1 - rho^2) / sqrt(n).
    assert abs(likeness(params, init)["all"] - rho) < 5 * (1 - rho**2) / np.sqrt(n)


def test_rotations_by_all_angles_lie_in_one_plane():
    relation, init = start("rotation")
    w, v = (numbers(relation(init, KEY, rho)) for rho in (1.0, 0.0))
    np.testing.assert_allclose(
        numbers(relation(init, KEY, 0.6)), 0.6 * w + 0.8 * v, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("a", [0.2, 0.5, 0.8])
def test_interpolation_shrinks_the_variance_as_stated(a):
    relation, init = start("interpolation")
    params, factor = relation(init, KEY, a), a**2 + (1 - a) ** 2
    for name, fan_in in zip(layers(init), SIZES[:-1], strict=True):
        kernel = np.asarray(params[name]["kernel"])
        assert abs(kernel.var() * fan_in / factor - 1) < 5 * np.sqrt(2 / kernel.size)
    n = len(numbers(init))
    assert abs(likeness(params, init)["all"] - a / np.sqrt(factor)) < 5 / np.sqrt(n)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_entries_shares_that_share_of_the_entries_and_of_the_overlap(share):
    relation, init = start("entries")
    params = relation(init, KEY, share)
    for name in layers(init):
        shared = np.asarray(params[name]["kernel"] == init[name]["kernel"])
        assert abs(shared.mean() - share) < 5 * np.sqrt(share * (1 - share) / shared.size)
    assert abs(likeness(params, init)["all"] - share) < 5 / np.sqrt(len(numbers(init)))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_largest_keeps_the_largest_entries_of_each_tensor_and_no_others(share):
    relation, init = start("largest")
    init = biased(init)
    params, other = relation(init, KEY, share), network().init(KEY)
    for name in layers(init):
        w, v, kept = (np.asarray(tree[name]["kernel"]).ravel() for tree in (init, other, params))
        order = np.argsort(-np.abs(w))
        n = round(share * w.size)
        np.testing.assert_array_equal(kept[order[:n]], w[order[:n]])
        np.testing.assert_array_equal(kept[order[n:]], v[order[n:]])


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_signs_and_magnitudes_share_what_they_are_called_by(rho):
    """The overlap of Gaussians of equal signs and independent magnitudes is (E|z|)^2 = 2 / pi."""
    init, rotated = drawn(), numbers(start("rotation")[0](drawn(), KEY, rho))
    signs, sizes = (numbers(start(name)[0](init, KEY, rho)) for name in ("signs", "magnitudes"))
    np.testing.assert_array_equal(np.sign(signs), np.sign(numbers(init)))
    np.testing.assert_array_equal(np.abs(signs), np.abs(rotated))
    np.testing.assert_array_equal(np.abs(sizes), np.abs(numbers(init)))
    np.testing.assert_array_equal(np.sign(sizes), np.sign(rotated))
    if rho == 0:
        overlap = likeness(start("signs")[0](init, KEY, 0.0), init)["all"]
        assert abs(overlap - 2 / np.pi) < 5 / np.sqrt(len(signs))


@pytest.mark.parametrize("rho", [-1.0, -0.3, 0.0, 0.8])
def test_the_orthogonal_rotation_keeps_singular_values_and_has_the_stated_overlap(rho):
    """Exactly, for an even number of inputs: the turned kernel is orthogonal to the kernel."""
    relation, init = start("orthogonal")
    init = biased(init)
    params = relation(init, KEY, rho)
    for name in layers(init):
        w, turned = (np.asarray(tree[name]["kernel"], float) for tree in (init, params))
        spectra = (np.linalg.svd(a, compute_uv=False) for a in (w, turned))
        np.testing.assert_allclose(*spectra, rtol=1e-5)
        assert (w * turned).sum() / (w * w).sum() == pytest.approx(rho, abs=1e-6)
        np.testing.assert_array_equal(params[name]["bias"], init[name]["bias"])


def test_a_larger_share_of_entries_keeps_the_smaller_and_the_same_strangers():
    relation, init = start("entries")
    init = biased(init)
    none, few, many = (relation(init, KEY, share) for share in (0.0, 0.3, 0.6))
    fewer, more = numbers(equal(few, init)), numbers(equal(many, init))
    assert not numbers(equal(none, init)).any()
    assert 0 < fewer.sum() < more.sum() < len(more)
    assert more[fewer].all()
    np.testing.assert_array_equal(numbers(few)[~fewer], numbers(none)[~fewer])
    np.testing.assert_array_equal(numbers(many)[~more], numbers(none)[~more])


def shared_units(params, init):
    """For each layer its units that have anything in common; biases must not be zero."""
    return {name: same["bias"] for name, same in equal(params, init).items()}


@pytest.mark.parametrize("split", HEADS, ids=["joint", "split"])
def test_units_shares_a_subnetwork_with_all_inputs_and_outputs(split):
    relation, init = start("units", split)
    init = biased(init)
    params = relation(init, KEY, 0.4)
    shared, same = shared_units(params, init), equal(params, init)
    assert (shared["hidden1"][: SIZES[2]] != shared["hidden2"]).any()  # each layer its own
    for name, below in (("hidden1", np.ones(SIZES[0], bool)), ("hidden2", shared["hidden1"])):
        assert 0.2 < shared[name].mean() < 0.6
        np.testing.assert_array_equal(same[name]["kernel"], below[:, None] & shared[name])
    for name in layers(init)[2:]:
        assert shared[name].all()
        np.testing.assert_array_equal(
            same[name]["kernel"], shared["hidden2"][:, None] & shared[name]
        )


def test_a_larger_share_of_units_keeps_the_smaller_and_the_same_strangers():
    relation, init = start("units")
    init = biased(init)
    few, many = (relation(init, KEY, share) for share in (0.3, 0.6))
    for name in ("hidden1", "hidden2"):
        fewer, more = shared_units(few, init)[name], shared_units(many, init)[name]
        assert fewer.sum() < more.sum()
        assert more[fewer].all()
    neither = ~numbers(equal(few, init)) & ~numbers(equal(many, init))
    np.testing.assert_array_equal(numbers(few)[neither], numbers(many)[neither])


@pytest.mark.parametrize("p", [0.3, 0.7])
def test_overlap_of_shared_units_goes_with_the_units_at_both_ends(p):
    relation, init = start("units")
    cosines = [
        layer_cosines(relation(init, key, p), init)
        for key in jax.random.split(jax.random.key(5), 20)
    ]
    # Between p and p^2 lies 0.21; the means of 20 draws are known to 0.02.
    np.testing.assert_allclose(np.mean(cosines, axis=0), [p, p**2, p], atol=0.06)


def test_noise_has_the_stated_deviation_in_weights_and_biases():
    relation, init = start("noise")
    added = jax.tree.map(jnp.subtract, relation(init, KEY, 0.2), init)
    kernels = [np.asarray(added[name]["kernel"]).ravel() for name in layers(init)]
    biases = np.concatenate([np.asarray(added[name]["bias"]) for name in layers(init)])
    for z in (*kernels, biases):
        assert abs(z.std() / 0.2 - 1) < 5 / np.sqrt(2 * z.size)
        assert abs(z.mean()) < 5 * 0.2 / np.sqrt(z.size)
    assert abs(np.corrcoef(kernels[0][:1000], kernels[1][:1000])[0, 1]) < 5 / np.sqrt(1000)


def test_relative_noise_goes_with_each_tensors_own_deviation():
    relation, init = start("relative_noise")
    # One layer far from the others in scale.
    init = init | {"hidden2": jax.tree.map(lambda w: 50 * w, init["hidden2"])}
    params = relation(init, KEY, 0.5)
    for name in layers(init):
        kernel, before = (np.asarray(tree[name]["kernel"]) for tree in (params, init))
        deviation = (kernel - before).std() / before.std()
        assert abs(deviation / 0.5 - 1) < 5 / np.sqrt(2 * kernel.size)
        assert not np.any(params[name]["bias"])


@pytest.mark.parametrize("name", ["noise", "relative_noise"])
def test_more_noise_is_more_of_the_same_noise(name):
    relation, init = start(name)
    none, once, thrice = (numbers(relation(init, KEY, amount)) for amount in (0.0, 0.5, 1.5))
    np.testing.assert_allclose(thrice - none, 3 * (once - none), rtol=1e-3, atol=1e-5)


def test_scaling_is_a_product_and_has_overlap_one():
    relation, init = start("scaling")
    init = biased(init)
    params = relation(init, KEY, 0.3)
    np.testing.assert_array_equal(numbers(params), np.float32(0.3) * numbers(init))
    found = likeness(params, init)
    np.testing.assert_allclose(
        [found[part] for part in parameter_groups(init, CLASSES)], 1, rtol=1e-5
    )


@pytest.mark.parametrize("split", HEADS, ids=["joint", "split"])
@pytest.mark.parametrize(("share", "most"), [(0.0, 0.1), (0.5, 0.6)])
def test_a_permuted_network_is_the_same_function_of_other_parameters(x64, share, most, split):
    net = network(split)
    init = biased(drawn(split), jnp.float64)
    params = relations.permutation(net)(init, KEY, share)
    x = jax.random.normal(jax.random.key(3), (20, SIZES[0]), jnp.float64)
    np.testing.assert_allclose(net.apply(params, x), net.apply(init, x), rtol=0, atol=1e-12)
    assert cosine(flatten(params), flatten(init)) < most
    assert max(layer_cosines(params, init)[:2]) < most


def test_a_permutation_keeps_the_numbers_of_every_tensor():
    relation, init = start("permutation")
    init = biased(init)
    params = relation(init, KEY, 0.2)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(init), strict=True):
        np.testing.assert_array_equal(np.sort(a, axis=None), np.sort(b, axis=None))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_a_partial_shuffle_is_an_order_in_which_the_share_stays(share):
    n = 1000
    order = np.asarray(partial_shuffle(KEY, jax.random.key(2), n, share))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    stay = (order == np.arange(n)).mean()
    # Of those that shuffle, one in the mean comes back to its place by chance.
    assert abs(stay - share) < 5 * np.sqrt(share * (1 - share) / n) + 6 / n


def test_a_larger_share_of_staying_units_keeps_the_smaller():
    n = 1000
    few, many = (
        partial_shuffle(KEY, jax.random.key(2), n, share) == jnp.arange(n) for share in (0.3, 0.6)
    )
    assert few.sum() + 200 < many.sum()
    # All but those back at their place by chance, one in the mean; independent sets: 120.
    assert (few & ~many).sum() < 7


@pytest.mark.parametrize("split", HEADS, ids=["joint", "split"])
def test_align_takes_a_permutation_back_to_the_bit(split):
    relation, init = start("permutation", split)
    init = biased(init)
    back = jax.jit(lambda params: align(params, init))
    for seed in range(3):
        params = relation(init, jax.random.key(seed), 0.0)
        assert not same_bits(params, init)
        assert same_bits(back(params), init)


def test_align_matches_unrelated_networks_best_and_keeps_the_function(x64):
    net = network()
    params, target = (biased(drawn(seed=k), jnp.float64) for k in (0, 1))
    moved = jax.jit(align)(params, target)
    x = jax.random.normal(jax.random.key(3), (20, SIZES[0]), jnp.float64)
    np.testing.assert_allclose(net.apply(moved, x), net.apply(params, x), rtol=0, atol=1e-12)
    below = np.arange(SIZES[0])
    for name in ("hidden1", "hidden2"):
        ours = np.asarray(params[name]["kernel"])[below]
        theirs = np.asarray(target[name]["kernel"])
        _, below = linear_sum_assignment(theirs.T @ ours, maximize=True)
        np.testing.assert_array_equal(moved[name]["kernel"], ours[:, below])


def wide(group, init):
    """A group with each mask in the shape of its parameter."""
    return jax.tree.map(lambda mask, w: np.broadcast_to(mask, w.shape), group, init)


@pytest.mark.parametrize("split", HEADS, ids=["joint", "split"])
def test_layers_and_heads_partition_all_parameters(split):
    init = drawn(split)
    groups = {
        name: numbers(wide(group, init)) for name, group in parameter_groups(init, CLASSES).items()
    }
    parts = [groups[name] for name in ("hidden1", "hidden2", "class_head", "aux_head")]
    assert (np.sum(parts, axis=0) == 1).all()
    assert groups["all"].all()
    np.testing.assert_array_equal(groups["hidden"], parts[0] | parts[1])
    np.testing.assert_array_equal(groups["heads"], parts[2] | parts[3])
    np.testing.assert_array_equal(groups["hidden"], ~groups["heads"])
    assert not numbers(init)[groups["biases"]].any()
    assert numbers(init)[~groups["biases"]].all()


def test_joint_and_split_heads_have_groups_of_the_same_sizes():
    counts = []
    for split in HEADS:
        init = drawn(split)
        counts.append(
            {
                name: int(numbers(wide(group, init)).sum())
                for name, group in parameter_groups(init, CLASSES).items()
            }
        )
    assert counts[0] == counts[1]
    assert counts[0]["class_head"] == (SIZES[2] + 1) * CLASSES
    assert counts[0]["aux_head"] == (SIZES[2] + 1) * (SIZES[3] - CLASSES)
    assert counts[0]["biases"] == sum(SIZES[1:])


def test_in_a_joint_head_the_class_head_is_what_feeds_the_class_logits():
    net, init = network(), drawn()
    groups = parameter_groups(init, CLASSES)
    x = jax.random.normal(jax.random.key(3), (4, SIZES[0]))
    for name, moved in (("class_head", slice(None, CLASSES)), ("aux_head", slice(CLASSES, None))):
        params = trees.where(groups[name], jax.tree.map(lambda w: w + 1, init), init)
        here = np.asarray(net.apply(params, x) != net.apply(init, x))
        assert here[:, moved].all()
        assert here.sum() == here[:, moved].size


@pytest.mark.parametrize("split", HEADS, ids=["joint", "split"])
def test_within_leaves_all_outside_the_group_at_the_bit(split):
    init, other = (biased(drawn(split, seed=k)) for k in (0, 1))
    other = jax.tree.map(lambda w: w + 1, other)
    for name, group in parameter_groups(init, CLASSES).items():
        inside, mixed = numbers(wide(group, init)), numbers(trees.where(group, other, init))
        assert same_bits(mixed[inside], numbers(other)[inside]), name
        assert same_bits(mixed[~inside], numbers(init)[~inside]), name
        assert inside.any()


def test_a_group_may_be_chosen_by_a_traced_number():
    init = drawn()
    groups = parameter_groups(init, CLASSES)
    names = ["heads", "hidden2", "all", "aux_head"]
    choose = jax.jit(lambda i: select_group(groups, names, i))
    for i, name in enumerate(names):
        assert same_bits(choose(i), groups[name])


@pytest.mark.parametrize("split", HEADS, ids=["joint", "split"])
def test_groups_unite_to_larger_groups_even_inside_a_compiled_program(split):
    groups = parameter_groups(drawn(split), CLASSES)
    names = ["hidden1", "hidden2", "class_head", "aux_head"]
    unite = jax.jit(lambda flags: unite_groups(groups, dict(zip(names, flags, strict=True))))
    for flags, whole in [
        ((False, True, False, False), "hidden2"),
        ((True, True, False, False), "hidden"),
        ((False, False, True, True), "heads"),
        ((True, True, True, True), "all"),
    ]:
        pairs = jax.tree.map(jnp.array_equal, unite(jnp.array(flags)), groups[whole])
        assert all(jax.tree.leaves(pairs))
    assert not any(mask.any() for mask in jax.tree.leaves(unite(jnp.zeros(4, bool))))


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({}, "chosen must name one group at least; got none"),
        ({"x": True}, "group must be .*; got x"),
    ],
)
def test_a_union_needs_the_name_of_a_group(chosen, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        unite_groups(parameter_groups(drawn(), CLASSES), chosen)


FUNCTION = ("class_agreement", "aux_agreement", "latent_cka")


@pytest.mark.parametrize("split", HEADS, ids=["joint", "split"])
def test_a_network_is_like_itself_in_everything(split):
    init = biased(drawn(split))
    np.testing.assert_allclose(list(likeness(init, init, split).values()), 1, rtol=1e-5)


def test_biases_that_are_zero_have_overlap_zero_not_nan():
    init = drawn()
    assert likeness(init, init)["biases"] == 0


def test_without_biases_the_scale_of_a_network_changes_no_likeness():
    init = drawn()
    found = likeness(jax.tree.map(lambda w: 3 * w, init), init)
    assert found.pop("biases") == 0
    np.testing.assert_allclose(list(found.values()), 1, rtol=1e-5)


def test_the_opposite_network_has_overlap_minus_one():
    init = biased(drawn())
    found = likeness(jax.tree.map(jnp.negative, init), init)
    np.testing.assert_allclose(
        [found[part] for part in parameter_groups(init, CLASSES)], -1, rtol=1e-5
    )


def test_opposite_class_logits_agree_by_minus_one_and_the_others_by_one():
    init = biased(drawn(CLASSES))
    params = init | {"class_head": jax.tree.map(jnp.negative, init["class_head"])}
    found = likeness(params, init, CLASSES)
    np.testing.assert_allclose([found[name] for name in FUNCTION], [-1, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(
        [found[name] for name in ("class_head", "aux_head", "hidden")], [-1, 1, 1], rtol=1e-5
    )


def test_agreement_sees_neither_the_order_of_units_nor_a_constant_on_the_logits():
    init = biased(drawn())
    params = relations.permutation(network())(init, KEY, 0.0)
    params["head"]["bias"] = params["head"]["bias"] + jnp.arange(13.0)
    found = likeness(params, init)
    np.testing.assert_allclose([found[name] for name in FUNCTION], 1, rtol=1e-4)
    assert abs(found["hidden1"]) < 0.1


def test_unrelated_networks_are_unlike():
    init = drawn()
    found = likeness(drawn(seed=1), init)
    assert abs(found["all"]) < 5 / np.sqrt(len(numbers(init)))
    assert max(abs(found["class_agreement"]), abs(found["aux_agreement"])) < 0.5
    assert found["latent_cka"] < 0.8


def test_two_heads_side_by_side_are_as_alike_as_the_one_they_make():
    def joint(params):
        heads = [params["class_head"], params["aux_head"]]
        hidden = {name: params[name] for name in ("hidden1", "hidden2")}
        return hidden | {"head": jax.tree.map(lambda *w: jnp.concatenate(w, -1), *heads)}

    init = biased(drawn(CLASSES))
    params = relations.rotation(network(CLASSES).init)(init, KEY, 0.7)
    split, one = likeness(params, init, CLASSES), likeness(joint(params), joint(init))
    assert split.keys() == one.keys()
    np.testing.assert_allclose(list(split.values()), list(one.values()), rtol=1e-4, atol=1e-5)


def test_groups_of_any_nested_network_are_masks_of_its_parameters():
    params = {
        "block": {"inner": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}, "gain": jnp.ones(())},
        "head": {"kernel": jnp.ones((4, 5))},
    }
    masks = parameter_groups(params, 2)
    assert jax.tree.structure(masks["all"]) == jax.tree.structure(params)
    inside = {
        name: jax.tree.map(lambda m, w: jnp.broadcast_to(m, w.shape).sum(), mask, params)
        for name, mask in masks.items()
    }
    assert inside["block"] == {
        "block": {"inner": {"kernel": 12, "bias": 4}, "gain": 1},
        "head": {"kernel": 0},
    }
    assert inside["class_head"]["head"]["kernel"] == 8
    assert inside["aux_head"]["head"]["kernel"] == 12
    assert inside["biases"]["block"] == {"inner": {"kernel": 0, "bias": 4}, "gain": 0}


@pytest.mark.parametrize("name", ["units", "permutation", "aligned"])
def test_units_of_what_is_no_mlp(name):
    network = functional(lambda rngs: CNN(8, (2,), 4, 5, rngs=rngs))
    with pytest.raises(UserError, match="units and their order need an MLP: hidden1 is no dense"):
        relations.RELATIONS[name](network)


@pytest.mark.parametrize("layer", [{"kernel": jnp.ones((3, 2))}, {"w": jnp.ones(3)}, jnp.ones(3)])
def test_a_layer_without_a_kernel_and_a_bias_has_no_units(layer):
    init = {"hidden1": layer, "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    with pytest.raises(UserError, match="need an MLP: hidden1 is no dense layer"):
        relations.units(Network(lambda key: init, lambda params, x: x))


class Normed(nnx.Module):
    """An MLP with a norm, and a layer on a residual stream if asked for."""

    def __init__(self, *, residual=False, output="head", rngs):
        for name, sizes in (("hidden1", (6, 8)), ("hidden2", (8, 8)), (output, (8, 5))):
            setattr(self, name, nnx.Linear(*sizes, rngs=rngs))
        if not residual:
            self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.residual, self.output = residual, output

    def __call__(self, x):
        x = jax.nn.relu(self.hidden1(x))
        later = jax.nn.relu(self.hidden2(x))
        later = x + later if self.residual else self.norm(later)
        return getattr(self, self.output)(later)


def made(**how):
    """Such a network."""
    return functional(lambda rngs: Normed(**how, rngs=rngs))


@pytest.mark.parametrize("name", ["rotation", "interpolation", "entries"])
@pytest.mark.parametrize("jitted", [False, True])
def test_scales_of_norms_stay_and_all_else_is_mixed(name, jitted):
    draw = jax.jit(made().init) if jitted else made().init
    init = draw(KEY)
    params = jax.jit(getattr(relations, name)(draw))(init, jax.random.key(2), 0.6)
    assert same_bits(params["norm"], init["norm"])
    assert np.all(init["norm"]["scale"] == 1)
    plain = jax.jit(getattr(relations, name)(network().init))(drawn(), jax.random.key(2), 0.6)
    for layers_of, before in ((params, init), (plain, drawn())):
        assert not same_bits(layers_of["head"]["kernel"], before["head"]["kernel"])


def test_a_trained_scale_stays_too_and_a_bias_is_mixed_as_ever():
    relation, init = relations.rotation(made().init), made().init(KEY)
    init["norm"] = {"scale": jnp.full(8, 1.5), "bias": jnp.full(8, 2.0)}
    params = relation(init, KEY, 0.6)
    np.testing.assert_array_equal(params["norm"]["scale"], 1.5)
    np.testing.assert_allclose(params["norm"]["bias"], 1.2)


def test_towards_a_single_network_every_parameter_is_mixed():
    other = jax.tree.map(lambda w: w + 1, drawn(seed=1))
    params = relations.rotation(lambda key: other)(drawn(), KEY, 0.0)
    assert same_bits(params, other)


def test_scales_of_norms_count_in_no_measured_overlap():
    """At a right angle the overlap is zero within its error; with the scales it was 0.3."""
    wide = functional(lambda rngs: Wide(rngs=rngs))
    init, other = (wide.init(jax.random.key(seed)) for seed in (0, 1))
    parts, x = parameter_groups(init, 3), jnp.eye(30)
    found = similarity.measure_similarity(wide, other, init, parts, x, 3)
    assert set(found) == set(similarity.describe(wide))
    by_part = dict(zip(parts, found["overlap"].tolist(), strict=True))
    counted = sum(np.size(init[name]["kernel"]) for name in ("hidden1", "head"))
    assert abs(by_part["all"]) < 5 / np.sqrt(counted)
    assert by_part["norm"] == 0
    itself = similarity.measure_similarity(wide, init, init, parts, x, 3)["overlap"][
        list(parts).index("all")
    ]
    np.testing.assert_allclose(itself, 1, rtol=1e-6)


class Wide(nnx.Module):
    """A norm with as many scales as there is squared weight in the layers."""

    def __init__(self, *, rngs):
        kernel = jax.nn.initializers.normal(0.02)
        self.hidden1 = nnx.Linear(30, 100, kernel_init=kernel, rngs=rngs)
        self.norm = nnx.RMSNorm(100, rngs=rngs)
        self.head = nnx.Linear(100, 5, kernel_init=kernel, rngs=rngs)

    def __call__(self, x):
        return self.head(self.norm(self.hidden1(x)))


def test_a_network_that_tells_of_no_latent_is_measured_without_it():
    plain = network()._replace(latent=no_latent)
    assert set(similarity.describe(plain)) == set(similarity.VARIABLES) - {"latent_cka"}
    x, parts = jnp.eye(SIZES[0]), parameter_groups(drawn(), CLASSES)
    found = similarity.measure_similarity(plain, drawn(), drawn(), parts, x, CLASSES)
    assert set(found) == set(similarity.describe(plain))
    assert similarity.describe(network()) == similarity.VARIABLES


@pytest.mark.parametrize("name", ["units", "permutation", "aligned"])
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"residual": True}, "in another order .* is another function"),
        ({"residual": True, "output": "out"}, "in another order .*layers: out, hidden1, hidden2"),
        ({}, "norm is no dense layer"),
    ],
)
def test_units_of_a_network_that_their_order_changes(name, how, sentence):
    with pytest.raises(UserError, match=sentence):
        relations.RELATIONS[name](made(**how))


@pytest.mark.parametrize("name", relations.RELATIONS)
def test_a_relation_by_name_is_given_the_network(name):
    with pytest.raises(UserError, match="network must be a Network, not its init; got function"):
        relations.RELATIONS[name](network().init)


def test_units_that_share_an_activation_may_change_their_order_also_while_tracing():
    """A softmax over the hidden units is no elementwise activation, and knows no order."""
    soft = functional(lambda rngs: MLP(SIZES, activation=jax.nn.softmax, rngs=rngs))
    params = jax.jit(lambda share: relations.permutation(soft)(drawn(), KEY, share))(0.0)
    assert not same_bits(params, drawn())


@pytest.mark.parametrize("name", ["class_head", "aux_head", "heads", "hidden", "hidden9"])
def test_a_group_that_holds_no_parameter_is_not_there(name):
    init = jax.eval_shape(made(residual=True, output="out").init, KEY)
    groups = parameter_groups(init, 3)
    assert list(groups) == ["out", "hidden1", "hidden2", "biases", "all"]
    sentence = f"group must be one of out, hidden1, hidden2, biases, all, .*; got {name}"
    for ask in (lambda: groups[name], lambda: select_group(groups, ["all", name], 0)):
        with pytest.raises(UserError, match=sentence):
            ask()


def test_without_biases_or_auxiliary_logits_there_are_no_groups_of_them():
    init = {"head": {"kernel": jnp.ones((2, 3))}}
    assert list(parameter_groups(init, 3)) == ["class_head", "heads", "all"]


@pytest.mark.parametrize("width", [2, 3])
def test_a_narrow_residual_network_is_found_out_too(width):
    class Narrow(nnx.Module):
        def __init__(self, rngs):
            self.hidden1 = nnx.Linear(6, width, rngs=rngs)
            self.hidden2 = nnx.Linear(width, width, rngs=rngs)
            self.head = nnx.Linear(width, 3, rngs=rngs)

        def __call__(self, x):
            x = jnp.tanh(self.hidden1(x))
            return self.head(x + jnp.tanh(self.hidden2(x)))

    with pytest.raises(UserError, match="is another function"):
        relations.permutation(functional(Narrow))
    with pytest.raises(UserError, match="is another function"):
        relations.units(functional(lambda rngs: MLP((6, 4, 3), activation=jnp.cumsum, rngs=rngs)))
    relations.permutation(functional(lambda rngs: MLP((6, width, width, 3), rngs=rngs)))
