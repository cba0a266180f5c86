"""Whole runs on images that are streamed: from a folder, and from ImageNet as TFDS writes it."""

import pytest
from rich.console import Console

from silo_jax.training import loop
from silo_jax.training.config import check_config
from silo_jax.training.interrupts import Stopped
from silo_jax.training.run import prepared
from tests.jpeg_sets import write_folder, write_imagenet
from tests.refusals import refused
from tests.run_files import StopAfter, final_states, rows_of, without_times
from tests.tiny import assert_identical, run_quietly, tiny_config

pytest.importorskip("grain")


def streamed_config(**fields):
    return tiny_config(
        **{
            "data__image_size": 8,
            "data__mean": (0.5, 0.5, 0.5),
            "data__std": (0.25, 0.25, 0.25),
            "data__flip": True,
            "data__validation_fraction": 0.2,
            "training__batch_size": 4,
            "training__eval_batch_size": 3,
            **fields,
        }
    )


def test_a_run_on_a_folder_of_images_is_stopped_and_goes_on_bit_for_bit(tmp_path):
    write_folder(tmp_path / "images", train=(9, 10, 11), held_out=(3, 2, 2))
    config = streamed_config(data__name="folder", data__data_dir=str(tmp_path / "images"))
    straight = run_quietly(config, tmp_path / "straight")
    rows = rows_of(straight / "cycles.csv")
    assert [row["cycle"] for row in rows] == ["0", "1"]
    # 7 test images: an accuracy is a number of sevenths.
    for correct in (float(row["test_accuracy"]) * 7 / 100 for row in rows):
        assert correct == pytest.approx(round(correct), abs=1e-4)

    stopped = tmp_path / "stopped"
    with prepared(config, stopped) as experiment, pytest.raises(Stopped):
        loop.run_seeds(experiment, stopped, Console(quiet=True), StopAfter(3))
    assert len((stopped / "metrics.jsonl").read_text().splitlines()) < 4
    run_quietly(config, stopped)
    assert without_times(stopped) == without_times(straight)
    assert_identical(final_states(stopped, config), final_states(straight, config))


def test_a_run_on_some_classes_of_imagenet(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    write_imagenet(tmp_path / "tfds")
    config = streamed_config(
        data__name="imagenet2012",
        data__data_dir=str(tmp_path / "tfds"),
        data__cache_dir=str(tmp_path / "cache"),
        data__classes="n15075141,0",
    )
    with prepared(config, tmp_path / "run") as experiment:
        loop.run_seeds(experiment, tmp_path / "run", Console(quiet=True))
    assert experiment.recipe.model.num_classes == 2
    assert len(rows_of(tmp_path / "run" / "cycles.csv")) == 2


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("data__test_fraction", 0.2, "0, with data.image_size=8"),
        ("evaluation__augment", True, "False, with data.image_size=8"),
        ("evaluation__drop_last", True, "False, with data.image_size=8"),
        ("training__drop_last", False, "True, with data.image_size=8"),
        ("pruning__criterion", "movement", "magnitude or random"),
    ],
)
def test_what_only_sets_in_memory_can_do_is_refused(field, value, allowed):
    config = streamed_config(**{field: value})
    with refused(field.replace("__", "."), repr(value), allowed):
        check_config(config)


def test_statistics_are_not_measured_on_a_stream_and_workers_have_nothing_to_do_without():
    with refused("data.mean", "()", "three numbers"):
        check_config(streamed_config(data__mean=(), data__std=()))
    with refused("data.workers", 2, "0, as data.image_size is 0"):
        check_config(tiny_config(data__workers=2))
