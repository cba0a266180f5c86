"""Exports the network that a run has trained, as it was at the end of a cycle.

    python -m experiments.export runs/quickstart --cycle=9 --format=dense,sparse

Each file is loaded again, and its logits on random images are compared with those of the network,
before it counts as done. ``--shrink`` takes out the channels that no longer do anything, and
measures what that brings.

Exit status: 0 when all is written and the same; 2 when the input is wrong, a checkpoint is damaged,
or the network is of a family that cannot be written so.
"""

from pathlib import Path
from typing import Any

from absl import flags

from silo_jax.checks import require_choice
from silo_jax.cli.directory import parse_directory
from silo_jax.cli.flags import Flag, exit_on_bad_input
from silo_jax.cli.messages import output

# Without importing what they need, so that wrong flags are answered at once.
FORMATS = ("dense", "sparse", "bcoo", "stablehlo", "torch")
_FLAGS = {
    "cycle": Flag(flags.DEFINE_integer, None, "N", "from 0, the dense one [the last finished]"),
    "seed": Flag(flags.DEFINE_integer, None, "N", "one of the run's [the first]"),
    "format": Flag(flags.DEFINE_string, "dense", "A,B,…", ", ".join(FORMATS)),
    "shrink": Flag(flags.DEFINE_bool, False, "", "take out channels that have no effect"),
    "out": Flag(flags.DEFINE_string, "", "DIR", "where the files go [DIR/exports]"),
}
_REMARK = (
    "Zeros anywhere in a matrix save memory, not time, on most hardware: its products are dense. "
    "Only whole channels that are taken out (--shrink) make a network faster."
)


def main(argv: list[str]) -> None:
    with exit_on_bad_input():
        directory, values = parse_directory(argv, _FLAGS)
        names = values["format"].split(",")
        for name in names:
            require_choice("--format", name, FORMATS)
        try:
            _export(directory, names, values)
        except OSError as error:
            raise ValueError(str(error)) from error


def _export(directory: Path, names: list[str], values: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    import silo_jax
    from silo_jax.exporting.formats import dense_bytes, export_network
    from silo_jax.exporting.shrink import shrink

    trained = silo_jax.load(directory, cycle=values["cycle"], seed=values["seed"])
    network = shrink(trained) if values["shrink"] else trained
    out = Path(values["out"] or directory / "exports")
    out.mkdir(parents=True, exist_ok=True)
    suffix = "_shrunk" if values["shrink"] else ""
    stem = out / f"seed_{trained.seed}_cycle_{trained.cycle}{suffix}"
    whole = dense_bytes(trained)
    density = f"density {100 * trained.density:.2f} %"
    title = f"seed {trained.seed} · cycle {trained.cycle} · {density}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    for head in ("format", "bytes", "of dense", "largest difference", "of the largest logit"):
        table.add_column(head, justify="left" if head == "format" else "right")
    table.add_row("weights, dense", f"{whole:,}", "100.0 %", "", "")
    console, paths = output(), []
    for name in names:
        export = export_network(network, name, stem, reference=trained)
        relative = export.difference / export.largest if export.largest else 0.0
        table.add_row(
            name + " (shrunk)" * values["shrink"],
            f"{export.num_bytes:,}",
            f"{100 * export.num_bytes / whole:.1f} %",
            f"{export.difference:.2g}",
            f"{relative:.1g}",
        )
        paths.append(export.path)
    console.print(table)
    for path in paths:
        console.print(str(path), highlight=False, soft_wrap=True)
    if trained.config["evaluation"]["select"] != "last":
        print(
            "The cycle's accuracy may be that of an earlier epoch; "
            "these are the weights at its end."
        )
    if values["shrink"]:
        _tell_speedup(trained, network)
    print(_REMARK)


def _tell_speedup(trained: Any, network: Any) -> None:
    from silo_jax.exporting.shrink import measure_speedup, widths_of

    before, after = ("-".join(map(str, widths_of(each))) for each in (trained, network))
    print(f"channels by layer: {before}, now {after}")
    median, lower, upper = measure_speedup(trained, network)
    print(
        f"forward pass of 256 images: {median:.2f} times as fast "
        f"(quartiles {lower:.2f} to {upper:.2f}, 21 turns)"
    )
