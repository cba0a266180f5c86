"""SILO on the handwritten digits that scikit-learn ships: 1 797 images of 8×8 pixels.

    python -m experiments.run --config=configs/quickstart.py --workdir=runs/quickstart

Takes 30 to 40 s on two CPU cores: 18 cycles of 4 epochs for 3 seeds, and the report. Expect 96.8 %
test accuracy of the dense network, 95.4 % or more down to 5.5 % of the weights, 88.9 % at 2.3 %.
The network is small, so that pruning shows. The bounds of max_lr are those of experiments.tune when
it starts from others: --config.schedule.lower=0.03 --config.schedule.upper=0.1.

    python -m experiments.compare --config=configs/quickstart.py --workdir=runs/compare    # 67 s
    python -m experiments.oracle --config=configs/quickstart.py --workdir=runs/oracle      # 83 s
    python -m experiments.tune --config=configs/quickstart.py --workdir=runs/tune          # 13 s
    python -m experiments.premise --config=configs/quickstart.py --workdir=runs/premise    # 41 s

No schedule is better than the best of the others by more than its confidence interval.
"""

from ml_collections import ConfigDict

from silo_jax.base_config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.seeds = (0, 1, 2)
    config.data.name = "digits"
    config.data.validation_fraction = 0.15
    config.model.name = "mlp"
    config.model.hidden = (48, 24)
    config.pruning.num_cycles = 18
    config.pruning.fraction = 0.2
    config.schedule.lower = 0.0224
    config.schedule.upper = 0.0669
    config.schedule.warmup_epochs = 0.5
    config.schedule.drop_epochs = (2.5, 3.5)
    config.training.epochs_per_cycle = 4
    config.training.batch_size = 16
    return config
