"""All benchmarks that this machine can run, one after another, each in a process of its own.

    TFDS_DATA_DIR=DIR python -m benchmarks --out=results
    python -m benchmarks --out=results --only prune masked_step

"cycle" needs CIFAR-10. Those of a GPU run where JAX finds one, those that make devices of CPU cores
elsewhere, and PyTorch's only with ``--pytorch=PATH``, a Python that has it. One that fails is named
at the end, and the others run. Nothing else should run meanwhile.
"""

import argparse
import subprocess
import sys
from pathlib import Path

EVERYWHERE = (
    "checkpointing",
    "conv_in_scan",
    "cycle",
    "import_time",
    "input_pipeline",
    "masked_step",
    "networks",
    "prune",
    "replicas",
    "schedule_compile",
    "shrink",
)
ON_A_CPU = ("growth", "prune_devices")
ON_A_GPU = ("accelerator", "conv_columns")
WITH_PYTORCH = ("pytorch_step",)
ALL = (*EVERYWHERE, *ON_A_CPU, *ON_A_GPU, *WITH_PYTORCH)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=ALL)
    parser.add_argument("--pytorch", metavar="PATH")
    options = parser.parse_args()
    names = options.only or [
        *EVERYWHERE,
        *(ON_A_GPU if has_gpu() else ON_A_CPU),
        *(WITH_PYTORCH if options.pytorch else ()),
    ]
    if not options.pytorch and set(names) & set(WITH_PYTORCH):
        parser.error("--pytorch: missing; allowed: a Python with PyTorch")
    options.out.mkdir(parents=True, exist_ok=True)
    failed = [name for name in names if not succeeds(name, options)]
    for name in failed:
        print(f"failed: benchmarks.{name}", file=sys.stderr)
    return bool(failed)


def has_gpu() -> bool:
    """Asked in a process of its own, as one that has looked keeps most of the GPU's memory."""
    command = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout == "gpu\n"


def succeeds(name: str, options: argparse.Namespace) -> bool:
    print(f"benchmarks.{name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", f"--out={options.out / name}.json"]
    if name in WITH_PYTORCH:
        command.append(f"--python={options.pytorch}")
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
