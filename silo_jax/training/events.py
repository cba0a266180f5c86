"""TensorBoard's event files of a run, from the rows of its other result files.

They are written with tensorboardX, without TensorFlow; it is imported here alone, and only when
event files are asked for.
"""

import time
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

from silo_jax.files import naming

Row = Mapping[str, Any]

_SPLITS = ("train", "val", "test")
TAGS = {
    **{f"{split}_loss": f"loss/{split}" for split in _SPLITS},
    **{f"{split}_accuracy": f"accuracy/{split}" for split in _SPLITS},
    "lr": "schedule/lr",
    "max_lr": "schedule/max_lr",
    "density": "density/network",
    "seconds": "speed/seconds",
    "images_per_second": "speed/images_per_second",
}


def require_tensorboard() -> None:
    """Refuses to write event files where tensorboardX is missing.

    Raises:
      ValueError: one line.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ValueError(
            'tensorboard: True; allowed: False, or after pip install "silo-jax[tensorboard]"'
        ) from None


class EventFiles:
    """A directory of event files for each seed, ``seed_0`` and so on, a TensorBoard run each.

    A session begins a file with all rows so far and goes on in it. The file says that it stands for
    those before, so that TensorBoard shows every step once, however often the run was stopped.
    Steps are those of ``metrics.jsonl``; what is not in a row, such as the test accuracy of most
    epochs, is left out.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writers: dict[int, tuple[Path, Any]] = {}

    def restart(self, seed: int, epochs: Sequence[Row], layers: Sequence[Row]) -> None:
        """Begins a file that stands for all that is there of a seed.

        Args:
          seed: whose.
          epochs: rows of ``metrics.jsonl``. Their times are such that the last one ends now and
            each has lasted its ``seconds``.
          layers: rows of ``layers.csv``.

        Raises:
          OSError: one line; the file cannot be written.
        """
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._close(seed)
        directory = self._directory / f"seed_{seed}"
        directory.mkdir(parents=True, exist_ok=True)
        earlier = sorted(directory.glob("*tfevents*"))
        path = directory / f"events.out.tfevents.{time.time_ns()}"
        with naming(path):
            self._writers[seed] = path, RecordWriter(str(path))
        begun = time.time() - sum(row["seconds"] for row in epochs)
        self._write(
            seed,
            Event(wall_time=begun, file_version="brain.Event:2"),
            Event(wall_time=begun, step=0, session_log=SessionLog(status=SessionLog.START)),
            *_events(begun, epochs, layers),
        )
        # A TensorBoard that is looking on goes from the last one to the new one, if it is there.
        for file in earlier[:-1]:
            file.unlink()

    def add_epoch(self, row: Row) -> None:
        """Adds what a row of ``metrics.jsonl`` has."""
        self._write(row["seed"], *_events(time.time() - row["seconds"], [row], []))

    def add_layers(self, rows: Sequence[Row]) -> None:
        """Adds the density of each layer, from the rows of ``layers.csv`` of a cycle."""
        self._write(rows[0]["seed"], *_events(time.time(), [], rows))

    def close(self) -> None:
        """Closes the files."""
        for seed in [*self._writers]:
            self._close(seed)

    def _write(self, seed: int, *events: Any) -> None:
        path, writer = self._writers[seed]
        with naming(path):
            for event in events:
                writer.write(event.SerializeToString())
            writer.flush()

    def _close(self, seed: int) -> None:
        if seed in self._writers:
            _, writer = self._writers.pop(seed)
            writer.close()


def _events(begun: float, epochs: Sequence[Row], layers: Sequence[Row]) -> list[Any]:
    """An event for each epoch, and one for all layers of a cycle, in the order of their steps."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    def event(step: int, values: Mapping[str, float]) -> Any:
        told = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        return Event(wall_time=times.get(step, begun), step=step, summary=Summary(value=told))

    seconds = accumulate(row["seconds"] for row in epochs)
    times = {row["step"]: begun + passed for row, passed in zip(epochs, seconds, strict=True)}
    events = [
        event(row["step"], {tag: row[name] for name, tag in TAGS.items() if name in row})
        for row in epochs
    ]
    for step, rows in groupby(layers, lambda row: int(row["step"])):
        densities = {f"density/{row['layer']}": float(row["density"]) for row in rows}
        events.append(event(step, densities))
    return sorted(events, key=lambda event: event.step)
