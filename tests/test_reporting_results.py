"""What is read from result files, and how wrong ones are refused."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silo_jax.reporting import page, read_run, write_report
from silo_jax.reporting.aggregate import over_seeds
from tests.reporting_run import (
    CYCLES,
    FILES,
    SEEDS,
    config,
    replace_text,
    result_rows,
    write_csv,
    write_metrics,
    write_run,
)


def test_over_seeds_is_numpys_mean_and_sample_deviation() -> None:
    rng = np.random.default_rng(0)
    sizes = {7: 1, 2: 2, 4: 5}
    keys = np.repeat(list(sizes), list(sizes.values()))
    values = rng.normal(size=len(keys))
    order = rng.permutation(len(keys))
    stats = over_seeds(keys[order], values[order])
    assert stats.keys.tolist() == [2, 4, 7]
    assert stats.seeds.tolist() == [2, 5, 1]
    np.testing.assert_allclose(stats.mean, [values[keys == key].mean() for key in stats.keys])
    np.testing.assert_allclose(
        stats.std[:2], [values[keys == key].std(ddof=1) for key in stats.keys[:2]]
    )
    assert np.isnan(stats.std[2])


def test_over_seeds_takes_keys_of_two_parts_and_keeps_a_nan_to_its_group() -> None:
    stats = over_seeds([[1, 2], [0, 5], [1, 2], [0, 5]], [1.0, 2.0, np.nan, 4.0])
    assert stats.keys.tolist() == [[0, 5], [1, 2]]
    assert stats.mean[0] == 3
    assert np.isnan(stats.mean[1])


def test_read_run_returns_what_was_written(tmp_path: Path) -> None:
    rows = write_run(tmp_path)
    run = read_run(tmp_path)
    for name in ("metrics", "cycles", "layers", "schedule"):
        read = getattr(run, name)
        wrote = {tuple(row[column] for column in read) for row in rows[name]}
        found = list(zip(*(column.tolist() for column in read.values()), strict=True))
        assert set(found) == wrote
        assert len(found) == len(rows[name])
    assert run.config == config()
    assert run.environment["jax"] == "9.8.7"
    assert run.finished


def test_rows_written_twice_count_once_as_last_written(tmp_path: Path) -> None:
    rows = write_run(tmp_path)["cycles"]
    stale = rows[0] | {"test_accuracy": 1.0}
    write_csv(tmp_path, "cycles", [stale, *rows])
    assert read_run(tmp_path).cycles["test_accuracy"].min() > 90
    assert len(read_run(tmp_path).cycles["cycle"]) == len(rows)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, "", "\n"], ids=["missing", "empty", "blank"])
def test_missing_or_empty_file_is_named_in_one_line(
    workdir: Path, name: str, content: str | None
) -> None:
    file = workdir / name
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ValueError, match=r"cannot be read|is empty") as caught:
        write_report(workdir)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (workdir / "report.html").exists()


def drop_column(folder: Path) -> None:
    rows = result_rows(dict.fromkeys(SEEDS, CYCLES))["cycles"]
    write_csv(folder, "cycles", [{k: v for k, v in row.items() if k != "max_lr"} for row in rows])


def change_config(part: str, value: Any) -> Callable[[Path], object]:
    text = json.dumps(config() | {part: value})
    return lambda folder: (folder / "config.json").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_column, r"cycles\.csv: no column max_lr"),
        (replace_text("layers.csv", "1000", "many"), r"layers\.csv line 2: size is 'many'"),
        (replace_text("layers.csv", "1000", "1.5"), r"layers\.csv line 2: .* not an integer"),
        (replace_text("cycles.csv", "\n0,0,1.0", "\n0,0,0.0"), r"cycles\.csv: a density outside"),
        (replace_text("cycles.csv", "\n4,2,", "\n5,2,"), r"cycles\.csv: a cycle outside 0\.\.4"),
        (replace_text("cycles.csv", "\n4,2,", "\n4,9,"), r"cycles\.csv: a seed that is not among"),
        (replace_text("schedule.csv", "0,0.1", "0"), r"schedule\.csv line 2: lr is None"),
        (replace_text("metrics.jsonl", '"lr"', '"rate"'), r"metrics\.jsonl line 1: lr is None"),
        (replace_text("metrics.jsonl", "}\n", "\n"), r"metrics\.jsonl line 1: is not valid JSON"),
        (lambda d: (d / "config.json").write_text("[]"), r"config\.json: is not a JSON object"),
        (lambda d: (d / "cycles.csv").write_bytes(b"\xff"), r"cycles\.csv: .*not UTF-8"),
        (change_config("model", {}), r"config\.json: no field 'model\.name'"),
        (change_config("seeds", 3), r"config\.json: seeds is 3, not a list"),
        (change_config("pruning", {"num_cycles": "9"}), r"num_cycles is '9', not a number"),
    ],
)
def test_malformed_file_is_named_in_one_line(
    workdir: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(workdir)
    with pytest.raises(ValueError, match=message) as caught:
        read_run(workdir)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["metrics", "cycles", "layers"])
def test_tables_without_the_dense_network_are_refused(tmp_path: Path, name: str) -> None:
    rows = [row for row in write_run(tmp_path)[name] if row["cycle"] > 0]
    write_metrics(tmp_path, rows) if name == "metrics" else write_csv(tmp_path, name, rows)
    with pytest.raises(ValueError, match=f"{name}.*no row of cycle 0"):
        read_run(tmp_path)


def test_header_alone_is_refused(workdir: Path) -> None:
    header = (workdir / "cycles.csv").read_text().splitlines()[0]
    (workdir / "cycles.csv").write_text(header + "\n")
    with pytest.raises(ValueError, match=r"cycles\.csv: has no rows"):
        read_run(workdir)


def test_reporting_imports_neither_training_nor_jax() -> None:
    imported = set()
    for file in Path(page.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    foreign = {name for name in imported if name.split(".")[0] in ("jax", "flax", "orbax", "optax")}
    own = {name for name in imported if name.startswith("silo_jax")}
    assert not foreign
    assert own
    allowed = ("silo_jax.reporting", "silo_jax.files", "silo_jax.checksums")
    assert all(name.startswith(allowed) for name in own)
    assert "matplotlib.pyplot" not in imported
