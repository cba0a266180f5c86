"""Rewinding in whole runs: the policy of every cycle, what is on record, and what is refused."""

from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from silo_jax.checkpoint import Checkpoints
from silo_jax.cli.flags import parse_flags
from silo_jax.models import MODELS
from silo_jax.reporting import read_run
from silo_jax.reporting.table import results_rows
from silo_jax.rewinding import RewindPoint, finetune, reinit, rewind_lr, rewind_weights
from silo_jax.training import loop
from silo_jax.training.config import check_config, durations
from silo_jax.training.experiment import load_experiment
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.state import init_network
from silo_jax.training.step import learning_rate, train_epoch
from tests.compilations import compilations
from tests.refusals import refused
from tests.run_files import final_states, rows_of, without_times
from tests.tiny import WithStatistics, assert_identical, run_quietly, tiny_config

POLICIES = ("weights", "reinit", "finetune", "finetune", "lr")
CYCLE, REWIND_STEP = 10, 7  # in steps: 5 an epoch
EPOCH = jax.jit(train_epoch, static_argnums=0)


def all_policies(**fields):
    """Six cycles, each policy on the way into one; the rewind point is within the second epoch."""
    config = tiny_config(
        pruning__num_cycles=6,
        training__batch_size=256,
        schedule__shape="linear_decay",
        schedule__delay=0,
        rewind__policy=",".join(POLICIES),
        rewind__epoch=1.4,
        **fields,
    )
    del config.model.hidden
    config.model.name = "with_statistics"
    return config


@pytest.fixture(scope="module", params=["defaults", "the other way"])
def finished(request, tmp_path_factory):
    """A config, the directory of its run, and what was compiled."""
    other = {"rewind__batch_stats": False, "rewind__optimizer": False, "rewind__data_order": True}
    config = all_policies(**(other if request.param == "the other way" else {}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "with_statistics", WithStatistics)
        with compilations() as compiled:
            workdir = run_quietly(config, tmp_path_factory.mktemp("run"))
        yield config, workdir, compiled


def train(experiment, state, stop):
    """The state at a step."""
    while int(state.step) < stop:
        state, _ = EPOCH(experiment.recipe, state, experiment.data.train, jnp.int32(stop))
    return state


def rewound(experiment, policy, state, point):
    """The coming cycle's start, by the functions of `silo_jax.rewinding`."""
    recipe, rewind = experiment.recipe, experiment.config.rewind
    kept = {"optimizer": recipe.optimizer, "reset_optimizer": rewind.optimizer}
    match policy:
        case "weights":
            return rewind_weights(state, point, rewind_batch_stats=rewind.batch_stats, **kept)
        case "lr":
            return rewind_lr(state, **kept)
        case "finetune":
            last = jax.jit(learning_rate, static_argnums=0)(
                recipe, state.replace(step=state.step - 1)
            )
            return finetune(state, last, steps_per_cycle=CYCLE, **kept)
        case "reinit":

            def init(rng):
                return init_network(recipe.model, experiment.image_shape, rng)

            return reinit(state, init, rewind_batch_stats=rewind.batch_stats, **kept)


def test_every_cycle_is_trained_from_where_its_policy_says(finished):
    """Each cycle trained again, from what the run kept at the end of the one before."""
    config, workdir, _ = finished
    experiment, kept = load_experiment(config), final_states(workdir, config)
    assert experiment.lengths.steps_per_cycle == CYCLE
    assert experiment.recipe.repeat_data == config.rewind.data_order
    at_point = train(experiment, experiment.create_state(0), REWIND_STEP)
    point = RewindPoint(at_point.params, at_point.batch_stats)
    checkpoints = Checkpoints((workdir / "checkpoints/seed_0").absolute(), steps_per_cycle=CYCLE)
    with closing(checkpoints):
        assert_identical(checkpoints.restore_rewind_point(at_point), point)
    assert_identical(train(experiment, at_point, CYCLE), kept[0])
    for policy, before, after in zip(POLICIES, kept[:-1], kept[1:], strict=True):
        state = rewound(experiment, policy, before, point)
        assert_identical(train(experiment, state, int(after.step)), after)


def test_all_policies_share_one_train_program(finished):
    _, _, compiled = finished
    assert compiled.count("train_epoch") == 1


def test_a_held_learning_rate_is_max_lr_in_all_that_is_reported(finished):
    _, workdir, _ = finished
    cycles, run = rows_of(workdir / "cycles.csv"), read_run(workdir)
    max_lr = [float(row["max_lr"]) for row in cycles]
    rates = run.metrics["lr"].reshape(6, 2)  # at the last step of each epoch
    planned = run.schedule["lr"].reshape(6, CYCLE)
    for cycle, policy in enumerate(POLICIES, start=1):
        if policy == "finetune":
            assert max_lr[cycle] == rates[cycle - 1, -1]
            assert set(rates[cycle]) == {max_lr[cycle]}
            np.testing.assert_allclose(planned[cycle], max_lr[cycle], rtol=1e-6)
        else:
            decay = 1 - np.arange(CYCLE) / CYCLE
            np.testing.assert_allclose(planned[cycle], max_lr[cycle] * decay, rtol=1e-6)
            np.testing.assert_allclose(rates[cycle], planned[cycle, [4, 9]], rtol=1e-6)
    assert max_lr[3] == max_lr[4] == pytest.approx(max_lr[2] / CYCLE)
    assert max_lr[5] > max_lr[2] > max_lr[0] == pytest.approx(0.1)
    heads, rows = results_rows(run)
    shown = [row[heads.index("max_lr")] for row in rows]
    assert shown == [f"{value:.4g}" for value in max_lr]


def test_a_run_stopped_at_the_end_of_and_within_every_cycle_goes_on_bit_for_bit(
    finished, tmp_path, monkeypatch
):
    """Stopped whenever a state is saved. The programs of the first session serve all of them."""
    config, straight, _ = finished
    compiled, save = loop.Programs(load_experiment(config), StopRequest()), Checkpoints.save

    def save_and_stop(self, state):
        save(self, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "Programs", lambda experiment, stop: compiled)
    for _ in range(12):
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", save_and_stop)
            with pytest.raises(KeyboardInterrupt):
                run_quietly(config, tmp_path)
    run_quietly(config, tmp_path)
    assert without_times(tmp_path) == without_times(straight)
    assert_identical(final_states(tmp_path, config), final_states(straight, config))


STEPS = {"training__epochs_per_cycle": 0, "training__steps_per_cycle": 50}


@pytest.mark.parametrize(
    ("field", "value", "allowed", "fields"),
    [
        ("policy", "'wieghts'", "finetune, lr, reinit, weights (did you mean 'weights'?)", {}),
        ("policy", "'lr,lr,lr'", "one name, or one for each of 3 cycles but the first, not 3", {}),
        ("policy", "''", "finetune", {"rewind__policy": "lr,"}),
        ("epoch", "1.0", "0 with the policy 'lr,reinit'", {"rewind__policy": "lr,reinit"}),
        ("epoch", "-0.5", "a number of at least 0", {}),
        ("epoch", "2.0", "below the cycle's 2", {}),
        ("step", "7", "0 with the policy 'finetune'", {"rewind__policy": "finetune", **STEPS}),
        ("step", "7", "durations in epochs", {}),
        ("batch_stats", "1", "True or False", {}),
        ("optimizer", "'adam'", "True or False", {}),
        ("data_order", "2", "True or False", {}),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(field, value, allowed, fields):
    config = tiny_config(pruning__num_cycles=3)
    with config.ignore_type():
        for name, content in {f"rewind__{field}": eval(value), **fields}.items():
            section, _, leaf = name.partition("__")
            config[section][leaf] = content
    with refused(f"rewind.{field}", value, allowed):
        check_config(config)


def test_epochs_of_the_rewind_point_are_rounded_to_steps_before_the_end_of_the_cycle():
    config = tiny_config(rewind__epoch=0.5)
    check_config(config)
    assert durations(config, steps_per_epoch=5).rewind_step == 2
    assert durations(config, steps_per_epoch=20).rewind_step == 10
    config.rewind.epoch = 1.99
    check_config(config)
    assert durations(config, steps_per_epoch=100).rewind_step == 199
    with refused("rewind.epoch", "1.99, step 40 of the cycle's 40", "a step before"):
        durations(config, steps_per_epoch=20)


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections
@pytest.mark.parametrize(
    ("given", "policy"),
    [("lr", "lr"), ("weights,lr", "weights,lr"), ("weights, finetune", "weights, finetune")],
)
def test_policies_on_the_command_line(given, policy):
    flags = ("--config=configs/quickstart.py", "--workdir=unused", "--config.pruning.num_cycles=3")
    overridden = [*flags, f"--config.rewind.policy={given}"]
    config = parse_flags(["run", *overridden], {})["config"]
    check_config(config)
    assert config.rewind.policy == policy
