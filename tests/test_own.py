"""What a config names as ``module:name`` takes the place of what the package has."""

import jax
import numpy as np
import pytest

from examples.own import criterion, dataset, network, schedule
from silo_jax import prune
from silo_jax.data import check_data_name, load_data
from silo_jax.models import create_model
from silo_jax.training.config import check_config
from silo_jax.training.run import checked_experiment
from tests.run_files import final_states, rows_of, without_times
from tests.tiny import assert_identical, run_quietly, tiny_config

HERE = "tests.test_own"


def lenet_300_100(num_classes):
    return create_model("lenet_300_100", num_classes=num_classes)


def digits(data_dir):
    data = load_data("digits")
    halves = zip(*[(s.images, s.labels) for s in (data.train, data.validation)], strict=True)
    return type(data.test)(*map(np.concatenate, halves)), data.test


def nothing(data_dir):
    return None


def test_what_the_package_has_under_its_import_name_changes_nothing(tmp_path):
    pairs = {
        "model__name": ("lenet_300_100", f"{HERE}:lenet_300_100"),
        "pruning__criterion": ("magnitude", "silo_jax.pruning.criteria:magnitude"),
        "schedule__shape": ("cosine_decay", "silo_jax.schedules.shapes:cosine_decay"),
    }
    runs = []
    for number in range(2):
        config = tiny_config(**{field: names[number] for field, names in pairs.items()})
        workdir = run_quietly(config, tmp_path / str(number))
        runs.append((without_times(workdir)["tables"], final_states(workdir, config)))
    (tables, states), (own_tables, own_states) = runs
    assert own_tables == tables
    assert_identical(own_states, states)


def test_data_of_ones_own_are_split_and_chosen_from_as_others_are():
    own, test = digits(None)
    data = load_data(f"{HERE}:digits", validation_fraction=0.2, split_seed=3, classes=(7, 1))
    assert (data.num_classes, data.test.labels.max()) == (2, 1)
    seven = test.images[test.labels == 7]
    np.testing.assert_array_equal(data.test.images[data.test.labels == 0], seven)
    number = np.isin(own.labels, (1, 7)).sum()
    assert len(data.validation) == np.ceil(0.2 * number)
    assert len(data.train) + len(data.validation) == number


def test_the_examples_train_together(tmp_path):
    config = network.get_config()
    config.data.name = dataset.get_config().data.name
    config.pruning.criterion = criterion.get_config().pruning.criterion
    config.schedule = schedule.get_config().schedule
    config.training.epochs_per_cycle = 3
    workdir = run_quietly(config, tmp_path)

    rows = rows_of(workdir / "cycles.csv")
    assert float(rows[-1]["test_accuracy"]) > 90  # of two classes
    steps = checked_experiment(config).lengths.steps_per_cycle
    planned = rows_of(workdir / "schedule.csv")
    number = [int(row["step"]) for row in planned]
    rates = [float(row["lr"]) for row in planned]
    peaks = np.array(config.schedule.peaks)[np.array(number) // steps]
    expected = peaks * np.sin(np.pi * (np.array(number) % steps) / steps)
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-7)

    first, second, *_ = final_states(workdir, config)
    weights = {"Conv_0": 3 * 3 * 24, "Conv_1": 3 * 3 * 24 * 48, "Dense_0": 48 * 2}
    assert {name: first.masks[name]["kernel"].size for name in weights} == weights
    wanted, other = (
        prune(first.params, first.masks, 0.2, criterion=name, scope="global")
        for name in (criterion.by_neuron, "magnitude")
    )
    assert_identical(second.masks, wanted)
    masks = zip(jax.tree.leaves(wanted), jax.tree.leaves(other), strict=True)
    assert not all(np.array_equal(*pair) for pair in masks)


@pytest.mark.parametrize("example", [criterion, dataset, network, schedule])
def test_the_config_of_each_example_is_accepted(example):
    check_config(example.get_config())
    path = f"{example.__name__.replace('.', '/')}.py"
    assert f"\n    python -m experiments.run --config={path} --workdir=" in example.__doc__


@pytest.mark.parametrize(
    ("field", "name", "told"),
    [
        ("model.name", "examples.own.network:Missing", "has no attribute 'Missing'"),
        ("pruning.criterion", "no_such_package:f", "No module named 'no_such_package'"),
        ("schedule.shape", "tests.test_own:HERE", "is of type str; allowed: MODULE:NAME"),
        ("model.name", "tests.test_own:nothing", "option of tests.test_own:nothing"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(field, name, told):
    config = tiny_config(**{field.replace(".", "__"): name})
    if told.startswith("option"):
        config.model.width = 3
    with pytest.raises(ValueError, match=f"^{field}|^option of ") as refused:
        check_config(config)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_data_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"^data.name: .* has returned None; allowed: \(train, te"):
        load_data(f"{HERE}:nothing")
    with pytest.raises(ValueError, match=r"^data.name: .* allowed: data.image_size=0"):
        check_data_name(f"{HERE}:digits", streamed=True)
