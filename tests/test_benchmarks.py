"""The benchmarks compare what does the same."""

import json
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.__main__ import ALL
from benchmarks.accelerator import (
    READS,
    images,
    launch,
    measured,
    product,
    read_many_times,
    replicas,
    vit_products,
)
from benchmarks.checkpointing import checkpoint_size, measure
from benchmarks.epochs import Epochs, without_masks
from benchmarks.input_pipeline import HEIGHT, WIDTH, images_per_second, write_images
from benchmarks.measure import (
    median_ratio,
    peak_extra_bytes,
    report,
    require_steps,
    seconds_in_turn,
)
from benchmarks.prune import NETWORKS, WAYS, num_kept, weights_and_masks
from benchmarks.pytorch_step import Torch, start
from benchmarks.replicas import Networks, Task
from benchmarks.schedule_compile import schedule, schedule_in_jit, seconds_to_compile
from silo_jax.data.stream import TrainBatches
from silo_jax.training.replicas import replica
from silo_jax.training.step import DeviceSplit, train_step
from tests.tiny import assert_identical, tiny_data, tiny_recipe, tiny_state


def test_every_way_of_pruning_keeps_the_same_weights():
    params, masks = weights_and_masks([(3, 3, 8, 16), (40, 10), (10, 9)])
    flat = {}
    for name, way in WAYS.items():
        kept = way(params, masks)
        flat[name] = np.concatenate([np.ravel(mask) for mask in jax.tree.leaves(kept)])
    assert num_kept(flat["prune"]) == num_kept(masks) - round(0.2 * num_kept(masks))
    for name, kept in flat.items():
        np.testing.assert_array_equal(kept, flat["prune"], err_msg=name)


def test_the_networks_have_their_published_numbers_of_weights():
    sizes = {name: sum(map(np.prod, shapes)) for name, shapes in NETWORKS.items()}
    # All parameters, less BatchNorm's scales and offsets and the biases of the last layer.
    assert sizes["ResNet-50"] == 25_557_032 - 2 * 26_560 - 1000
    # All parameters, less class token, positions, LayerNorm and biases.
    norms, biases = 25 * 2 * 768, 768 + 12 * (4 * 768 + 3072 + 768) + 1000
    assert sizes["ViT-B/16"] == 86_567_656 - 768 - 197 * 768 - norms - biases


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_peak_memory_is_what_a_program_holds_at_once():
    def program():
        held = np.ones(8_000_000)
        return held.sum()

    assert peak_extra_bytes(program) == pytest.approx(64e6, rel=0.1)


def test_a_step_without_masks_is_the_masked_step_on_a_dense_network():
    recipe, data = tiny_recipe(), tiny_data()
    state, batch = tiny_state(recipe), DeviceSplit(data.images[:4], data.labels[:4])
    masked, _ = train_step(recipe, state, batch)
    unmasked, _ = train_step(recipe, without_masks(state), batch)
    jax.tree.map(np.testing.assert_array_equal, masked.params, unmasked.params)

    def num_selects(state):
        return str(jax.make_jaxpr(partial(train_step, recipe))(state, batch)).count("select_n")

    assert num_selects(without_masks(state)) < num_selects(state)


def test_one_command_runs_every_benchmark_that_writes_results():
    folder = Path(__file__).parents[1] / "benchmarks"
    have_out = {
        path.stem for path in folder.glob("[a-z]*.py") if 'add_argument("--out"' in path.read_text()
    }
    assert have_out == set(ALL)


def test_programs_take_turns_and_ratios_are_per_turn():
    calls = []
    programs = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b") or jnp.zeros(())}
    seconds = seconds_in_turn(programs, repeats=20)
    turns = [tuple(calls[start : start + 2]) for start in range(0, len(calls), 2)]
    assert set(turns) == {("a", "b"), ("b", "a")}
    assert {name: len(times) for name, times in seconds.items()} == {"a": 20, "b": 20}
    first = [*calls]
    calls.clear()
    seconds_in_turn(programs, repeats=20)
    assert calls == first
    assert median_ratio([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]) == pytest.approx(3.0)


def test_replicas_are_compared_with_the_same_networks_one_by_one():
    task = Task({"name": "mlp", "hidden": (5,)}, (4, 4, 1), batch_size=4, steps=3, num_scored=6)
    together, alone = Networks(task, 2, "map"), Networks(task, 2, "")
    for epoch in (1, 2):
        sums = together()
        for index, scored_alone in enumerate(alone()):
            assert_identical(replica(sums, index), scored_alone)
            assert_identical(
                jax.device_get(replica(together.states, index)),
                jax.device_get(alone.states[index]),
            )
            assert alone.states[index].step == epoch * task.steps
    assert float(alone.states[0].peaks[0]) != float(alone.states[1].peaks[0])


def test_as_many_steps_are_launched_one_by_one_as_an_epoch_has():
    whole, steps = (Epochs("mlp", 4, 3) for _ in range(2))
    whole()
    steps.step_by_step()
    assert whole.steps_taken == steps.steps_taken == [3]


def test_a_network_that_stopped_on_its_way_is_not_told_to_be_fast():
    task = Task({"name": "mlp", "hidden": (5,)}, (4, 4, 1), batch_size=4, steps=3, num_scored=6)
    for strategy in ("map", ""):
        networks = Networks(task, 2, strategy)
        networks()
        require_steps("two", networks.steps_taken, 3)
        with pytest.raises(ValueError, match="two: 3 steps were taken; allowed: 6"):
            require_steps("two", networks.steps_taken, 6)


def test_rows_are_kept_when_a_later_one_fails(tmp_path):
    def rows():
        yield {"measured": 1}
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        report(rows(), str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text())["rows"] == [{"measured": 1}]


def test_a_part_that_fails_is_told_and_the_others_go_on(monkeypatch):
    def out_of_memory(options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory\nat length")

    parts = {"vit": out_of_memory, "launch": lambda options: [{"measured": "launch"}]}
    monkeypatch.setattr("benchmarks.accelerator.PARTS", parts)
    rows = list(measured(Namespace(parts=["vit", "launch"])))
    why = "RESOURCE_EXHAUSTED: out of memory"
    assert rows == [{"measured": "vit", "failed": why}, {"measured": "launch"}]


def test_a_way_of_pytorch_that_does_not_start_leaves_the_others():
    def gone():
        raise BrokenPipeError("it has ended")

    started, failed = start(
        {
            "none": lambda: Torch(sys.executable, "lenet_300_100", ("--layout=unknown",)),
            "gone": lambda: SimpleNamespace(turn=gone),
            "one": lambda: SimpleNamespace(turn=lambda: None),
        }
    )
    assert list(started) == ["one"]
    assert "--layout=unknown" in failed["none"]
    assert failed["gone"] == "it has ended"


def test_the_products_of_vit_are_its_published_number():
    # Touvron et al. 2021 give 17.6 GFLOPs, a multiplication and its addition counted as one.
    assert vit_products() / 2 == pytest.approx(17.6e9, rel=0.005)


def test_a_chain_of_matrix_products_keeps_its_scale():
    assert 0.2 < float(jnp.std(product(64)().astype(jnp.float32)) * 64**0.5) < 5


def test_weights_are_read_as_often_as_is_said():
    params = {"a": jnp.linspace(0, 1, 64, endpoint=False), "b": jnp.full((2, 2), 0.5)}
    weights = np.concatenate([np.ravel(leaf) for leaf in params.values()])
    expected = sum(np.sum(weights < i / READS) for i in range(READS))
    assert int(read_many_times(jnp.asarray(weights))) == expected


def test_rates_of_an_accelerator_are_of_all_replicas_together(monkeypatch):
    def timed(programs, repeats):
        for program in programs.values():
            for _ in range(repeats + 1):
                program()
        return {name: [{"scan": 0.5}.get(name, 2.0)] * repeats for name in programs}

    monkeypatch.setattr("benchmarks.accelerator.seconds_in_turn", timed)
    monkeypatch.setattr("benchmarks.accelerator.BATCH_SIZES", (2, 4))
    rows = list(images("mlp", steps=4, repeats=1))
    assert [(row["batch_size"], row["dtype"], row["steps"]) for row in rows] == [
        (2, "float32", 4),
        (2, "bfloat16", 4),
        (4, "float32", 2),
        (4, "bfloat16", 2),
    ]
    assert [row["images_per_second"] for row in rows] == [4 * 2 / 2.0] * 4
    monkeypatch.setattr("benchmarks.accelerator.DTYPES", ("bfloat16",))
    (row,) = replicas("mlp", steps=2, repeats=1, number=2)
    assert (row["dtype"], row["replicas"], row["steps"]) == ("bfloat16", 2, 2)
    assert row["images_per_second"] == 2 * 2 * 2 / 2.0
    (row,) = launch("mlp", steps=2, repeats=1, batch_size=2)
    assert row["ms_per_step"] == 1e3 * 0.5 / 2
    assert row["scan_over_steps"] == 0.5 / 2.0


def test_every_measurement_of_compiling_starts_from_nothing():
    calls = []

    def program(step):
        calls.append(step)
        return step + 1.0

    for count in (1, 2, 3):
        seconds = seconds_to_compile(program)
        assert len(calls) == count
        assert seconds["trace and compile"] == pytest.approx(seconds["trace"] + seconds["compile"])


def test_the_images_of_the_input_pipeline_are_like_those_of_imagenet(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    pytest.importorskip("grain")
    data = write_images(tmp_path, 5)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 10)
    for file in tmp_path.rglob("*.jpeg"):
        assert 90e3 < file.stat().st_size < 130e3
        with image_module.open(file) as image:
            assert image.size == (WIDTH, HEIGHT)
    batches = TrainBatches(data.train, image_size=8, batch_size=2, seed=0, steps_per_cycle=9)
    assert images_per_second(batches, workers=0, seconds=0.01) > 0


def test_a_schedule_made_in_jit_is_the_schedule():
    steps = jnp.arange(0, 25 * 500, 37)
    inside = jax.jit(schedule_in_jit(25))(steps)
    np.testing.assert_allclose(inside, schedule(25)(steps), rtol=1e-6)


def test_what_a_save_adds_is_told_of_short_and_whole_epochs_alike():
    row = measure("lenet_300_100", batch_size=8, steps=2, images_per_epoch=80, repeats=2)
    added = row["ms_in_save"] + row["ms_slower_while_writing"]
    assert row["steps_per_epoch"] == 10
    assert row["percent_of_epoch"] == pytest.approx(100 * added / (10 * row["ms_per_step"]))
    assert row["percent_of_64_steps"] * 64 == pytest.approx(row["percent_of_epoch"] * 10)
    # Weights and momentum of 4 bytes each; two masks of one byte.
    assert 8 * 266_610 < row["state_bytes"] < 10.1 * 266_610
    assert 0.5 < row["checkpoint_over_state"] < 1.5


def test_the_size_of_a_checkpoint_is_that_of_its_files(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"12")
    assert checkpoint_size(tmp_path) == (2, 7)
