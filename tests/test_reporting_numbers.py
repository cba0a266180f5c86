"""What figures draw, on the page and as pictures, is what their CSV files have."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silo_jax.reporting import figures as run_figures
from silo_jax.reporting import read_run, write_report
from silo_jax.reporting.comparison import figures as comparison_figures
from silo_jax.reporting.comparison import read_comparison
from silo_jax.reporting.oracle import figures as oracle_figures
from silo_jax.reporting.oracle import read_oracle
from silo_jax.reporting.premise import figures as premise_figures
from silo_jax.reporting.premise import read_premise
from tests.reporting_comparison import CYCLES, OPTIONS, interval, scores_of, write_comparison
from tests.reporting_oracle import write_search
from tests.reporting_premise import write_premise
from tests.reporting_run import columns, numbers, read_rows, without_scripts, write_run


def drawn_on_page(html: str, number: int) -> list[dict[str, Any]]:
    """The traces of an interactive figure, each with its picks."""
    data = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return json.loads(data[number])["traces"]


def check_lines(axes: Any, path: Path, name: str, x: str, y: str, **where: str) -> None:
    """Every named line of a panel is what the CSV file has."""
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    assert lines
    for line in lines:
        told = columns(path, **{name: line.get_label()}, **where)
        np.testing.assert_allclose(line.get_xdata(), numbers(told[x]), rtol=1e-9)
        np.testing.assert_allclose(line.get_ydata(), numbers(told[y]), rtol=1e-9)


def test_csv_files_have_what_the_pictures_draw(tmp_path):
    folders = {name: tmp_path / name for name in ("run", "comparison", "oracle", "premise")}
    write_run(folders["run"])
    write_comparison(folders["comparison"])
    write_search(folders["oracle"])
    folders["premise"].mkdir()
    write_premise(folders["premise"])
    for folder in folders.values():
        write_report(folder)
        pngs, csvs = ({p.stem for p in folder.glob(f"figures/*.{e}")} for e in ("png", "csv"))
        assert pngs == csvs

    def path(kind: str, name: str) -> Path:
        return folders[kind] / "figures" / f"{name}.csv"

    run = read_run(folders["run"])
    axes = run_figures.accuracy_by_density(run).axes[0]
    axes.get_lines()[2].remove()  # the dotted line at the dense network's accuracy
    check_lines(axes, path("run", "accuracy_by_density"), "split", "density", "accuracy")
    lr = columns(path("run", "lr_by_step"))
    np.testing.assert_allclose(numbers(lr["lr"]), run.schedule["lr"], rtol=1e-9)
    heat = run_figures.sparsity_by_layer(run).axes[0].collections[0].get_array()
    told = numbers(columns(path("run", "sparsity_by_layer"))["density"])
    np.testing.assert_allclose(10.0 ** np.asarray(heat).ravel(), np.maximum(told, told.min()))

    comparison = read_comparison(folders["comparison"])
    for name, y in (("accuracy_by_density", "test_accuracy"), ("max_lr_by_cycle", "max_lr")):
        x = "density" if y == "test_accuracy" else "cycle"
        panels = getattr(comparison_figures, name)(comparison).axes
        for axes, way in zip(panels, comparison.ways, strict=True):
            check_lines(axes, path("comparison", name), "option", x, y, way=way)
    panels = comparison_figures.accuracy_by_max_lr(comparison).axes
    for axes, cycle in zip(panels, ("0", "all"), strict=True):
        scan = path("comparison", "accuracy_by_max_lr")
        check_lines(axes, scan, "option", "max_lr", "val_accuracy", cycle=cycle)

    search = read_oracle(folders["oracle"])
    axes = oracle_figures.accuracy_by_density(search).axes[0]
    check_lines(axes, path("oracle", "accuracy_by_density"), "line", "density", "test_accuracy")
    drawn = [c.get_array() for c in oracle_figures.accuracy_by_max_lr(search).axes[0].collections]
    below = [np.asarray(array).ravel() for array in drawn if array is not None]
    told = columns(path("oracle", "accuracy_by_max_lr"))
    np.testing.assert_allclose(np.concatenate(below), numbers(told["below_best"]), atol=1e-9)

    premise = read_premise(folders["premise"])
    for axes, moment in zip(
        premise_figures.inverse_widths(premise).axes, premise.moments, strict=1
    ):
        inverse = path("premise", "inverse_widths")
        check_lines(axes, inverse, "line", "cycle", "times_first", moment=moment)
    for axes, quantity in zip(
        premise_figures.histograms(premise, "end").axes, premise.quantities, strict=True
    ):
        stairs = axes.patches[-1].get_data()
        network = {"quantity": quantity, "layer": "network", "cycle": "5"}
        told = columns(path("premise", "histograms_end"), **network)
        np.testing.assert_allclose(stairs.values, numbers(told["share"]), rtol=1e-9)
        np.testing.assert_allclose(stairs.edges[:-1], numbers(told["left"]), rtol=1e-9)


def test_the_page_draws_what_the_csv_files_have(tmp_path):
    write_comparison(tmp_path)
    traces = drawn_on_page(write_report(tmp_path).read_text(), 0)
    whole = [t for t in traces if t["pick"]["density"] == ["all"] and "fill" not in t["content"]]
    points = [t for t in traces if t["pick"]["density"] != ["all"]]
    assert (len(whole), len(points)) == (2 * len(OPTIONS), 2 * len(OPTIONS) * CYCLES)
    for trace in whole + points:
        (way,), (option,), (cycle,) = (trace["pick"][n] for n in ("way", "option", "density"))
        where = {"way": way, "option": option} | ({} if cycle == "all" else {"cycle": cycle})
        told = columns(tmp_path / "figures/accuracy_by_density.csv", **where)
        mean, high = numbers(told["test_accuracy"]), numbers(told["high"])
        np.testing.assert_allclose(trace["content"]["y"], mean, rtol=1e-6)
        if cycle != "all":
            half = trace["content"]["error_y"]["array"]
            np.testing.assert_allclose(half, high - mean, rtol=1e-4)


def test_each_schedule_is_told_against_the_reference(tmp_path):
    write_comparison(tmp_path)
    html = without_scripts(write_report(tmp_path).read_text())
    rows = {(row["way"], row["option"]): row for row in read_rows(tmp_path / "differences.csv")}
    assert len(rows) == 2 * (len(OPTIONS) - 1)
    for option in OPTIONS[1:]:
        ours, others = (scores_of(name)[1:].mean(axis=0) for name in ("silo", option))
        mean, low, high = interval(ours, others)
        cells = "".join(f"<td>{cell}</td>" for cell in (option, mean, f"{low} to {high}", "3"))
        assert cells in html
        assert float(rows["hindsight", option]["difference"]) == pytest.approx(
            np.mean(ours - others)
        )
