"""The flags of an experiment. Wrong input ends in one line on stderr and exit status 2."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from silo_jax.checks import require_choice

_OVERRIDE = re.compile(r"--?config\.(?P<field>[^=]*)(?P<value>=.*)?", re.DOTALL)

_PARSERS: dict[type, tuple[Any, str]] = {
    bool: (flags.BooleanParser(), "true or false"),
    int: (flags.IntegerParser(), "an integer"),
    float: (flags.FloatParser(), "a number"),
}


class Flag(NamedTuple):
    """A flag of an entry point, beside ``--config`` and ``--workdir``.

    Attributes:
      define: of absl, such as `flags.DEFINE_string`.
      default: where it is not given.
      value: what stands for its value in the usage, such as "DIR"; "" for a switch.
      help: what it does, for ``--help``.
      minimum: the smallest value allowed, of a number.
    """

    define: Callable[..., Any]
    default: Any
    value: str
    help: str
    minimum: float | None = None


def parse_flags(argv: list[str], extra: Mapping[str, Flag]) -> dict[str, Any]:
    """``config`` with its overrides, ``workdir``, and the values of the extra flags by name.

    Args:
      argv: the program as its usage shows it, such as "silo-jax run", and its arguments.
      extra: flags of this entry point alone.
    """
    with exit_on_bad_input():
        if "--help" in argv:
            print(usage(argv[0], "--config=FILE --workdir=DIR [--config.FIELD=VALUE …]", extra))
            sys.exit(0)
        check_names(argv[1:], _arguments(extra))
        overrides = [match for arg in argv if (match := _OVERRIDE.fullmatch(arg))]
        config = _parse([arg for arg in argv if not _OVERRIDE.fullmatch(arg)], extra)["config"]
        added = [override for override in overrides if _adds_option(config, override)]
        for override in overrides:
            if override not in added:
                _check_override(config, override)
        texts = [override[0] for override in added]
        values = _parse([arg for arg in argv if arg not in texts], extra)
        for override in added:
            _add_option(values["config"], override)
        return values


def usage(program: str, arguments: str, known: Mapping[str, Flag]) -> str:
    """What ``--help`` prints: how the program is called, and a line for each flag."""
    lines = [f"usage: {program} {arguments}"]
    for name, flag in known.items():
        value = f"={flag.value}" if flag.value else ""
        default = "" if flag.default in (None, "", False) else f" [{flag.default}]"
        lines.append(f"  --{name + value:<24} {flag.help}{default}")
    return "\n".join(lines)


@contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Turns what is wrong with flags, config, directory or data into one line and exit status 2."""
    try:
        yield
    except (ValueError, RuntimeError, flags.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _parse(argv: list[str], extra: Mapping[str, Flag]) -> dict[str, Any]:
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", help_string="config file", flag_values=values, sys_argv=argv
    )
    flags.DEFINE_string("workdir", None, "directory of the results", flag_values=values)
    for name, flag in extra.items():
        flag.define(name, flag.default, flag.help, flag_values=values)
    surplus = _fill(values, argv)[1:]
    if surplus:
        require_choice("argument", surplus[0], _arguments(extra))
    for name in ("config", "workdir"):
        if not values[name].value:
            raise ValueError(f"--{name}: missing; allowed: --{name}=PATH")
    given = {name: values[name].value for name in ("workdir", *extra)}
    for name, flag in extra.items():
        if flag.minimum is not None:
            _check_minimum(name, given[name], flag.minimum)
    return {"config": _loaded(values["config"]), **given}


def _check_minimum(name: str, value: float | None, minimum: float) -> None:
    if value is not None and not value >= minimum:
        raise ValueError(f"--{name}: {value}; allowed: at least {minimum}")


def _arguments(extra: Mapping[str, Flag]) -> tuple[str, ...]:
    return ("--config", "--config.FIELD", "--workdir", *(f"--{name}" for name in extra))


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


def check_names(arguments: list[str], known: Sequence[str]) -> None:
    """Refuses flags that are not known, and those that are given twice."""
    names = [arg.lstrip("-").partition("=")[0] for arg in arguments if arg.startswith("-")]
    for name in names:
        if not name.startswith("config."):
            require_choice("argument", f"--{name}", known)
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


def _adds_option(config: ConfigDict, override: re.Match) -> bool:
    """Whether it sets a field of `model` that the config file leaves to the network's default."""
    section, _, name = override["field"].partition(".")
    return section == "model" and _is_section(config.get("model")) and name not in config.model


def _add_option(config: ConfigDict, override: re.Match) -> None:
    from silo_jax.models import model_options

    model, name = config.model, override["field"].partition(".")[2]
    options = model_options(model.name)
    plain = [option for option, default in options.items() if type(default) in (str, *_PARSERS)]
    require_choice("--config.model", name, {*model, *plain})
    with config.unlocked():
        model[name] = options[name]
    _check_override(config, override)
    text, kind = override["value"][1:], type(options[name])
    model[name] = _PARSERS[kind][0].parse(text) if kind in _PARSERS else text


def _is_section(value: Any) -> bool:
    return isinstance(value, ConfigDict)
