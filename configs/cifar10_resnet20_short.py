r"""ResNet-20 on CIFAR-10, shortened to what two CPU cores finish in hours; not of the paper's size.

    python -m experiments.compare --config=configs/cifar10_resnet20_short.py \
        --workdir=runs/compare --schedules=silo,warmup --max_lrs=0.015,0.03,0.06 \
        --hindsight=false --tuning_seeds=1

6 cycles of 1 epoch where configs/cifar10_resnet20.py has 25 of 50; 0.36 of the weights are pruned
after each, down to 10.7 %, the density of the authors' tenth cycle. Weights are kept and the
learning rate is rewound, so that the last network has seen 6 epochs; after a colon other variants,
as there. Protocol clean.
"""

from ml_collections import ConfigDict

from configs.cifar10_resnet20 import get_config as whole


def get_config(variant: str = "lr") -> ConfigDict:
    config = whole(variant)
    config.seeds = (0, 1, 2)
    config.pruning.num_cycles = 6
    config.pruning.fraction = 0.36
    config.schedule.warmup_epochs = 0.25
    config.schedule.drop_epochs = (0.6, 0.85)
    config.training.epochs_per_cycle = 1
    return config
