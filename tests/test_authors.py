"""Protocol authors against what their two scripts do, stated here once more in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import authors_resnet20, authors_vgg19
from silo_jax import cycle_schedule, init_masks
from silo_jax.data.joined import split_again
from silo_jax.data.splits import ImageData, Split
from silo_jax.models import create_model
from silo_jax.pruning import prune
from silo_jax.training.config import check_config, durations, make_peaks, make_shape
from silo_jax.training.criterion import criterion_of_run
from silo_jax.training.initialization import redraw
from silo_jax.training.step import steps_in_epoch

STEPS_PER_EPOCH = 563
RESNET20_PEAKS = (
    *(0.03, 0.03, 0.030039, 0.032132, 0.047611, 0.064461, 0.068929, 0.069775, 0.069947),
    *(0.069987, 0.069996, 0.069999),
)


def their_peaks(lower, upper_minus_lower):
    """max_lr stays as it is in cycles 0 and 1, and follows an S of the sparsity from then on."""
    peaks = [lower, lower]
    for cycle in range(2, 25):
        x = 1 - 0.8 ** (cycle - 1)
        peaks.append(lower + upper_minus_lower / (1 + (x / (1 - x)) ** -5))
    return np.array(peaks)


def their_resnet20_lr(max_lr):
    """The learning rate of every step of a cycle, iterations counted from 1."""
    lr = max_lr * np.arange(1, 50 * STEPS_PER_EPOCH + 1) / 20_000
    lr[25 * STEPS_PER_EPOCH :] = max_lr / 10
    lr[32 * STEPS_PER_EPOCH :] = max_lr / 100
    return lr


def their_vgg19_lr(max_lr):
    lr = max_lr * np.arange(1, 160 * STEPS_PER_EPOCH + 1) / 10_000
    lr[14 * STEPS_PER_EPOCH :] = max_lr
    lr[80 * STEPS_PER_EPOCH :] = max_lr / 10
    lr[120 * STEPS_PER_EPOCH :] = max_lr / 100
    return lr


@pytest.mark.parametrize(
    ("module", "lr_of_cycle", "peaks"),
    [
        (authors_resnet20, their_resnet20_lr, their_peaks(0.03, 0.04)),
        (authors_vgg19, their_vgg19_lr, their_peaks(0.04, 0.06)),
    ],
)
def test_the_learning_rate_of_every_step_is_that_of_their_script(module, lr_of_cycle, peaks):
    config = module.get_config()
    check_config(config)
    lengths = durations(config, STEPS_PER_EPOCH)
    shape, cycle = make_shape(config, lengths), lr_of_cycle(1.0)
    assert lengths.steps_per_cycle == cycle.size
    np.testing.assert_allclose(shape(np.arange(cycle.size)), cycle, rtol=1e-6)
    np.testing.assert_allclose(make_peaks(config), peaks, rtol=1e-5)
    schedule = cycle_schedule(shape, make_peaks(config), cycle.size)
    for number in (0, 3, 24):
        steps = number * cycle.size + np.arange(0, cycle.size, 97)
        np.testing.assert_allclose(schedule(steps), peaks[number] * cycle[::97], rtol=1e-5)


def test_their_numbers_as_they_are_known():
    config = authors_resnet20.get_config()
    np.testing.assert_allclose(make_peaks(config)[:12], RESNET20_PEAKS, atol=6e-7)
    np.testing.assert_allclose(make_peaks(config)[12:], 0.07, atol=6e-7)
    cycle = their_resnet20_lr(1.0)
    assert cycle.max() == cycle[14_074] == 14_075 / 20_000 == pytest.approx(0.704, abs=5e-4)
    assert np.flatnonzero(their_vgg19_lr(1.0) == 1)[0] == 14 * STEPS_PER_EPOCH
    assert steps_in_epoch(36_000, 64, drop_last=False) == STEPS_PER_EPOCH


def their_global_pruning(weights, epoch_earlier, masks):
    """At or below the 20th percentile of |Δw| over all living weights; living is not 0."""
    moves = {name: np.abs(weights[name] - epoch_earlier[name]) for name in weights}
    living = np.concatenate([moves[name][weights[name] != 0] for name in weights])
    threshold = np.percentile(living, 20)
    return {name: np.where(moves[name] <= threshold, False, masks[name]) for name in weights}


def their_layerwise_pruning(weights, epoch_earlier, masks):
    """Below the 20th percentile of |Δw|·|w| over the living weights of each layer."""
    pruned = {}
    for name, weight in weights.items():
        scores = np.abs(weight - epoch_earlier[name]) * np.abs(weight)
        threshold = np.percentile(scores[weight != 0], 20)
        pruned[name] = np.where(scores < threshold, False, masks[name])
    return pruned


PRUNING = {
    "movement": ("global", their_global_pruning),
    "magnitude_movement": ("layerwise", their_layerwise_pruning),
}


def our_pruning(criterion, weights, epoch_earlier, masks):
    scope, _ = PRUNING[criterion]
    scores = criterion_of_run(criterion, reference=epoch_earlier, key=jax.random.key(0))
    pruned = prune(weights, masks, 0.2, criterion=scores, scope=scope, min_kept=0)
    return {name: np.asarray(mask) for name, mask in pruned.items()}


def random_weights(random, masks):
    weights = {
        name: random.normal(size=mask.shape).astype(np.float32) for name, mask in masks.items()
    }
    return {name: np.where(masks[name], weight, 0) for name, weight in weights.items()}


@pytest.mark.parametrize("criterion", PRUNING)
def test_pruning_differs_from_theirs_by_one_weight_a_threshold_at_most(criterion):
    random = np.random.default_rng(0)
    masks = {"kernel": np.ones((9, 31), bool), "scale": np.ones(31, bool)}
    scope, their_pruning = PRUNING[criterion]
    for _ in range(8):
        weights, earlier = random_weights(random, masks), random_weights(random, masks)
        theirs = their_pruning(weights, earlier, masks)
        ours = our_pruning(criterion, weights, earlier, masks)
        differing = [theirs[name] != ours[name] for name in masks]
        if scope == "global":
            assert sum(map(np.sum, differing)) <= 1
        else:
            assert max(map(np.sum, differing)) <= 1
        assert all((theirs[name] <= masks[name]).all() for name in masks)
        masks = theirs  # both prune from the same masks, cycle after cycle
    assert sum(mask.sum() for mask in masks.values()) < 0.2 * (9 * 31 + 31)


@pytest.mark.parametrize(("criterion", "tied_left"), [("movement", 0), ("magnitude_movement", 60)])
def test_they_prune_all_of_equal_scores_or_none_where_ours_takes_the_exact_number(
    criterion, tied_left
):
    weights = {"kernel": np.ones(100, np.float32)}
    earlier = {"kernel": np.where(np.arange(100) < 60, 0.5, 0).astype(np.float32)}
    masks = {"kernel": np.ones(100, bool)}
    tied = np.arange(100) < 60
    earlier["kernel"][~tied] = -np.arange(40)  # these have moved more
    _, their_pruning = PRUNING[criterion]
    theirs = their_pruning(weights, earlier, masks)["kernel"]
    assert theirs[tied].sum() == tied_left
    assert our_pruning(criterion, weights, earlier, masks)["kernel"][tied].sum() == 40
    assert theirs[~tied].all()


def numbered_images(first, count):
    numbers = np.arange(first, first + count, dtype=np.uint32)
    images = numbers.view(np.uint8).reshape(count, 1, 1, 4)
    return Split(images, (numbers % 10).astype(np.int32))


def numbers_of(split):
    return np.ascontiguousarray(split.images).reshape(-1, 4).view(np.uint32).ravel()


def test_the_split_is_theirs_in_size_and_drawn_from_all_images_alike():
    whole = 60_000
    num_fitting = int(0.8 * whole)
    num_train = int(0.75 * num_fitting)
    sizes = (num_train, num_fitting - num_train, whole - num_fitting)
    assert sizes == (36_000, 12_000, 12_000)

    own = (numbered_images(0, 45_000), numbered_images(45_000, 5_000))
    data = ImageData("cifar10", "3.0.2", 10, *own, numbered_images(50_000, 10_000))
    config = authors_resnet20.get_config()
    fractions = {
        "test_fraction": config.data.test_fraction,
        "validation_fraction": config.data.validation_fraction,
    }
    again = split_again(data, **fractions, seed=0)
    splits = (again.train, again.validation, again.test)
    assert tuple(map(len, splits)) == sizes
    drawn = np.concatenate([numbers_of(split) for split in splits])
    assert (np.sort(drawn) == np.arange(whole)).all()
    for split in splits:
        numbers = numbers_of(split)
        assert (split.labels == numbers % 10).all()
        official_test = np.mean(numbers >= 50_000)
        assert official_test == pytest.approx(1 / 6, abs=5 * np.sqrt(5 / 36 / len(split)))
        assert len(np.unique(np.bincount(split.labels))) > 1  # not class by class
    other = split_again(data, **fractions, seed=1)
    assert set(numbers_of(other.test)) != set(numbers_of(again.test))


def test_every_weight_is_pruned_and_no_bias():
    model = create_model("resnet20", num_classes=10, shortcut="identity")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    masks = init_masks(params, tuple(authors_resnet20.get_config().pruning.prunable))
    for path, mask in jax.tree_util.tree_leaves_with_path(masks):
        assert (mask.ndim > 0) == (path[-1].key in ("kernel", "scale")), path


def test_weights_are_drawn_as_theirs():
    shapes = {"conv": {"kernel": (3, 3, 64, 128), "bias": (4000,)}}
    shapes |= {"norm": {"scale": (4000,), "bias": (4000,)}}
    zeros = jax.tree.map(jnp.zeros, shapes, is_leaf=lambda x: isinstance(x, tuple))
    drawn = jax.jit(redraw)(zeros, jax.random.key(0))
    kernel, bias = (np.asarray(drawn["conv"][name]) for name in ("kernel", "bias"))
    deviation = np.sqrt(2 / (9 * 64 + 9 * 128))
    assert kernel.std() == pytest.approx(deviation, rel=0.02)
    assert np.abs(kernel).max() > 3 * deviation  # not truncated
    assert (bias.mean(), bias.std()) == pytest.approx((0, 1), abs=0.06)
    scale = np.asarray(drawn["norm"]["scale"])
    assert (scale.mean(), scale.std()) == pytest.approx((1, 0.02), abs=2e-3)
    assert not np.any(drawn["norm"]["bias"])
    other = redraw(zeros, jax.random.key(1))
    assert not np.array_equal(other["conv"]["kernel"], kernel)
