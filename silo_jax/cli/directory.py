"""The flags of the commands on a directory that is there: ``silo-jax export DIR --flag=value``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from silo_jax.checks import require_choice
from silo_jax.cli.flags import Flag


def parse_directory(argv: list[str], known: Mapping[str, Flag]) -> tuple[Path, dict[str, Any]]:
    """The directory, and the values of the flags by name.

    Args:
      argv: the program as its usage shows it, such as "silo-jax export", and its arguments.
      known: the flags of this command.

    Raises:
      ValueError: an argument is not as it has to be, or the directory is not there; one line.
      flags.Error: a value cannot be parsed; one line.
    """
    if "--help" in argv:
        print(_usage(argv[0], known))
        sys.exit(0)
    names = [arg.lstrip("-").partition("=")[0] for arg in argv[1:] if arg.startswith("-")]
    for name in names:
        require_choice("argument", f"--{name}", [f"--{each}" for each in known])
        if names.count(name) > 1:
            raise ValueError(f"--{name}: given twice; allowed: once")
    values = flags.FlagValues()
    for name, flag in known.items():
        flag.define(name, flag.default, flag.help, flag_values=values)
    directories = values(argv)[1:]
    if len(directories) != 1:
        given = f"{len(directories)} given" if directories else "missing"
        raise ValueError(f"DIR: {given}; allowed: one directory of a run")
    directory = Path(directories[0])
    if not directory.is_dir():
        raise ValueError(f"DIR: {directory}; allowed: a directory")
    return directory, {name: values[name].value for name in known}


def _usage(program: str, known: Mapping[str, Flag]) -> str:
    lines = [f"usage: {program} DIR [FLAGS …]"]
    for name, flag in known.items():
        value = f"={flag.value}" if flag.value else ""
        default = "" if flag.default in (None, "", False) else f" [{flag.default}]"
        lines.append(f"  --{name + value:<24} {flag.help}{default}")
    return "\n".join(lines)
