"""Gradual pruning by hand: a cubic plan of sparsities, and a SILO that follows the plan.

    python -m examples.gradual_pruning

Every 40 steps the network, trained on scikit-learn's digits, is pruned to the next sparsity of Zhu
& Gupta's plan (2017): fast at first, then slower, with the last fifth of the training left to
recover. The peaks of the learning rate rise with the sparsity, in an S.
"""

import jax
import optax
from flax import linen as nn

from examples import digits
from silo_jax.pruning import apply_masks, init_masks, masked, prune, sparsity
from silo_jax.schedules import cycle_schedule, plans, shapes, silo_peaks_from_sparsity

CYCLES = 20
STEPS = 40  # a cycle

NETWORK = nn.Sequential([nn.Dense(128), nn.relu, nn.Dense(10)])


def loss(params, images, labels):
    logits = NETWORK.apply(params, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main():
    train, (test_images, test_labels) = digits.load()
    plan = plans.cubic(CYCLES, final_sparsity=0.95, end=16)
    peaks = silo_peaks_from_sparsity(plan, lower=0.1, upper=0.3)
    schedule = cycle_schedule(shapes.cosine_decay(STEPS), peaks, STEPS)
    optimizer = masked(optax.sgd(schedule, momentum=0.9))

    params = NETWORK.init(jax.random.key(0), test_images)
    masks = init_masks(params)
    opt_state = optimizer.init(params)

    @jax.jit
    def train_step(params, opt_state, masks, images, labels):
        grads = jax.grad(loss)(params, images, labels)
        updates, opt_state = optimizer.update(grads, opt_state, params, masks=masks)
        return optax.apply_updates(params, updates), opt_state

    accuracies = []
    for cycle in range(CYCLES):
        masks = prune(params, masks, target_sparsity=plan[cycle])
        params = apply_masks(params, masks)
        for images, labels in digits.batches(train, STEPS, seed=cycle):
            params, opt_state = train_step(params, opt_state, masks, images, labels)
        hits = NETWORK.apply(params, test_images).argmax(-1) == test_labels
        accuracies.append(100 * hits.mean())
        density = 1 - sparsity(masks)
        print(f"cycle {cycle:2}  density {density:.4f}  test accuracy {accuracies[-1]:.1f} %")
    return params, masks, accuracies


if __name__ == "__main__":
    main()
