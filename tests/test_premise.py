"""The premise measured: at the right steps, under the right masks, stopped or not."""

import json
import math
import shutil
import signal
from collections import Counter
from contextlib import closing, suppress

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from silo_jax import shapes
from silo_jax.diagnostics import living_gradients, representations, spread
from silo_jax.rewinding import RewindPoint, rewind_weights
from silo_jax.studies import premise as measuring
from silo_jax.studies.premise import measure_premise, prepared_premise, spaced_cycles, warm_up_end
from silo_jax.training import loop
from silo_jax.training.experiment import load_experiment
from silo_jax.training.interrupts import Stopped, StopRequest
from silo_jax.training.programs import Programs
from silo_jax.training.step import DeviceSplit, train_epoch
from silo_jax.training.workdir import checkpoints_of
from tests.refusals import refused
from tests.run_files import rows_of
from tests.tiny import tiny_config

FILES = ("layer_histograms.csv", "histograms.csv", "widths.csv", "cycles.csv")
MOMENTS = ("initialisation", "warmed_up", "end")
SEEDS, CYCLES, NUM_IMAGES = (0, 1), (0, 2), 100
WARM_UP = 7  # steps, of 20 an epoch


def config_of(**fields):
    """Four cycles, of which three are trained to measure two."""
    fields = {"pruning__num_cycles": 4, "schedule__warmup_epochs": 0.35, "seeds": SEEDS} | fields
    return tiny_config(**fields)


def measure(config, directory, stop=None, **plan):
    plan = {"cycles": CYCLES, "num_images": NUM_IMAGES} | plan
    with prepared_premise(config, directory, **plan) as premise:
        return measure_premise(premise, Console(quiet=True), stop)


def contents(directory):
    return {name: (directory / name).read_text() for name in FILES}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    directory = tmp_path_factory.mktemp("straight")
    assert measure(config_of(), directory) == []
    return directory


@pytest.fixture(scope="module")
def experiment():
    return load_experiment(config_of())


class StopOften(StopRequest):
    """As if each session were asked to stop when it has looked so many times."""

    def __init__(self):
        self.looks_left = math.inf

    def interruptibly(self, act):
        return act()

    @property
    def signum(self):
        self.looks_left -= 1
        return signal.SIGTERM if self.looks_left < 0 else None


@pytest.fixture(scope="module")
def compiled(experiment):
    stop = StopOften()
    return Programs(experiment, stop), stop


@pytest.fixture
def stop(experiment, compiled, monkeypatch):
    """For sessions that all have the programs of one."""
    programs, stop = compiled
    monkeypatch.setattr(measuring, "checked_experiment", lambda _: experiment)
    for module in (loop, measuring):
        monkeypatch.setattr(module, "Programs", lambda *_: programs)
    stop.looks_left = math.inf
    return stop


def states_by_hand(experiment, directory, seed):
    """The states of the chosen cycles, from the ends that the run has kept."""
    epoch, length = jax.jit(train_epoch, static_argnums=0), experiment.lengths.steps_per_cycle
    fresh = experiment.create_state(seed)
    point = RewindPoint(fresh.params, fresh.batch_stats)
    with closing(checkpoints_of(directory / "run", experiment, seed)) as checkpoints:
        ends = [checkpoints.restore(fresh, (cycle + 1) * length) for cycle in range(3)]
    for cycle in CYCLES:
        before = ends[cycle - 1]
        start = rewind_weights(before, point, experiment.recipe.optimizer) if cycle else fresh
        stop = jnp.int32(cycle * length + WARM_UP)
        warm, _ = epoch(experiment.recipe, start, experiment.data.train, stop)
        yield cycle, dict(zip(MOMENTS, (start, warm, ends[cycle]), strict=True))


def test_what_is_measured_is_of_the_states_at_these_moments(straight, experiment):
    batch = DeviceSplit(*(leaf[:NUM_IMAGES] for leaf in experiment.data.train))
    found = {
        (row["seed"], row["cycle"], row["moment"], row["quantity"], row["layer"]): row
        for row in rows_of(straight / "widths.csv")
    }
    expected = {}
    for seed in SEEDS:
        for cycle, states in states_by_hand(experiment, straight, seed):
            for moment, state in states.items():
                gradients = living_gradients(experiment.recipe, state, batch)
                (units,) = representations(experiment.recipe, state, batch).values()
                together = np.concatenate(list(gradients.values()))
                told = {("gradient", layer): values for layer, values in gradients.items()}
                told["gradient", "network"] = together
                for layer in ("Activation_0", "network"):
                    told |= {("before", layer): units.before, ("after", layer): units.after}
                for key, values in told.items():
                    expected[str(seed), str(cycle), moment, *key] = spread(values)
    assert found.keys() == expected.keys()
    for key, width in expected.items():
        row = found[key]
        assert int(row["num_values"]) == width.num_values
        told = [float(row[name]) for name in ("std", "middle_90", "mean_size")]
        np.testing.assert_allclose(told, width[1:], rtol=1e-6)


def test_learning_rates_and_accuracies_are_those_of_the_run(straight, experiment):
    run = {(r["seed"], r["cycle"]): r for r in rows_of(straight / "run/cycles.csv")}
    epochs = map(json.loads, (straight / "run/metrics.jsonl").read_text().splitlines())
    last = {(str(r["seed"]), str(r["cycle"])): r["lr"] for r in epochs}
    rows = rows_of(straight / "cycles.csv")
    keys = [(row["seed"], row["cycle"]) for row in rows]
    assert keys == [(str(seed), str(cycle)) for seed in SEEDS for cycle in CYCLES]
    assert max(int(cycle) for _, cycle in run) == max(CYCLES)
    for key, row in zip(keys, rows, strict=True):
        for name in ("density", "max_lr", "val_accuracy", "test_accuracy"):
            assert row[name] == run[key][name]
        assert float(row["lr_initialisation"]) == 0
        assert row["lr_warmed_up"] == row["max_lr"]
        assert float(row["lr_end"]) == last[key]
    for row in rows_of(straight / "widths.csv"):
        assert row["density"] == run[row["seed"], row["cycle"]]["density"]


def test_histograms_count_all_values_once(straight):
    keys = ("seed", "cycle", "moment", "quantity", "layer")
    counts: Counter[tuple[str, ...]] = Counter()
    network, layers = rows_of(straight / "histograms.csv"), rows_of(straight / FILES[0])
    for row in network + layers:
        counts[tuple(row[key] for key in keys)] += int(row["count"])
        assert float(row["left"]) < float(row["right"])
    widths = rows_of(straight / "widths.csv")
    assert counts == {tuple(row[key] for key in keys): int(row["num_values"]) for row in widths}
    assert {row["layer"] for row in network} == {"network"}
    assert "network" not in {row["layer"] for row in layers}


@pytest.mark.parametrize("num_looks", [4, 9])
def test_stopped_again_and_again_it_measures_the_same(straight, stop, tmp_path, num_looks):
    sessions = 0
    while not sessions or stop.looks_left < 0:
        stop.looks_left, sessions = num_looks, sessions + 1
        with suppress(Stopped):
            measure(config_of(), tmp_path, stop)
    assert sessions > 3
    assert contents(tmp_path) == contents(straight)


@pytest.mark.parametrize("name", FILES)
def test_a_cycle_that_a_kill_has_cut_off_is_measured_again(straight, stop, tmp_path, name):
    directory = tmp_path / "copy"
    shutil.copytree(straight, directory)
    for file in FILES[FILES.index(name) :]:
        lines = (directory / file).read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("1,2,")]
        (directory / file).write_text("".join(kept))
    with (directory / name).open("a") as file:
        file.write("1,2,0.64")
    measure(config_of(), directory, stop)
    assert contents(directory) == contents(straight)


def test_nothing_is_done_again(straight, monkeypatch):
    before = contents(straight)
    for module in (loop, measuring):
        monkeypatch.setattr(module, "Programs", None)
    assert measure(config_of(), straight) == []
    assert contents(straight) == before


def test_a_seed_that_diverges_is_told_and_left(tmp_path):
    config = config_of(schedule__name="list", schedule__peaks=(0.1, 1e30, 0.1, 0.1))
    for _ in range(2):
        given_up = measure(config, tmp_path, cycles=(0, 1, 3))
        assert [(one.seed, one.cycle) for one in given_up] == [(0, 1), (1, 1)]
        rows = rows_of(tmp_path / "cycles.csv")
        assert [(row["seed"], row["cycle"]) for row in rows] == [("0", "0"), ("1", "0")]


def test_without_a_warm_up_there_are_two_moments(tmp_path):
    config = config_of(
        model__activation="tanh",
        schedule__shape="linear_decay",
        schedule__warmup_epochs=0.0,
        pruning__num_cycles=2,
        seeds=(3,),
    )
    measure(config, tmp_path, cycles=())
    assert {row["moment"] for row in rows_of(tmp_path / "widths.csv")} == {MOMENTS[0], MOMENTS[2]}
    cycles = rows_of(tmp_path / "cycles.csv")
    assert [row["cycle"] for row in cycles] == ["0", "1"]
    for row in cycles:
        assert row["lr_warmed_up"] == ""
        assert row["lr_initialisation"] == row["max_lr"]
        assert float(row["lr_end"]) == pytest.approx(float(row["max_lr"]) / 40)


@pytest.mark.parametrize(
    ("shape", "end"),
    [
        (shapes.constant(), None),
        (shapes.cosine_decay(40), None),
        (shapes.warmup_step_decay(9, (20,)), 9),
        (shapes.warmup_step_decay(0, (20,)), None),
        (shapes.warmup_step_decay(30, (), 0.1, 0.0, 12), 12),
        (shapes.triangular(40), 20),
        (shapes.triangular(40, num_triangles=2), 10),
    ],
)
def test_the_warm_up_ends_where_the_shape_first_is_1(shape, end):
    assert warm_up_end(shape, 40) == end
    if end:
        values = np.asarray(shape(np.arange(40)))
        assert values[end] == 1 > values[:end].max()


@pytest.mark.parametrize("num_cycles", [1, 2, 10, 11, 18, 25, 100])
def test_the_cycles_that_are_measured_unless_asked_otherwise(num_cycles):
    cycles = spaced_cycles(num_cycles)
    assert cycles[0] == 0
    assert cycles[-1] == num_cycles - 1
    assert len(cycles) == (num_cycles if num_cycles <= 10 else 8)
    if len(cycles) > 1:
        gaps = np.diff(cycles)
        assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("fields", "plan", "told"),
    [
        ({"data__image_size": 32}, {}, ("data.image_size", "32", "0")),
        ({"training__divergence_retries": 1}, {}, ("training.divergence_retries", "1", "0")),
        ({}, {"num_images": 0}, ("num_images", "0", "an integer of at least 1")),
        ({}, {"cycles": (0, 4)}, ("cycles", "4", "from 0 to 3")),
        ({}, {"cycles": (-1,)}, ("cycles", "-1", "from 0 to 3")),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, fields, plan, told):
    streamed = {"data__mean": (0.5,) * 3, "data__std": (0.2,) * 3}
    config = config_of(**(fields | streamed if "data__image_size" in fields else fields))
    with refused(*told):
        measure(config, tmp_path, **plan)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "plan"),
    [({"schedule__upper": 0.3}, {}), ({}, {"num_images": 99})],
)
def test_the_directory_of_another_measurement_is_refused(straight, fields, plan):
    before = contents(straight)
    with pytest.raises(ValueError, match=r"workdir: .* holds another study .*; allowed: "):
        measure(config_of(**fields), straight, **plan)
    assert contents(straight) == before


def test_further_cycles_are_taken_up(straight, tmp_path):
    measure(config_of(), tmp_path, cycles=(0,))
    measure(config_of(), tmp_path)
    for name, text in contents(tmp_path).items():
        assert sorted(text.splitlines()) == sorted(contents(straight)[name].splitlines())


def test_fewer_images_than_asked_for_are_all(tmp_path):
    config = config_of(pruning__num_cycles=1, seeds=(0,))
    with prepared_premise(config, tmp_path, num_images=10**6) as premise:
        assert premise.num_images == len(premise.experiment.data.train.labels) < 2000
