"""Wrong input to the command line: one line, exit status 2, nothing left behind.

The entry point is called in this process, which imports JAX once; a few of the inputs go through a
process of their own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from silo_jax.cli import run

ROOT = Path(__file__).parents[1]
QUICK = "--config=configs/quickstart.py"

NUMBER_INSIDE = "a number between 0 and 1, both excluded"
FROM_0, FROM_1 = "an integer of at least 0", "an integer of at least 1"
ASCENDING = "ascending numbers of at least 0"
A_FILE = "a file that defines get_config()"
ARGUMENTS = (
    "--config, --config.FIELD, --coordinator, --distributed, --fork, --num_processes, "
    "--process_id, --quiet, --tensorboard, --workdir"
)

# The changes to the quickstart's config, the refusal's field and value, and what is allowed.
FIELDS = [
    # types
    ("pruning.fraction=abc", "--config.pruning.fraction=abc", "a number"),
    ("pruning.fraction=", "--config.pruning.fraction=", "a number"),
    ("pruning.fraction=(0.2,)", "--config.pruning.fraction=(0.2,)", "a number"),
    ("pruning.num_cycles=2.5", "--config.pruning.num_cycles=2.5", "an integer"),
    ("pruning.num_cycles=True", "--config.pruning.num_cycles=True", "an integer"),
    ("pruning.min_kept=None", "--config.pruning.min_kept=None", "an integer"),
    ("pruning.prunable=(3,)", "pruning.prunable: (3,)", "regular expressions"),
    ("pruning.prunable=('(',)", "pruning.prunable: '('", "regular expressions (missing )"),
    ("data.split_seed=0.5", "--config.data.split_seed=0.5", "an integer"),
    ("data.flip=maybe", "--config.data.flip=maybe", "true or false"),
    ("data.mean=('a',) data.std=(1.0,)", "data.mean: ('a',)", "finite numbers, one a channel"),
    ("seeds=a", "seeds: ('a',)", "at least one, each different and from 0"),
    ("seeds=0.5", "seeds: (0.5,)", "at least one, each different and from 0"),
    ("schedule.upper=high", "--config.schedule.upper=high", "a number"),
    ("training.epochs_per_cycle=many", "--config.training.epochs_per_cycle=many", "an integer"),
    ("training.nesterov=perhaps", "--config.training.nesterov=perhaps", "true or false"),
    ("training.batch_size=64\n3", "--config.training.batch_size=64 3", "an integer"),
    # ranges
    ("pruning.fraction=0", "pruning.fraction: 0.0", NUMBER_INSIDE),
    ("pruning.fraction=1", "pruning.fraction: 1.0", NUMBER_INSIDE),
    ("pruning.fraction=nan", "pruning.fraction: nan", NUMBER_INSIDE),
    ("pruning.num_cycles=0", "pruning.num_cycles: 0", "an integer from 1 to 10000"),
    ("pruning.num_cycles=1" + 20 * "0", "pruning.num_cycles: 1", "an integer from 1 to 10000"),
    ("pruning.num_cycles=40", "pruning.num_cycles: 40", "at most 34, as after it 3 weights"),
    ("pruning.min_kept=-1", "pruning.min_kept: -1", FROM_0),
    ("seeds=()", "seeds: ()", "at least one"),
    ("seeds=-1", "seeds: (-1,)", "at least one, each different and from 0 to 2^32 - 1"),
    ("seeds=4294967296", "seeds: (4294967296,)", "at least one, each different and from 0"),
    ("data.validation_fraction=1.0", "data.validation_fraction: 1.0", NUMBER_INSIDE),
    ("data.validation_fraction=0.999", "data.validation_fraction: 0.999 of", "10..1427"),
    ("data.split_seed=4294967296", "data.split_seed: 4294967296", "an integer from 0 to 2^32 - 1"),
    ("data.mean=(1e999,) data.std=(1.0,)", "data.mean: (inf,)", "finite numbers"),
    ("data.mean=(0.5,) data.std=(0.0,)", "data.std: (0.0,)", "numbers above 0"),
    ("data.crop_padding=-1", "data.crop_padding: -1", FROM_0),
    ("data.crop_padding=8", "data.crop_padding: 8", "less than the images' 8"),
    ("rewind.step=-1", "rewind.step: -1", FROM_0),
    ("schedule.lower=-0.1", "schedule.lower: -0.1", "a number of at least 0"),
    ("schedule.upper=inf", "schedule.upper: inf", "a number of at least 0"),
    ("schedule.steepness=0", "schedule.steepness: 0.0", "a number above 0"),
    ("schedule.delay=-1", "schedule.delay: -1", FROM_0),
    ("schedule.drop_factor=1.5", "schedule.drop_factor: 1.5", "a number from 0 to 1"),
    ("schedule.drop_epochs=(-1,)", "schedule.drop_epochs: (-1,)", ASCENDING),
    ("training.epochs_per_cycle=-1", "training.epochs_per_cycle: -1", FROM_0),
    (
        "training.epochs_per_cycle=9999999999",
        "training.epochs_per_cycle: 9999999999",
        "119304647 steps, with 18 cycles",
    ),
    ("training.batch_size=0", "training.batch_size: 0", FROM_1),
    ("training.batch_size=100000", "training.batch_size: 100000", "at most the 1221 training"),
    ("training.eval_batch_size=0", "training.eval_batch_size: 0", FROM_1),
    ("training.momentum=1", "training.momentum: 1.0", "a number from 0 to below 1"),
    ("training.weight_decay=-1", "training.weight_decay: -1.0", "a number of at least 0"),
    # contradictions
    ("seeds=0,0", "seeds: (0, 0)", "at least one, each different"),
    ("data.mean=(0.5,)", "data.std: ()", "as many numbers as data.mean, 1"),
    ("data.mean=(0.5,0.5) data.std=(0.5,0.5)", "data.mean: (0.5, 0.5)", "1 numbers, one a channel"),
    ("rewind.step=5", "rewind.step: 5", "durations in epochs, as the cycle's is"),
    ("rewind.epoch=4", "rewind.epoch: 4", "below the cycle's 4"),
    ("rewind.policy=lr rewind.epoch=1", "rewind.epoch: 1", "0 with the policy 'lr'"),
    ("schedule.name=list", "schedule.peaks: ()", "18 numbers, one a cycle"),
    ("schedule.peaks=(0.1,)", "schedule.peaks: (0.1,)", "() unless schedule.name is 'list'"),
    ("schedule.warmup_epochs=5.0", "schedule.warmup_epochs: 5.0", "at most the first drop at 2.5"),
    (
        "schedule.warmup_epochs=5.0 schedule.drop_epochs=()",
        "schedule.warmup_epochs: 5.0",
        "at most the cycle's 4",
    ),
    ("schedule.warmup_steps=5", "schedule.warmup_steps: 5", "durations in epochs"),
    ("schedule.drop_epochs=(2,1)", "schedule.drop_epochs: (2, 1)", ASCENDING),
    ("schedule.drop_epochs=(1,1)", "schedule.drop_epochs: (1, 1)", ASCENDING),
    ("schedule.drop_epochs=(4,)", "schedule.drop_epochs: (4,)", "below the cycle's 4"),
    ("schedule.drop_steps=(100,)", "schedule.drop_steps: (100,)", "durations in epochs"),
    (
        "training.steps_per_cycle=100",
        "training.steps_per_cycle: 100 with training.epochs_per_cycle=4",
        "exactly one of the two above 0",
    ),
    (
        "training.epochs_per_cycle=0",
        "training.steps_per_cycle: 0 with training.epochs_per_cycle=0",
        "exactly one of the two above 0",
    ),
    (
        "training.epochs_per_cycle=0 training.steps_per_cycle=50",
        "schedule.warmup_epochs: 0.5",
        "durations in steps, as the cycle's is",
    ),
    # names
    ("pruning.fractoin=0.3", "--config.pruning: 'fractoin'", "'fraction'"),
    ("prunning.fraction=0.3", "--config: 'prunning'", "'pruning'"),
    ("pruning.fraction.x=3", "--config.pruning: 'fraction'", "none"),
    ("pruning=3", "--config: 'pruning'", "data_dir, seeds"),
    ("model.depth=20", "--config.model: 'depth'", "hidden, name"),
    ("model.name=lenet300", "model.name: 'lenet300'", "'lenet_300_100'"),
    ("data.name=digts", "data.name: 'digts'", "'digits'"),
    ("data.name=", "data.name: ''", "'digits' or the TFDS name"),
    ("pruning.criterion=magnitde", "pruning.criterion: 'magnitde'", "'magnitude'"),
    ("pruning.scope=globl", "pruning.scope: 'globl'", "'global'"),
    ("pruning.prunable=('Dens_0',)", "prunable: 'Dens_0' matches no leaf", "Dense_0/bias"),
    ("rewind.policy=weight", "rewind.policy: 'weight'", "'weights'"),
    ("schedule.name=sylo", "schedule.name: 'sylo'", "'silo'"),
    ("schedule.shape=cosine", "schedule.shape: 'cosine'", "'cosine_decay'"),
    ("training.optimizer=adam", "training.optimizer: 'adam'", "'adamw'"),
]

# Whole command lines but for --workdir.
ARGUMENT_LISTS = [
    ((), "--config: missing", "--config=PATH"),
    (("--config=",), "--config: ''", A_FILE),
    (("--config=configs/nope.py",), "--config: 'configs/nope.py'", A_FILE),
    (("--config=configs",), "--config: 'configs'", A_FILE),
    (("--config=README.md",), "--config=README.md: ", A_FILE),
    (("--config=silo_jax/base_config.py",), "--config=silo_jax/base_config.py: ", A_FILE),
    (("--config=configs/quickstart.py:x",), "--config=configs/quickstart.py:x: ", A_FILE),
    (("--config=configs/fashion_mnist_lenet.py:lenet",), "model.name: 'lenet'", "'lenet5'"),
    ((QUICK, QUICK), "--config: given twice", "once"),
    ((QUICK, "--workdir=x"), "--workdir: given twice", "once"),
    ((QUICK, "--config.seeds=0", "--config.seeds=1"), "--config.seeds: given twice", "once"),
    ((QUICK, "--config.seeds"), "--config.seeds: no value", "--config.seeds=VALUE"),
    ((QUICK, "--config.seeds", "1"), "argument: '1'", ARGUMENTS),
    ((QUICK, "surplus"), "argument: 'surplus'", ARGUMENTS),
    ((QUICK, "--wrkdir=x"), "argument: '--wrkdir'", "'--workdir'"),
    ((QUICK, "--confg.seeds=1"), "argument: '--confg.seeds'", "'--config'"),
    ((QUICK, "--noconfig.data.flip"), "argument: '--noconfig.data.flip'", ARGUMENTS),
    ((QUICK, "--flagfile=x"), "argument: '--flagfile'", ARGUMENTS),
]


def command(changes: str) -> tuple[str, ...]:
    return (QUICK, *(f"--config.{change}" for change in changes.split(" ")))


COMMANDS = [*((command(changes), *said) for changes, *said in FIELDS), *ARGUMENT_LISTS]

# One of every kind: a flag, a type, a range, a contradiction, what only the data can tell.
IN_A_PROCESS = [
    "--wrkdir=x",
    "--config.pruning.fraction=abc",
    "--config.pruning.fraction=1",
    "--config.schedule.warmup_steps=5",
    "--config.training.batch_size=100000",
]


def assert_refused(stderr: str, named: str, allowed: str = "") -> None:
    assert re.fullmatch(r"error: [^\n]+; allowed: [^\n]+\n", stderr), stderr
    fault, _, rest = stderr.removeprefix("error: ").rpartition("; allowed: ")
    assert fault.startswith(named), stderr
    assert allowed in rest, stderr


def test_there_are_many():
    assert len(COMMANDS) >= 90
    assert len({arguments for arguments, *_ in COMMANDS}) == len(COMMANDS)


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # by ml_collections
@pytest.mark.parametrize(
    ("arguments", "named", "allowed"), COMMANDS, ids=[" ".join(c[0][1:]) or None for c in COMMANDS]
)
def test_one_line_with_status_2_and_no_file(
    tmp_path, monkeypatch, capsys, arguments, named, allowed
):
    monkeypatch.chdir(ROOT)
    # The name under which ml_collections loads every config file, over the one before.
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    workdir = tmp_path / "run"
    with pytest.raises(SystemExit) as exit_:
        run.main(["run", *arguments, f"--workdir={workdir}"])
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert_refused(captured.err, named, allowed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("argument", IN_A_PROCESS)
def test_a_process_ends_with_the_same_line(tmp_path, argument):
    (named,) = (named for arguments, named, _ in COMMANDS if arguments == (QUICK, argument))
    workdir = tmp_path / "run"
    ended = subprocess.run(
        [sys.executable, "-m", "experiments.run", QUICK, argument, f"--workdir={workdir}"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert_refused(ended.stderr, named)
    assert not list(tmp_path.iterdir())
