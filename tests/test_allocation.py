"""How pruning is shared among the layers: scopes, budgets and floors, against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silo_jax import init_masks, prune
from silo_jax.pruning import layer_counts

RNG = np.random.default_rng(0)
SHAPES = {"conv_1": (3, 3, 2, 8), "conv_2": (3, 3, 8, 4), "dense_1": (64, 20), "dense_2": (20, 10)}
PARAMS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
SIZES = {name: weight.size for name, weight in PARAMS.items()}
SIZE = sum(SIZES.values())
MASKS = init_masks(PARAMS)
SCOPES = ("global", "layerwise", "erdos_renyi", "erk", "lamp")
FRACTIONS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.999, 1.0]))


def kept(masks):
    return {path: count for path, (_, count) in layer_counts(masks).items()}


def random_masks(density, seed=0):
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.random(shape) < density) for name, shape in SHAPES.items()}


def smallest_of_each(masks, numbers):
    """Masks without the ``numbers`` of smallest living magnitudes of each layer."""
    left = {}
    for name, mask in masks.items():
        alive = np.flatnonzero(mask)
        order = alive[np.argsort(np.abs(PARAMS[name].ravel()[alive]), kind="stable")]
        left[name] = np.array(mask)
        left[name].ravel()[order[: numbers[name]]] = False
    return left


def assert_same(masks, expected):
    for name in masks:
        np.testing.assert_array_equal(masks[name], expected[name], err_msg=name)


@given(FRACTIONS, st.floats(0.05, 1), st.integers(0, 40))
@example(1.0, 1.0, 1)
@example(1.0, 0.05, 0)
@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore:prune. no weight is left")
@pytest.mark.parametrize("scope", SCOPES)
def test_counts_are_exact_and_floors_hold_in_every_scope(scope, fraction, density, min_kept):
    masks = random_masks(density)
    before = kept(masks)
    after = kept(prune(PARAMS, masks, fraction, scope=scope, min_kept=min_kept))
    floors = {name: min(min_kept, left) for name, left in before.items()}
    assert all(floors[name] <= after[name] <= before[name] for name in SHAPES)
    if scope == "layerwise":
        wanted = {name: left - round(fraction * left) for name, left in before.items()}
        assert after == {name: max(wanted[name], floors[name]) for name in SHAPES}
    else:
        total = sum(before.values())
        wanted = total - round(fraction * total)
        assert sum(after.values()) == max(wanted, sum(floors.values()))


@pytest.mark.parametrize("scope", SCOPES)
def test_within_a_layer_the_smallest_magnitudes_go_in_every_scope(scope):
    masks = random_masks(0.7)
    pruned = prune(PARAMS, masks, 0.4, scope=scope)
    gone = {name: kept(masks)[name] - kept(pruned)[name] for name in SHAPES}
    assert_same(pruned, smallest_of_each(masks, gone))


@given(FRACTIONS, st.integers(1, 60))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_floor_makes_other_layers_give_in_the_order_of_their_scores(fraction, min_kept):
    """Against NumPy: the top of each layer is set aside, the rest ranked together."""
    masks = random_masks(0.6)
    candidates = []
    for position, (name, mask) in enumerate(masks.items()):
        alive = np.flatnonzero(mask)
        order = alive[np.argsort(np.abs(PARAMS[name].ravel()[alive]), kind="stable")]
        magnitudes = np.abs(PARAMS[name].ravel())
        spare = order[: max(len(order) - min_kept, 0)]
        candidates += [(magnitudes[i], position, i, name) for i in spare]
    total = sum(kept(masks).values())
    going = sorted(candidates)[: round(fraction * total)]
    expected = {name: np.array(mask) for name, mask in masks.items()}
    for *_, i, name in going:
        expected[name].ravel()[i] = False
    assert_same(prune(PARAMS, masks, fraction, min_kept=min_kept), expected)


def test_a_layer_of_tiny_weights_keeps_one_unless_told_otherwise():
    params = {"large": 1.0 + jnp.arange(6.0).reshape(2, 3), "tiny": jnp.full((2, 3), 1e-6)}
    masks = init_masks(params)
    assert kept(prune(params, masks, 0.5)) == {"large": 5, "tiny": 1}
    with pytest.warns(UserWarning, match=r"^prune: no weight is left in tiny$"):
        assert kept(prune(params, masks, 0.5, min_kept=0)) == {"large": 6, "tiny": 0}


def test_only_layers_emptied_now_are_reported():
    params = {"a": jnp.ones((2, 2)), "b": 2 * jnp.ones((2, 2)), "c": 3 * jnp.ones((2, 2))}
    masks = init_masks(params) | {"a": jnp.zeros((2, 2), bool)}
    with pytest.warns(UserWarning, match=r"^prune: no weight is left in b$"):
        prune(params, masks, 0.5, min_kept=0)


def erdos_renyi_reference(remaining, weights, floors, total):
    """Real-valued budgets min(remaining, max(floor, ε·weight)) that add up, by bisection of ε."""
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        budget = np.clip(middle * weights, floors, remaining)
        low, high = (middle, high) if budget.sum() < total else (low, middle)
    return np.clip(low * weights, floors, remaining)


@given(st.floats(0.01, 1), st.floats(0.3, 1), st.sampled_from(["erdos_renyi", "erk"]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_erdos_renyi_budgets_are_those_of_the_papers_but_for_rounding(fraction, density, scope):
    masks = random_masks(density)
    before = np.array(list(kept(masks).values()))
    shapes = list(SHAPES.values())
    if scope == "erk":
        weights = np.array([sum(shape) for shape in shapes], float)
    else:
        weights = np.array([sum(s[-2:]) * np.prod(s[:-2]) for s in shapes], float)
    floors = np.minimum(1, before)
    total = max(before.sum() - round(fraction * before.sum()), floors.sum())
    after = np.array(list(kept(prune(PARAMS, masks, fraction, scope=scope)).values()))
    expected = erdos_renyi_reference(before, weights, floors, total)
    assert np.abs(after - expected).max() < len(SHAPES)


def test_erk_density_is_sum_over_product_of_the_kernels_dimensions():
    shapes = [(3, 3, 64, 64), (3, 3, 64, 128), (512, 256)]
    params = [jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in shapes]
    masks = prune(params, init_masks(params), 0.95, scope="erk")
    density = np.array([mask.mean() for mask in masks])
    wanted = np.array([sum(shape) / np.prod(shape) for shape in shapes])
    np.testing.assert_allclose(density / density[0], wanted / wanted[0], rtol=1e-3)


def lamp_reference(masks):
    """Each living weight's w² over the sum of those squares in its layer that are not smaller."""
    scores = {}
    for name, mask in masks.items():
        squares = np.where(mask, PARAMS[name].astype(float) ** 2, 0)
        scores[name] = np.array(
            [s / squares[squares >= s].sum() if s else 0 for s in squares.ravel()]
        ).reshape(mask.shape)
    return scores


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_lamp_is_the_papers_score_ranked_globally(fraction):
    masks = random_masks(0.7)
    scores = lamp_reference(masks)
    alive = np.concatenate([np.ravel(mask) for mask in masks.values()])
    flat = np.concatenate([score.ravel() for score in scores.values()])
    living = np.flatnonzero(alive)
    going = living[np.argsort(flat[living])][: round(fraction * living.size)]
    alive[going] = False
    pruned = prune(PARAMS, masks, fraction, scope="lamp")
    np.testing.assert_array_equal(
        np.concatenate([np.ravel(mask) for mask in pruned.values()]), alive
    )


def test_lamp_of_one_layer_is_magnitude_whatever_the_rounding_of_its_sums():
    weights = np.random.default_rng(0).standard_normal((1000, 300), np.float32)
    params = {"w": weights}
    masks = init_masks(params)
    for fraction in np.linspace(0.01, 0.99, 23):
        expected = prune(params, masks, fraction)["w"]
        np.testing.assert_array_equal(prune(params, masks, fraction, scope="lamp")["w"], expected)
    infinite = {"w": jnp.array([[5.0, 3.0, 4.0, jnp.inf]])}
    assert np.flatnonzero(
        prune(infinite, init_masks(infinite), 0.5, scope="lamp")["w"]
    ).tolist() == [
        0,
        3,
    ]


def test_lamp_of_weights_whose_squares_leave_float32():
    params = {"small": jnp.array([[1e-30, 2e-30, 3e-30]]), "large": jnp.array([[1e30, 2e30, 3e30]])}
    masks = prune(params, init_masks(params), 0.5, scope="lamp")
    # 1/14, 4/13, 1 in both layers: the lowest of each goes, and of the equal next the first leaf's.
    assert masks["small"].tolist() == [[False, True, True]]
    assert masks["large"].tolist() == [[False, False, True]]
