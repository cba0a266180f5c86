r"""ResNet-20 on CIFAR-10, shortened to what one GPU does in minutes; not of the paper's size.

    python -m experiments.compare --config=configs/cifar10_resnet20_short.py \
        --workdir=runs/compare --schedules=silo,warmup --max_lrs=0.03,0.06,0.12 \
        --tuning_seeds=1 --strategy=map

The 25 cycles of configs/cifar10_resnet20.py, to 0.5 % of the weights, but of 1 epoch in place of
50, in bfloat16 and in batches of 128. Weights are kept and the learning rate is rewound, so that
the last network has seen 25 epochs; another variant after a colon takes the place of that, so
"cosine+lr" keeps it. Protocol clean.

On an H200, two shares of the cells at once (--cells=1/2 and 2/2), the 12 networks took 31 s of
training each, on a copy of CIFAR-10 of which 0.28 % are JPEG approximations. SILO from max_lr 0.06
is at 80 % with 10.7 % of the weights, and at 63 % with 0.5 %.
"""

from ml_collections import ConfigDict

from configs.cifar10_resnet20 import get_config as whole


def get_config(variant: str = "lr") -> ConfigDict:
    config = whole(variant)
    config.seeds = (0, 1, 2)
    config.model.dtype = "bfloat16"
    config.schedule.warmup_epochs = 0.25
    config.schedule.drop_epochs = (0.6, 0.85)
    config.training.epochs_per_cycle = 1
    config.training.batch_size = 128
    return config
