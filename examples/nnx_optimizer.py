"""SILO with Flax nnx: `nnx.Optimizer` hands the masks on to optax.

    python -m examples.nnx_optimizer

Eight pruning cycles over scikit-learn's digits, each on 0.8 of the weights of the one before. The
weights are kept from cycle to cycle; the learning rate starts afresh, with a peak that rises.
(Before flax 0.11 `optimizer.update` takes no model: leave it out there.)
"""

import optax
from flax import nnx

from examples import digits
from silo_jax import apply_masks, init_masks, masked, prune, shapes, silo_schedule, sparsity

CYCLES = 8
STEPS = 100  # a cycle


class Network(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(64, 128, rngs=rngs)
        self.output = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images):
        return self.output(nnx.relu(self.hidden(images)))


def loss(model, images, labels):
    return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()


@nnx.jit
def train_step(model, optimizer, masks, images, labels):
    grads = nnx.grad(loss)(model, images, labels)
    optimizer.update(model, grads, masks=masks)


@nnx.jit
def prune_step(model, masks):
    params = nnx.state(model, nnx.Param)
    masks = prune(params, masks, fraction=0.2)
    nnx.update(model, apply_masks(params, masks))
    return masks


def main():
    train, (test_images, test_labels) = digits.load()
    shape = shapes.cosine_decay(STEPS)
    schedule = silo_schedule(shape, num_cycles=CYCLES, steps_per_cycle=STEPS, lower=0.1, upper=0.3)
    model = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, masked(optax.sgd(schedule, momentum=0.9)), wrt=nnx.Param)
    masks = init_masks(nnx.state(model, nnx.Param))

    accuracies = []
    for cycle in range(CYCLES):
        if cycle > 0:
            masks = prune_step(model, masks)
        for images, labels in digits.batches(train, STEPS, seed=cycle):
            train_step(model, optimizer, masks, images, labels)
        accuracies.append(100 * (model(test_images).argmax(-1) == test_labels).mean())
        density = 1 - sparsity(masks)
        print(f"cycle {cycle}  density {density:.4f}  test accuracy {accuracies[-1]:.1f} %")
    return nnx.state(model, nnx.Param), masks, accuracies


if __name__ == "__main__":
    main()
