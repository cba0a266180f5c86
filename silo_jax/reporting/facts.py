"""What was run, on what, and how long it took: the facts that every page tells."""

from collections.abc import Mapping
from typing import Any

from silo_jax.reporting.aggregate import count


def run_facts(
    config: Mapping[str, Any], environment: Mapping[str, str], seconds: float
) -> dict[str, str]:
    """Lists what was run.

    Args:
        config: Nested experiment config.
        environment: Flat facts about software and hardware: command, commit, versions, device.
        seconds: That were spent on training, summed over all networks.

    Returns:
        Facts by name: seeds, cycles and duration, and those of the environment.
    """
    seeds = config["seeds"]
    named = ", ".join(map(str, seeds))
    asked = {
        "seeds": f"{named} ({count(len(seeds), 'seed')})",
        "cycles": f"{int(config['pruning']['num_cycles'])}, the dense one included",
        "duration": f"{duration(seconds)} of training and evaluation, summed over all networks",
    }
    first = {name: environment[name] for name in ("command", "commit") if name in environment}
    return first | asked | dict(environment)


def duration(seconds: float) -> str:
    """Writes a time.

    Example:
        >>> duration(7.25), duration(75), duration(7505)
        ('7.2 s', '1 min 15 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
