"""Networks made physically smaller have the same logits."""

import jax
import numpy as np
import pytest

from silo_jax import apply_masks
from silo_jax.exporting.shrink import measure_speedup, shrink, widths_of
from tests.exported import SMALL, assert_same_logits, images_for, network_of, with_channels_pruned
from tests.tiny import assert_identical


@pytest.mark.parametrize("name", [*SMALL, "steps"])
def test_a_shrunk_network_has_the_living_channels_and_the_same_logits(name):
    network = with_channels_pruned(network_of(name, fraction=0.0), 0.5)
    smaller, images = shrink(network), images_for(network)
    assert_same_logits(smaller.logits(images), network.logits(images))
    before, after = widths_of(network), widths_of(smaller)
    alive = [width - round(width / 2) for width in before[:-1]] + before[-1:]
    if name in ("mlp", "lenet5"):
        assert after == alive  # every constant can be folded
    else:
        assert all(a <= b <= c for a, b, c in zip(alive, after, before, strict=True))
        assert after[0] > alive[0]  # some are kept, as the next convolution pads
        assert after[-2] == alive[-2]


def test_without_constants_only_living_channels_are_left():
    network = with_channels_pruned(network_of("conv2", fraction=0.0, bias=0.0), 0.5)
    widths = widths_of(network)
    assert widths_of(shrink(network)) == [w // 2 for w in widths[:-1]] + widths[-1:]


def test_channels_that_nothing_reads_go_and_so_does_what_only_they_read():
    network = network_of("mlp", fraction=0.0)
    masks = jax.tree.map(np.array, network.masks)
    masks["Dense_2"]["kernel"][3:] = False  # the last layer reads three units
    masks["Dense_1"]["kernel"][5, :3] = False  # which do not read unit 5
    params = apply_masks(network.variables["params"], masks)
    network = network._replace(variables={"params": params}, masks=masks)
    smaller = shrink(network)
    assert widths_of(smaller) == [11, 3, 7]
    images = images_for(network)
    assert_same_logits(smaller.logits(images), network.logits(images))


def test_a_network_with_nothing_to_take_out_stays_and_a_dead_one_keeps_a_channel():
    network = network_of("mlp", fraction=0.0)
    assert_identical(shrink(network).variables, network.variables)
    masks = jax.tree.map(np.array, network.masks)
    masks["Dense_0"]["kernel"][:] = False
    params = apply_masks(network.variables["params"], masks)
    dead = network._replace(variables={"params": params}, masks=masks)
    assert widths_of(shrink(dead)) == [1, 9, 7]
    images = images_for(network)
    np.testing.assert_allclose(shrink(dead).logits(images), dead.logits(images), atol=1e-5)


def test_both_networks_of_a_speedup_are_timed_in_turn(monkeypatch):
    calls, clock = [], iter(range(10_000))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))

    class Timed:
        image_shape = (2, 2, 1)

        def __init__(self, name, ticks):
            self.name, self.ticks = name, ticks

        def logits(self, images):
            calls.append(self.name)
            for _ in range(self.ticks):
                next(clock)
            return images

    # One tick is between the two looks at the clock.
    speedup = measure_speedup(Timed("large", 5), Timed("small", 2), batch_size=2, turns=4)
    assert speedup == (2.0, 2.0, 2.0)
    assert calls == ["large", "small"] * 5
