"""Laws of training on batches that are streamed from the host."""

import jax
import numpy as np
import pytest

from silo_jax.data import open_data
from silo_jax.data.stream import Batch
from silo_jax.models import create_model
from silo_jax.training import streaming as streaming_module
from silo_jax.training.evaluation import evaluate
from silo_jax.training.interrupts import StopRequest
from silo_jax.training.state import create_state
from silo_jax.training.step import DeviceSplit, train_epoch
from silo_jax.training.streaming import StreamedEpochs, streamed_epochs
from tests.tiny import (
    BATCH_SIZE,
    NUM_IMAGES,
    STEPS_PER_CYCLE,
    assert_identical,
    tiny_data,
    tiny_recipe,
    tiny_state,
)

STEPS_PER_EPOCH = NUM_IMAGES // BATCH_SIZE
NUM_STEPS = 3 * STEPS_PER_CYCLE


class InMemoryOrder:
    """The batches that `train_epoch` draws from the data in memory."""

    def __init__(self, state, data):
        self._images, self._labels = np.asarray(data.images), np.asarray(data.labels)
        self._orders = {}
        for cycle in range(3):
            rng = jax.random.fold_in(jax.random.fold_in(state.rng, 0), cycle)
            for epoch in range(2):
                order = jax.random.permutation(jax.random.fold_in(rng, epoch), NUM_IMAGES)
                self._orders[cycle, epoch] = np.asarray(order)

    def __getitem__(self, step):
        cycle, step_in_cycle = divmod(step, STEPS_PER_CYCLE)
        epoch, position = divmod(step_in_cycle, STEPS_PER_EPOCH)
        indices = self._orders[cycle, epoch][position * BATCH_SIZE :][:BATCH_SIZE]
        return Batch(self._images[indices], self._labels[indices], np.ones(BATCH_SIZE, bool))


class Padded:
    """A split in batches of 8, the last one filled up."""

    def __init__(self, data):
        self._images, self._labels = np.asarray(data.images), np.asarray(data.labels)

    def __len__(self):
        return -(-NUM_IMAGES // 8)

    def __getitem__(self, step):
        rows = np.arange(8 * step, 8 * step + 8)
        indices, weights = np.minimum(rows, NUM_IMAGES - 1), rows < NUM_IMAGES
        return Batch(self._images[indices], self._labels[indices], weights)


def make_epochs(recipe, data, batches=None, **changes):
    state = tiny_state(recipe)
    settings = {
        "train_batches": lambda seed: batches or InMemoryOrder(state, data),
        "evaluations": {"val": Padded(data)},
        "steps_per_epoch": STEPS_PER_EPOCH,
        "workers": 0,
        "stop": StopRequest(),
    }
    return StreamedEpochs(recipe, state, **settings | changes)


def epoch_ends():
    """The steps at which an epoch ends; the second epoch of each cycle is cut short."""
    for cycle in range(3):
        yield cycle * STEPS_PER_CYCLE + STEPS_PER_EPOCH
        yield (cycle + 1) * STEPS_PER_CYCLE


@pytest.fixture
def chunks_of_three(monkeypatch):
    monkeypatch.setattr(streaming_module, "_MOST_BATCHES", 3)


@pytest.mark.parametrize("repeat_data", [False, True])
def test_streamed_cycles_are_those_in_memory_given_the_same_batches(chunks_of_three, repeat_data):
    recipe, data = tiny_recipe(crop_padding=1, flip=True, repeat_data=repeat_data), tiny_data()
    epochs, in_memory = make_epochs(recipe, data), jax.jit(train_epoch, static_argnums=0)
    streamed, expected = tiny_state(recipe), tiny_state(recipe)
    for end in epoch_ends():
        streamed, sums = epochs.train(streamed, end)
        expected, expected_sums = in_memory(recipe, expected, data, np.int32(end))
        assert int(streamed.step) == end
        assert_identical((streamed, sums), (expected, expected_sums))
    kept = [np.asarray(mask).sum() for mask in jax.tree.leaves(streamed.next_masks)]
    assert sum(kept) < sum(np.asarray(mask).size for mask in jax.tree.leaves(streamed.masks))


@pytest.fixture(scope="module")
def epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming_module, "_MOST_BATCHES", 3)
        return make_epochs(tiny_recipe(), tiny_data())


def whole_epoch(epochs):
    return epochs.train(tiny_state(tiny_recipe()), STEPS_PER_EPOCH)


@pytest.mark.parametrize("pause", range(1, STEPS_PER_EPOCH))
def test_an_epoch_in_parts_is_the_whole_epoch_whether_the_stream_goes_on_or_not(epochs, pause):
    part, _ = epochs.train(tiny_state(tiny_recipe()), pause)
    assert int(part.step) == pause
    on_the_same_stream = epochs.train(part, STEPS_PER_EPOCH)
    part, _ = epochs.train(tiny_state(tiny_recipe()), pause)
    whole = whole_epoch(epochs)
    on_a_new_stream = epochs.train(part, STEPS_PER_EPOCH)
    assert_identical(on_the_same_stream, whole)
    assert_identical(on_a_new_stream, whole)


def test_one_stream_serves_all_cycles(epochs, monkeypatch):
    asked = []

    class Noted(InMemoryOrder):
        def __getitem__(self, step):
            asked.append(step)
            return super().__getitem__(step)

    state = tiny_state(tiny_recipe())
    batches = Noted(state, tiny_data())
    monkeypatch.setattr(epochs, "_next", None)
    monkeypatch.setattr(epochs, "_train_batches", lambda seed: batches)
    for end in epoch_ends():
        state, _ = epochs.train(state, end)
    assert sorted(asked) == list(range(NUM_STEPS))


def test_after_a_loss_that_is_not_finite_no_step_is_taken(chunks_of_three):
    recipe, data = tiny_recipe(shape=lambda step: 1e30 * (step == 1)), tiny_data()
    streamed, sums = whole_epoch(make_epochs(recipe, data, evaluations={}))
    expected, expected_sums = jax.jit(train_epoch, static_argnums=0)(
        recipe, tiny_state(recipe), data, np.int32(STEPS_PER_EPOCH)
    )
    assert not np.isfinite(sums.loss)
    assert int(streamed.step) == int(expected.step) == 3
    assert_identical((streamed.last_loss, sums), (expected.last_loss, expected_sums))


def test_a_request_to_stop_is_heard_between_two_chunks(epochs, monkeypatch):
    whole, stop = whole_epoch(epochs), StopRequest()
    monkeypatch.setattr(epochs, "_stop", stop)
    stop.received = 15
    stopped, _ = whole_epoch(epochs)
    assert int(stopped.step) == 0
    stop.received = 0
    assert_identical(epochs.train(stopped, STEPS_PER_EPOCH), whole)


def test_a_chunk_is_told_of_once_images_have_been_trained_on(epochs):
    """Reading the first chunk may take long; there is no loss to be told of before it."""
    told = []

    def look(step, sums):
        told.append((step, int(sums.examples)))

    part, _ = epochs.train(tiny_state(tiny_recipe()), 4, look)
    assert told == [(3, 3 * BATCH_SIZE)]
    epochs.train(part, 5, look)
    assert told[1:] == [(4, 4 * BATCH_SIZE)], "an epoch that goes on has a loss at once"


def test_an_evaluation_is_over_all_images_and_no_others(epochs):
    recipe = tiny_recipe()
    state = tiny_state(recipe)
    sums, expected = epochs.evaluate(state, "val"), evaluate(recipe, 7, state, tiny_data())
    assert int(sums.examples) == NUM_IMAGES
    assert int(sums.correct) == int(expected.correct)
    np.testing.assert_allclose(sums.loss, expected.loss, rtol=1e-6)


@pytest.fixture
def imagenet(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    from tests.jpeg_sets import LABELS, write_imagenet

    write_imagenet(tmp_path)
    return open_data(
        "imagenet2012",
        data_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        classes=[*LABELS],
        validation_fraction=0.2,
        progress=False,
    )


def test_imagenet_is_trained_on_and_resumed_bit_for_bit(imagenet, chunks_of_three):
    recipe = tiny_recipe(
        model=create_model("mlp", num_classes=imagenet.num_classes, hidden=(7,)),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )

    def new_state():
        return create_state(
            recipe.model, recipe.optimizer, seed=0, image_shape=(8, 8, 3), peaks=[0.1, 0.2, 0.3]
        )

    def new_epochs():
        settings = {"image_size": 8, "eval_batch_size": 5, "workers": 0, "stop": StopRequest()}
        return streamed_epochs(recipe, new_state(), imagenet, **settings)

    whole, first = new_state(), new_epochs()
    part, _ = first.train(new_state(), 4)
    whole, sums = first.train(whole, STEPS_PER_CYCLE)
    assert int(sums.examples) == STEPS_PER_CYCLE * BATCH_SIZE
    second = new_epochs()
    assert_identical(second.train(part, STEPS_PER_CYCLE), (whole, sums))
    assert int(first.evaluate(whole, "test").examples) == len(imagenet.test) == 12
    assert_identical(first.evaluate(whole, "val"), second.evaluate(whole, "val"))


def test_another_shape_of_batch_is_refused_instead_of_compiled(epochs, monkeypatch):
    state, data = tiny_state(tiny_recipe()), tiny_data()
    smaller = InMemoryOrder(state, DeviceSplit(data.images[:, :3], data.labels))
    monkeypatch.setattr(epochs, "_next", None)
    monkeypatch.setattr(epochs, "_train_batches", lambda seed: smaller)
    with pytest.raises(TypeError):
        epochs.train(state, 2)
