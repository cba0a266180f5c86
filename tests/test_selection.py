"""Exact rounding and exact selection against Python's and NumPy's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silo_jax import prune
from silo_jax.pruning.rounding import fixed_point, round_product
from silo_jax.pruning.selection import lowest

COUNTS = st.integers(0, 2**31 - 1)
round_words = jax.jit(round_product)


def rounded(fraction, count):
    return int(round_words(fixed_point(fraction), jnp.int32(count)))


@given(COUNTS, st.floats(2**-11, 1))
@example(150, 0.07)
@example(2**31 - 1, 1.0)
@example(2**31 - 1, 1 - 2**-53)
@example(2**31 - 1, 2**-11)
@example(1, 0.5)
@example(3, 0.5)
@example(0, 0.3)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_rounding_is_pythons(count, fraction):
    assert rounded(fraction, count) == round(fraction * count)


@given(st.data(), st.integers(1, 2**31 - 1), st.integers(-3, 3))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_rounding_is_pythons_within_a_hair_of_one_half(data, count, hairs):
    whole = data.draw(st.integers(count >> 11, count - 1))
    fraction = (whole + 0.5) / count
    for _ in range(abs(hairs)):
        fraction = np.nextafter(fraction, np.sign(hairs) * np.inf)
    fraction = min(float(fraction), 1.0)
    assert rounded(fraction, count) == round(fraction * count)


@pytest.mark.parametrize("fraction", [0.0, 1e-12, 1e-9, 1e-6, 1e-4, 5e-324])
def test_fractions_near_0(fraction):
    for count in (0, 1, 499_999, 500_000, 10**9, 2**31 - 1):
        assert rounded(fraction, count) == round(fraction * count)


@given(COUNTS, st.floats(0, 1, width=32))
@example(150, np.float32(0.07))
@example(2**31 - 1, 1.0)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_traced_fraction_is_its_exact_float32_value(count, fraction):
    assert int(round_traced(np.float32(fraction), count)) == round(float(fraction) * count)


@jax.jit
def round_traced(fraction, count):
    return round_product(fixed_point(fraction), count)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.int32])
def test_fractions_of_other_types(dtype):
    for fraction in jnp.array([0, 0.07, 0.2, 0.999, 1]).astype(dtype):
        for count in (150, 12_345_678, 2**31 - 1):
            assert int(round_traced(fraction, count)) == round(float(fraction) * count)


@pytest.fixture
def x64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("x64")
def test_a_64_bit_fraction_of_jax_is_not_cut_to_32_bits():
    fraction = jnp.float64(0.07)
    assert int(round_traced(fraction, jnp.int32(2**31 - 1))) == round(0.07 * (2**31 - 1))


def lowest_by_sorting(scores, alive, count):
    """NumPy's stable sort of the living, NaN last; a list of marks of the scores' shapes."""
    flat = np.concatenate([np.asarray(s, np.float32).ravel() for s in scores])
    living = np.flatnonzero(np.concatenate([np.asarray(a).ravel() for a in alive]))
    order = np.argsort(flat[living], kind="stable")
    marks = np.zeros(flat.size, bool)
    marks[living[order[:count]]] = True
    ends = np.cumsum([s.size for s in scores])[:-1]
    parts = zip(np.split(marks, ends), scores, strict=True)
    return [part.reshape(score.shape) for part, score in parts]


@jax.jit
def jitted_lowest(scores, alive, count):
    """Of all leaves together, without caps."""
    together = (0,) * len(scores)
    caps = jnp.array([jnp.sum(living) for living in alive])
    marks, num_marked = lowest(
        scores, alive, jnp.full(len(scores), count), groups=together, caps=caps
    )
    return marks, num_marked


def assert_selects_as_sorting(scores, alive, count):
    marks, num_marked = jitted_lowest(scores, alive, jnp.int32(count))
    assert num_marked.tolist() == [int(mark.sum()) for mark in marks]
    for mark, expected in zip(marks, lowest_by_sorting(scores, alive, count), strict=True):
        assert mark.dtype == bool
        np.testing.assert_array_equal(mark, expected)


@pytest.mark.parametrize(("dtype", "bytes_a_score"), [(jnp.float32, 4), (jnp.bfloat16, 2)])
def test_memory_is_that_of_the_scores_and_the_masks(dtype, bytes_a_score):
    """Of what the compiled program holds beside its arguments, its result included."""
    num_layers, num_weights = 25, 4_000_000
    shape = (num_weights // num_layers // 100, 100)
    params = [jax.ShapeDtypeStruct(shape, dtype)] * num_layers
    masks = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, bool), params)
    compiled = jax.jit(lambda params, masks: prune(params, masks, 0.2)).lower(params, masks)
    memory = compiled.compile().memory_analysis()
    held = memory.temp_size_in_bytes + memory.output_size_in_bytes
    one_layer = bytes_a_score / num_layers
    assert held / num_weights < 1.01 * (bytes_a_score + 1 + one_layer)


EXTREMES = [0.0, -0.0, 1e-45, -1e-45, 1e-40, 2e-40, 1e-7, 1.0, 1.0 + 2**-7, 2.0, -1.5]
EXTREMES += [3e38, np.inf, -np.inf, np.nan, -np.nan]
SHAPES = [(3, 4), (7,), (2, 1, 3), (0, 2), (1, 1, 1, 5)]
DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16, jnp.float32, jnp.float32]
SIZE = sum(int(np.prod(shape)) for shape in SHAPES)


def split(flat):
    ends = np.cumsum([np.prod(shape) for shape in SHAPES])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), SHAPES, strict=True)]


@given(st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_selection_is_that_of_a_stable_sort(data):
    draw_floats = st.one_of(st.sampled_from(EXTREMES), st.floats(width=32))
    with np.errstate(over="ignore"):
        flat = np.array(data.draw(st.lists(draw_floats, min_size=SIZE, max_size=SIZE)), np.float32)
        scores = [part.astype(dtype) for part, dtype in zip(split(flat), DTYPES, strict=True)]
    alive = split(np.array(data.draw(st.lists(st.booleans(), min_size=SIZE, max_size=SIZE))))
    count = data.draw(st.integers(0, sum(int(a.sum()) for a in alive)))
    assert_selects_as_sorting(scores, alive, count)


@given(st.data(), st.sampled_from([0.0, 1.0, -2.0, np.inf, np.nan]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_equal_scores_go_by_leaf_and_index(data, value):
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=SIZE, max_size=SIZE)))
    count = data.draw(st.integers(0, int(alive.sum())))
    equal = split(np.full(SIZE, value, np.float32))
    marks, _ = jitted_lowest(equal, split(alive), jnp.int32(count))
    flat = np.concatenate([np.ravel(mark) for mark in marks])
    assert np.flatnonzero(flat).tolist() == np.flatnonzero(alive)[:count].tolist()


@pytest.mark.parametrize("num_values", [1, 3, 2**23])
def test_selection_among_many(num_values):
    rng = np.random.default_rng(num_values)
    shapes = [(64, 65), (129,), (5, 6, 7, 8)]
    scores = [rng.integers(num_values, size=s).astype(np.float32) - 5 for s in shapes]
    alive = [rng.random(s) < 0.7 for s in shapes]
    num_alive = sum(int(a.sum()) for a in alive)
    for count in (0, 1, num_alive // 3, num_alive - 1, num_alive):
        assert_selects_as_sorting(scores, alive, count)
