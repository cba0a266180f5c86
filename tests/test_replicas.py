"""Replicas: what each comes to is what it comes to alone, in one program that is compiled once."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax import prune, sparsity
from silo_jax.training.replicas import over_replicas, recipe_of_replicas, stack
from silo_jax.training.step import train_epoch
from tests.compilations import compilations
from tests.replicated import (
    HUGE,
    NUM_CYCLES,
    RECIPES,
    Trained,
    recipe_of,
    replicas_of,
    start,
    train_alone,
    train_together,
)
from tests.tiny import STEPS_PER_CYCLE, assert_identical, tiny_data, tiny_recipe

ROOT = Path(__file__).parents[1]
QUICKER_TO_COMPILE = "--xla_backend_optimization_level=0"
IS_OLD = jax.__version_info__ < (0, 7)
PROGRAMS = {"map": "_in_turn", "vmap": "_at_once"}


def assert_same(found: Trained, wanted: Trained, *, bits: bool) -> None:
    """The same bits, or the same but for how sums are rounded."""
    if bits:
        assert_identical(found, wanted)
        return
    for name in ("params", "batch_stats", "opt_state", "masks"):
        parts = (jax.tree.leaves(getattr(one.state, name)) for one in (found, wanted))
        for a, b in zip(*parts, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found.scores.loss, wanted.scores.loss, rtol=1e-4)
    assert found.state.step == wanted.state.step


@pytest.mark.parametrize("network", RECIPES)
@pytest.mark.parametrize("strategy", PROGRAMS)
def test_each_replica_is_as_alone_whatever_its_seed_and_peaks_and_whoever_diverges(
    network, strategy
):
    """The last of a group only fills it up. One compilation serves all seeds and peaks."""
    recipe, alone = recipe_of(network), partial(train_alone, network)
    groups = [
        [(0, 0.1), (1, 0.1), (1, 0.2), (0, 0.1)],
        [(2, 0.05), (0, HUGE), (1, 0.2), (2, 0.05)],
    ]
    living = [True, True, True, False]
    with compilations() as compiled:
        epochs = replicas_of(recipe, [start(recipe, *one) for one in groups[0]], strategy)
        trained = [
            train_together(recipe, epochs, [start(recipe, *one) for one in group], living)
            for group in groups
        ]
    if not IS_OLD:  # where what is compiled from a partial has no name
        assert compiled.count(PROGRAMS[strategy]) == 2  # one trains, one evaluates
    for group, found in zip(groups, trained, strict=True):
        for one, result, lives in zip(group, found, living, strict=True):
            if one[1] == HUGE:
                assert result.state.step < STEPS_PER_CYCLE
                assert not np.isfinite(result.state.sums.loss)
            elif lives:
                assert result.state.step == NUM_CYCLES * STEPS_PER_CYCLE
                assert_same(result, alone(*one), bits=strategy == "map" and not IS_OLD)
            else:
                assert result.state.step == 0
                assert_identical(result.state.params, jax.device_get(start(recipe, *one).params))


def test_a_single_replica_is_as_alone():
    recipe, states = recipe_of("mlp"), [start(recipe_of("mlp"), 1, 0.2)]
    epochs = replicas_of(recipe, states, "vmap")
    (found,) = train_together(recipe, epochs, states, [True])
    assert_identical(found, train_alone("mlp", 1, 0.2))


@pytest.mark.parametrize("strategy", PROGRAMS)
def test_each_replica_prunes_its_own_weights_once_a_cycle(strategy):
    """Were it chosen after the fact whether to prune, there would be a prune at every step."""
    pruned = []

    def criterion(params):
        jax.debug.callback(pruned.append, jax.tree.leaves(params)[0].sum())
        return jax.tree.map(jnp.abs, params)

    recipe = tiny_recipe(criterion=criterion)
    states = [start(recipe, seed, 0.1) for seed in (0, 1, 2)]
    epochs = replicas_of(recipe, states, strategy)
    for one in train_together(recipe, epochs, states, [True] * 3):
        masks = prune(one.state.params, one.state.masks, 0.5)
        assert_identical(jax.device_get(masks), one.state.next_masks)
        assert 0 < sparsity(one.state.masks) < sparsity(masks)
    jax.effects_barrier()
    assert len(pruned) == NUM_CYCLES * len(states)


def test_a_prune_under_vmap_stays_a_branch_of_the_program():
    states = stack([start(tiny_recipe(), seed, 0.1) for seed in (0, 1, 2)])

    def num_branches(recipe):
        def train(state, data):
            return train_epoch(recipe, state, data, jnp.int32(STEPS_PER_CYCLE))

        program = jax.jit(over_replicas("vmap", train, 3))
        return program.lower(states, tiny_data()).as_text().count("stablehlo.case")

    assert num_branches(recipe_of_replicas(tiny_recipe(), "vmap", 3)) == 1
    assert num_branches(tiny_recipe()) == 0


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match=r"^strategy: 'pmap'; allowed: map, [^\n]*vmap"):
        over_replicas("pmap", abs, 2)


@pytest.mark.skipif(IS_OLD, reason="no strategy shard in this JAX")
def test_on_four_devices():
    flags = f"--xla_force_host_platform_device_count=4 {QUICKER_TO_COMPILE}"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/four_devices.py"],
        cwd=ROOT,
        env=os.environ
        | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout
