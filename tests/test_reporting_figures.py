"""The figures draw what the result files say."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from silo_jax.reporting import figures, read_run, write_report
from silo_jax.reporting.style import render_png, spaced
from tests.reporting_run import (
    CYCLES,
    EPOCHS,
    SEEDS,
    STEPS,
    accuracy,
    density,
    printed,
    write_csv,
    write_metrics,
    write_run,
)


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
    ticks = spaced(densities, 0.075)
    assert set(ticks) <= set(densities)
    assert ticks[0] == densities[0]
    assert ticks[-1] == densities[-1]
    gaps = -np.diff(np.log(ticks)) / np.log(ticks[0] / ticks[-1])
    assert gaps.min() >= 0.075
    assert spaced(np.array([1.0]), 0.075) == [1.0]


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
    plain = render_png(figures.max_lr_by_cycle, run)
    with matplotlib.rc_context({"font.size": 30, "figure.dpi": 40, "axes.grid": False}):
        assert render_png(figures.max_lr_by_cycle, run) == plain
        assert matplotlib.rcParams["font.size"] == 30
