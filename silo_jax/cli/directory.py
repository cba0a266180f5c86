"""The flags of the commands on directories that are there: ``silo-jax export DIR --flag=value``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from silo_jax.cli.flags import Flag, check_names, usage


def parse_directories(
    argv: list[str], arguments: str, known: Mapping[str, Flag]
) -> tuple[list[Path], dict[str, Any]]:
    """The directories, and the values of the flags by name.

    Args:
      argv: the program as its usage shows it, such as "silo-jax report", and its arguments.
      arguments: of the command, for its usage.
      known: the flags of this command.

    Raises:
      ValueError: a flag is not known, or given twice; one line.
      flags.Error: a value cannot be parsed; one line.
    """
    if "--help" in argv:
        print(usage(argv[0], arguments, known))
        sys.exit(0)
    check_names(argv[1:], [f"--{name}" for name in known])
    values = flags.FlagValues()
    for name, flag in known.items():
        flag.define(name, flag.default, flag.help, flag_values=values)
    directories = [Path(directory) for directory in values(argv)[1:]]
    return directories, {name: values[name].value for name in known}


def parse_directory(argv: list[str], known: Mapping[str, Flag]) -> tuple[Path, dict[str, Any]]:
    """As `parse_directories`, of a command on a single one.

    Raises:
      ValueError: also if it is not there.
    """
    directories, values = parse_directories(argv, "DIR [FLAGS …]", known)
    if len(directories) != 1:
        given = f"{len(directories)} given" if directories else "missing"
        raise ValueError(f"DIR: {given}; allowed: one directory of a run")
    (directory,) = directories
    if not directory.is_dir():
        raise ValueError(f"DIR: {directory}; allowed: a directory")
    return directory, values
