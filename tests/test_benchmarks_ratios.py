"""What the benchmarks make of the seconds that they measured."""

from collections import Counter

import pytest

from benchmarks.cycle import ONCE, rows_of
from benchmarks.masked_step import row_of


def test_a_run_of_two_cycles_rewinds_once():
    seconds = Counter(
        {"steps": 20.0, "rewinding": 1.0, "checkpoint": 2.0} | dict.fromkeys(ONCE, 5.0)
    )
    rows = {row["part"]: row for row in rows_of(seconds)}
    a_cycle = {"steps": 10.0, "checkpoint": 1.0, "rewinding": 1.0}
    for part, expected in a_cycle.items():
        assert rows.pop(part) == {
            "part": part,
            "seconds_a_cycle": expected,
            "share": pytest.approx(expected / 12),
        }
    assert {row["part"]: row["seconds"] for row in rows.values()} == {
        f"{name} (once)": 5.0 for name in ONCE
    }


def test_every_try_of_the_masked_step_builds_its_programs_and_counts_alike(monkeypatch):
    """The second try has slow memory under the masks, in all of its turns."""
    built, masked = [], iter([[1.0, 1.0], [3.0, 3.0], [1.1, 1.1]])

    def timed(programs, repeats):
        assert repeats == 2
        return {"masked": next(masked), "unmasked": [1.0, 1.0], "unmasked again": [0.9, 0.9]}

    def epochs(network, batch_size, steps, *, with_masks):
        built.append(with_masks)

    monkeypatch.setattr("benchmarks.masked_step.Epochs", epochs)
    monkeypatch.setattr("benchmarks.masked_step.seconds_in_turn", timed)
    row = row_of("resnet20", batch_size=4, tries=3, repeats=2)
    assert (built.count(True), built.count(False)) == (3, 6)
    assert row["masked_over_unmasked"] == 1.1
    assert row["of_each_try"] == [1.0, 3.0, 1.1]
    assert row["unmasked_over_unmasked"] == 0.9
    assert row["masked_ms_per_step"] == pytest.approx(1e3 * 1.1 / 3)
