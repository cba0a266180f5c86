"""The benchmarks compare what does the same."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.masked_step import without_masks
from benchmarks.measure import median_ratio, peak_extra_bytes, seconds_in_turn
from benchmarks.prune import NETWORKS, WAYS, num_kept, weights_and_masks
from benchmarks.schedule_compile import schedule, schedule_in_jit, seconds_to_compile
from silo_jax.training.step import DeviceSplit, train_step
from tests.tiny import tiny_data, tiny_recipe, tiny_state


def test_every_way_of_pruning_keeps_the_same_weights():
    params, masks = weights_and_masks([(3, 3, 8, 16), (40, 10), (10, 9)])
    flat = {}
    for name, way in WAYS.items():
        kept = way(params, masks)
        flat[name] = np.concatenate([np.ravel(mask) for mask in jax.tree.leaves(kept)])
    assert num_kept(flat["prune"]) == num_kept(masks) - round(0.2 * num_kept(masks))
    for name, kept in flat.items():
        np.testing.assert_array_equal(kept, flat["prune"], err_msg=name)


def test_the_networks_have_their_published_numbers_of_weights():
    sizes = {name: sum(map(np.prod, shapes)) for name, shapes in NETWORKS.items()}
    # All parameters, less BatchNorm's scales and offsets and the biases of the last layer.
    assert sizes["ResNet-50"] == 25_557_032 - 2 * 26_560 - 1000
    # All parameters, less class token, positions, LayerNorm and biases.
    norms, biases = 25 * 2 * 768, 768 + 12 * (4 * 768 + 3072 + 768) + 1000
    assert sizes["ViT-B/16"] == 86_567_656 - 768 - 197 * 768 - norms - biases


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_peak_memory_is_what_a_program_holds_at_once():
    def program():
        held = np.ones(8_000_000)
        return held.sum()

    assert peak_extra_bytes(program) == pytest.approx(64e6, rel=0.1)


def test_a_step_without_masks_is_the_masked_step_on_a_dense_network():
    recipe, data = tiny_recipe(), tiny_data()
    state, batch = tiny_state(recipe), DeviceSplit(data.images[:4], data.labels[:4])
    masked, _ = train_step(recipe, state, batch)
    unmasked, _ = train_step(recipe, without_masks(state), batch)
    jax.tree.map(np.testing.assert_array_equal, masked.params, unmasked.params)

    def num_selects(state):
        return str(jax.make_jaxpr(partial(train_step, recipe))(state, batch)).count("select_n")

    assert num_selects(without_masks(state)) < num_selects(state)


def test_programs_take_turns_and_ratios_are_per_turn():
    calls = []
    programs = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b") or jnp.zeros(())}
    seconds = seconds_in_turn(programs, repeats=3)
    assert calls == ["a", "b"] * 4
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    assert median_ratio([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]) == pytest.approx(3.0)


def test_every_measurement_of_compiling_starts_from_nothing():
    calls = []

    def program(step):
        calls.append(step)
        return step + 1.0

    for count in (1, 2, 3):
        seconds = seconds_to_compile(program)
        assert len(calls) == count
        assert seconds["trace and compile"] == pytest.approx(seconds["trace"] + seconds["compile"])


def test_a_schedule_made_in_jit_is_the_schedule():
    steps = jnp.arange(0, 25 * 500, 37)
    inside = jax.jit(schedule_in_jit(25))(steps)
    np.testing.assert_allclose(inside, schedule(25)(steps), rtol=1e-6)
