"""SILO with equinox.

    python -m examples.equinox_loop

Eight pruning cycles over scikit-learn's digits, each on 0.8 of the weights of the one before. The
weights are kept from cycle to cycle; the learning rate starts afresh, with a peak that rises.
"""

import equinox as eqx
import jax
import optax

from examples import digits
from silo_jax import apply_masks, init_masks, masked, prune, shapes, silo_schedule, sparsity

CYCLES = 8
STEPS = 100  # a cycle


def loss(model, images, labels):
    logits = jax.vmap(model)(images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main():
    train, (test_images, test_labels) = digits.load()
    shape = shapes.triangular(STEPS)
    schedule = silo_schedule(shape, num_cycles=CYCLES, steps_per_cycle=STEPS, lower=0.1, upper=0.3)
    optimizer = masked(optax.sgd(schedule, momentum=0.9))

    model = eqx.nn.MLP(64, 10, width_size=128, depth=1, key=jax.random.key(0))
    params = eqx.filter(model, eqx.is_inexact_array)
    masks = init_masks(params)
    opt_state = optimizer.init(params)

    @eqx.filter_jit
    def train_step(model, opt_state, masks, images, labels):
        grads = eqx.filter_grad(loss)(model, images, labels)
        params = eqx.filter(model, eqx.is_inexact_array)
        updates, opt_state = optimizer.update(grads, opt_state, params, masks=masks)
        return eqx.apply_updates(model, updates), opt_state

    @eqx.filter_jit
    def prune_step(model, masks):
        params, static = eqx.partition(model, eqx.is_inexact_array)
        masks = prune(params, masks, fraction=0.2)
        return eqx.combine(apply_masks(params, masks), static), masks

    accuracies = []
    for cycle in range(CYCLES):
        if cycle > 0:
            model, masks = prune_step(model, masks)
        for images, labels in digits.batches(train, STEPS, seed=cycle):
            model, opt_state = train_step(model, opt_state, masks, images, labels)
        hits = jax.vmap(model)(test_images).argmax(-1) == test_labels
        accuracies.append(100 * hits.mean())
        density = 1 - sparsity(masks)
        print(f"cycle {cycle}  density {density:.4f}  test accuracy {accuracies[-1]:.1f} %")
    return eqx.filter(model, eqx.is_inexact_array), masks, accuracies


if __name__ == "__main__":
    main()
