"""The report says what the result files say: numbers, gaps, and what is missing."""

import ast
import base64
import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from silo_jax.reporting import RunResults, figures, page, read_run, results_table, write_report
from silo_jax.reporting.aggregate import over_seeds
from silo_jax.reporting.summary import headline, notes

CYCLES, EPOCHS, STEPS, SEEDS, FRACTION = 5, 3, 10, (0, 1, 2), 0.2
SIZES = {"Dense_0/kernel": 1000, "Dense_1/kernel": 200}
FILES = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "cycles.csv",
    "layers.csv",
    "schedule.csv",
)
FIGURES = (
    "accuracy_by_density",
    "max_lr_by_cycle",
    "lr_by_step",
    "training_curves",
    "sparsity_by_layer",
)


def density(cycle: int) -> float:
    return (1 - FRACTION) ** cycle


def accuracy(cycle: int, seed: int) -> float:
    """Means over seeds 0, 1, 2 are 97, 97.25, 96.5, 94.75, 92; the spread grows with the cycle."""
    return 97 + 0.75 * cycle - 0.5 * cycle**2 + (seed - 1) * 0.1 * (cycle + 1)


def result_rows(cycles_of: dict[int, int]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the result files, by formula, for seeds with so many finished cycles each."""
    done = [(cycle, seed) for seed, number in cycles_of.items() for cycle in range(number)]
    return {
        "cycles": [
            {"cycle": m, "seed": s, "density": density(m), "weights_left": round(1200 * density(m))}
            | {"max_lr": 0.1 * (m + 1), "train_loss": 0.01 * (m + 1) + 0.001 * s}
            | {"train_accuracy": 99.0, "val_loss": 0.25, "val_accuracy": accuracy(m, s) + 1}
            | {"test_loss": 0.3, "test_accuracy": accuracy(m, s), "seconds": s + 1}
            for m, s in done
        ],
        "layers": [
            {"cycle": m, "seed": s, "layer": name, "size": size}
            | {"kept": round(size * density(m)), "density": round(size * density(m)) / size}
            for m, s in done
            for name, size in SIZES.items()
        ],
        "metrics": [
            {"seed": s, "cycle": m, "epoch": e, "step": (m * EPOCHS + e) * STEPS}
            | {"density": density(m), "lr": 0.1 / e, "train_loss": 1 / e, "train_accuracy": 90 + e}
            | {"val_loss": 1.5 / e, "val_accuracy": 89.0 + e + s, "seconds": 0.1}
            for m, s in done
            for e in range(1, EPOCHS + 1)
        ],
        "schedule": [
            {"step": step, "lr": 0.1 * (1 + step // (EPOCHS * STEPS))}
            for step in range(0, CYCLES * EPOCHS * STEPS, 5)
        ],
    }


def config() -> dict[str, Any]:
    return {
        "data": {"name": "digits"},
        "model": {"name": "lenet_300_100"},
        "pruning": {"num_cycles": CYCLES, "fraction": FRACTION, "criterion": "magnitude"},
        "schedule": {"name": "silo", "lower": 0.1, "upper": 0.5},
        "training": {"optimizer": {"momentum": 0.9}},
        "seeds": list(SEEDS),
    }


def write_run(
    folder: Path, cycles_of: dict[int, int] | None = None, settings: dict[str, Any] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Writes the result files of a run and returns their rows."""
    rows = result_rows(cycles_of or dict.fromkeys(SEEDS, CYCLES))
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings or config()))
    (folder / "environment.json").write_text(json.dumps({"jax": "9.8.7", "host cores": "2"}))
    write_metrics(folder, rows["metrics"])
    for name in ("cycles", "layers", "schedule"):
        write_csv(folder, name, rows[name])
    return rows


def write_metrics(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def printed(run: RunResults, width: int = 120) -> list[list[str]]:
    """The results table as a terminal shows it: the cells of each row that starts with a cycle."""
    console = Console(width=width, force_terminal=False, _environ={})
    with console.capture() as capture:
        console.print(results_table(run))
    cells = [re.split(r"\s{2,}", line.strip()) for line in capture.get().splitlines()]
    return [row for row in cells if row[0].isdigit()]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    write_run(tmp_path)
    return tmp_path


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


def test_results_table_has_mean_and_deviation_of_each_cycle(workdir: Path) -> None:
    shown = printed(read_run(workdir))
    assert len(shown) == CYCLES
    for cycle, row in enumerate(shown):
        test = [accuracy(cycle, seed) for seed in SEEDS]
        validation = np.add(test, 1)
        assert row == [
            str(cycle),
            f"{100 * density(cycle):.2f}",
            f"{round(1200 * density(cycle)):,}",
            f"{0.1 * (cycle + 1):.4g}",
            f"{0.01 * (cycle + 1) + 0.001:.4f}",
            f"{validation.mean():.2f} ± {validation.std(ddof=1):.2f}",
            f"{np.mean(test):.2f} ± {np.std(test, ddof=1):.2f}",
            "6.0",
        ]


def test_results_table_loses_nothing_in_a_narrow_terminal(tmp_path: Path) -> None:
    write_run(tmp_path, {0: 5, 1: 5, 2: 2})
    console = Console(width=70, _environ={})
    with console.capture() as capture:
        console.print(results_table(read_run(tmp_path)))
    assert "…" not in capture.get()


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    write_run(tmp_path, {0: CYCLES}, config() | {"seeds": [0]})
    html = write_report(tmp_path).read_text("utf-8")
    assert printed(read_run(tmp_path))[0][6] == f"{accuracy(0, 0):.2f}"
    assert "±" not in html
    assert "(1 seed)" in html


def test_headline_states_the_numbers(workdir: Path) -> None:
    text = headline(read_run(workdir))
    dense, close, last = ([accuracy(cycle, seed) for seed in SEEDS] for cycle in (0, 2, CYCLES - 1))
    for scores in (dense, close, last):
        assert f"{np.mean(scores):.2f} ± {np.std(scores, ddof=1):.2f} %" in text
    assert f"is {100 * density(2):.2f} %" in text
    assert f"last density, {100 * density(CYCLES - 1):.2f} %" in text
    assert "3 seeds" in text
    assert "5 cycles with 20 %" in text


@pytest.mark.parametrize(
    ("pruned", "expected"),
    [
        (((96.4, 96.0, 96.8), (90.0,) * 3), "is 80.00 %"),
        (((96.4, 96.0, 96.7), (90.0,) * 3), "no pruned network has a mean within 1 percentage"),
        (((90.0,) * 3, (99.0,) * 3), "is 64.00 %"),
    ],
    ids=["one point below but for rounding", "more than one point below", "above the dense one"],
)
def test_headline_draws_the_line_at_one_point(
    tmp_path: Path, pruned: tuple[tuple[float, ...], ...], expected: str
) -> None:
    rows = write_run(tmp_path)["cycles"]
    scores = ((97.4,) * 3, *pruned)
    kept = [
        row | {"test_accuracy": scores[row["cycle"]][row["seed"]]}
        for row in rows
        if row["cycle"] < len(scores)
    ]
    write_csv(tmp_path, "cycles", kept)
    assert expected in headline(read_run(tmp_path))


def test_report_writes_each_figure_in_a_sane_size_and_embeds_it(workdir: Path) -> None:
    path = write_report(workdir)
    html = path.read_text("utf-8")
    assert path == workdir / "report.html"
    assert {file.name for file in (workdir / "figures").iterdir()} == {f"{n}.png" for n in FIGURES}
    for name in FIGURES:
        file = workdir / "figures" / f"{name}.png"
        height, width = matplotlib.image.imread(file).shape[:2]
        assert width == 880
        assert 300 <= height <= 900
        data = base64.b64encode(file.read_bytes()).decode()
        assert f'src="data:image/png;base64,{data}"' in html


def test_report_needs_nothing_from_elsewhere(workdir: Path) -> None:
    html = write_report(workdir).read_text("utf-8")
    sources = re.findall(r"(?:src|href|url|@import|action)\s*[=(]\s*[\"']?([^\"')\s>]+)", html)
    assert len(sources) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?:|<script|<link|<iframe|\son\w+=", html)


def test_report_tells_results_layers_config_and_environment(workdir: Path) -> None:
    html = write_report(workdir).read_text("utf-8")
    run = read_run(workdir)
    assert "<h1>digits · lenet_300_100 · silo</h1>" in html
    assert headline(run) in html
    for row in printed(run):
        assert "".join(f"<td>{cell}</td>" for cell in row) in html
    kept = {name: round(size * density(CYCLES - 1)) for name, size in SIZES.items()}
    for name, size in SIZES.items():
        share = f"{100 * kept[name] / size:.2f}"
        assert f"<td>{name}</td><td>{size:,}</td><td>{kept[name]}</td><td>{share}</td>" in html
    assert f"<td>all</td><td>1,200</td><td>{sum(kept.values())}</td>" in html
    assert "<td>training.optimizer.momentum</td><td>0.9</td>" in html
    assert "<td>jax</td><td>9.8.7</td>" in html


def test_report_escapes_what_it_quotes(tmp_path: Path) -> None:
    attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    rows = write_run(
        tmp_path, settings=config() | {"data": {"name": attack}, attack: {"a": attack}}
    )
    write_csv(tmp_path, "layers", [row | {"layer": attack} for row in rows["layers"]])
    (tmp_path / "environment.json").write_text(json.dumps({attack: attack}))
    html = write_report(tmp_path).read_text("utf-8")
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert "<script" not in html
    assert html.count("<img") == len(FIGURES)


def test_unfinished_run_is_told_and_counted_over_the_seeds_there(tmp_path: Path) -> None:
    write_run(tmp_path, {0: 5, 1: 5, 2: 2})
    run = read_run(tmp_path)
    html = write_report(tmp_path).read_text("utf-8")
    assert not run.finished
    assert "seed 2 has 2 of 5 cycles" in html
    assert "seed 1 has" not in html
    assert [row[-1] for row in printed(run)] == ["3", "3", "2", "2", "2"]
    two = [accuracy(4, seed) for seed in (0, 1)]
    assert printed(run)[4][6] == f"{np.mean(two):.2f} ± {np.std(two, ddof=1):.2f}"
    assert printed(run)[4][7] == "3.0"
    assert "(2 seeds), after 5 cycles" in headline(run)


def test_seed_without_any_cycle_is_told(tmp_path: Path) -> None:
    write_run(tmp_path, {0: 5, 1: 5})
    assert notes(read_run(tmp_path)) == [
        "Unfinished run: seed 2 has 0 of 5 cycles; results are over the seeds that are there."
    ]


def test_finished_run_has_no_notes(workdir: Path) -> None:
    assert notes(read_run(workdir)) == []
    assert 'class="note"' not in write_report(workdir).read_text("utf-8")


def test_run_of_the_dense_network_alone_is_reported(tmp_path: Path) -> None:
    write_run(tmp_path, {0: 1, 1: 1, 2: 1})
    assert "no pruned network has been trained yet" in write_report(tmp_path).read_text("utf-8")


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_not_finite_are_gaps_and_told(tmp_path: Path) -> None:
    rows = write_run(tmp_path)
    for row in rows["metrics"]:
        row |= {"val_loss": np.nan, "val_accuracy": np.nan}
        row |= {"train_loss": np.inf} if row["cycle"] == 3 else {}
    for row in rows["cycles"]:
        row |= {"test_accuracy": np.nan} if (row["cycle"], row["seed"]) == (4, 1) else {}
    write_metrics(tmp_path, rows["metrics"])
    write_csv(tmp_path, "cycles", rows["cycles"])
    html = write_report(tmp_path).read_text("utf-8")
    run = read_run(tmp_path)
    assert printed(run)[4][6] == "NaN"
    assert "NaN" not in printed(run)[3]
    assert "test accuracy is NaN %" in html
    assert "train_loss in 9 of 45, val_loss in 45 of 45, val_accuracy in 45 of 45" in html
    assert "test_accuracy in 1 of 15 rows of cycles.csv" in html


@pytest.mark.filterwarnings("error")
def test_figures_stand_a_layer_pruned_away_and_many_layers(tmp_path: Path) -> None:
    rows = write_run(tmp_path)["layers"]
    many = [row | {"layer": f"Block_{i}/kernel"} for i in range(10) for row in rows[::2]]
    gone = [row | {"layer": "gone", "kept": 0, "density": 0.0} for row in rows[::2]]
    write_csv(tmp_path, "layers", many + gone)
    figure = figures.sparsity_by_layer(read_run(tmp_path))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [*(f"Block_{i}" for i in range(10)), "gone"]
    write_report(tmp_path)


def test_accuracy_figure_draws_the_means_and_deviations(workdir: Path) -> None:
    axes = figures.accuracy_by_density(read_run(workdir)).axes[0]
    test = np.array([[accuracy(cycle, seed) for seed in SEEDS] for cycle in range(CYCLES)])
    line = next(line for line in axes.get_lines() if line.get_label() == "test")
    np.testing.assert_allclose(
        np.asarray(line.get_xdata()), [density(cycle) for cycle in range(CYCLES)]
    )
    np.testing.assert_allclose(np.asarray(line.get_ydata()), test.mean(axis=1))
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
    assert np.isclose(band.max(), (test.mean(axis=1) + test.std(axis=1, ddof=1)).max())
    assert np.isclose(band.min(), (test.mean(axis=1) - test.std(axis=1, ddof=1)).min())
    left, right = axes.get_xlim()
    assert axes.get_xscale() == "log"
    assert left > 1 > density(CYCLES - 1) > right


def test_density_ticks_are_densities_of_the_run_and_stay_apart() -> None:
    densities = np.array([density(cycle) for cycle in range(40)])
    ticks = figures._spaced(densities, 0.075)
    assert set(ticks) <= set(densities)
    assert ticks[0] == densities[0]
    assert ticks[-1] == densities[-1]
    gaps = -np.diff(np.log(ticks)) / np.log(ticks[0] / ticks[-1])
    assert gaps.min() >= 0.075
    assert figures._spaced(np.array([1.0]), 0.075) == [1.0]


def test_training_curves_count_epochs_over_the_cycles_and_break_between(workdir: Path) -> None:
    upper = figures.training_curves(read_run(workdir)).axes[0]
    line = next(line for line in upper.get_lines() if line.get_label() == "training")
    x, loss = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    drawn = np.isfinite(loss)
    assert np.sum(~drawn) == CYCLES - 1
    assert x[drawn].tolist() == list(range(1, CYCLES * EPOCHS + 1))
    np.testing.assert_allclose(loss[drawn], np.tile(1 / np.arange(1, EPOCHS + 1), CYCLES))


def test_lr_figure_marks_the_ends_of_the_planned_cycles(tmp_path: Path) -> None:
    write_run(tmp_path, {0: 2, 1: 1})
    axes = figures.lr_by_step(read_run(tmp_path)).axes[0]
    drawn = [np.asarray(line.get_xdata()) for line in axes.get_lines()]
    ends = [float(x[0]) for x in drawn if len(x) == 2]
    assert ends == [EPOCHS * STEPS * cycle for cycle in range(1, CYCLES)]


def test_figures_neither_follow_nor_change_the_users_matplotlib_style(workdir: Path) -> None:
    run = read_run(workdir)
    plain = figures.render_png(figures.max_lr_by_cycle, run)
    with matplotlib.rc_context({"font.size": 30, "figure.dpi": 40, "axes.grid": False}):
        assert figures.render_png(figures.max_lr_by_cycle, run) == plain
        assert matplotlib.rcParams["font.size"] == 30


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


def replace_text(name: str, old: str, new: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return apply


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


def test_report_is_made_anew_and_the_same_for_the_same_results(workdir: Path) -> None:
    first = write_report(workdir).read_bytes()
    assert write_report(workdir).read_bytes() == first
    write_run(workdir, {0: 5, 1: 5, 2: 1})
    assert b"seed 2 has 1 of 5 cycles" in write_report(workdir).read_bytes()
    assert {file.name for file in workdir.iterdir()} == {*FILES, "figures", "report.html"}


def test_interrupted_write_leaves_the_old_report(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_report(workdir).read_bytes()
    write_run(workdir, {0: 5, 1: 5, 2: 1})

    def fail(source: Path, target: Path) -> None:
        assert Path(source).read_bytes() != old
        assert Path(target).read_bytes() == old
        raise OSError("disk gone")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk gone"):
            page._replace(workdir / "report.html", b"new")
    assert (workdir / "report.html").read_bytes() == old
    assert {file.name for file in workdir.iterdir()} == {*FILES, "figures", "report.html"}


def test_reporting_imports_neither_training_nor_jax() -> None:
    imported = set()
    for file in Path(page.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    foreign = {name for name in imported if name.split(".")[0] in ("jax", "flax", "orbax", "optax")}
    own = {name for name in imported if name.startswith("silo_jax")}
    assert not foreign
    assert own
    assert all(name.startswith("silo_jax.reporting") for name in own)
    assert "matplotlib.pyplot" not in imported
