"""Published weights of Vision Transformers: files of vision_transformer and big_vision."""

import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.npyio import NpzFile

from silo_jax.models.vit import ViT
from silo_jax.pruning.masks import named_leaves, path_name

PyTree = Any
Entries = dict[str, np.ndarray]

# Where the weights are in a file that holds a training state.
_PREFIXES = ("params/", "opt/target/")
_STACK = "Transformer/encoderblock/"
_POSITIONS = (
    "Transformer/posembed_input/pos_embedding",
    "Transformer/pos_embedding",
    "pos_embedding",
)
_HEAD = ("head/", "pre_logits/")
# The parts of a block, as older files number them and as newer ones do.
_OLDER_PARTS = {
    "LayerNorm_0": "LayerNorm_0",
    "attention": "MultiHeadDotProductAttention_1",
    "LayerNorm_1": "LayerNorm_2",
    "Dense_0": "MlpBlock_3/Dense_0",
    "Dense_1": "MlpBlock_3/Dense_1",
}
_NEWER_PARTS = {
    "LayerNorm_0": "LayerNorm_0",
    "attention": "MultiHeadDotProductAttention_0",
    "LayerNorm_1": "LayerNorm_1",
    "Dense_0": "MlpBlock_0/Dense_0",
    "Dense_1": "MlpBlock_0/Dense_1",
}
_NAMES_SHOWN = 3
# What NumPy and zipfile raise where a file is not what it should be.
_DAMAGE = (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


def load_checkpoint(
    path: str | Path,
    model: ViT,
    params: PyTree,
    *,
    image_shape: tuple[int, ...],
    new_head: bool = False,
) -> PyTree:
    r"""The weights of a published Vision Transformer, in place of random ones.

    Read are files of vision_transformer (``ViT-B_16.npz``, those of AugReg) and of big_vision
    (names that begin with ``params/``, blocks one by one or stacked), of networks with a class
    token. Names, shapes and types have to agree, but for two things:

    - Positions of another grid of patches are interpolated linearly along both axes, corner to
      corner. With G rows of positions in the file and g in the network, row i is taken at

      .. math:: i \, (G - 1) / (g - 1)

      and the class token's own position is kept. Where it has none, as in big_vision, it is 0.
    - The head of ``params`` stays where the file's is for another number of classes, or with
      ``new_head``; the file's ``pre_logits`` goes with the head that it belongs to.

    Args:
      path: of the file.
      model: the network.
      params: its random weights.
      image_shape: (height, width, channels) of the images that it is for.
      new_head: whether the head of ``params`` stays in any case.

    Returns:
      A tree of the structure and shapes of ``params``, float32.

    Raises:
      ValueError: the file is absent, damaged, or not of this network; one line with the first
        entries that are missing, superfluous or of another shape or type.

    Example:
      >>> from silo_jax.models.vit import ViT
      >>> from silo_jax.models.vit_checkpoint import load_checkpoint
      >>> load_checkpoint("ViT-B_16.npz", ViT(10), {}, image_shape=(32, 32, 3))
      Traceback (most recent call last):
      ValueError: model.checkpoint: ViT-B_16.npz: No such file or directory; allowed: an .npz file

    References:
      https://github.com/google-research/vision_transformer,
      https://github.com/google-research/big_vision
    """
    entries = _unstacked(_read(path))
    if new_head := new_head or _has_other_classes(entries, model):
        entries = {name: e for name, e in entries.items() if not name.startswith(_HEAD)}
    names = _names_in_file(params, entries)
    if new_head:
        names = {path: name for path, name in names.items() if not path.startswith(_HEAD)}
    _require_entries(path, entries, names.values())
    grid = (image_shape[0] // model.patch_size, image_shape[1] // model.patch_size)

    def load(key_path: Any, leaf: jax.Array) -> jax.Array:
        name = names.get(path_name(key_path))
        if name is None:
            return leaf
        entry = _floats(path, name, entries[name])
        if name in _POSITIONS:
            entry = _resized(path, name, entry, leaf.shape, grid)
        _require_shape(path, name, entry, _shape_in_file(path_name(key_path), leaf, model))
        return jnp.asarray(entry.reshape(leaf.shape))

    return jax.tree_util.tree_map_with_path(load, params)


def _read(path: str | Path) -> Entries:
    """The entries that are weights, by their names without what all of them begin with."""
    try:
        with open(path, "rb") as file, NpzFile(file) as archive:
            prefix = next((p for p in _PREFIXES if any(n.startswith(p) for n in archive.files)), "")
            names = [name for name in archive.files if name.startswith(prefix)]
            return {name.removeprefix(prefix): np.asarray(archive[name]) for name in names}
    except OSError as error:
        raise _refusal(path, str(error.strerror or error), "an .npz file") from None
    except _DAMAGE:
        raise _refusal(path, "damaged, or of another kind", "an .npz file") from None


def _unstacked(entries: Entries) -> Entries:
    """The entries with every stack of all blocks' weights taken apart, a block an entry."""
    apart: Entries = {}
    for name, entry in entries.items():
        if name.startswith(_STACK):
            part = name.removeprefix(_STACK)
            apart |= {
                f"Transformer/encoderblock_{i}/{part}": each
                for i, each in enumerate(np.atleast_1d(entry))
            }
        else:
            apart[name] = entry
    return apart


def _has_other_classes(entries: Entries, model: ViT) -> bool:
    head = entries.get("head/kernel")
    return head is not None and head.ndim == 2 and head.shape[1] != model.num_classes


def _names_in_file(params: PyTree, entries: Entries) -> dict[str, str]:
    """The name of each weight in a file that has these entries."""
    parts = _OLDER_PARTS if any("/MlpBlock_3/" in name for name in entries) else _NEWER_PARTS
    positions = next((name for name in _POSITIONS if name in entries), _POSITIONS[-1])

    def name_in_file(path: str) -> str:
        match path.split("/"):
            case ["pos_embedding"]:
                return positions
            case ["encoder_norm", leaf]:
                return f"Transformer/encoder_norm/{leaf}"
            case [block, part, *rest] if block.startswith("block_"):
                return "/".join([f"Transformer/encoder{block}", parts[part], *rest])
            case _:
                return path

    return {path: name_in_file(path) for path, _ in named_leaves(params)}


def _shape_in_file(path: str, leaf: jax.Array, model: ViT) -> tuple[int, ...]:
    """Files keep patches as images, and the heads of attention apart."""
    heads = (model.num_heads, model.width // model.num_heads)
    match path.split("/"):
        case ["embedding", "kernel"]:
            size = model.patch_size
            return (size, size, leaf.shape[0] // size**2, model.width)
        case [_, "attention", "out", "kernel"]:
            return (*heads, model.width)
        case [_, "attention", "query" | "key" | "value", kind]:
            return heads if kind == "bias" else (model.width, *heads)
        case _:
            return leaf.shape


def _floats(path: str | Path, name: str, entry: np.ndarray) -> np.ndarray:
    """The entry as float32; NumPy's files keep bfloat16 as two bytes of no type."""
    if entry.dtype == "V2":
        entry = entry.view(jnp.bfloat16)
    if not jnp.issubdtype(entry.dtype, jnp.floating) or not np.isfinite(entry).all():
        raise _refusal(path, f"{name} holds what is no finite number", "finite floats")
    return entry.astype(np.float32)


def _resized(
    path: str | Path, name: str, entry: np.ndarray, shape: tuple[int, ...], grid: tuple[int, int]
) -> np.ndarray:
    """Positions for a grid, (1, 1 + rows · columns, width), from those of a square one."""
    number = entry.shape[1] if entry.ndim == 3 else 0
    _require_shape(path, name, entry, (1, number or shape[1], shape[2]))
    side = math.isqrt(number)
    has_cls = side**2 != number
    if has_cls and side**2 + 1 != number:
        raise _refusal(path, f"{name} has {number} positions", "those of a square grid")
    cls = entry[:, :1] if has_cls else np.zeros_like(entry[:, :1])
    square = entry[0, int(has_cls) :].reshape(side, side, -1)
    rows, columns = (_interpolation(side, length) for length in grid)
    resized = np.einsum("ri,cj,ijw->rcw", rows, columns, square, optimize=True)
    return np.concatenate([cls, resized.reshape(1, -1, shape[-1])], axis=1)


def _interpolation(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that takes values at new points, equally spaced between the ends."""
    points = np.linspace(0, old - 1, new)[:, None]
    return np.maximum(0, 1 - np.abs(points - np.arange(old))).astype(np.float32)


def _require_entries(path: str | Path, entries: Entries, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in entries]
    surplus = sorted(entries.keys() - set(names))
    if missing or surplus:
        problems = [("lacks", missing), ("has", surplus)]
        told = [f"{verb} {_first(found)}" for verb, found in problems if found]
        raise _refusal(path, " and ".join(told), "the weights of this network and no others")


def _first(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _require_shape(path: str | Path, name: str, entry: np.ndarray, shape: tuple[int, ...]) -> None:
    if entry.shape != shape:
        raise _refusal(path, f"{name} has shape {entry.shape}", f"{shape}")


def _refusal(path: str | Path, problem: str, allowed: str) -> ValueError:
    return ValueError(f"model.checkpoint: {path}: {problem}; allowed: {allowed}")
