"""The pages, files and terminal tables of a comparison, and how malformed files are refused."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from silo_jax.reporting import write_report
from silo_jax.reporting.comparison import Comparison, comparison_table, figures, read_comparison
from silo_jax.reporting.comparison.tables import accuracy_table
from silo_jax.reporting.comparison.text import headline
from silo_jax.reporting.page import Strong
from tests.reporting_comparison import (
    CHOSEN,
    CYCLES,
    FIGURES,
    GRID,
    OPTIONS,
    SEEDS,
    STEPS,
    accuracy,
    cell_rows,
    density,
    scores_of,
    write_comparison,
)
from tests.reporting_run import read_rows, replace_text, without_scripts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_comparison(tmp_path)
    return tmp_path


def test_tables_csv_has_every_number(folder: Path) -> None:
    write_report(folder)
    rows = read_rows(folder / "tables.csv")
    assert len(rows) == len(CHOSEN) * len(OPTIONS) * (CYCLES + 1)
    for row in rows:
        way, option = row["way"], row["option"]
        place = (
            slice(1, None)
            if row["cycle"] == ""
            else slice(int(row["cycle"]), int(row["cycle"]) + 1)
        )
        ours, theirs = (scores_of(o, way)[place].mean(axis=0) for o in ("silo", option))
        found = [
            float(row[name]) for name in ("max_lr", "val_mean", "test_mean", "test_std", "seeds")
        ]
        expected = [CHOSEN[way], theirs.mean() + 1, theirs.mean(), theirs.std(ddof=1), 3]
        np.testing.assert_allclose(found, expected)
        apart = [row[name] for name in ("difference", "difference_low", "difference_high")]
        if option == "silo":
            assert apart == ["", "", ""]
        else:
            low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
            wanted = [np.mean(ours - theirs), low, high]
            np.testing.assert_allclose([float(value) for value in apart], wanted, atol=1e-8)
        if row["cycle"]:
            assert float(row["density"]) == pytest.approx(density(int(row["cycle"])))
            growth = int(row["cycle"]) / 4 * (option == "silo")
            assert float(row["cycle_max_lr"]) == pytest.approx(CHOSEN[way] * (1 + growth))
    best = [row["option"] for row in rows if row["best"] == "1" and row["cycle"] == "4"]
    assert best == ["silo", "silo"]


def test_grid_csv_and_time_csv_have_every_max_lr_and_all_costs(folder: Path) -> None:
    write_report(folder)
    rows = read_rows(folder / "grid.csv")
    assert [(row["option"], float(row["max_lr"])) for row in rows] == [
        (option, max_lr) for option in OPTIONS for max_lr in GRID
    ]
    for row in rows:
        val = 1 + np.array(
            [
                [accuracy(row["option"], float(row["max_lr"]), m, s) for s in SEEDS]
                for m in range(CYCLES)
            ]
        )
        assert float(row["dense_val_mean"]) == pytest.approx(val[0].mean())
        assert float(row["all_val_mean"]) == pytest.approx(val.mean())
        assert [row["tuned"], row["hindsight"]] == [
            str(int(float(row["max_lr"]) == max_lr)) for max_lr in CHOSEN.values()
        ]
    cells = len(GRID) * len(SEEDS)
    for row in read_rows(folder / "time.csv"):
        assert int(row["networks"]) == cells
        assert int(row["steps"]) == cells * CYCLES * STEPS
        assert float(row["seconds"]) == cells * CYCLES * 0.5
    steps = len(OPTIONS) * cells * CYCLES * STEPS
    html = (folder / "report.html").read_text()
    assert f"<td>all</td><td>{3 * cells}</td><td>{steps:,}</td>" in html


def test_page_has_every_table_and_figure_and_needs_nothing_else(folder: Path) -> None:
    html = write_report(folder).read_text("utf-8")
    comparison = read_comparison(folder)
    assert headline(comparison) in html
    for way in CHOSEN:
        for row in accuracy_table(comparison, way).rows:
            cells = [f"<strong>{c.text}</strong>" if isinstance(c, Strong) else c for c in row]
            assert "".join(f"<td>{cell}</td>" for cell in cells) in html
    assert html.index("in hindsight, over all cycles</h2>") < html.index(
        "on the dense network</h2>"
    )
    for name in FIGURES:
        file = folder / "figures" / f"{name}.png"
        assert matplotlib.image.imread(file).shape[1] == 880
        assert base64.b64encode(file.read_bytes()).decode() in html
    pattern = r"(?:src|href|url|@import)\s*[=(]\s*[\"']?([^\"')\s>]+)"
    sources = re.findall(pattern, without_scripts(html))
    assert len(sources) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert write_report(folder).read_text("utf-8") == html


def test_axes_of_accuracy_end_little_above_100(tmp_path: Path) -> None:
    rows = cell_rows(test=lambda option, max_lr, cycle, seed: 99.99 - 3 * cycle)
    write_comparison(tmp_path, [row | {"val_accuracy": row["test_accuracy"]} for row in rows])
    comparison = read_comparison(tmp_path)
    for draw in (figures.accuracy_by_max_lr, figures.accuracy_by_density):
        for axes in draw(comparison).axes:
            assert axes.get_ylim()[1] <= 101


def test_terminal_shows_the_table_that_counts_with_the_best_in_bold(folder: Path) -> None:
    comparison = read_comparison(folder)
    console = Console(width=120, force_terminal=True, _environ={})
    with console.capture() as capture:
        console.print(comparison_table(comparison))
    shown = capture.get()
    for row in accuracy_table(comparison, "hindsight").rows:
        for cell in row:
            text = f"\x1b[1m{cell.text}\x1b[0m" if isinstance(cell, Strong) else cell
            assert text in re.sub(r" *\x1b\[1m *", "\x1b[1m", shown)


def test_terminal_table_of_many_options_loses_nothing(tmp_path: Path) -> None:
    options = ("silo", "warmup", "constant", "linear", "cosine", "cyclical", "gradient_matched")
    write_comparison(tmp_path, cell_rows(options), options=options)
    console = Console(width=90, _environ={})
    with console.capture() as capture:
        console.print(comparison_table(read_comparison(tmp_path), "tuned"))
    assert "…" not in capture.get()
    assert capture.get().count("±") == CYCLES * len(options)


def change_study(name: str, value: object) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = folder / "study.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change_study("kind", "poll"), r"study\.json: kind is 'poll'; allowed: comparison, oracle"),
        (change_study("along", None), r"study\.json: along is None; allowed: a name"),
        (change_study("options", ["silo", "silo"]), r"study\.json: options is .* each once"),
        (change_study("reference", "adam"), r"study\.json: reference is 'adam'; allowed: one of"),
        (change_study("max_lrs", ["a"]), r"study\.json: max_lrs is \['a'\]; allowed: a list of n"),
        (change_study("hindsight", 1), r"study\.json: hindsight is 1; allowed: true, false"),
        (replace_text("cells.csv", "val_accuracy", "accuracy"), r"cells\.csv: no column val_acc"),
        (replace_text("cells.csv", "silo,0.05,0,0", "sgd,0.05,0,0"), r"option is sgd; allowed: si"),
        (
            replace_text("cells.csv", "silo,0.05,0,4", "silo,0.05,0,5"),
            r"cycle is 5; allowed: 0 to 4",
        ),
        (
            replace_text("cells.csv", "silo,0.05,0,0", "silo,0.05,9,0"),
            r"seed is 9; allowed: 0, 1, 2",
        ),
        (replace_text("cells.csv", ",1.0,", ",1.5,"), r"cells\.csv: density is 1\.5; allowed: ab"),
        (replace_text("cells.csv", ",0.1,0,", ",0.1,2,"), r"cells\.csv: diverged is 2; allowed"),
        (replace_text("cells.csv", ",0.1,0,", ",0.1,1,"), r"val_accuracy is 9.* with diverged 1"),
        (replace_text("cells.csv", "silo,0.05", "silo,fast"), r"line 2: max_lr is 'fast', not a n"),
        (replace_text("chosen.csv", "tuned,silo", "lucky,silo"), r"chosen\.csv: way is lucky"),
        (
            replace_text("chosen.csv", "tuned,silo,0.1", "tuned,cosine,0.1"),
            r"no row of way tuned, o",
        ),
        (
            replace_text("chosen.csv", "tuned,silo,0.1", "tuned,silo,0.3"),
            r"max_lr is 0\.3; allowed",
        ),
    ],
)
def test_malformed_file_is_refused_in_one_line(
    folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        write_report(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("name", ["cells.csv", "chosen.csv", "config.json", "environment.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"{name}: cannot be read"):
        read_comparison(folder)


def test_comparison_reads_what_was_written(folder: Path) -> None:
    comparison = read_comparison(folder)
    assert isinstance(comparison, Comparison)
    assert comparison.options == OPTIONS
    assert comparison.max_lrs == GRID
    assert len(comparison.cells["cycle"]) == len(cell_rows())
