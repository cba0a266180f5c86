"""Signals that ask a run to stop, answered between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from silo_jax.distributed import largest


class Stopped(Exception):  # noqa: N818 (it is no error)
    """The run has saved its state and stopped, because it was asked to."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class StopRequest:
    """Whether the process, or one that it works with, was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.received = 0  # by this process

    @property
    def signum(self) -> int | None:
        """The signal, None without one. All processes have to look at the same points."""
        return largest(self.received) or None

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Takes note of SIGTERM and SIGINT; a second signal has its usual effect at once.

        To be entered in the main thread, as Python handles signals there.
        """
        earlier = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            for signum, handler in earlier.items():
                signal.signal(signum, handler)

        def note(signum: int, frame: FrameType | None) -> None:
            self.received = signum
            restore()

        for signum in earlier:
            signal.signal(signum, note)
        try:
            yield self
        finally:
            restore()
