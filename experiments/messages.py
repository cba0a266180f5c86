"""What a run says on stderr: one line for what went wrong, whatever libraries would add to it."""

import logging
import sys
import warnings


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
