"""TensorBoard's event files hold what the other result files do, each step once."""

import csv
import json
import shutil
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from silo_jax.cli.run import main
from silo_jax.training.progress import RunProgress
from silo_jax.training.run import run
from tests.tiny import run_quietly, tiny_config

tensorboardX = pytest.importorskip(  # noqa: N816
    "tensorboardX", reason='needs tensorboardX: pip install "silo-jax[tensorboard]"'
)
TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "test_loss": "loss/test",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/val",
    "test_accuracy": "accuracy/test",
    "lr": "schedule/lr",
    "max_lr": "schedule/max_lr",
    "density": "density/network",
    "seconds": "speed/seconds",
    "images_per_second": "speed/images_per_second",
}


def events_of(path: Path) -> list:
    """The events of a file up to a record that was cut off."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    data, start, events = path.read_bytes(), 0, []
    while start < len(data):
        header, (check,) = data[start : start + 8], struct.unpack_from("<I", data, start + 8)
        assert check == masked_crc32c(header)
        end = start + 12 + struct.unpack("<Q", header)[0]
        if len(data) < end + 4:
            break
        record, (check,) = data[start + 12 : end], struct.unpack_from("<I", data, end)
        assert check == masked_crc32c(record)
        events.append(Event.FromString(record))
        start = end + 4
    return events


def shown(directory: Path) -> Counter:
    """How often TensorBoard shows each tag, step and value of a run.

    It reads the files in the order of their names; where a session starts at a step, it drops what
    it has from that step on.
    """
    from tensorboardX.proto.event_pb2 import SessionLog

    points = []
    for path in sorted(directory.glob("*tfevents*")):
        version, *events = events_of(path)
        assert version.file_version == "brain.Event:2"
        times = [event.wall_time for event in events if event.summary.value]
        assert times == sorted(times)
        for event in events:
            if event.session_log.status == SessionLog.START:
                points = [point for point in points if point[1] < event.step]
            points += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    return Counter(points)


def written(workdir: Path, seed: int) -> Counter:
    """What the other files have, to the precision of event files."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    points = [
        (tag, row["step"], float(np.float32(row[name])))
        for row in rows
        for name, tag in TAGS.items()
        if name in row and row["seed"] == seed
    ]
    with (workdir / "layers.csv").open(newline="") as file:
        points += [
            (f"density/{row['layer']}", int(row["step"]), float(np.float32(row["density"])))
            for row in csv.DictReader(file)
            if int(row["seed"]) == seed
        ]
    return Counter(points)


def assert_all_is_there(workdir: Path, seeds: tuple[int, ...]) -> None:
    for seed in seeds:
        directory = workdir / "tensorboard" / f"seed_{seed}"
        assert 1 <= len([*directory.iterdir()]) <= 2
        points = shown(directory)
        assert points == written(workdir, seed)
        assert set(points.values()) == {1}
        assert {tag for tag, *_ in points} >= {*TAGS.values(), "density/Dense_0/kernel"}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run of two seeds that was stopped twice, each time between an epoch's row and its state.

    What was written is read at every epoch, while the file is open. Half a record is left at its
    end, as by a kill.
    """
    workdir, config = tmp_path_factory.mktemp("run"), tiny_config(seeds=(0, 1))

    def stop_after(number):
        seen = []

        def epoch(self, row):
            seen.append(row)
            live = shown(workdir / "tensorboard" / f"seed_{row['seed']}")
            assert ("loss/train", row["step"], float(np.float32(row["train_loss"]))) in live
            if len(seen) == number:
                raise KeyboardInterrupt

        return epoch

    for number in (2, 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunProgress, "epoch", stop_after(number))
            with pytest.raises(KeyboardInterrupt):
                run(config, workdir, Console(quiet=True), tensorboard=True)
        for path in (workdir / "tensorboard").rglob("*tfevents*"):
            path.write_bytes(path.read_bytes()[:-7])
    return run(config, workdir, Console(quiet=True), tensorboard=True)


def test_a_run_that_was_stopped_has_every_step_once(stopped):
    assert_all_is_there(stopped, (0, 1))


def test_a_finished_run_gets_event_files_of_all_its_rows(stopped):
    shutil.rmtree(stopped / "tensorboard")
    before = (stopped / "metrics.jsonl").read_bytes()
    run_quietly(tiny_config(seeds=(0, 1)), stopped)
    assert not (stopped / "tensorboard").exists()
    for _ in range(2):
        run(tiny_config(seeds=(0, 1)), stopped, Console(quiet=True), tensorboard=True)
        assert_all_is_there(stopped, (0, 1))
    assert (stopped / "metrics.jsonl").read_bytes() == before


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_without_the_package_a_line_tells_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # a config loaded before
    workdir, config = tmp_path / "run", Path(__file__).with_name("mlp_config.py")
    with pytest.raises(SystemExit) as ended:
        main(["run", f"--config={config}", f"--workdir={workdir}", "--tensorboard"])
    assert ended.value.code == 2
    allowed = 'False, or after pip install "silo-jax[tensorboard]"'
    assert capsys.readouterr() == ("", f"error: tensorboard: True; allowed: {allowed}\n")
    assert not workdir.exists()
