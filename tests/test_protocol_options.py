"""The options by which protocol authors differs from clean, one by one, and together in a run."""

import csv
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.protocol_of_authors import authors_protocol
from silo_jax.data import augment
from silo_jax.pruning import layer_counts
from silo_jax.training.config import check_config
from silo_jax.training.evaluation import evaluate
from silo_jax.training.state import create_state
from silo_jax.training.step import DeviceSplit, train_epoch, train_step
from tests.tiny import (
    BATCH_SIZE,
    NUM_IMAGES,
    WithStatistics,
    assert_identical,
    run_quietly,
    tiny_config,
    tiny_data,
    tiny_recipe,
    tiny_state,
)

FAR = 10**6
WHOLE_BATCHES, IMAGES_OVER = divmod(NUM_IMAGES, BATCH_SIZE)


def state_with_reference(recipe, seed=0):
    return create_state(
        recipe.model,
        recipe.optimizer,
        seed=seed,
        image_shape=(4, 4, 1),
        peaks=[0.1, 0.2, 0.3],
        with_reference=True,
    )


def flat(tree):
    return np.concatenate([np.ravel(leaf["kernel"]) for leaf in tree.values()])


@pytest.mark.parametrize(
    ("criterion", "score"),
    [
        ("movement", lambda w, earlier: np.abs(w - earlier)),
        ("magnitude_movement", lambda w, earlier: np.abs(w - earlier) * np.abs(w)),
    ],
)
def test_movement_is_that_of_the_last_epoch(criterion, score):
    steps_per_epoch = NUM_IMAGES // BATCH_SIZE
    recipe = tiny_recipe(criterion=criterion, steps_per_cycle=2 * steps_per_epoch)
    epoch, data = jax.jit(partial(train_epoch, recipe)), tiny_data()
    earlier, _ = epoch(state_with_reference(recipe), data, FAR)
    part, _ = epoch(earlier, data, steps_per_epoch + 2)  # stopped on the way
    last, _ = epoch(part, data, FAR)
    assert int(last.step) == recipe.steps_per_cycle
    scores = score(flat(last.params), flat(earlier.params))
    gone = ~flat(last.next_masks)
    assert gone.sum() == round(0.5 * scores.size)
    assert scores[gone].max() <= scores[~gone].min()


def test_criteria_that_need_no_reference_keep_none():
    assert tiny_state(tiny_recipe()).reference == {}


def test_random_pruning_takes_its_number_and_differs_by_seed_and_cycle():
    recipe = tiny_recipe(criterion="random", steps_per_cycle=1)
    batch = DeviceSplit(*(leaf[:BATCH_SIZE] for leaf in tiny_data()))
    step = jax.jit(partial(train_step, recipe))
    first = tiny_state(recipe)
    states = (first, first.replace(step=jnp.int32(1)), first.replace(rng=jax.random.PRNGKey(9)))
    kept = [flat(step(state, batch)[0].next_masks) for state in states]
    assert all(mask.sum() == mask.size - round(0.5 * mask.size) for mask in kept)
    assert len({mask.tobytes() for mask in kept}) == 3
    assert_identical(step(first, batch)[0].next_masks, step(first, batch)[0].next_masks)


@pytest.mark.parametrize("zero_is_dead", [False, True])
def test_weights_at_zero_count_as_pruned_where_asked(zero_is_dead):
    recipe = tiny_recipe(zero_is_dead=zero_is_dead, steps_per_cycle=1)
    state = tiny_state(recipe)
    params = jax.tree.map(lambda w: w.at[:1].set(0) if w.ndim == 2 else w, state.params)
    state = state.replace(params=params, peaks=0 * state.peaks)  # nothing moves
    batch = DeviceSplit(*(leaf[:BATCH_SIZE] for leaf in tiny_data()))
    after, _ = train_step(recipe, state, batch)
    size, zeros = flat(params).size, int(np.sum(flat(params) == 0))
    living = size - zeros if zero_is_dead else size
    left = sum(kept for _, kept in layer_counts(after.next_masks).values())
    assert left == living - round(0.5 * living)
    assert not zero_is_dead or not np.any(flat(after.next_masks) & (flat(params) == 0))


def test_what_does_not_fill_a_batch_makes_a_smaller_one_where_asked():
    recipe = tiny_recipe(drop_last=False, steps_per_cycle=2 * (WHOLE_BATCHES + 1))
    data, start = tiny_data(), tiny_state(recipe)
    whole, sums = jax.jit(partial(train_epoch, recipe))(start, data, FAR)
    assert int(whole.step) == WHOLE_BATCHES + 1
    assert int(sums.examples) == NUM_IMAGES

    order_rng = jax.random.fold_in(jax.random.fold_in(start.rng, 0), 0)
    order = jax.random.permutation(jax.random.fold_in(order_rng, 0), NUM_IMAGES)
    batches = np.split(np.asarray(order), range(BATCH_SIZE, NUM_IMAGES, BATCH_SIZE))
    assert len(batches[-1]) == IMAGES_OVER
    want, step = start, jax.jit(partial(train_step, recipe))
    for indices in batches:
        want, _ = step(want, DeviceSplit(data.images[indices], data.labels[indices]))
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, whole.params, want.params)


def test_an_epoch_with_a_smaller_batch_in_two_parts_is_the_epoch():
    recipe = tiny_recipe(drop_last=False, steps_per_cycle=WHOLE_BATCHES + 1)
    epoch, data = jax.jit(partial(train_epoch, recipe)), tiny_data()
    whole, whole_sums = epoch(tiny_state(recipe), data, FAR)
    assert not np.all(flat(whole.next_masks))  # the smaller batch is the last step, and prunes
    for stop in range(1, WHOLE_BATCHES + 1):
        part, _ = epoch(tiny_state(recipe), data, stop)
        assert int(part.step) == stop
        rest, sums = epoch(part, data, FAR)
        assert_identical(rest, whole)
        assert_identical(sums, whole_sums)


def test_images_dropped_in_evaluation_count_as_wrong():
    data, batch_size = tiny_data(), 8
    state = tiny_state(tiny_recipe())
    some = DeviceSplit(*(leaf[: NUM_IMAGES // batch_size * batch_size] for leaf in data))
    want = evaluate(tiny_recipe(), batch_size, state, some)
    sums = evaluate(tiny_recipe(drop_last_evaluation=True), batch_size, state, data)
    assert int(sums.examples) == NUM_IMAGES > some.labels.size
    assert int(sums.correct) == int(want.correct)
    np.testing.assert_allclose(sums.loss, want.loss, rtol=1e-6)


def test_evaluation_is_augmented_where_asked_and_anew_after_every_epoch():
    data, options = tiny_data(), {"crop_padding": 2, "flip": True}
    recipe, plain = tiny_recipe(augment_evaluation=True, **options), tiny_recipe(**options)
    state = tiny_state(recipe)
    later = state.replace(step=jnp.int32(5))
    losses = [float(evaluate(recipe, NUM_IMAGES, s, data).loss) for s in (state, later)]
    untouched = float(evaluate(plain, NUM_IMAGES, state, data).loss)
    assert len({*losses, untouched}) == 3
    key = jax.random.fold_in(jax.random.fold_in(state.rng, 5), 0)
    seen = augment(jax.random.fold_in(key, 0), data.images, crop_padding=2, flip=True)
    want = evaluate(plain, NUM_IMAGES, state, DeviceSplit(seen, data.labels)).loss
    np.testing.assert_allclose(losses[0], want, rtol=1e-6)


def test_the_authors_initialisation_reaches_the_state():
    recipe = tiny_recipe(model=WithStatistics())
    states = [
        create_state(
            recipe.model,
            recipe.optimizer,
            seed=0,
            image_shape=(4, 4, 1),
            peaks=[0.1],
            initialization=name,
        )
        for name in ("model", "authors")
    ]
    own, theirs = (state.params for state in states)
    assert not np.any(own["Dense_0"]["bias"])
    assert np.all(theirs["Dense_0"]["bias"])
    assert np.all(own["BatchNorm_0"]["scale"] == 1)
    assert not np.any(theirs["BatchNorm_0"]["scale"] == 1)


def rows_of(workdir):
    epochs = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    with (workdir / "cycles.csv").open(newline="") as file:
        return epochs, list(csv.DictReader(file))


@pytest.mark.parametrize("select", ["last", "best_validation"])
def test_a_cycle_is_scored_after_the_epoch_that_is_chosen(select, tmp_path):
    config = tiny_config(training__epochs_per_cycle=4, evaluation__select=select)
    config.schedule.upper, config.schedule.lower = 1.5, 1.0  # so that accuracy goes up and down
    epochs, cycles = rows_of(run_quietly(config, tmp_path))
    assert len(cycles) == 2
    for number, cycle in enumerate(cycles):
        of_cycle = epochs[4 * number : 4 * number + 4]
        accuracies = [row["val_accuracy"] for row in of_cycle]
        chosen = 3 if select == "last" else int(np.argmax(accuracies))
        assert int(cycle["epoch"]) == chosen + 1
        for column in ("train_loss", "val_accuracy", "test_loss", "test_accuracy"):
            assert float(cycle[column]) == of_cycle[chosen][column]
        assert int(cycle["step"]) == of_cycle[-1]["step"]
        tested = ["test_accuracy" in row for row in of_cycle]
        better = [all(a > b for b in accuracies[:i]) for i, a in enumerate(accuracies)]
        assert tested == ([False, False, False, True] if select == "last" else better)


def test_a_run_of_protocol_authors(tmp_path):
    config = tiny_config(
        training__epochs_per_cycle=3, training__batch_size=62, pruning__criterion="movement"
    )
    config.schedule.initial_share, config.schedule.warmup_epochs = 0.01, 5.0
    config.schedule.warmup_cut_epochs, config.schedule.drop_epochs = 2.0, (2.0,)
    authors_protocol(config)
    config.pruning.prunable = ("kernel$",)  # this network has no BatchNorm
    check_config(config)
    epochs, cycles = rows_of(run_quietly(config, tmp_path))
    num_train = 1797 - 359 - 360  # of the digits: a fifth is 359.4, a quarter of the rest 359.5
    steps_per_epoch = -(-num_train // 62)
    assert num_train % 62
    assert [row["step"] for row in epochs] == [i * steps_per_epoch for i in range(1, 7)]
    for number, cycle in enumerate(cycles):
        of_cycle = epochs[3 * number : 3 * number + 3]
        accuracies = [row["test_accuracy"] for row in of_cycle[:-1]]  # the last is not scored
        assert int(cycle["epoch"]) == int(np.argmax(accuracies)) + 1
        assert float(cycle["test_accuracy"]) == max(accuracies)
        ramp = 0.01 + 0.99 * (steps_per_epoch - 1) / (5 * steps_per_epoch)
        assert of_cycle[0]["lr"] == pytest.approx(0.1 * ramp)
        assert of_cycle[-1]["lr"] == pytest.approx(0.01)
    assert all(row["test_accuracy"] <= 100 * (359 // 62 * 62) / 359 for row in epochs)
