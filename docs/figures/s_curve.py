"""Draws s_curve.png beside this file.

    python -m docs.figures.s_curve

Left the S-curve, right the learning rate that it makes of 16 cycles, each on 0.8 of the weights.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from silo_jax import s_curve, shapes, silo_schedule
from silo_jax.reporting.style import BLUE, GREY, ORANGE, VERMILION, render_png

NUM_CYCLES = 16
STEPS = 500  # a cycle
LOWER, UPPER = 0.03, 0.07


def draw() -> Figure:
    figure = Figure(figsize=(10, 4))
    left, right = figure.subplots(1, 2)
    sparsity = np.linspace(0, 1, 400)
    for steepness, colour in ((1, GREY), (2, ORANGE), (5, BLUE), (10, VERMILION)):
        left.plot(sparsity, s_curve(sparsity, steepness), color=colour, label=f"β = {steepness}")
    left.set(xlabel="sparsity x", ylabel="share of the range")
    left.legend()

    shape = shapes.warmup_step_decay(warmup_steps=100, drop_steps=(250, 400))
    schedule = silo_schedule(
        shape, num_cycles=NUM_CYCLES, steps_per_cycle=STEPS, lower=LOWER, upper=UPPER
    )
    steps = np.arange(NUM_CYCLES * STEPS)
    right.plot(steps / STEPS, schedule(steps), color=BLUE, linewidth=0.9)
    for bound, name in ((LOWER, "lower"), (UPPER, "upper")):
        right.axhline(bound, color=GREY, linestyle="--", linewidth=1)
        right.annotate(name, (0.1, bound), xytext=(0, 3), textcoords="offset points", color=GREY)
    right.set(xlabel="pruning cycle", ylabel="learning rate", ylim=(0, 0.078))
    right.set_xticks(range(0, NUM_CYCLES + 1, 4))
    return figure


if __name__ == "__main__":
    Path(__file__).with_suffix(".png").write_bytes(render_png(draw))
