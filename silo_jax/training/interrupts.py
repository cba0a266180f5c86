"""Signals that ask a run to stop, answered between two steps."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import TypeVar

import jax

from silo_jax.distributed import largest

T = TypeVar("T")

_SECONDS_BETWEEN_LOOKS = 0.1


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

    def raise_if_asked(self) -> None:
        """Raises Stopped if the process was asked to stop."""
        signum = self.signum
        if signum is not None:
            raise Stopped(signum)

    def interruptibly(self, act: Callable[[], T]) -> T:
        """What a long call returns, left at once when the process is asked to stop.

        Only for calls that have nothing to save: it goes on in a thread, and ends with the process.
        One of several processes waits for the end, as all of them have to stop at the same point.

        Raises:
          Stopped: the process was asked to stop.
        """
        if jax.process_count() > 1:
            return act()
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(act())
            except BaseException as error:
                outcome.set_exception(error)

        thread = Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            self.raise_if_asked()
            thread.join(_SECONDS_BETWEEN_LOOKS)
        return outcome.result()

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
