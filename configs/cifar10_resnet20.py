r"""SILO on CIFAR-10 with ResNet-20 and the numbers of the authors' script, protocol clean.

    python -m experiments.run --config=configs/cifar10_resnet20.py --workdir=runs/cifar10_resnet20
    python -m experiments.run --config=configs/cifar10_resnet20.py:cosine+lr --workdir=runs/cosine

After the colon: a schedule, a way of rewinding, or both (configs/variants.py).

Clean means: the data set's own test split, a validation split taken from train, no augmentation in
evaluation, BatchNorm and biases not pruned, and a warm-up that completes. (In the authors' script
the first drop cuts a warm-up of 36 epochs; 20 epochs here are this project's own choice.) No epoch
is chosen: what is scored on test, pruned and kept is the network at the end of its cycle.

The whole run of 25 cycles of 50 epochs has not been made yet. It wants an accelerator: on two CPU
cores a step of 128 images takes half a second (benchmarks.pytorch_step). There this has two short
cycles:

    python -m experiments.run --config=configs/cifar10_resnet20.py --workdir=runs/cifar10_short \
        --config.pruning.num_cycles=2 --config.training.epochs_per_cycle=1 \
        --config.schedule.warmup_epochs=0.5 --config.schedule.drop_epochs=0.7,0.9
"""

from ml_collections import ConfigDict

from configs.recipes import cifar
from configs.variants import with_variant


def get_config(variant: str = "") -> ConfigDict:
    config = cifar("cifar10")
    config.model.name = "resnet20"
    config.model.shortcut = "identity"
    return with_variant(config, variant)
