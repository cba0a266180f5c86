"""What a comparison is made of: learning-rate schedules, or the values of a field.

Every schedule is run with every max_lr of one grid, the same for all, and with every seed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from silo_jax.checks import require_choice, require_int
from silo_jax.training.config import flatten, rewind_policies
from silo_jax.training.experiment import CHANGEABLE, Experiment

# How max_lr moves over the cycles, and the shape of the learning rate within a cycle.
SCHEDULES = {
    "silo": ("silo", "warmup_step_decay"),
    "warmup": ("constant", "warmup_step_decay"),
    "gradient_matched": ("gradient_matched", "warmup_step_decay"),
    "constant": ("constant", "constant"),
    "linear": ("constant", "linear_decay"),
    "cosine": ("constant", "cosine_decay"),
    "cyclical": ("constant", "triangular"),
    "one_cycle": ("constant", "one_cycle"),
}

# What the cells of a comparison have in common.
_FIXED = {"pruning.num_cycles"}


class Candidate(NamedTuple):
    """An option at one max_lr.

    Attributes:
      option: its name.
      max_lr: of the dense network.
      fields: of the config, by dotted name, that make it.
      program: those of them on which the compiled program depends; the peaks are data.
    """

    option: str
    max_lr: float
    fields: Mapping[str, Any]
    program: Mapping[str, Any]


class Comparison(NamedTuple):
    """What is compared.

    Attributes:
      along: "schedule", or the dotted name of a field.
      options: names of schedules, or values of the field as text.
      reference: the option that the others are compared with.
      max_lrs: grid of the dense network's max_lr; () where a field is compared.
      candidates: every option at every max_lr.
      hindsight: whether each candidate is run through all cycles; else only the one that does best
        with the dense network.
      tuning_seeds: those that choose max_lr. With the others only what was chosen is run.
    """

    along: str
    options: tuple[str, ...]
    reference: str
    max_lrs: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    hindsight: bool
    tuning_seeds: tuple[int, ...]

    def tunes_first(self, num_seeds: int) -> bool:
        """Whether there are networks to be trained that only the choice of max_lr settles."""
        few = len(self.tuning_seeds) < num_seeds
        return bool(self.max_lrs) and (few or not self.hindsight)

    def cycles_to_train(self, num_cycles: int, num_seeds: int) -> int:
        """Cycles that are trained, at most, of runs with so many cycles and seeds."""
        tried = len(self.candidates) * len(self.tuning_seeds)
        if not self.tunes_first(num_seeds):
            return tried * num_cycles
        if not self.hindsight:
            return tried + len(self.options) * num_seeds * num_cycles
        others = num_seeds - len(self.tuning_seeds)
        chosen = min(2 * len(self.options), len(self.candidates))  # tuned and in hindsight
        return (tried + chosen * others) * num_cycles

    def described(self) -> dict[str, Any]:
        """What study.json says of it."""
        told = {name: value for name, value in self._asdict().items() if name != "candidates"}
        return {"kind": "comparison"} | told


def compare_schedules(
    experiment: Experiment,
    *,
    schedules: Sequence[str] = (),
    max_lrs: Sequence[float] = (),
    hindsight: bool = True,
    tuning_seeds: int = 0,
) -> Comparison:
    """The schedules beside each other, each at every max_lr of the grid.

    With a max_lr v of the grid, a fixed schedule has max_lr v in every cycle, "gradient_matched"
    starts from v, and SILO rises from v to v · upper / lower, with the config's bounds.

    Args:
      experiment: with the protocol; of its schedule, SILO's bounds, steepness and delay, and the
        warm-up and drops of the shape "warmup_step_decay".
      schedules: keys of ``SCHEDULES``; by default all that the way of rewinding admits.
      max_lrs: by default `default_grid` of SILO's bounds.
      hindsight: see `Comparison`.
      tuning_seeds: how many of the config's seeds choose max_lr, the first ones; 0 for all.

    Raises:
      ValueError: an unknown schedule, a max_lr that is not above 0, or too few of either; more
        seeds than the config has; a config of another shape without the warm-up or drops that silo
        is made of.
    """
    schedule = experiment.config.schedule
    if not schedule.lower > 0:
        raise ValueError(f"schedule.lower: {schedule.lower}; allowed: above 0 for a comparison")
    names = tuple(dict.fromkeys(schedules or _default_schedules(experiment)))
    for name in names:
        require_choice("schedules", name, SCHEDULES)
    if "silo" not in names or len(names) < 2:
        raise ValueError(f"schedules: {','.join(names)}; allowed: silo and at least one other")
    if schedule.shape != "warmup_step_decay" and not _has_steps(schedule):
        raise ValueError(
            f"schedule.shape: {schedule.shape!r}; allowed: with a warm-up or drops besides "
            "(schedule.warmup_epochs or _steps, schedule.drop_epochs or _steps) to make silo of"
        )
    grid = tuple(
        sorted({float(v) for v in max_lrs or default_grid(schedule.lower, schedule.upper)})
    )
    if not all(0 < value < math.inf for value in grid):
        raise ValueError(f"max_lrs: {grid}; allowed: finite numbers above 0")
    check_study(experiment, grid)
    seeds = tuple(experiment.config.seeds)
    require_int("tuning_seeds", tuning_seeds, minimum=0)
    if tuning_seeds > len(seeds):
        raise ValueError(f"tuning_seeds: {tuning_seeds}; allowed: up to the {len(seeds)} seeds")
    rise = schedule.upper / schedule.lower
    candidates = tuple(
        _schedule(name, value, value * rise if name == "silo" else value)
        for name in names
        for value in grid
    )
    choosing = seeds[: tuning_seeds or len(seeds)]
    return Comparison("schedule", names, "silo", grid, candidates, hindsight, choosing)


def compare_values(experiment: Experiment, field: str, texts: Sequence[str]) -> Comparison:
    """The config as it is, but for one field.

    Args:
      experiment: with the protocol.
      field: its dotted name, such as "rewind.policy"; of a number, a string or a flag.
      texts: its values as on the command line; the config's own is added if it is missing, as the
        reference.

    Raises:
      ValueError: a field that cannot be compared, or a value that it cannot have.
    """
    fields = flatten(experiment.config)
    fields = {name: value for name, value in fields.items() if not isinstance(value, tuple)}
    allowed = {name for name in fields if name.startswith(CHANGEABLE)} - _FIXED
    require_choice("along", field, {"schedule", *allowed})
    own = fields[field]
    check_study(experiment, ())
    values = list(dict.fromkeys([own, *(_parsed(field, text, type(own)) for text in texts)]))
    if len(values) < 2:
        raise ValueError(f"values: {values}; allowed: one at least that is not the config's own")
    options = tuple(str(value) for value in values)
    candidates = []
    for option, value in zip(options, values, strict=True):
        changes = policy_fields(value) if field == "rewind.policy" else {field: value}
        max_lr = experiment.with_fields(changes).peaks[0]
        candidates.append(Candidate(option, max_lr, changes, changes))
    seeds = tuple(experiment.config.seeds)
    return Comparison(field, options, options[0], (), tuple(candidates), False, seeds)


def policy_fields(policy: str) -> dict[str, Any]:
    """The fields of another way of rewinding; the rewind point goes where weights are not rewound.

    Example:
      >>> policy_fields("lr")
      {'rewind.policy': 'lr', 'rewind.epoch': 0.0, 'rewind.step': 0}
    """
    no_point = {} if "weights" in policy else {"rewind.epoch": 0.0, "rewind.step": 0}
    return {"rewind.policy": policy, **no_point}


def check_study(experiment: Experiment, max_lrs: Sequence[float]) -> None:
    """Refuses what cells cannot do, or not tell apart.

    Raises:
      ValueError: one line.
    """
    retries = experiment.config.training.divergence_retries
    if retries:
        raise ValueError(
            f"training.divergence_retries: {retries}; allowed: 0 in studies, where a network that "
            "diverges counts as such"
        )
    if len({cell_name(value) for value in max_lrs}) < len(max_lrs):
        raise ValueError(f"max_lrs: {tuple(max_lrs)}; allowed: values that differ in six digits")


def cell_name(max_lr: float, seed: int = 0) -> str:
    """The directory of a cell below its work's: "max_lr_0.05/seed_0"."""
    return f"max_lr_{max_lr:.6g}/seed_{seed}"


def default_grid(lower: float, upper: float) -> tuple[float, ...]:
    """Powers of two times the lower bound, from a quarter of it to twice the upper bound at least.

    Example:
      >>> default_grid(0.04, 0.1)
      (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
    """
    doublings = math.ceil(math.log2(max(upper / lower, 1.0)) - 1e-9) + 1
    return tuple(lower * 2.0**power for power in range(-2, doublings + 1))


def _parsed(field: str, text: str, kind: type) -> Any:
    try:
        return {"True": True, "False": False}[text.capitalize()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ValueError(f"{field}: {text!r}; allowed: of type {kind.__name__}") from None


def _schedule(name: str, lower: float, upper: float) -> Candidate:
    policy, shape = SCHEDULES[name]
    program = {
        "schedule.name": "constant" if policy == "silo" else policy,
        "schedule.shape": shape,
        "schedule.peaks": (),
    }
    bounds = {"schedule.name": policy, "schedule.lower": lower, "schedule.upper": upper}
    return Candidate(name, lower, program | bounds, program)


def _has_steps(schedule: ConfigDict) -> bool:
    """Whether the shape "warmup_step_decay" would be more than a constant."""
    names = ("warmup_epochs", "warmup_steps", "drop_epochs", "drop_steps")
    return any(schedule[name] for name in names)


def _default_schedules(experiment: Experiment) -> list[str]:
    config = experiment.config
    cannot_match = "finetune" in rewind_policies(config) or config.data.image_size > 0
    return [name for name in SCHEDULES if not (cannot_match and name == "gradient_matched")]
