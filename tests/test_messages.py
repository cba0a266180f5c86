"""What a run says on stderr, whatever libraries would add to it."""

import subprocess
import sys
from pathlib import Path

SAY = """
import asyncio, logging, warnings
from silo_jax.cli.messages import keep_to_one_line

class Ends:
    def __init__(self, message):
        self.message = message

    def __del__(self):
        raise RuntimeError(self.message)

keep_to_one_line()
warnings.warn("checkpoint 40 is damaged")
logging.getLogger("absl").error("a traceback of orbax")
loop = asyncio.new_event_loop()
loop.create_future().set_exception(OSError("nobody waits for this write"))
loop.close()
Ends("Event loop is closed")
Ends("something else")
"""


def test_one_line_for_a_warning_and_none_for_errors_that_are_raised_as_well():
    result = subprocess.run(
        [sys.executable, "-c", SAY],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    first, *others = result.stderr.splitlines()
    assert first == "warning: checkpoint 40 is damaged"
    assert others[0].startswith("Exception ignored in: <function Ends.__del__")
    assert others[-1] == "RuntimeError: something else"
    for hidden in ("orbax", "nobody", "closed"):
        assert hidden not in result.stderr
