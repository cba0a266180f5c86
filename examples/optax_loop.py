"""SILO in a bare optax loop: the weights are a plain dict.

    python -m examples.optax_loop

Eight pruning cycles over scikit-learn's digits, each on 0.8 of the weights of the one before. The
weights are kept from cycle to cycle; the learning rate starts afresh, with a peak that rises.
"""

import jax
import jax.numpy as jnp
import optax

from examples import digits
from silo_jax import apply_masks, init_masks, masked, prune, shapes, silo_schedule, sparsity

CYCLES = 8
STEPS = 100  # a cycle


def init(key):
    keys = jax.random.split(key)
    he_normal = jax.nn.initializers.he_normal()
    return {
        "hidden": {"kernel": he_normal(keys[0], (64, 128)), "bias": jnp.zeros(128)},
        "output": {"kernel": he_normal(keys[1], (128, 10)), "bias": jnp.zeros(10)},
    }


def predict(params, images):
    hidden = jax.nn.relu(images @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


def loss(params, images, labels):
    logits = predict(params, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main():
    train, (test_images, test_labels) = digits.load()
    shape = shapes.warmup_step_decay(warmup_steps=20, drop_steps=(70, 90))
    schedule = silo_schedule(shape, num_cycles=CYCLES, steps_per_cycle=STEPS, lower=0.1, upper=0.3)
    optimizer = masked(optax.sgd(schedule, momentum=0.9))

    params = init(jax.random.key(0))
    masks = init_masks(params)
    opt_state = optimizer.init(params)

    @jax.jit
    def train_step(params, opt_state, masks, images, labels):
        grads = jax.grad(loss)(params, images, labels)
        updates, opt_state = optimizer.update(grads, opt_state, params, masks=masks)
        return optax.apply_updates(params, updates), opt_state

    @jax.jit
    def prune_step(params, masks):
        masks = prune(params, masks, fraction=0.2)
        return apply_masks(params, masks), masks

    accuracies = []
    for cycle in range(CYCLES):
        if cycle > 0:
            params, masks = prune_step(params, masks)
        for images, labels in digits.batches(train, STEPS, seed=cycle):
            params, opt_state = train_step(params, opt_state, masks, images, labels)
        hits = predict(params, test_images).argmax(-1) == test_labels
        accuracies.append(100 * hits.mean())
        density = 1 - sparsity(masks)
        print(f"cycle {cycle}  density {density:.4f}  test accuracy {accuracies[-1]:.1f} %")
    return params, masks, accuracies


if __name__ == "__main__":
    main()
