"""The report of the premise: its numbers are those of the files, and so are its sentences."""

import re

import numpy as np
import pytest
from scipy import stats

from silo_jax.reporting import write_report
from silo_jax.reporting.premise import (
    has_measurements,
    premise_table,
    read_premise,
    text,
    write_premise_report,
)
from silo_jax.reporting.premise.figures import inverse_widths, layers_of
from silo_jax.reporting.premise.histograms import pooled
from silo_jax.reporting.premise.numbers import change, fit, inverse_width, scaled, update_size
from silo_jax.reporting.premise.tables import changes_table, cycles_table
from tests.reporting_premise import CYCLES, MAX_LR, SEEDS, values, width, write_premise
from tests.reporting_run import without_scripts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_premise(tmp_path_factory.mktemp("premise"))


@pytest.fixture(scope="module")
def premise(folder):
    return read_premise(folder)


def known(moment, quantity):
    return np.array([[width(s, c, moment, quantity) for s in SEEDS] for c in CYCLES])


@pytest.mark.parametrize("moment", ["initialisation", "warmed_up", "end"])
@pytest.mark.parametrize("quantity", ["gradient", "before"])
def test_a_change_is_that_from_the_first_to_the_last_cycle_seed_by_seed(premise, moment, quantity):
    expected, found = known(moment, quantity), change(premise, moment, quantity)
    np.testing.assert_array_equal(premise.width(moment, quantity), expected)
    np.testing.assert_allclose(found.narrowing, expected[0] / expected[-1])
    np.testing.assert_allclose((found.first, found.last), expected[[0, -1]].mean(1))
    assert found.narrower == (moment != "end" or quantity == "before")
    factors = found.narrowing if found.narrower else 1 / found.narrowing
    np.testing.assert_array_equal(found.factors, factors)
    assert found.agreeing == 3
    np.testing.assert_allclose(
        inverse_width(premise, moment, quantity), expected[0] / expected, rtol=1e-12
    )
    np.testing.assert_allclose(
        change(premise, moment, quantity, "middle_90").narrowing, found.narrowing
    )


def test_widths_that_go_as_1_over_max_lr_lie_a_factor_of_1_from_it(tmp_path):
    exact = read_premise(write_premise(tmp_path, seeds=(1,)))
    found = fit(exact, "initialisation", "gradient")
    np.testing.assert_allclose(found[:4], (4, 4, 1, 1))
    opposite = fit(exact, "end", "gradient")
    np.testing.assert_allclose(opposite[:4], (1 / 4, 4, stats.gmean([4, 16]), 16))
    assert opposite.most_cycle == 5


def test_the_size_of_an_update_is_the_learning_rate_times_that_of_the_gradients(premise):
    rates = np.array([MAX_LR[cycle] for cycle in CYCLES])[:, None]
    expected = rates * known("end", "gradient") / 2
    np.testing.assert_allclose(update_size(premise, "end"), expected)
    assert not update_size(premise, "initialisation").any()


def test_what_is_not_above_0_cannot_be_scaled():
    found = scaled(np.array([[0.0, 2.0], [1.0, 4.0]]))
    np.testing.assert_array_equal(found, [[np.nan, 1.0], [np.nan, 2.0]])


@pytest.mark.parametrize("quantity", ["gradient", "before", "after"])
def test_histograms_on_a_common_axis_count_what_is_there(premise, quantity):
    edges, shares = pooled(premise, "initialisation", quantity)
    assert shares.shape == (len(CYCLES), len(edges) - 1)
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    for cycle, share in zip(CYCLES, shares, strict=True):
        drawn = np.concatenate([values(s, cycle, "initialisation", quantity) for s in SEEDS])
        for part in (slice(0, None), slice(0, len(share) // 2), slice(len(share) // 3, None)):
            low, high = edges[:-1][part][0], edges[1:][part][-1]
            exact = np.mean((drawn >= low) & (drawn < high))
            assert share[part].sum() == pytest.approx(exact, abs=0.03)
    assert shares[0].sum() >= 0.97
    if quantity == "after":
        assert edges[0] == -edges[1]
        assert (shares[:, 0] >= 0.5 - 0.1).all()


def test_the_headline_tells_factors_with_their_spread_and_max_lr_beside(premise):
    told = text.headline(premise)
    narrowing = known("initialisation", "gradient")
    factors = narrowing[0] / narrowing[-1]
    assert f"{factors.mean():.2f} ± {factors.std(ddof=1):.2f} times narrower at init" in told
    end = known("end", "gradient")[-1] / known("end", "gradient")[0]
    assert f"{end.mean():.2f} ± {end.std(ddof=1):.2f} times wider at the end" in told
    assert "4.00 ± 0.00 times narrower at initialisation" in told
    assert "From the dense network to cycle 5 (32.77 % of the weights)" in told
    assert "max_lr (SILO) ends at 4, and 1/width at initialisation of the gradients" in told
    assert f"gradients at {factors.mean():.3g} (a factor of " in told


def test_seeds_that_disagree_are_told(tmp_path):
    premise = read_premise(write_premise(tmp_path))
    rows = (premise.widths["seed"] == 0) & (premise.widths["cycle"] == 0)
    premise.widths["std"][rows] /= 5
    assert change(premise, "initialisation", "before").agreeing == 2
    assert re.search(
        r"become narrower in only 2 of 3 seeds at initialisation", text.headline(premise)
    )


def test_tables_hold_the_numbers(premise):
    heads, rows, *_ = changes_table(premise)
    assert len(rows) == 9
    row = dict(zip(heads, rows[3], strict=True))
    assert row == {
        **{"width of": "before activation", "moment": "start", "cycle 0": "1", "cycle 5": "0.25"},
        **{"times narrower": "4.00 ± 0.00", "in seeds": "3 of 3", "off max_lr": "1"},
    }
    heads, rows, *_ = cycles_table(premise)
    assert [row[0] for row in rows] == ["0", "2", "5"]
    assert [row[heads.index("max_lr")] for row in rows] == ["0.1", "0.2", "0.4"]
    assert premise_table(premise).row_count == 9


def test_layers_come_in_the_order_of_their_numbers(premise):
    assert layers_of(premise, "gradient") == ["Dense_2/kernel", "Dense_10/kernel"]


def test_max_lr_is_drawn_for_every_trained_cycle(premise):
    top = inverse_widths(premise).axes[0]
    (line,) = [line for line in top.get_lines() if line.get_label() == "max_lr (SILO)"]
    assert line.get_xdata().tolist() == list(MAX_LR)
    np.testing.assert_allclose(line.get_ydata(), np.array(list(MAX_LR.values())) / 0.1)


def test_the_page_has_every_figure_and_stands_alone(folder):
    page = write_report(folder)
    assert page == folder / "report.html"
    moments = ("initialisation", "warmed_up", "end")
    names = {"inverse_widths", "widths_by_density", "update_by_density"}
    names |= {f"histograms_{moment}" for moment in moments}
    names |= {f"widths_by_layer_{quantity}" for quantity in ("gradient", "before", "after")}
    assert {path.stem for path in (folder / "figures").glob("*.png")} == names
    html = without_scripts(page.read_text())
    assert html.count("data:image/png;base64,") == len(names)
    assert 'src="http' not in html
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": (4,)}, "One seed, so without a spread."),
        ({"schedule": "constant"}, "its max_lr that 1/width is compared with, not SILO's S-curve"),
        ({"quantities": ("gradient",)}, "no activations that can be looked into"),
        ({"diverged": ((1, 5), (2, 2), (2, 5))}, "seed 1 lacks 5; seed 2 lacks 2, 5."),
        ({"moments": ("initialisation", "end")}, "on the first 512 training images"),
        ({"cycles": (2, 5)}, "on the first 512 training images"),
        ({"cycles": (0,)}, "on the first 512 training images"),
        ({"diverged": tuple((seed, 5) for seed in SEEDS)}, "seed 0 lacks 5; seed 1 lacks 5"),
    ],
)
def test_what_is_missing_is_told_and_the_rest_is_shown(tmp_path, changes, told):
    write_premise(tmp_path, **changes)
    premise = read_premise(tmp_path)
    assert any(told in note for note in text.notes(premise))
    headline = text.headline(premise)
    if changes.get("cycles") == (0,):
        assert headline.startswith("Only one cycle has been measured")
    elif changes.get("cycles") == (2, 5):
        assert headline.startswith("From cycle 2 (64.00 % of the weights) to cycle 5")
    else:
        assert headline.startswith("From the dense network to cycle ")
    assert "nan" not in headline
    assert ("after warm-up" in headline) == (
        "moments" not in changes and "(0,)" not in headline
    ) or (changes.get("cycles") == (0,))
    assert write_premise_report(tmp_path).exists()


def test_nothing_to_report(tmp_path):
    assert not has_measurements(tmp_path)
    write_premise(tmp_path)
    assert has_measurements(tmp_path)
    cycles = tmp_path / "cycles.csv"
    cycles.write_text(cycles.read_text().splitlines()[0] + "\n")
    assert not has_measurements(tmp_path)
    with pytest.raises(ValueError, match=r"cycles\.csv: has no rows"):
        read_premise(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("widths.csv", "initialisation", "later", "moment"),
        ("widths.csv", "gradient", "momentum", "quantity"),
        ("histograms.csv", "0,0,init", "9,0,init", "seed"),
        ("cycles.csv", "0,0,1.0", "0,0,1.5", "density"),
        ("cycles.csv", "0,0,1.0", "0,0,dense", "density"),
        ("widths.csv", ",std,", ",deviation,", "std"),
        ("study.json", "[0, 2, 5]", "[]", "cycles"),
        ("study.json", "512", '"many"', "num_images"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, name, old, new, told):
    write_premise(tmp_path)
    path = tmp_path / name
    changed = path.read_text().replace(old, new)
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(ValueError, match=rf"^[^\n]*{re.escape(name)}[^\n]*{told}[^\n]*\Z"):
        read_premise(tmp_path)
