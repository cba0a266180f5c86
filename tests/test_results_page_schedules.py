"""What the page of results says of the comparisons of schedules."""

import json

import numpy as np
import pytest

from docs.results_page.compared import Compared
from docs.results_page.page import page
from docs.results_page.raising import all_pairs, raised, verdict_on_raising
from docs.results_page.schedules import RENDA, verdict_on_schedules
from docs.results_page.studies import FOLDER, Study, all_studies
from docs.results_page.tried import options_tried
from silo_jax.reporting.comparison import read_comparison
from silo_jax.reporting.paired import format_difference
from tests.reporting_comparison import (
    CHOSEN,
    CYCLES,
    SEEDS,
    accuracy,
    cell_rows,
    diverge,
    interval,
    write_comparison,
)


def better_silo(option, max_lr, cycle, seed):
    return accuracy("silo", max_lr, cycle, seed) - 5 * (option != "silo")


def cifar_study(folder, **files):
    write_comparison(folder / "compare", **files)
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config |= {"data": {"name": "cifar10"}, "model": {"name": "resnet20"}}
        config |= {"rewind": {"policy": "lr"}}
        config["training"] = config.get("training", {}) | {"epochs_per_cycle": 1}
        config["schedule"] |= {"warmup_epochs": 0.25, "drop_epochs": [0.5]}
        path.write_text(json.dumps(config))
        environment = {"device": "1 × tpu", "host cores": "8", "command": "compare"}
        (path.parent / "environment.json").write_text(json.dumps(environment))
    return Study(folder)


def test_a_schedule_that_wins_everywhere_is_said_to(tmp_path):
    lost = Compared(Study(FOLDER / "digits"))
    won = Compared(cifar_study(tmp_path / "won", rows=cell_rows(test=better_silo)))
    told = verdict_on_schedules([won])
    assert told.startswith("**Holds here.**")
    assert "2 or more in 1 of 1 study, which the 95 % interval rules out in 0" in told
    assert "(2 pairs of schedule and study) it is in the mean over the pruned cycles better" in told
    assert "better in 2 and worse in 0, and in the last, sparsest cycle better in 2" in told
    assert verdict_on_schedules([won, lost]).startswith("**Holds in 1 of 2 studies.**")
    assert verdict_on_schedules([lost]).startswith("**Does not hold here.**")


def test_a_comparison_with_one_other_schedule_is_told_but_not_counted(tmp_path):
    lost = Compared(Study(FOLDER / "digits"))
    options = ("silo", "warmup")
    rows = cell_rows(options, test=better_silo)
    alone = Compared(cifar_study(tmp_path, rows=rows, options=options))
    told = verdict_on_schedules([lost, alone]).removeprefix(verdict_on_schedules([lost]))
    assert "with warmup alone, and is not counted in these: " in told
    mean = np.mean(
        [better_silo("silo", 0.1, 1, s) - better_silo("warmup", 0.1, 1, s) for s in SEEDS]
    )
    assert f": {mean:+.2f} [" in told


def test_the_seeds_that_chose_nothing_judge_what_the_others_chose(tmp_path):
    """When dense constant is the best other; pruned it is cosine with the first seed, of all
    seeds it is constant. SILO's last seed is 1 up."""

    def test(option, max_lr, cycle, seed):
        lost = {"cosine": 3.0 if seed else 1.0, "constant": 2.0 if cycle else -1.0}
        return 90 - lost.get(option, 0.0) + (option == "silo" and seed == SEEDS[-1])

    compared = Compared(cifar_study(tmp_path, rows=cell_rows(test=test), tuning_seeds=SEEDS[:1]))
    assert compared.favourite == "constant"
    assert compared.strongest("tuned").rival == "constant"
    assert compared.held_out("tuned").mean == pytest.approx(3.5)
    assert compared.held_out("tuned").pairs == 2
    last = compared.ahead("constant", "tuned", "last")
    mean, low, high = interval(np.array([2.0, 2.0, 3.0]), np.zeros(3))
    assert [f"{one:+.2f}".replace("-", "−") for one in last[:3]] == [mean, low, high]


def test_raising_max_lr_is_told_from_a_max_lr_that_was_too_small(tmp_path):
    """Warmup loses 3 points a pruned cycle when it starts at 0.05, and is tuned to 0.1; SILO always
    diverges from 0.2 on."""

    def test(option, max_lr, cycle, seed):
        held_low = option == "warmup" and max_lr == 0.05
        return 90 + 0.1 * seed - (0.2 + 0.01 * seed) * (option == "warmup") - 3 * cycle * held_low

    options = ("silo", "warmup")
    rows = cell_rows(options, test=test)
    for seed in SEEDS:
        rows = diverge(rows, "silo", 0.2, seed, cycle=2)
    write_comparison(tmp_path, rows, options=options)
    comparison = read_comparison(tmp_path)
    low, middle, high = raised(comparison)
    more = 0.2 + 0.01 * np.mean(SEEDS)
    assert low.overall.mean == pytest.approx(more + 3 * (1 + 2 + 3 + 4) / 4)
    assert low.last.mean == pytest.approx(more + 3 * 4)
    assert middle.overall.mean == pytest.approx(more)
    assert all_pairs(high.overall, comparison) == "diverged"
    assert (low.max_lr, low.tuned) == (0.05, 0.1)
    told = verdict_on_raising([comparison])
    assert "diverges, in 1 of the 1 rows below" in told
    assert "in 0 of the 2 others" in told
    assert told.endswith("or diverges where warmup does not, in 0 and 1.")


def test_diverging_with_one_seed_of_two_is_a_loss_and_where_warmup_does_a_gain(tmp_path):
    options, (first, second) = ("silo", "warmup"), SEEDS[:2]
    rows = [row for row in cell_rows(options) if row["seed"] in (first, second)]

    def told(diverged):
        changed = rows
        for option, seed in diverged:
            changed = diverge(changed, option, 0.2, seed, cycle=1)
        write_comparison(tmp_path, changed, options=options)
        comparison = read_comparison(tmp_path)
        *others, last = raised(comparison)
        assert [one[-3:] for one in others] == [(2, 0, 0)] * 2
        return last[-3:], verdict_on_raising([comparison])

    seeds, verdict = told([("silo", first)])
    assert seeds == (2, 1, 0)
    assert verdict.endswith(", in 0 and 1.")
    assert told([("silo", first), ("silo", second)])[0] == (2, 2, 0)
    seeds, verdict = told([("silo", first), ("warmup", first)])
    assert seeds == (2, 0, 0)
    assert "in 1 of the 2 others" in verdict
    seeds, verdict = told([("warmup", second)])
    assert seeds == (2, 0, 1)
    assert "in 2 of the 2 others" in verdict


def test_an_interval_of_no_width_shows_no_gain(tmp_path):
    def gains(spread):
        def test(option, max_lr, cycle, seed):
            return 90 - (option == "warmup") * (3 + spread * (seed == SEEDS[0]))

        rows = [row for row in cell_rows(options, test=test) if row["seed"] in SEEDS[:2]]
        write_comparison(tmp_path, rows, options=options)
        return verdict_on_raising([read_comparison(tmp_path)]).partition(" of the ")[0][-4:]

    options = ("silo", "warmup")
    assert (gains(0.01), gains(0.0)) == ("in 1", "in 0")


def test_a_row_of_one_seed_shows_no_gain(tmp_path):
    options = ("silo", "warmup")
    rows = [row for row in cell_rows(options) if row["max_lr"] != 0.05 or row["seed"] == SEEDS[0]]
    write_comparison(tmp_path, rows, options=options)
    comparison = read_comparison(tmp_path)
    assert [one.overall.pairs for one in raised(comparison)] == [1, len(SEEDS), len(SEEDS)]
    told = verdict_on_raising([comparison])
    assert "in 0 of the 0 rows below" in told
    assert "in 2 of the 2 others" in told


def test_another_range_of_silo_is_held_against_the_strongest_other(tmp_path):
    """Cosine is the strongest other; the options lose a point a cycle."""
    range_of_silo = {"along": "schedule.upper", "options": ("0.2", "0.4")}
    for name in ("later", "longer", "range"):
        write_comparison(tmp_path / name, chosen={"tuned": 0.1}, **range_of_silo)
    compared = Compared(cifar_study(tmp_path))
    changed = {"longer": ("training", "epochs_per_cycle"), "later": ("schedule", "lower")}
    for name, (part, field) in changed.items():
        config = json.loads((tmp_path / name / "config.json").read_text())
        config[part][field] = 3
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    _, longer, wider = compared.study.tried
    assert longer.changes == {"training.epochs_per_cycle": 3}
    assert all(option.ahead.pairs == 0 for option in options_tried(compared, longer))
    option = options_tried(compared, wider)[1]
    pruned, max_lr = range(1, CYCLES), CHOSEN["hindsight"]
    expected = [
        accuracy("0.4", 0.1, cycle, seed) - accuracy("cosine", max_lr, cycle, seed)
        for cycle in pruned
        for seed in SEEDS
    ]
    assert option.ahead.mean == pytest.approx(np.mean(expected))
    last = expected[-len(SEEDS) :]
    assert option.ahead_last.mean == pytest.approx(np.mean(last))
    told = verdict_on_schedules([compared])
    assert "the best of 3 other settings of SILO's schedule" in told
    assert f"is {format_difference(option.ahead)} beside the strongest other" in told


def test_schedules_compared_with_other_epochs_are_told_but_not_counted(tmp_path):
    """Cosine is the stronger other; at 0.05 all of them stand at the edge of the grid."""
    write_comparison(tmp_path / "longer", chosen={"tuned": 0.05})
    study = cifar_study(tmp_path)
    config = json.loads((tmp_path / "longer/config.json").read_text())
    config["training"]["epochs_per_cycle"] = 12
    (tmp_path / "longer/config.json").write_text(json.dumps(config))
    ours, theirs = (
        np.array(
            [[accuracy(option, 0.05, cycle, seed) for seed in SEEDS] for cycle in range(1, CYCLES)]
        )
        for option in ("silo", "cosine")
    )
    pruned, last = (
        "{} [{}, {}]".format(*interval(*pair))
        for pair in ((ours.mean(0), theirs.mean(0)), (ours[-1], theirs[-1]))
    )
    told = verdict_on_schedules([Compared(study)])
    assert "2 or more in 0 of 1 study" in told
    assert (
        "with `training.epochs_per_cycle=12`, is not counted in these: SILO minus the strongest of "
        f"cosine, constant, which is cosine, is {pruned} in the mean over the pruned cycles, and "
        f"{last} in the last, sparsest cycle, max_lr tuned on the dense network. At the edge"
    ) in told


def test_a_setting_of_silo_under_other_epochs_is_beside_the_schedules_trained_so(tmp_path):
    """There max_lr is 0.05, in the study's own comparison another; cosine is the strongest other
    in both."""
    write_comparison(tmp_path / "longer", chosen={"tuned": 0.05})
    range_of_silo = {"along": "schedule.upper", "options": ("0.2", "0.4")}
    write_comparison(tmp_path / "longer_range", chosen={"tuned": 0.1}, **range_of_silo)
    compared = Compared(cifar_study(tmp_path))
    for name in ("longer", "longer_range"):
        config = json.loads((tmp_path / name / "config.json").read_text())
        config["training"]["epochs_per_cycle"] = 12
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    ours, theirs = (
        np.array(
            [[accuracy(option, max_lr, cycle, seed) for seed in SEEDS] for cycle in range(CYCLES)]
        )
        for option, max_lr in (("0.4", 0.1), ("cosine", 0.05))
    )
    assert all(one.ahead.pairs == 0 for one in options_tried(compared, compared.study.tried[0]))
    pruned, last = (
        "{} [{}, {}]".format(*interval(*pair))
        for pair in ((ours[1:].mean(0), theirs[1:].mean(0)), (ours[-1], theirs[-1]))
    )
    assert (
        "There the one other setting of SILO's schedule that was tried (`schedule.upper=0.4`) is "
        f"{pruned} beside the strongest other in the mean over the pruned cycles, and {last} in "
        "the last, sparsest cycle."
    ) in verdict_on_schedules([compared])


def test_a_setting_of_silo_that_two_comparisons_tried_counts_once(tmp_path):
    """Of the second comparison the first option is the last of the first one, upper 0.4."""
    options = {"upper": ("0.2", "0.4"), "delay": ("1", "4")}
    for field, names in options.items():
        write_comparison(
            tmp_path / field, along=f"schedule.{field}", options=names, chosen={"tuned": 0.1}
        )
    compared = Compared(cifar_study(tmp_path))
    config = json.loads((tmp_path / "delay/config.json").read_text())
    config["schedule"]["upper"] = 0.4
    (tmp_path / "delay/config.json").write_text(json.dumps(config))
    assert "the best of 2 other settings" in verdict_on_schedules([compared])


def test_what_was_tried_and_what_was_published_is_beside_it(tmp_path):
    write_comparison(
        tmp_path / "range", along="schedule.upper", options=("0.2", "0.4"), chosen={"tuned": 0.1}
    )
    study = cifar_study(tmp_path, chosen={"tuned": 0.1})
    longer = json.loads((tmp_path / "range/config.json").read_text())
    longer["training"]["epochs_per_cycle"] = 3
    (tmp_path / "range/config.json").write_text(json.dumps(longer))
    told = page([*(one for one in all_studies() if one.has("oracle")), study])
    assert f"| {RENDA[1.0]} |" in told
    assert "| training.epochs_per_cycle=3 | upper 0.4 | 0.1 | " in told
    assert "| 1 × tpu with 8 host cores |" in told
    hindsight = told.partition("With max_lr tuned")[0]
    assert "CIFAR-10" not in hindsight.partition("With max_lr chosen")[2]
