"""The flags of an experiment. Wrong input ends in one line on stderr and exit status 2."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from silo_jax.checks import require_choice

_OVERRIDE = re.compile(r"--?config\.(?P<field>[^=]*)(?P<value>=.*)?", re.DOTALL)

_PROCESSES = ("coordinator", "num_processes", "process_id")
_ARGUMENTS = (
    "--config",
    "--config.FIELD",
    "--workdir",
    "--fork",
    "--distributed",
    *(f"--{name}" for name in _PROCESSES),
)
_PARSERS: dict[type, tuple[Any, str]] = {
    bool: (flags.BooleanParser(), "true or false"),
    int: (flags.IntegerParser(), "an integer"),
    float: (flags.FloatParser(), "a number"),
}


def parse_flags(argv: list[str]) -> dict[str, Any]:
    """``--config`` with its overrides, ``--workdir``, and ``--fork``, which may be None.

    ``processes`` has the arguments of `silo_jax.distributed.join`, None for a single process.
    """
    with exit_on_bad_input():
        if "--help" in argv:
            print(
                "usage: python -m experiments.run --config=FILE --workdir=DIR "
                "[--config.FIELD=VALUE …] [--fork=DIR] "
                "[--distributed | --coordinator=HOST:PORT --num_processes=N --process_id=I]"
            )
            sys.exit(0)
        _check_names(argv[1:])
        overrides = [match for arg in argv if (match := _OVERRIDE.fullmatch(arg))]
        plain = _parse([arg for arg in argv if not _OVERRIDE.fullmatch(arg)])
        for override in overrides:
            _check_override(plain["config"], override)
        return _parse(argv)


@contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Turns what is wrong with flags, config, directory or data into one line and exit status 2."""
    try:
        yield
    except (ValueError, RuntimeError, flags.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _parse(argv: list[str]) -> dict[str, Any]:
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", help_string="config file", flag_values=values, sys_argv=argv
    )
    flags.DEFINE_string("workdir", None, "directory of the run", flag_values=values)
    flags.DEFINE_string("fork", None, "directory of another run", flag_values=values)
    flags.DEFINE_bool("distributed", False, "one of several processes", flag_values=values)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0", flag_values=values)
    flags.DEFINE_integer("num_processes", None, "how many", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("process_id", None, "from 0", lower_bound=0, flag_values=values)
    surplus = _fill(values, argv)[1:]
    if surplus:
        require_choice("argument", surplus[0], _ARGUMENTS)
    for name in ("config", "workdir"):
        if not values[name].value:
            raise ValueError(f"--{name}: missing; allowed: --{name}=PATH")
    if values["fork"].value == "":
        raise ValueError("--fork: missing; allowed: --fork=PATH")
    paths = {name: values[name].value for name in ("workdir", "fork")}
    processes = _processes({name: values[name].value for name in ("distributed", *_PROCESSES)})
    if processes is not None and paths["fork"]:
        raise ValueError(f"--fork: {paths['fork']}; allowed: with a single process only")
    return {"config": _loaded(values["config"]), **paths, "processes": processes}


def _processes(given: dict[str, Any]) -> dict[str, Any] | None:
    """How the processes find each other; an empty dict leaves it to the cluster to tell."""
    is_found = given.pop("distributed")
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return {} if is_found else None
    if is_found:
        raise ValueError(f"--distributed: given; allowed: without --{', --'.join(_PROCESSES)}")
    if missing:
        raise ValueError(f"--{missing[0]}: missing; allowed: --{', --'.join(_PROCESSES)} together")
    if given["process_id"] >= given["num_processes"]:
        raise ValueError(
            f"--process_id: {given['process_id']}; allowed: below the {given['num_processes']} of "
            "--num_processes"
        )
    return given


def _fill(values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Parses into ``values``. Whatever a config file's own code raises becomes a ValueError."""
    try:
        return values(argv)
    except Exception as error:
        if isinstance(error, flags.Error) and "Traceback" not in str(error):
            raise
        reason = str(error).strip().splitlines()[-1] if str(error) else type(error).__name__
        flag = next((arg for arg in argv if arg.startswith("--config=")), "--config")
        raise ValueError(f"{flag}: {reason}; allowed: a file that defines get_config()") from error


def _loaded(flag: Any) -> ConfigDict:
    """The config, which ml_collections loads so lazily that a missing file fails only when used."""
    try:
        len(flag.value)
    except (OSError, TypeError, AttributeError):
        message = f"--config: {flag.config_filename!r}; allowed: a file that defines get_config()"
        raise ValueError(message) from None
    return flag.value


def _check_names(arguments: list[str]) -> None:
    """Refuses flags that are not known, and those that are given twice."""
    names = [arg.lstrip("-").partition("=")[0] for arg in arguments if arg.startswith("-")]
    for name in names:
        if not name.startswith("config."):
            require_choice("argument", f"--{name}", _ARGUMENTS)
        if names.count(name) > 1:
            raise ValueError(f"--{name}: given twice; allowed: once")


def _check_override(config: ConfigDict, override: re.Match) -> None:
    *parents, name = override["field"].split(".")
    path = "config"
    for parent in parents:
        require_choice(f"--{path}", parent, [key for key in config if _is_section(config[key])])
        config, path = config[parent], f"{path}.{parent}"
    require_choice(f"--{path}", name, [key for key in config if not _is_section(config[key])])
    if override["value"] is None:
        raise ValueError(f"--{path}.{name}: no value; allowed: --{path}.{name}=VALUE")
    if type(config[name]) in _PARSERS:
        parser, allowed = _PARSERS[type(config[name])]
        try:
            parser.parse(override["value"][1:])
        except (TypeError, ValueError):
            raise ValueError(f"{override[0]}; allowed: {allowed}") from None


def _is_section(value: Any) -> bool:
    return isinstance(value, ConfigDict)
