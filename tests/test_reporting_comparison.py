"""The numbers and sentences of a comparison's report follow from its cells."""

from pathlib import Path

import numpy as np
import pytest

from silo_jax.reporting import write_report
from silo_jax.reporting.comparison import read_comparison
from silo_jax.reporting.comparison.data import grid_rows
from silo_jax.reporting.comparison.lines import choice_lines
from silo_jax.reporting.comparison.tables import accuracy_table
from silo_jax.reporting.comparison.text import headline, notes
from silo_jax.reporting.page import Strong
from tests.reporting_comparison import (
    CHOSEN,
    CYCLES,
    FIGURES,
    GRID,
    OPTIONS,
    SEEDS,
    accuracy,
    cell_rows,
    density,
    diverge,
    interval,
    scores_of,
    write_comparison,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_comparison(tmp_path)
    return tmp_path


@pytest.mark.parametrize("way", CHOSEN)
def test_table_has_means_deviations_the_best_in_bold_and_the_paired_difference(
    folder: Path, way: str
) -> None:
    table = accuracy_table(read_comparison(folder), way)
    assert list(table.heads) == ["density %", "silo − best other", *OPTIONS]
    assert len(table.rows) == CYCLES
    for cycle, row in enumerate(table.rows):
        scores = {option: scores_of(option, way)[cycle] for option in OPTIONS}
        best = max(OPTIONS, key=lambda option: scores[option].mean())
        other = max(OPTIONS[1:], key=lambda option: scores[option].mean())
        mean, low, high = interval(scores["silo"], scores[other])
        written = {o: f"{x.mean():.2f} ± {x.std(ddof=1):.2f}" for o, x in scores.items()}
        cells = [Strong(text) if option == best else text for option, text in written.items()]
        assert list(row) == [f"{100 * density(cycle):.2f}", f"{mean} [{low}, {high}]", *cells]


def test_choices_that_test_data_take_part_in_are_told(tmp_path: Path) -> None:
    write_comparison(tmp_path, select="best_test")
    told = notes(read_comparison(tmp_path))
    assert told[0].startswith("Test data take part in every choice here: the epoch that is scored")
    write_comparison(tmp_path, select="best_validation")
    assert notes(read_comparison(tmp_path)) == told[1:]


def test_study_in_which_every_network_diverged_is_refused_in_one_line(tmp_path: Path) -> None:
    rows = cell_rows(cycles=1)
    for row in cell_rows(cycles=1):
        rows = diverge(rows, row["option"], row["max_lr"], row["seed"], cycle=0)
    write_comparison(tmp_path, rows)
    path = tmp_path / "chosen.csv"
    heads, *lines = path.read_text().splitlines()
    kept = [",".join(line.split(",")[:2]) + ",,,,0" for line in lines]
    path.write_text("\n".join([heads, *kept]))
    message = r"^\S+cells\.csv: every network diverged in its first cycle; nothing to compare$"
    for read in (read_comparison, write_report):
        with pytest.raises(ValueError, match=message):
            read(tmp_path)


def test_seed_that_diverged_is_missing_and_told(tmp_path: Path) -> None:
    rows = diverge(cell_rows(), "cosine", 0.2, seed=1, cycle=3)
    write_comparison(tmp_path, diverge(rows, "constant", 0.05, seed=0, cycle=0))
    comparison = read_comparison(tmp_path)
    table = accuracy_table(comparison, "hindsight")
    left = [0, 2]
    for cycle in range(CYCLES):
        cosine = scores_of("cosine")[cycle]
        shown = cosine[left] if cycle >= 3 else cosine
        few = " (2)" if cycle >= 3 else ""
        cell = table.rows[cycle][3]
        text = cell.text if isinstance(cell, Strong) else cell
        assert text == f"{shown.mean():.2f} ± {shown.std(ddof=1):.2f}{few}"
    pruned = [scores_of(option)[1:, left].mean(axis=0) for option in ("silo", "cosine")]
    mean, low, high = interval(*pruned)
    assert f"is {mean} percentage points" in headline(comparison)
    assert f"interval {low} to {high}, 2 seeds paired" in headline(comparison)
    told = notes(comparison)
    assert told[0].startswith(
        "Diverged, and missing from there on: cosine, max_lr 0.2, seed 1 in cycle 3. "
    )
    assert told[1] == "1 network with another max_lr than the chosen ones diverged."
    write_report(tmp_path)


def test_option_that_always_diverged_has_no_numbers(tmp_path: Path) -> None:
    rows = [row for row in cell_rows() if row["option"] != "cosine"]
    for seed in SEEDS:
        lost = cell_rows(("cosine",), (0.2,), (seed,), 1)
        rows += diverge(lost, "cosine", 0.2, seed, cycle=0)
    write_comparison(tmp_path, rows)
    chosen = tmp_path / "chosen.csv"
    lines = chosen.read_text().splitlines()
    chosen.write_text(
        "\n".join(f"{x.split(',')[0]},cosine,,,,0" if "cosine" in x else x for x in lines)
    )
    comparison = read_comparison(tmp_path)
    assert {row[3] for row in accuracy_table(comparison, "hindsight").rows} == {"–"}
    assert "silo − constant" in headline(comparison)
    assert "No max_lr could be chosen (tuned) for cosine." in notes(comparison)
    write_report(tmp_path)


def test_choices_at_the_edge_and_unfinished_cells_are_told(tmp_path: Path) -> None:
    rows = cell_rows()
    unfinished = [
        r for r in rows if (r["option"], r["seed"], r["cycle"]) != ("silo", 2, CYCLES - 1)
    ]
    write_comparison(tmp_path, unfinished)
    told = notes(read_comparison(tmp_path))
    assert told[0].startswith("Unfinished comparison: 3 of 27 networks ")
    assert told[1] == (
        "At the edge of the grid, so that a better one may lie beyond: max_lr chosen in hindsight, "
        "over all cycles, of silo (0.2), cosine (0.2), constant (0.2)."
    )
    assert len(told) == 2


def test_seeds_that_were_added_and_not_run_yet_are_told(tmp_path: Path) -> None:
    write_comparison(tmp_path, cell_rows(), seeds=(*SEEDS, 3))
    told = notes(read_comparison(tmp_path))
    assert told[0].startswith("Unfinished comparison: 9 of 36 networks ")
    write_report(tmp_path)


def test_without_hindsight_only_the_tuned_networks_are_pruned(tmp_path: Path) -> None:
    rows = [row for row in cell_rows() if row["max_lr"] == 0.1 or row["cycle"] == 0]
    write_comparison(tmp_path, rows, chosen={"tuned": 0.1})
    comparison = read_comparison(tmp_path)
    assert notes(comparison) == []
    assert "hindsight" not in headline(comparison)
    assert "hindsight" not in write_report(tmp_path).read_text("utf-8")


def test_seeds_that_do_not_choose_need_only_what_was_chosen(tmp_path: Path) -> None:
    rows = [row for row in cell_rows() if row["max_lr"] in CHOSEN.values() or row["seed"] == 0]
    write_comparison(tmp_path, rows, tuning_seeds=(0,))
    assert not any("Unfinished" in note for note in notes(read_comparison(tmp_path)))
    lacking = [row for row in rows if (row["option"], row["seed"]) != ("silo", 2)]
    write_comparison(tmp_path, lacking, tuning_seeds=(0,))
    (told, *_) = notes(read_comparison(tmp_path))
    assert told.startswith("Unfinished comparison: 2 of 21 networks lack cycles; silo has 5 of 7.")


def test_how_max_lr_was_chosen_is_shown_for_the_seeds_that_chose(tmp_path: Path) -> None:
    rows = [row for row in cell_rows() if row["max_lr"] in CHOSEN.values() or row["seed"] == 0]
    write_comparison(tmp_path, rows, tuning_seeds=(0,))
    comparison = read_comparison(tmp_path)
    (line,) = [x for x in choice_lines(comparison) if (x.name, x.told["cycle"]) == ("silo", 0)]
    np.testing.assert_array_equal(line.x, GRID)
    of_seed_0 = [accuracy("silo", max_lr, 0, 0) + 1 for max_lr in GRID]
    np.testing.assert_allclose(line.y, of_seed_0)
    of_silo = [row for row in grid_rows(comparison) if row["option"] == "silo"]
    assert [row["dense_val_mean"] for row in of_silo] == pytest.approx(of_seed_0)
    assert {row["all_seeds"] for row in of_silo} == {1}


def test_cycle_that_no_network_survived_is_left_out(tmp_path: Path) -> None:
    rows = cell_rows()
    for row in cell_rows(cycles=1):
        rows = diverge(rows, row["option"], row["max_lr"], row["seed"], cycle=3)
    write_comparison(tmp_path, rows)
    comparison = read_comparison(tmp_path)
    assert len(accuracy_table(comparison, "tuned").rows) == 3
    assert "over the 2 pruned densities" in headline(comparison)
    assert notes(comparison)[0].count("in cycle 3") == 2 * 9
    write_report(tmp_path)


def test_densities_that_differ_between_options_are_told(tmp_path: Path) -> None:
    rows = [
        row | {"density": row["density"] * 0.9 ** (row["option"] == "silo")} for row in cell_rows()
    ]
    write_comparison(tmp_path, rows)
    assert "Densities of the same cycle differ" in notes(read_comparison(tmp_path))[-1]


def test_another_axis_is_compared_without_the_claim(tmp_path: Path) -> None:
    options = ("weights", "lr")
    rows = cell_rows(options, grid=(0.1,))
    write_comparison(tmp_path, rows, options=options, chosen={"tuned": 0.1}, along="rewind.policy")
    html = write_report(tmp_path).read_text("utf-8")
    text = headline(read_comparison(tmp_path))
    assert "claim" not in html
    assert text.startswith("Mean test accuracy over the 4 pruned densities: weights ")
    scores = [
        np.mean([[accuracy(o, 0.1, m, s) for m in range(1, CYCLES)] for s in SEEDS], axis=1)
        for o in options
    ]
    for option, values in zip(options, scores, strict=True):
        assert f"{option} {values.mean():.2f} ± {values.std(ddof=1):.2f} %" in text
    mean, low, high = interval(*scores)
    assert f"weights − lr in test accuracy is {mean} percentage points" in text
    assert f"{low} to {high}" in text
    assert "<h1>digits · lenet_300_100 · rewind.policy compared</h1>" in html
    assert {f.stem for f in (tmp_path / "figures").iterdir()} == set(FIGURES[:3])
