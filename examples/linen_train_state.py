"""SILO with Flax linen: the masks are a field of the `TrainState`.

    python -m examples.linen_train_state

Eight pruning cycles over scikit-learn's digits, each on 0.8 of the weights of the one before. The
weights are kept from cycle to cycle; the learning rate starts afresh, with a peak that rises.
"""

from typing import Any

import jax
import optax
from flax import linen as nn
from flax.training import train_state

from examples import digits
from silo_jax import apply_masks, init_masks, masked, prune, shapes, silo_schedule, sparsity

CYCLES = 8
STEPS = 100  # a cycle


class TrainState(train_state.TrainState):
    masks: Any

    def apply_gradients(self, *, grads):
        updates, opt_state = self.tx.update(grads, self.opt_state, self.params, masks=self.masks)
        params = optax.apply_updates(self.params, updates)
        return self.replace(step=self.step + 1, params=params, opt_state=opt_state)


def loss(params, apply, images, labels):
    logits = apply({"params": params}, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@jax.jit
def train_step(state, images, labels):
    grads = jax.grad(loss)(state.params, state.apply_fn, images, labels)
    return state.apply_gradients(grads=grads)


@jax.jit
def prune_step(state):
    masks = prune(state.params, state.masks, fraction=0.2)
    return state.replace(params=apply_masks(state.params, masks), masks=masks)


def main():
    train, (test_images, test_labels) = digits.load()
    shape = shapes.one_cycle(STEPS)
    schedule = silo_schedule(shape, num_cycles=CYCLES, steps_per_cycle=STEPS, lower=0.1, upper=0.3)
    network = nn.Sequential([nn.Dense(128), nn.relu, nn.Dense(10)])
    params = network.init(jax.random.key(0), test_images)["params"]
    state = TrainState.create(
        apply_fn=network.apply,
        params=params,
        masks=init_masks(params),
        tx=masked(optax.sgd(schedule, momentum=0.9)),
    )

    accuracies = []
    for cycle in range(CYCLES):
        if cycle > 0:
            state = prune_step(state)
        for images, labels in digits.batches(train, STEPS, seed=cycle):
            state = train_step(state, images, labels)
        hits = network.apply({"params": state.params}, test_images).argmax(-1) == test_labels
        accuracies.append(100 * hits.mean())
        density = 1 - sparsity(state.masks)
        print(f"cycle {cycle}  density {density:.4f}  test accuracy {accuracies[-1]:.1f} %")
    return state.params, state.masks, accuracies


if __name__ == "__main__":
    main()
