"""What `silo_jax.load` gives is the network that the run has scored, without its data set."""

import json
import shutil
from contextlib import closing

import jax
import numpy as np
import pytest

import silo_jax
from silo_jax.checkpoint import Checkpoints, DamagedCheckpointError
from silo_jax.exporting import network as networks
from silo_jax.models import MODELS
from silo_jax.training import experiment as experiments
from silo_jax.training.experiment import load_experiment
from tests.run_files import rows_of
from tests.tiny import WithStatistics, assert_identical, run_quietly, tiny_config

CONFIG = tiny_config(model__name="with_statistics", pruning__num_cycles=3, seeds=(3, 4))
CELLS = [(seed, cycle) for seed in CONFIG.seeds for cycle in range(3)]


@pytest.fixture(scope="module", autouse=True)
def network_with_statistics():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "with_statistics", WithStatistics)
        yield


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return run_quietly(CONFIG, tmp_path_factory.mktemp("load") / "run")


@pytest.fixture(scope="module")
def experiment():
    return load_experiment(CONFIG)


@pytest.fixture
def copy(workdir, tmp_path):
    return shutil.copytree(workdir, tmp_path / "run")


def files_of(directory):
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*")}


def newest_state(directory):
    return max((directory / "checkpoints/seed_3/states").iterdir(), key=lambda p: int(p.name))


@pytest.mark.parametrize(("seed", "cycle"), CELLS)
def test_it_is_the_network_that_was_scored(workdir, experiment, seed, cycle):
    network = silo_jax.load(workdir, cycle=cycle, seed=seed)
    rows = rows_of(workdir / "cycles.csv")
    (row,) = (r for r in rows if (r["seed"], r["cycle"]) == (str(seed), str(cycle)))
    test = experiment.data.test
    logits = network.logits(test.images)
    losses = -jax.nn.log_softmax(logits)[np.arange(len(logits)), test.labels]
    assert np.mean(np.argmax(logits, -1) == test.labels) * 100 == pytest.approx(
        float(row["test_accuracy"]), abs=1e-4
    )
    assert losses.mean() == pytest.approx(float(row["test_loss"]), abs=1e-5)
    assert network.density == pytest.approx(float(row["density"]), abs=1e-6)


@pytest.mark.parametrize(("seed", "cycle"), CELLS)
def test_weights_and_masks_are_those_of_the_cycle_bit_for_bit(workdir, experiment, seed, cycle):
    steps = experiment.lengths.steps_per_cycle
    saved = Checkpoints(workdir / f"checkpoints/seed_{seed}", steps_per_cycle=steps)
    with closing(saved):
        state = saved.restore(experiment.create_state(seed), (cycle + 1) * steps)
    network = silo_jax.load(workdir, cycle=cycle, seed=seed)
    statistics = {"batch_stats": state.batch_stats}
    assert_identical(network.variables, {"params": state.params, **statistics})
    assert_identical(network.masks, state.masks)
    kernels = jax.tree.map(lambda w, m: bool(np.all(w[~m] == 0)), state.params, state.masks)
    assert all(jax.tree.leaves(kernels))


def test_by_default_it_is_the_first_seed_and_the_last_cycle_that_is_there(copy):
    assert silo_jax.load(copy)[4:6] == (3, 2)
    last = newest_state(copy)
    shutil.rmtree(last)
    assert silo_jax.load(str(copy))[4:6] == (3, 1)
    with pytest.raises(FileNotFoundError, match=f"states/{last.name}: is not there"):
        silo_jax.load(copy, cycle=2)


def test_the_data_set_is_read_for_older_runs_alone(copy, monkeypatch):
    new = silo_jax.load(copy)
    (copy / "network.json").unlink()
    old = silo_jax.load(copy)
    assert (old.mean, old.std, old.image_shape) == (new.mean, new.std, new.image_shape)
    assert (old.mean, old.std) != ((0.0,), (1.0,))
    monkeypatch.setattr(experiments, "load_data", lambda *_, **__: pytest.fail("data was read"))
    with pytest.raises(pytest.fail.Exception):
        silo_jax.load(copy)


def test_an_older_run_writes_the_facts_when_it_goes_on(copy):
    before = (copy / "network.json").read_text()
    (copy / "network.json").unlink()
    run_quietly(CONFIG, copy)
    assert (copy / "network.json").read_text() == before


def test_nothing_is_written_moved_or_cleared_away(copy):
    (copy / "checkpoints/seed_3/states/99.orbax-checkpoint-tmp-1").mkdir()
    before = files_of(copy)
    silo_jax.load(copy)
    assert files_of(copy) == before


def test_a_damaged_checkpoint_is_named(copy):
    path = newest_state(copy)
    (path / "state/manifest.ocdbt").write_bytes(b"x")
    with pytest.raises(DamagedCheckpointError, match=f"{path.name}: manifest.ocdbt is damaged"):
        silo_jax.load(copy, cycle=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cycle": 3}, r"^cycle: 3; allowed: 0 to 2, which seed 3 has finished$"),
        ({"cycle": -1}, r"^cycle: -1; allowed: 0 to 2"),
        ({"seed": 0}, r"^seed: 0; allowed: 3, 4$"),
    ],
)
def test_what_the_run_does_not_have_is_refused(workdir, arguments, said):
    with pytest.raises(ValueError, match=said):
        silo_jax.load(workdir, **arguments)


def test_other_directories_are_refused(copy, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere; allowed: the directory of a run$"):
        silo_jax.load(tmp_path / "nowhere")
    (copy / "cycles.csv").write_text("cycle,seed,step\n0,4,22\n")
    with pytest.raises(ValueError, match=r"^seed: 3 has finished no cycle; allowed: one that has$"):
        silo_jax.load(copy)
    (copy / "network.json").write_text(json.dumps({"mean": 3}))
    with pytest.raises(ValueError, match=r"network.json: is damaged"):
        silo_jax.load(copy, seed=4)
    (copy / "study.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a study; allowed: the directory of a run$"):
        networks.load_network(copy)
