"""What the entry points have in common: how a session ends, and with which exit status."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
