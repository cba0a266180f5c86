"""What the entry points say: tables on stdout, and one line on stderr for what went wrong."""

import logging
import sys
import warnings

from rich.console import Console

_WIDTH_OF_FILES = 140


def output(*, quiet: bool = False) -> Console:
    """Where results are told; what goes to a file or a pipe is not cut to a terminal's width."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES, quiet=quiet)


def keep_to_one_line() -> None:
    """Has warnings shown as ``warning: …``, and hides what libraries log about errors they raise.

    That is a traceback for each of the files that could not be written when a checkpoint failed:
    from orbax, and from asyncio for the writes that nobody waits for any more.
    """
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    show, sys.unraisablehook = (
        sys.unraisablehook,
        lambda unraisable: (
            None if str(unraisable.exc_value) == "Event loop is closed" else show(unraisable)
        ),
    )
