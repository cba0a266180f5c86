"""What the results say, in sentences made from the numbers; a caption takes the results."""

import numpy as np

from silo_jax.reporting.aggregate import count, format_percent, format_spread, over_seeds
from silo_jax.reporting.results import RunResults


def headline(run: RunResults) -> str:
    """States the main result in one sentence.

    Args:
        run: Results to state.

    Returns:
        Dense test accuracy, the smallest density whose mean test accuracy is within 1 percentage
        point of it or better, accuracy at the final density, and how many seeds and cycles.
        Of a run that has not finished a cycle, how far it is.
    """
    if not run.has_cycles:
        epochs = len(run.metrics["epoch"])
        return f"No cycle is finished yet; {count(epochs, 'epoch')} of training can be shown."
    cycle = run.cycles["cycle"]
    test = over_seeds(cycle, run.cycles["test_accuracy"])
    density = over_seeds(cycle, run.cycles["density"]).mean
    score = [f"{format_spread(mean, std)} %" for mean, std in zip(test.mean, test.std, strict=True)]
    dense = f"The dense network has {score[0]} test accuracy ({count(test.seeds[0], 'seed')})"
    if len(score) == 1:
        return f"{dense}; no pruned network has been trained yet."
    close = np.flatnonzero(test.mean[1:] >= test.mean[0] - 1 - 1e-9) + 1
    if close.size:
        best = close[np.argmin(density[close])]
        middle = (
            "the smallest density whose mean is within 1 percentage point of that, or above it, "
            f"is {format_percent(density[best])} % ({score[best]})"
        )
    else:
        middle = "no pruned network has a mean within 1 percentage point of that"
    return (
        f"{dense}; {middle}; at the last density, {format_percent(density[-1])} %, test accuracy "
        f"is {score[-1]} ({count(test.seeds[-1], 'seed')}), after {len(score)} cycles with "
        f"{100 * run.prune_fraction:.4g} % of the remaining weights pruned from one to the next."
    )


def notes(run: RunResults) -> list[str]:
    """Lists what a reader should know before trusting the numbers.

    Args:
        run: Results to look at.

    Returns:
        A sentence each for an unfinished run, seeds that diverged, and numbers not finite.
    """
    found = []
    if not run.finished:
        behind = [
            _progress(run, seed, done)
            for seed, done in run.cycles_done.items()
            if done < run.num_cycles
        ]
        found.append(
            f"Unfinished run: {', '.join(behind)}; results are over the seeds that are there."
        )
    found += _divergences(run)
    for file, table in (("metrics.jsonl", run.metrics), ("cycles.csv", run.cycles)):
        gaps = {name: int(np.isnan(column.astype(float)).sum()) for name, column in table.items()}
        told = [f"{name} in {gap} of {len(table[name])}" for name, gap in gaps.items() if gap]
        if told:
            found.append(f"Not finite, shown as gaps: {', '.join(told)} rows of {file}.")
    return found


def _progress(run: RunResults, seed: int, done: int) -> str:
    """Tells how far a seed is: its finished cycles, and its epochs of the next one."""
    own = run.metrics["seed"] == seed
    if not own.any():
        return f"seed {seed} is not started"
    epochs = int(np.sum(own & (run.metrics["cycle"] >= done)))
    further = f" and {count(epochs, 'epoch')} of the next" if epochs else ""
    return f"seed {seed} has {done} of {run.num_cycles} cycles{further}"


def _divergences(run: RunResults) -> list[str]:
    rows = [
        dict(zip(run.diverged, row, strict=True))
        for row in zip(*run.diverged.values(), strict=True)
    ]
    return [
        f"Seed {row['seed']} diverged in cycle {row['cycle']} at step {row['step']}, with max_lr "
        f"{row['max_lr']:.4g} and {row['last_finite_loss']:.4g} as its last finite loss; "
        + (
            "it was given up there."
            if np.isnan(row["next_max_lr"])
            else f"it went back to step {row['last_sound_step']} and on with max_lr "
            f"{row['next_max_lr']:.4g}."
        )
        for row in rows
    ]


def results_caption(run: RunResults) -> str:
    """Describes the results table."""
    if _seeds(run) == 1:
        return "Results of one seed, so without a spread."
    return (
        f"Means over {_seeds(run)} seeds, ± one sample standard deviation; "
        "seconds are summed over the seeds."
    )


def accuracy_caption(run: RunResults) -> str:
    """Describes the figure of accuracy by density."""
    return (
        "Mean test and validation accuracy at the end of each cycle, densest on the left"
        f"{_band(run)}; the dotted line is the dense network's test accuracy."
    )


def max_lr_caption(run: RunResults) -> str:
    """Describes the figure of max_lr by cycle."""
    max_lr = over_seeds(run.cycles["cycle"], run.cycles["max_lr"]).mean
    density = over_seeds(run.cycles["cycle"], run.cycles["density"]).mean
    return (
        f"max_lr goes from {max_lr[0]:.4g} in cycle 0 to {max_lr[-1]:.4g} in the last one, "
        f"while sparsity (dashed, right axis) rises to {format_percent(1 - density[-1])} %."
    )


def lr_caption(run: RunResults) -> str:
    """Describes the figure of the learning rate by step."""
    planned = "as planned"
    if run.config["schedule"]["name"] == "gradient_matched":
        planned = "with the dense network's max_lr, as those of later cycles are measured"
    return f"Learning rate over the steps of the whole run, {planned}; faint lines part the cycles."


def training_caption(run: RunResults) -> str:
    """Describes the figure of the training curves."""
    return (
        f"Mean training and validation loss and accuracy by epoch, cycle after cycle{_band(run)}."
    )


def layers_caption(run: RunResults) -> str:
    """Describes the figure of sparsity by layer."""
    return (
        "Mean sparsity of each layer in each cycle; the colour scale is logarithmic in density, "
        "so that high sparsities stay apart."
    )


def _band(run: RunResults) -> str:
    if _seeds(run) < 2:
        return ""
    return f"; bands are ± one sample standard deviation over {_seeds(run)} seeds"


def _seeds(run: RunResults) -> int:
    return len(np.unique(run.cycles["seed"]))
