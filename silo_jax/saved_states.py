"""Reading a saved state without the run it belongs to, which may be going on meanwhile.

`silo_jax.checkpoint` makes directories and clears away what was left half-written; here nothing is
made, moved or removed.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from silo_jax.checkpoint import DamagedCheckpointError
from silo_jax.checksums import find_damage
from silo_jax.pruning.masks import named_leaves

PyTree = Any


def state_path(workdir: Path, seed: int, step: int) -> Path:
    """Where a run keeps the state of a seed after a global step."""
    return workdir / "checkpoints" / f"seed_{seed}" / "states" / str(step)


def read_state(path: Path, names: tuple[str, ...]) -> dict[str, PyTree]:
    """Parts of a saved state, as nested dicts of NumPy arrays.

    Args:
      path: of the state, named by its step.
      names: fields of `silo_jax.training.state.TrainState`.

    Raises:
      FileNotFoundError: there is none; one line.
      DamagedCheckpointError: its files are not what was written; one line.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"checkpoint {path}: is not there")
    problem = find_damage(path / "state")
    if problem is not None:
        raise DamagedCheckpointError(f"checkpoint {path}: {problem}")
    directory = epath.Path(path.absolute() / "state")
    handler = ocp.PyTreeCheckpointHandler()
    try:
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        of_leaves = jax.tree.map(lambda _: as_numpy, handler.metadata(directory).tree)
        saved = handler.restore(directory, args=ocp.args.PyTreeRestore(restore_args=of_leaves))
    finally:
        handler.close()
    return {name: saved[name] for name in names}


def saved_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a saved state's weights by their paths; none where it is damaged."""
    if find_damage(path / "state") is not None:
        return {}
    handler = ocp.PyTreeCheckpointHandler()
    try:
        params = handler.metadata(epath.Path(path / "state")).tree["params"]
    finally:
        handler.close()
    return {name: tuple(leaf.shape) for name, leaf in named_leaves(params)}
