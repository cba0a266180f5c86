"""A run of a Vision Transformer that starts from published weights."""

from contextlib import closing

import jax
import numpy as np
import pytest

from silo_jax.checkpoint import Checkpoints
from silo_jax.training.run import prepared
from tests.published_vit import DEPTH, MLP_DIM, NUM_HEADS, PATCH_SIZE, WIDTH, older
from tests.refusals import refused
from tests.test_vit_checkpoint import ENTRIES, load, our_vit, save
from tests.tiny import assert_identical, run_quietly, tiny_config


def vit_config(path, **changes):
    """Digits, 8×8 in grey, on a network whose weights are in the file."""
    config = tiny_config(model__name="vit_cifar", training__epochs_per_cycle=1)
    options = {"patch_size": PATCH_SIZE, "width": WIDTH, "depth": DEPTH, "num_heads": NUM_HEADS}
    for name, value in (options | {"mlp_dim": MLP_DIM, "checkpoint": str(path)} | changes).items():
        config.model[name] = value
    return config


@pytest.fixture
def grey(tmp_path):
    """A file for grey images, with 5 classes."""
    return save(
        tmp_path / "grey.npz",
        older(ENTRIES | {"embedding/kernel": ENTRIES["embedding/kernel"][:, :, :1]}),
    )


def test_a_run_starts_from_the_file_and_goes_back_to_it(grey, tmp_path):
    config, run = vit_config(grey), tmp_path / "run"
    with prepared(config, run) as experiment:
        state = experiment.create_state(0)
    expected = load(grey, our_vit(10), (8, 8, 1))
    assert_identical({**state.params, "head": 0}, {**expected, "head": 0})
    assert not np.any(state.params["head"]["kernel"])

    run_quietly(config, run)
    steps = experiment.lengths.steps_per_cycle
    with closing(Checkpoints(run / "checkpoints" / "seed_0", steps_per_cycle=steps)) as kept:
        assert_identical(kept.restore_rewind_point(state).params, state.params)
        trained, pruned = kept.restore(state, steps), kept.restore(state, 2 * steps)
    for layer in ("embedding", "head"):
        assert np.any(trained.params[layer]["kernel"] != state.params[layer]["kernel"])
    kept_weights = [mask for mask in jax.tree.leaves(pruned.masks) if mask.ndim]
    assert sum(mask.sum() for mask in kept_weights) < sum(mask.size for mask in kept_weights)


def test_a_file_that_does_not_fit_is_refused_before_anything_is_written(grey, tmp_path):
    path = save(tmp_path / "vit.npz", older(ENTRIES))
    with refused("model.checkpoint", tmp_path / "none.npz", "a file, or ''"):
        run_quietly(vit_config(tmp_path / "none.npz"), tmp_path / "run")
    with refused("model.checkpoint", f"{path}: embedding/kernel has shape (2, 2, 3, 12)"):
        run_quietly(vit_config(path), tmp_path / "run")
    with refused("option of lenet5", "'checkpoint'"):
        config = tiny_config(model__name="lenet5")
        config.model.checkpoint = str(grey)
        run_quietly(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
