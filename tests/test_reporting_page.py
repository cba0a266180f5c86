"""The table and the page say what the result files say: numbers, gaps, and what is missing."""

import base64
import json
import math
import os
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from plotly.offline import get_plotlyjs
from rich.console import Console

from silo_jax.reporting import has_results, read_run, results_table, write_report
from silo_jax.reporting.summary import headline, notes
from tests.reporting_run import (
    CYCLES,
    FIGURES,
    FILES,
    SEEDS,
    SIZES,
    accuracy,
    config,
    density,
    printed,
    without_scripts,
    write_csv,
    write_run,
)


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
    names = {file.name for file in (workdir / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "csv")}
    for name in FIGURES:
        file = workdir / "figures" / f"{name}.png"
        height, width = matplotlib.image.imread(file).shape[:2]
        assert width == 880
        assert 300 <= height <= 900
        data = base64.b64encode(file.read_bytes()).decode()
        assert f'src="data:image/png;base64,{data}"' in html


def test_report_needs_nothing_from_elsewhere(workdir: Path) -> None:
    html = without_scripts(write_report(workdir).read_text("utf-8"))
    sources = re.findall(r"(?:src|href|url|@import|action)\s*[=(]\s*[\"']?([^\"')\s>]+)", html)
    assert len(sources) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?:|<script|<link|<iframe|\son\w+=", html)


def test_report_has_its_one_library_once_and_as_it_is(workdir: Path) -> None:
    html = write_report(workdir).read_text("utf-8")
    assert html.count(get_plotlyjs()) == 1
    assert not re.search(r"<script[^>]+src", html)


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
    assert "<script>alert" not in html
    assert re.findall(r"<script[^>]*>", html.replace(get_plotlyjs(), "")) == [
        *['<script type="application/json">'] * len(FIGURES),
        *["<script>"] * 2,
    ]
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
        "Unfinished run: seed 2 is not started; results are over the seeds that are there."
    ]


def test_seeds_that_diverged_are_told(tmp_path: Path) -> None:
    write_run(tmp_path, {0: CYCLES, 1: 2, 2: CYCLES})
    row = {"seed": 0, "cycle": 3, "step": 95, "max_lr": 0.4, "lr": 0.3, "last_finite_loss": 2.5}
    gone_on = row | {"last_sound_step": 90, "next_max_lr": 0.2}
    given_up = row | {"seed": 1, "cycle": 2, "last_sound_step": 60, "next_max_lr": math.nan}
    write_csv(tmp_path, "diverged", [given_up, gone_on])
    _, *told = notes(read_run(tmp_path))
    assert told == [
        "Seed 0 diverged in cycle 3 at step 95, with max_lr 0.4 and 2.5 as its last finite loss; "
        "it went back to step 90 and on with max_lr 0.2.",
        "Seed 1 diverged in cycle 2 at step 95, with max_lr 0.4 and 2.5 as its last finite loss; "
        "it was given up there.",
    ]
    assert all(note in write_report(tmp_path).read_text() for note in told)


def test_there_are_results_once_a_cycle_is_finished(tmp_path: Path) -> None:
    assert not has_results(tmp_path)
    (tmp_path / "cycles.csv").write_text("cycle,seed\n")
    assert not has_results(tmp_path)
    write_run(tmp_path, {0: 1})
    assert has_results(tmp_path)


def test_finished_run_has_no_notes(workdir: Path) -> None:
    assert notes(read_run(workdir)) == []
    assert 'class="note"' not in write_report(workdir).read_text("utf-8")


def test_run_of_the_dense_network_alone_is_reported(tmp_path: Path) -> None:
    write_run(tmp_path, {0: 1, 1: 1, 2: 1})
    assert "no pruned network has been trained yet" in write_report(tmp_path).read_text("utf-8")


def test_report_is_made_anew_and_the_same_for_the_same_results(workdir: Path) -> None:
    first = write_report(workdir).read_bytes()
    assert write_report(workdir).read_bytes() == first
    write_run(workdir, {0: 5, 1: 5, 2: 1})
    assert b"seed 2 has 1 of 5 cycles" in write_report(workdir).read_bytes()
    assert {file.name for file in workdir.iterdir()} == {*FILES, "figures", "report.html"}


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_report(workdir).read_bytes()
    write_run(workdir, {0: 5, 1: 5, 2: 1})
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if target.suffix != ".html":
            return replace(source, target)
        assert source.read_bytes() != old
        raise OSError(28, "disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match=r"disk full: '.*report\.html'"):
            write_report(workdir)
    assert (workdir / "report.html").read_bytes() == old
    assert {file.name for file in workdir.iterdir()} == {*FILES, "figures", "report.html"}
