"""What grows with the number of devices, from the shapes alone: nothing is computed or timed.

python -m benchmarks.scaling
"""

from typing import Any

import jax

from silo_jax.models import create_model
from silo_jax.training.optimizer import make_optimizer
from silo_jax.training.state import TrainState, create_state

NETWORKS = {"resnet50": "sgd", "vit_b16": "adamw"}
DEVICES = (8, 64, 512)
BYTES_OF_FLOAT = 4
STATISTICS_EXCHANGED = 3  # a BatchNorm channel: 2 sums forward, 3 backward, 2 of these gradients


def state_of(network: str, optimizer: str) -> TrainState:
    """The state of a network for 224×224 images and 1000 classes, as shapes."""
    model = create_model(network, num_classes=1000)

    def create() -> TrainState:
        return create_state(
            model,
            make_optimizer(optimizer, weight_decay=1e-4),
            seed=0,
            image_shape=(224, 224, 3),
            peaks=[0.1],
            prunable=model.prunable,
        )

    return jax.eval_shape(create)


def reduced_bytes(state: TrainState) -> int:
    """Bytes that a step adds over all devices: gradients, and the sums of BatchNorm."""
    channels = sum(leaf.size for leaf in jax.tree.leaves(state.batch_stats)) // 2
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    return BYTES_OF_FLOAT * (parameters + STATISTICS_EXCHANGED * channels)


def sent_bytes(state: TrainState, devices: int) -> int:
    """Bytes that each device sends for it, when the sum is taken around a ring."""
    return round(2 * (devices - 1) / devices * reduced_bytes(state))


def checkpoint_bytes(state: TrainState) -> int:
    """Bytes of a checkpoint, before it is compressed."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def rows() -> list[dict[str, Any]]:
    """A row for each network and number of devices."""
    return [
        {
            "network": network,
            "devices": devices,
            "sent a step, MB a device": round(sent_bytes(state, devices) / 1e6, 1),
            "sent a prune": 0,
            "checkpoint, MB": round(checkpoint_bytes(state) / 1e6, 1),
        }
        for network, optimizer in NETWORKS.items()
        for state in (state_of(network, optimizer),)
        for devices in DEVICES
    ]


def main() -> None:
    table = rows()
    print("| " + " | ".join(table[0]) + " |\n|" + "---|" * len(table[0]))
    for row in table:
        print("| " + " | ".join(map(str, row.values())) + " |")


if __name__ == "__main__":
    main()
