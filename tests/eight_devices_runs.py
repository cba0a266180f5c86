"""Run by test_sharding.py in an interpreter with 8 CPU devices: whole runs on one or on eight."""

import re

import jax
import numpy as np
import pytest

from silo_jax.training.experiment import load_experiment
from silo_jax.training.progress import RunProgress
from tests.compilations import compilations
from tests.jpeg_sets import write_folder
from tests.run_files import final_states, without_times
from tests.test_streamed_runs import streamed_config
from tests.tiny import run_quietly, tiny_config

FIELDS = {
    "pruning__num_cycles": 5,
    "rewind__policy": "weights,lr,finetune,reinit",
    "training__epochs_per_cycle": 2,
    "training__batch_size": 256,
}


def assert_close(left, right):
    """The same, but for how the sums over a batch are rounded."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        left, right = list(left.values()), list(right.values())
    if isinstance(left, list):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_close(one, other)
    elif isinstance(left, float):
        assert left == pytest.approx(right, rel=1e-4, abs=1e-6)
    elif isinstance(left, str) and re.fullmatch(r"-?[\d.]+(e-?\d+)?", left):
        assert_close(float(left), float(right))
    else:
        assert left == right


def tables_of(workdir):
    return without_times(workdir)["tables"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_quietly(tiny_config(devices__data=1, **FIELDS), tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("model", [1, 2])
def test_a_run_on_eight_devices_has_the_same_results(alone, tmp_path, model):
    config = tiny_config(devices__model=model, **FIELDS)
    with compilations() as compiled:
        spread = run_quietly(config, tmp_path)
    assert compiled.count("train_epoch") == 1
    assert_close(tables_of(spread), tables_of(alone))
    states = final_states(spread, config)
    for state in states:
        kernel = state.params["Dense_0"]["kernel"]
        assert len(kernel.sharding.device_set) == 8
        assert kernel.addressable_shards[0].data.size * model == kernel.size
    wanted = final_states(alone, tiny_config(devices__data=1, **FIELDS))
    for state, want in zip(states, wanted, strict=True):
        for one, other in zip(
            jax.tree.leaves(state.params), jax.tree.leaves(want.params), strict=True
        ):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-5)


def test_a_run_goes_on_with_another_number_of_devices(alone, tmp_path, monkeypatch):
    def stop(self, row):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunProgress, "cycle", stop)
        with pytest.raises(KeyboardInterrupt):
            run_quietly(tiny_config(devices__model=4, **FIELDS), tmp_path)
    run_quietly(tiny_config(devices__data=1, **FIELDS), tmp_path)
    assert_close(tables_of(tmp_path), tables_of(alone))


def test_images_that_are_streamed_are_split_over_devices(tmp_path):
    write_folder(tmp_path / "images", train=(9, 10, 11), held_out=(3, 2, 2))

    def run(parts):
        config = streamed_config(
            data__name="folder",
            data__data_dir=str(tmp_path / "images"),
            training__eval_batch_size=4,
            devices__data=parts,
        )
        return run_quietly(config, tmp_path / f"{parts}")

    assert_close(tables_of(run(4)), tables_of(run(1)))


def test_a_batch_that_cannot_be_split_is_refused_before_any_work(tmp_path):
    config = tiny_config(training__batch_size=100, data__name="not looked at")
    message = r"^training.batch_size: 100; allowed: a multiple of 8[^\n]*$"
    with pytest.raises(ValueError, match=message):
        load_experiment(config)
