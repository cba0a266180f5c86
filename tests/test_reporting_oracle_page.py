"""The pages, figures and terminal table of searches of max_lr; malformed files are refused."""

import base64
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.container import BarContainer
from rich.console import Console

from silo_jax.reporting import write_report
from silo_jax.reporting.oracle import earlier_summary, figures, oracle_table, read_oracle
from silo_jax.reporting.oracle.tables import accuracy_table, fit_table, max_lr_table
from silo_jax.reporting.oracle.text import headline
from tests.reporting_oracle import (
    BEST,
    GRID,
    SILO,
    choice,
    grid_rows,
    interval,
    lost,
    no_choice,
    write_search,
)
from tests.reporting_run import replace_text, without_scripts

FIGURES = ("max_lr_by_cycle", "accuracy_by_max_lr", "accuracy_by_density")
FIT = {"lower": 0.03, "upper": 0.2, "steepness": 3.0, "delay": 0, "rms": 0.25, "residuals": [0.1]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_search(tmp_path)
    return tmp_path


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    write_search(tmp_path, kind="tune", choices=[choice(0), choice(1, 0.1)])
    return tmp_path


def embedded(folder: Path, html: str) -> list[str]:
    """Names of the figures, each of which is also in the page."""
    names = sorted(path.stem for path in (folder / "figures").glob("*.png"))
    assert names == sorted(path.stem for path in (folder / "figures").glob("*.csv"))
    for name in names:
        file = folder / "figures" / f"{name}.png"
        assert matplotlib.image.imread(file).shape[1] == 880
        assert base64.b64encode(file.read_bytes()).decode() in html
    pattern = r"(?:src|href|url|@import)\s*[=(]\s*[\"']?([^\"')\s>]+)"
    sources = re.findall(pattern, without_scripts(html))
    assert len(sources) == len(names)
    return names


def test_page_has_tables_figures_fit_and_cost(folder: Path) -> None:
    (folder / "fit.json").write_text(json.dumps(FIT))
    html = write_report(folder).read_text("utf-8")
    search = read_oracle(folder)
    assert embedded(folder, html) == sorted(FIGURES)
    assert headline(search) in unescape(html)
    for table in (max_lr_table(search), accuracy_table(search)):
        for row in table.rows:
            assert "".join(f"<td>{cell}</td>" for cell in row) in html
    for name, value in (("lower", 0.03), ("upper", 0.2), ("steepness", 3), ("delay", 0)):
        assert f"<td>config.schedule.{name} = {value:g}</td>" in html
    assert "residuals, curve / max_lr − 1, is 25.00 % of max_lr" in html
    for row in fit_table(search, search.fit).rows:
        assert "".join(f"<td>{cell}</td>" for cell in row) in html
    assert "<td>Oracle</td><td>75</td><td>2,250</td><td>37.5</td>" in html
    assert "<td>SILO</td><td>15</td><td>450</td><td>7.5</td>" in html
    assert "<td>ratio</td><td>5</td><td>5</td><td>5</td>" in html
    assert write_report(folder).read_text("utf-8") == html


def test_table_tells_interval_and_whether_silo_is_inside(folder: Path) -> None:
    inside = ("yes", "no", "yes", "yes", "no")
    for m, row in enumerate(max_lr_table(read_oracle(folder)).rows):
        low, high, *_ = interval(GRID[BEST[m]], 0.5)
        open_end = "…" * (m == 4)
        assert list(row[:4]) == [
            str(m),
            f"{100 * 0.8**m:.2f}",
            f"{GRID[BEST[m]]:.3g}",
            f"{low:.3g}–{high:.3g}{open_end}",
        ]
        assert list(row[5:]) == [f"{SILO[m]:.3g}", inside[m]]


def test_terminal_shows_the_rows_of_the_page(folder: Path) -> None:
    console = Console(width=140, _environ={})
    with console.capture() as capture:
        console.print(oracle_table(read_oracle(folder)))
    shown = capture.get()
    assert "…\n" not in shown
    for row in (*max_lr_table(read_oracle(folder)).rows, *accuracy_table(read_oracle(folder)).rows):
        for place, cell in enumerate(row):
            parts = re.split(r" (?=\[|±)|(?<=–)", str(cell))
            assert place == 4 or all(part in shown for part in parts)


def test_terminal_shows_the_choices_where_bounds_are_tuned(tuned: Path) -> None:
    console = Console(width=80, _environ={})
    with console.capture() as capture:
        console.print(oracle_table(read_oracle(tuned)))
    assert "bounds of max_lr" in capture.get()
    assert "SILO" not in capture.get()
    assert "Oracle" not in capture.get()


def test_band_figure_draws_choices_intervals_open_ends_and_silo(folder: Path) -> None:
    (folder / "fit.json").write_text(json.dumps(FIT))
    axes = figures.max_lr_by_cycle(read_oracle(folder)).axes[0]
    assert axes.get_yscale() == "log"
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.get_lines()}
    np.testing.assert_allclose(lines["Oracle"], [GRID[best] for best in BEST])
    np.testing.assert_allclose(lines["SILO"], SILO)
    assert set(lines) == {"Oracle", "SILO", "fitted S-curve", "best constant"}
    broad, thin = (c for c in axes.containers if isinstance(c, BarContainer))
    for bars, tolerance in ((broad, 0.5), (thin, None)):
        for m, bar in enumerate(bars):
            low, high, *_ = interval(GRID[BEST[m]], tolerance or 0.2 * (m + 1) / 3**0.5)
            found = bar.get_y(), bar.get_y() + bar.get_height()
            np.testing.assert_allclose(found, (low, high))
    arrows = [np.asarray(points.get_offsets()) for points in axes.collections]
    assert [len(points) for points in arrows] == [0, 1]
    np.testing.assert_allclose(arrows[1], [[4, 0.4]])


def test_colours_are_the_accuracy_below_the_cycles_best(tmp_path: Path) -> None:
    grid = [
        lost(r) if (r["cycle"], r["max_lr"], r["seed"]) == (2, 0.4, 1) else r for r in grid_rows()
    ]
    write_search(tmp_path, grid=grid)
    axes = figures.accuracy_by_max_lr(read_oracle(tmp_path)).axes[0]
    meshes = [c for c in axes.collections if c.get_array() is not None]
    for m, mesh in enumerate(meshes):
        below = np.asarray(mesh.get_array(), float).ravel()
        expected = [-abs(rank - BEST[m]) for rank in range(len(GRID))]
        if m == 2:
            assert np.isnan(below[-1])
            below[-1] = expected[-1]
        np.testing.assert_allclose(below, expected, atol=1e-9)
    crosses = [c.get_offsets() for c in axes.collections if c.get_array() is None]
    np.testing.assert_allclose(np.concatenate(crosses), [[2, 0.4]])


def test_tuned_bounds_are_told_with_their_config_lines(tuned: Path) -> None:
    html = write_report(tuned).read_text("utf-8")
    assert embedded(tuned, html) == ["accuracy_by_max_lr"]
    assert (
        "lower = 0.05 has the highest mean validation accuracy of the dense network, and upper = "
        "0.1 that of the network pruned in one shot to 80.00 % of its weights, over 3 seeds."
    ) in html
    assert "<td>config.schedule.lower = 0.05</td>" in html
    assert "<td>config.schedule.upper = 0.1</td>" in html
    assert "<td>dense</td><td>100.00</td><td>0.05</td><td>0.0354–0.0707</td><td>97.00</td>" in html
    assert "SILO" not in without_scripts(html)


def test_tuned_bounds_stand_beside_an_oracle(tuned: Path) -> None:
    choices = [{"cycle": m, "max_lr": 0.1, "low": 0.09, "high": 0.2} for m in range(4)]
    choices[3] |= {"max_lr": None, "low": None, "high": None}
    curve = [0.05, 0.1, 0.2, 0.2, 0.2]
    (tuned / "oracle.json").write_text(json.dumps({"choices": choices, "curve": curve}))
    html = write_report(tuned).read_text("utf-8")
    assert embedded(tuned, html) == ["accuracy_by_max_lr", "curve_and_oracle"]
    # Off by a factor of 2, 1 and 2: the mean of log₂ is 2/3.
    assert f"by a factor of {2 ** (2 / 3):.3g} on average" in html
    assert "in 2 of 3 cycles (67 %)" in html
    summary = earlier_summary(read_oracle(tuned))
    assert summary is not None
    assert summary in unescape(html)


def test_tuned_bounds_without_an_oracle_have_no_summary(tuned: Path) -> None:
    assert earlier_summary(read_oracle(tuned)) is None


def test_oracle_that_found_nothing_has_no_distance(tuned: Path) -> None:
    nothing = {"cycle": 0, "max_lr": None, "low": None, "high": None}
    write_json("oracle.json", {"choices": [nothing], "curve": [0.05, 0.1]})(tuned)
    html = write_report(tuned).read_text("utf-8")
    assert "The Oracle has no max_lr to set the S-curve beside" in html
    assert "nan" not in (earlier_summary(read_oracle(tuned)) or "nan")


def test_tuned_bounds_that_fall_or_are_not_there_are_told(tmp_path: Path) -> None:
    write_search(tmp_path, kind="tune", choices=[choice(0), choice(1, 0.025)])
    assert "upper is below lower" in write_report(tmp_path).read_text("utf-8")
    grid = [lost(row) if row["cycle"] == 1 else row for row in grid_rows(2)]
    write_search(tmp_path, kind="tune", choices=[choice(0), no_choice(1)], grid=grid)
    html = write_report(tmp_path).read_text("utf-8")
    assert "The bounds could not be found" in html
    assert "Every max_lr diverged in cycle 1, so nothing was chosen." in html
    assert "config lines" not in html


def write_json(name: str, value: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (write_json("study.json", {"kind": "oracle"}), r"study\.json: tolerance is None; allowed"),
        (
            write_json("fit.json", FIT | {"upper": None}),
            r"fit\.json: upper is None; allowed: a numb",
        ),
        (replace_text("grid.csv", "max_lr", "lr"), r"grid\.csv: no column max_lr"),
        (
            replace_text("grid.csv", "\n0,0.025,0", "\n0,-1,0"),
            r"grid\.csv: max_lr is -1\.0; allowed",
        ),
        (replace_text("grid.csv", "\n0,0.025,0", "\n7,0.025,0"), r"cycle is 7; allowed: 0 to 4"),
        (
            replace_text("silo.csv", "\n0,0.05,0", "\n0,0.05,8"),
            r"silo\.csv: seed is 8; allowed: 0, 1",
        ),
        (
            replace_text("silo.csv", "30,0.5,0", "30,0.5,1"),
            r"silo\.csv: val_accuracy is 96.* empty",
        ),
        (
            replace_text("choices.csv", "\n3,", "\n4,"),
            r"choices\.csv: cycle is 4; .* without a gap",
        ),
        (
            replace_text("choices.csv", ",0.2,", ",0.3,"),
            r"choices\.csv: max_lr is 0\.3; allowed: one",
        ),
        (
            replace_text("choices.csv", ",0.2,", ",fast,"),
            r"choices\.csv line 5: max_lr is 'fast', no",
        ),
        (lambda d: (d / "silo.csv").unlink(), r"silo\.csv: cannot be read"),
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


@pytest.mark.parametrize("change", [{"low": 0.06}, {"high": 0.04}, {"low": ""}, {"gaps": 2}])
def test_interval_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write_search(tmp_path, choices=[choice(0) | change, *map(choice, range(1, 5))])
    with pytest.raises(ValueError, match=r"choices\.csv: (low|high|gaps) is"):
        read_oracle(tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"choices": [{"cycle": 0, "max_lr": "a", "low": 1, "high": 2}], "curve": [1]},
        {"choices": [{"cycle": 0, "max_lr": 1, "low": 1, "high": 2}], "curve": []},
        {"choices": [{"cycle": 1, "max_lr": 1, "low": 1, "high": 2}], "curve": [1, 2]},
        {"choices": [{"cycle": 0, "max_lr": 1, "low": 1, "high": 2}], "curve": "up"},
    ],
)
def test_malformed_oracle_beside_tuned_bounds_is_refused(tuned: Path, value: Any) -> None:
    write_json("oracle.json", value)(tuned)
    with pytest.raises(ValueError, match=r"oracle\.json: \w+ is .*; allowed: "):
        write_report(tuned)
