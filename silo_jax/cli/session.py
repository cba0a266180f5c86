"""What the entry points have in common: how a session ends, and with which exit status."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def session() -> Iterator[None]:
    """Ends the process with one line: 1 when it failed, 128 + the signal when it was stopped."""
    from silo_jax.training.interrupts import Stopped

    try:
        yield
    except Stopped as stopped:
        print(f"{stopped}; the same command goes on from here", file=sys.stderr)
        sys.exit(128 + stopped.signum)
    except KeyboardInterrupt:
        print("stopped by SIGINT at once; what was saved before is kept", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        sys.exit(f"error: {' '.join(str(error).split())}; what was written before is kept")


def exit_when_done(given_up: Sequence[Any]) -> None:
    """Ends the process: with 0, or with 1 and a line for each seed that was given up.

    Args:
      given_up: of `silo_jax.training.results.Divergence`.
    """
    for one in given_up:
        print(
            f"seed {one.seed} diverged at step {one.step} (cycle {one.cycle}, lr {one.lr:.4g}, "
            f"last finite loss {one.last_finite_loss:.4g})",
            file=sys.stderr,
        )
    sys.exit(1 if given_up else 0)
