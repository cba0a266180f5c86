"""The commands: ``silo-jax run`` as a console script, ``python -m experiments.run`` as a module."""

import sys
from importlib import import_module

from silo_jax.checks import require_choice
from silo_jax.cli.messages import keep_to_one_line

COMMANDS = {
    "run": "trains and prunes a network as a config says, and reports",
    "compare": "compares schedules, or the values of a field, with seeds",
    "oracle": "searches max_lr by grid at every cycle",
    "tune": "finds the bounds of max_lr for a config",
    "premise": "measures the widths of gradients and representations",
    "report": "makes a report from result files, also of several runs side by side",
    "inspect": "shows what a run or a study holds, and what is next",
    "export": "writes a run's network into files, dense, sparse or smaller",
}


def main() -> None:
    """Runs the command that the first argument names."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name == "--help":
        print("usage: silo-jax COMMAND [--help] [FLAGS …]")
        print("\n".join(f"  {command:<10} {what}" for command, what in COMMANDS.items()))
        return
    try:
        require_choice("command", name, COMMANDS)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.path.insert(0, "")  # where `python -m` finds a config's own modules
    _call(name, [f"silo-jax {name}", *arguments])


def start(command: str) -> None:
    """Runs a command with the arguments of this process."""
    _call(command, [f"python -m experiments.{command}", *sys.argv[1:]])


def _call(command: str, argv: list[str]) -> None:
    keep_to_one_line()
    import_module(f"silo_jax.cli.{command}").main(argv)
