"""The report of a schedule: its rows against the schedule's own values, its table and picture."""

import base64
import re
from xml.etree import ElementTree

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from silo_jax import cycle_schedule, report_schedule, shapes, silo_schedule
from tests.alone import run_alone
from tests.refusals import refused

LENGTHS = [7, 1, 4]
PEAKS = [0.1, 0.4, 0.2]


def silo_report(steps_per_cycle=50):
    shape = shapes.warmup_step_decay(steps_per_cycle // 5, (steps_per_cycle // 2,))
    schedule = silo_schedule(
        shape, num_cycles=8, steps_per_cycle=steps_per_cycle, lower=0.03, upper=0.07
    )
    return report_schedule(schedule, steps_per_cycle=steps_per_cycle, num_cycles=8)


SCHEDULES = {
    "unequal cycles": (cycle_schedule(shapes.triangular(8, 0.5), PEAKS, LENGTHS), LENGTHS),
    "optax, decaying": (optax.exponential_decay(0.3, 5, 0.5), [5, 5, 5]),
    "optax, a Python number": (optax.constant_schedule(0.25), [3, 2]),
    "optax, joined": (
        optax.join_schedules([optax.linear_schedule(0, 1, 4), optax.constant_schedule(0.5)], [4]),
        [6, 4],
    ),
    "one cycle": (optax.warmup_cosine_decay_schedule(0.0, 0.1, 4, 12), [12]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rows_are_read_off_the_values_of_the_schedule(name):
    schedule, lengths = SCHEDULES[name]
    report = report_schedule(schedule, steps_per_cycle=lengths)
    assert len(report.rows) == len(lengths)
    values = [np.float32(schedule(step)) for step in range(sum(lengths))]
    np.testing.assert_allclose(report.lr, values, rtol=1e-6)
    first_step = 0
    for cycle, (row, length) in enumerate(zip(report.rows, lengths, strict=True)):
        rates = values[first_step : first_step + length]
        assert row[:3] == (cycle, first_step, length)
        assert (row.first_lr, row.last_lr) == pytest.approx((rates[0], rates[-1]), rel=1e-6)
        assert row.max_lr == pytest.approx(max(rates), rel=1e-6)
        assert row.max_lr_step == first_step + int(np.argmax(rates))
        first_step += length


def test_one_number_of_steps_for_all_cycles():
    schedule = cycle_schedule(shapes.linear_decay(4), PEAKS, 4)
    rows = report_schedule(schedule, steps_per_cycle=4, num_cycles=3).rows
    assert rows == report_schedule(schedule, steps_per_cycle=[4, 4, 4]).rows
    assert rows[:1] == report_schedule(schedule, steps_per_cycle=4).rows


def test_the_table_is_aligned_and_says_what_the_rows_say():
    report = silo_report(5000)
    head, *lines = str(report).splitlines()
    assert {len(line) for line in lines} == {len(head)}
    assert re.split(r"\s{2,}", head) == [
        *("cycle", "first step", "steps", "first lr", "max_lr", "at step", "last lr")
    ]
    for line, row in zip(lines, report.rows, strict=True):
        numbers = [float(cell.replace(",", "")) for cell in line.split()]
        np.testing.assert_allclose(numbers, row, rtol=1e-3)


def lines_of(figure):
    axes, *_ = figure.axes
    return {line.get_label(): line.get_data() for line in axes.get_lines()}


def test_the_picture_shows_every_step_and_the_peaks():
    report = silo_report()
    lines = lines_of(report.figure())
    steps, rates = lines["learning rate"]
    np.testing.assert_array_equal(steps, np.arange(400))
    np.testing.assert_array_equal(rates, report.lr)
    steps, rates = lines["max_lr of each cycle"]
    assert list(zip(steps, rates, strict=True)) == [
        (row.max_lr_step, row.max_lr) for row in report.rows
    ]


def test_the_picture_says_what_is_drawn():
    axes, *_ = silo_report().figure().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "learning rate")
    assert axes.get_ylim()[0] == 0


def test_a_million_steps_are_thinned_without_losing_a_spike():
    spikes = jnp.array([0, 4321, 499_999, 500_000, 999_999])
    dips = jnp.array([5, 777_777])

    def schedule(step):
        return 0.5 + 0.5 * (step == spikes).any() - 0.25 * (step == dips).any()

    report = report_schedule(schedule, steps_per_cycle=500_000, num_cycles=2)
    steps, rates = lines_of(report.figure())["learning rate"]
    assert len(steps) < 5000
    assert (np.diff(steps) > 0).all()
    np.testing.assert_array_equal(rates, report.lr[steps])
    np.testing.assert_array_equal(steps[rates == 1], spikes)
    np.testing.assert_array_equal(steps[rates == 0.25], dips)


@pytest.mark.parametrize("lengths", [[1], [1000, *[100] * 59]], ids=["one step", "60 cycles"])
def test_few_steps_and_many_cycles_can_be_drawn(lengths):
    schedule = cycle_schedule(shapes.constant(), np.ones(len(lengths)), lengths)
    figure = report_schedule(schedule, steps_per_cycle=lengths).figure()
    figure.draw_without_rendering()
    numbers = [tick.get_text() for tick in figure.axes[0].child_axes[0].get_xticklabels()]
    assert numbers[0] == "0"
    assert len(numbers) <= 30


def test_a_notebook_shows_the_table_and_a_png():
    report = silo_report()
    html = ElementTree.fromstring(f"<p>{report._repr_html_()}</p>")
    cells = [[cell.text for cell in row] for row in html.iter("tr")]
    assert [" ".join(line.split()) for line in str(report).splitlines()] == [
        " ".join(row) for row in cells
    ]
    kind, _, data = html.find("img").get("src").partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")


def test_only_the_picture_needs_matplotlib():
    result = run_alone("""
import optax, silo_jax
report = silo_jax.report_schedule(optax.constant_schedule(0.5), steps_per_cycle=3)
print(report.rows[0].max_lr, str(report).split()[-1])
report.figure()
""")
    assert result.stdout.split() == ["0.5", "0.5"]
    assert result.stderr.strip().endswith("ModuleNotFoundError: No module named 'matplotlib'")


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ({"steps_per_cycle": 3, "num_cycles": 0}, "num_cycles", 0),
        ({"steps_per_cycle": 3, "num_cycles": 1.5}, "num_cycles", 1.5),
        ({"steps_per_cycle": 0, "num_cycles": 2}, "steps_per_cycle", 0),
        ({"steps_per_cycle": "10"}, "steps_per_cycle", "'10'"),
        ({"steps_per_cycle": [3, 4], "num_cycles": 3}, "steps_per_cycle", "2 cycles"),
        ({"steps_per_cycle": 2**31}, "steps_per_cycle", 2**31),
    ],
)
def test_report_schedule_refuses(arguments, field, value):
    with refused(field, value):
        report_schedule(optax.constant_schedule(0.1), **arguments)


def test_report_schedule_refuses_what_is_no_schedule():
    with refused("schedule", 0.1, "an optax schedule"):
        report_schedule(0.1, steps_per_cycle=3)
