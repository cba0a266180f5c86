"""Result files: what lies past a checkpoint is dropped, and nothing else."""

import csv
import json

import pytest

from silo_jax.training.environment import environment
from silo_jax.training.results import CYCLE_COLUMNS, LAYER_COLUMNS, Results


def fill(workdir) -> Results:
    """Two seeds of two cycles of two epochs of five steps."""
    files = Results(workdir)
    for seed in (0, 1):
        for cycle in (0, 1):
            for epoch in (1, 2):
                step = 10 * cycle + 5 * epoch
                files.add_epoch({"seed": seed, "cycle": cycle, "step": step, "seconds": epoch})
            row = dict.fromkeys(CYCLE_COLUMNS, 0) | {"seed": seed, "cycle": cycle, "step": step}
            layer = dict.fromkeys(LAYER_COLUMNS, 0) | {"seed": seed, "cycle": cycle, "step": step}
            files.add_cycle(row, [layer | {"layer": name} for name in ("a", "b,c")])
    return files


def left(workdir) -> dict[str, list[tuple[int, int]]]:
    metrics = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    rows = {"metrics": [(row["seed"], row["step"]) for row in metrics]}
    for name in ("cycles", "layers"):
        with (workdir / f"{name}.csv").open(newline="") as file:
            rows[name] = [(int(row["seed"]), int(row["step"])) for row in csv.DictReader(file)]
    return rows


@pytest.mark.parametrize("step", [0, 5, 10, 15, 20])
def test_only_what_the_seed_reached_past_the_step_is_dropped(tmp_path, step):
    files = fill(tmp_path)
    before = left(tmp_path)
    files.drop_after(0, step)
    for name, rows in left(tmp_path).items():
        assert rows == [row for row in before[name] if row[0] == 1 or row[1] <= step]


@pytest.mark.parametrize("name", ["metrics.jsonl", "cycles.csv", "layers.csv"])
def test_a_line_cut_off_in_writing_is_dropped(tmp_path, name):
    files = fill(tmp_path)
    path = tmp_path / name
    whole = path.read_text()
    last = whole.splitlines(keepends=True)[-1]
    for cut in range(1, len(last)):
        path.write_text(whole[:-cut])
        files.drop_after(0, 100)
        assert path.read_text() == whole[: -len(last)]


def test_seconds_of_a_cycle_are_the_sum_over_its_epochs(tmp_path):
    rows = fill(tmp_path).epochs_of_cycle(seed=1, cycle=1)
    assert sum(row["seconds"] for row in rows) == 3


def test_opening_again_keeps_what_is_there(tmp_path):
    fill(tmp_path)
    before = left(tmp_path)
    Results(tmp_path)
    assert left(tmp_path) == before


def test_the_environment_names_versions_and_device():
    told = environment()
    assert {"command", "commit", "python", "jax", "flax", "optax", "device"} <= told.keys()
    assert all(told.values())


def test_only_the_last_line_may_be_cut_off(tmp_path):
    results = fill(tmp_path)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, '{"seed": 0, "cy']))
    results.drop_after(seed=7, step=0)
    assert path.read_text() == "".join(lines)
    path.write_text("".join([lines[0], "x" + lines[1], *lines[2:]]))
    with pytest.raises(OSError, match=r"metrics.jsonl: line 2 is damaged\Z"):
        results.drop_after(seed=7, step=0)


def test_an_empty_table_gets_its_header_again(tmp_path):
    Results(tmp_path)
    header = (tmp_path / "cycles.csv").read_text()
    (tmp_path / "cycles.csv").write_text("")
    Results(tmp_path)
    assert (tmp_path / "cycles.csv").read_text() == header


def test_a_damaged_list_of_divergences_is_named(tmp_path):
    (tmp_path / "diverged.csv").write_text("seed,cycle\n0,x\n")
    with pytest.raises(OSError, match=r"diverged.csv: is damaged\Z"):
        Results(tmp_path).given_up(0)
