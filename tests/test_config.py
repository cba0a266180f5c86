"""Configs: documented, complete, and refused in one line when they are wrong."""

import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.variants import REWINDING, VARIANTS
from silo_jax.models import create_model
from silo_jax.training.config import check_config, durations, flatten, make_peaks, make_shape
from tests.refusals import refused
from tests.tiny import tiny_config

CONFIGS = Path(__file__).parents[1] / "configs"
PARTS = ("__init__", "protocol_of_authors", "recipes", "variants")
EXPERIMENTS = sorted(p.stem for p in CONFIGS.glob("*.py") if p.stem not in PARTS)
WITH_VARIANTS = [name for name in EXPERIMENTS if name.startswith(("cifar", "imagenet"))]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_config_file_is_sound_and_says_how_to_run_it(name):
    module = importlib.import_module(f"configs.{name}")
    check_config(module.get_config())
    assert f"--config=configs/{name}.py" in module.__doc__


def test_variants_of_the_fashion_mnist_config():
    module = importlib.import_module("configs.fashion_mnist_lenet")
    for model in ("lenet_300_100", "lenet5"):
        config = module.get_config(model)
        check_config(config)
        assert config.model.name == model


def test_the_studies_of_fashion_mnist():
    module = importlib.import_module("configs.fashion_mnist_study")
    for network, policy in module.BOUNDS:
        config = module.get_config(f"{network},{policy}")
        check_config(config)
        assert config.rewind.policy == policy
    network = create_model(config.model.name, num_classes=10)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 40_834
    with refused("study", "'lenet_300_100'", "lenet_300_100,weights "):
        module.get_config("lenet_300_100")


@pytest.mark.parametrize("name", WITH_VARIANTS)
def test_every_variant_is_sound_and_does_what_it_says(name):
    get_config = importlib.import_module(f"configs.{name}").get_config
    silo = get_config()
    # Gradients are not measured on images that are streamed.
    for variant in set(VARIANTS) - ({"gradient_matched"} if silo.data.image_size else set()):
        config = get_config(variant)
        check_config(config)
        changed = {
            field
            for field, value in flatten(config).items()
            if value != flatten(silo)[field] and field != "schedule.upper"
        }
        assert changed <= {"schedule.name", "schedule.shape", "rewind.policy"}
        if variant in REWINDING:
            assert config.rewind.policy == variant
        elif variant != "silo":
            assert set(make_peaks(config)) == {silo.schedule.lower}
        if config.schedule.shape == "warmup_step_decay":
            assert config.schedule.warmup_epochs or config.schedule.drop_epochs, variant
    both = get_config("cosine+lr")
    check_config(both)
    assert (both.schedule.shape, both.rewind.policy) == ("cosine_decay", "lr")


@pytest.mark.parametrize("variant", ["cosin", "cosine+linear", "lr+reinit", "cosine,lr"])
def test_a_variant_that_is_none_is_refused(variant):
    with pytest.raises(ValueError, match=r"^variant: '[^\n]*; allowed: "):
        importlib.import_module("configs.cifar10_resnet20").get_config(variant)


def test_every_field_stands_under_a_comment():
    lines = (CONFIGS.parent / "silo_jax/base_config.py").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"    config\.[\w.]+ = (?!ConfigDict)", line):
            block = lines[:number][::-1]
            above = next(other for other in block if not other.startswith("    config."))
            assert above.startswith("    # "), line


def test_cifar10_has_the_numbers_of_the_authors():
    config = importlib.import_module("configs.cifar10_resnet20").get_config()
    np.testing.assert_allclose(
        make_peaks(config)[:8],
        [0.03, 0.03, 0.030039, 0.032132, 0.047611, 0.064461, 0.068929, 0.069775],
        atol=1e-6,
    )
    lengths = durations(config, steps_per_epoch=703)
    assert lengths.steps_per_cycle == 50 * 703
    assert lengths.drop_steps == (25 * 703, 32 * 703)
    shape = make_shape(config, lengths)
    assert float(shape(lengths.drop_steps[0] - 1)) == 1.0  # the warm-up completes


def test_peaks_by_policy():
    def peaks(**fields):
        return make_peaks(tiny_config(pruning__num_cycles=3, **fields))

    assert peaks(schedule__name="constant", schedule__upper=0.3) == [0.3, 0.3, 0.3]
    listed = (0.1, 0.3, 0.2)
    assert tuple(peaks(schedule__name="list", schedule__peaks=listed)) == listed
    assert peaks(schedule__lower=0.1, schedule__upper=0.2, schedule__delay=9) == pytest.approx(
        [0.1, 0.1, 0.1]
    )


def test_epochs_become_steps_and_steps_stay():
    config = tiny_config(schedule__warmup_epochs=0.5, schedule__drop_epochs=(1, 1.5))
    config.rewind.epoch = 1
    lengths = durations(config, steps_per_epoch=20)
    assert (lengths.steps_per_cycle, lengths.warmup_steps) == (40, 10)
    assert (lengths.drop_steps, lengths.rewind_step) == ((20, 30), 20)
    config = tiny_config(
        training__epochs_per_cycle=0,
        training__steps_per_cycle=50,
        schedule__warmup_steps=5,
        schedule__drop_steps=(30,),
        rewind__step=7,
    )
    check_config(config)
    lengths = durations(config, steps_per_epoch=20)
    assert (lengths.steps_per_cycle, lengths.warmup_steps) == (50, 5)
    assert (lengths.drop_steps, lengths.rewind_step) == ((30,), 7)


STEPS = {"training__epochs_per_cycle": 0, "training__steps_per_cycle": 50}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("seeds", {"seeds": ()}),
        ("seeds", {"seeds": (0, 0)}),
        ("seeds", {"seeds": (-1,)}),
        ("seeds", {"seeds": (0, 2**32)}),
        ("seeds", {"seeds": ("a",)}),
        ("data.validation_fraction", {"data__validation_fraction": 1.0}),
        ("data.test_fraction", {"data__test_fraction": 1.0}),
        ("data.std", {"data__mean": (0.5,), "data__std": (0.0,)}),
        ("data.std", {"data__mean": (0.5,)}),
        ("data.crop_padding", {"data__crop_padding": -1}),
        ("evaluation.select", {"evaluation__select": "best"}),
        ("evaluation.last_epoch", {"evaluation__last_epoch": False}),
        (
            "evaluation.last_epoch",
            {
                "evaluation__last_epoch": False,
                "evaluation__select": "best_test",
                "training__epochs_per_cycle": 1,
            },
        ),
        ("model.name", {"model__name": "resnet21"}),
        ("model.hidden", {"model__hidden": ()}),
        ("pruning.num_cycles", {"pruning__num_cycles": 0}),
        ("pruning.fraction", {"pruning__fraction": 1.0}),
        ("pruning.fraction", {"pruning__fraction": float("nan")}),
        ("pruning.criterion", {"pruning__criterion": "magnitud"}),
        ("pruning.criterion", {"pruning__criterion": "saliency"}),
        ("pruning.scope", {"pruning__scope": "local"}),
        ("pruning.prunable", {"pruning__prunable": ("(",)}),
        ("rewind.policy", {"rewind__policy": "weight"}),
        ("rewind.epoch", {"rewind__epoch": 2}),
        ("rewind.step", {"rewind__step": 3}),
        ("rewind.epoch", {"rewind__policy": "lr", "rewind__epoch": 1}),
        ("schedule.name", {"schedule__name": "sylo"}),
        ("schedule.shape", {"schedule__shape": "cosine"}),
        ("schedule.lower", {"schedule__lower": -0.1}),
        ("schedule.upper", {"schedule__upper": float("inf")}),
        ("schedule.steepness", {"schedule__steepness": 0.0}),
        ("schedule.delay", {"schedule__delay": -1}),
        ("schedule.peaks", {"schedule__name": "list", "schedule__peaks": (0.1,)}),
        ("schedule.peaks", {"schedule__peaks": (0.1, 0.2)}),
        ("schedule.warmup_epochs", {"schedule__warmup_epochs": 2.5}),
        (
            "schedule.warmup_epochs",
            {"schedule__warmup_epochs": 1.5, "schedule__drop_epochs": (1.0,)},
        ),
        ("schedule.initial_share", {"schedule__initial_share": 1.5}),
        ("schedule.warmup_cut_epochs", {"schedule__warmup_cut_epochs": 1.0}),
        (
            "schedule.warmup_cut_epochs",
            {
                "schedule__warmup_epochs": 3.0,
                "schedule__warmup_cut_epochs": 1.5,
                "schedule__drop_epochs": (1.0,),
            },
        ),
        ("schedule.warmup_cut_steps", {"schedule__warmup_cut_steps": 3}),
        ("schedule.drop_epochs", {"schedule__drop_epochs": (1.5, 1.0)}),
        ("schedule.drop_epochs", {"schedule__drop_epochs": (2,)}),
        ("schedule.drop_steps", {"schedule__drop_steps": (5,)}),
        ("schedule.drop_factor", {"schedule__drop_factor": 1.5}),
        ("training.steps_per_cycle", {"training__epochs_per_cycle": 0}),
        ("training.steps_per_cycle", {"training__steps_per_cycle": 50}),
        ("schedule.warmup_epochs", {"schedule__warmup_epochs": 1.0, **STEPS}),
        ("schedule.warmup_steps", {"schedule__warmup_steps": 51, **STEPS}),
        ("rewind.step", {"rewind__step": 50, **STEPS}),
        ("training.batch_size", {"training__batch_size": 0}),
        ("training.initialization", {"training__initialization": "glorot"}),
        ("training.optimizer", {"training__optimizer": "adam"}),
        ("training.momentum", {"training__momentum": 1.0}),
        ("training.weight_decay", {"training__weight_decay": -1e-4}),
    ],
)
def test_a_wrong_field_is_named_in_one_line_with_what_is_allowed(field, fields):
    with pytest.raises(ValueError, match=rf"^{re.escape(field)}: .*; allowed: .") as refusal:
        check_config(tiny_config(**fields))
    assert "\n" not in str(refusal.value)


def test_a_missing_field_and_one_too_many_are_named():
    config = tiny_config()
    del config.pruning["scope"]
    with pytest.raises(ValueError, match=r"^pruning.scope: missing"):
        check_config(config)
    config = tiny_config()
    config.pruning.fractoin = 0.2
    with pytest.raises(ValueError, match=r"'pruning.fractoin'.*mean 'pruning.fraction'"):
        check_config(config)
    config = tiny_config()
    config.model.width = 3
    with pytest.raises(ValueError, match=r"^option of mlp: .width."):
        check_config(config)


def test_flatten_gives_dotted_names():
    fields = flatten(tiny_config())
    assert fields["pruning.fraction"] == 0.2
    assert fields["data.data_dir"] == fields["data_dir"] == ""
