"""Every export, read back from its file alone, is the same network."""

import importlib.util
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from silo_jax.exporting import bcoo, dense, formats, pytorch, read_sparse, sparse, stablehlo
from silo_jax.exporting.formats import FORMATS, export_network
from silo_jax.exporting.sequential import Sequential, steps_of
from silo_jax.exporting.shrink import shrink
from silo_jax.models import create_model
from tests.exported import (
    LARGE,
    SMALL,
    assert_same_logits,
    images_for,
    leaves_of,
    network_of,
    shapes_of,
    with_channels_pruned,
)
from tests.tiny import assert_identical

needs_flatbuffers = pytest.mark.skipif(
    importlib.util.find_spec("flatbuffers") is None, reason="flatbuffers is not installed"
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


@pytest.mark.parametrize(
    ("name", "options"), [("vgg16", {}), ("vgg19", {"head": "imagenet", "norm": "none"})]
)
def test_the_steps_of_a_vgg_have_its_weights(name, options):
    model = create_model(name, num_classes=7, **options)
    steps = Sequential(7, steps_of(model))
    assert shapes_of(steps, (32, 32, 3)) == shapes_of(model, (32, 32, 3))


@pytest.mark.parametrize("name", ["conv2", "vit_cifar"])
def test_a_dense_file_has_the_bits_of_the_weights(tmp_path, name):
    network, path = network_of(name), tmp_path / "file"
    dense.write(network, path)
    assert_identical(load_file(path), leaves_of(network.variables))
    found = dense.read_logits(path, images_for(network))
    np.testing.assert_array_equal(found, network.logits(images_for(network)))


@pytest.mark.parametrize("fraction", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("name", ["mlp", "conv2"])
def test_a_sparse_file_has_the_bits_of_weights_and_masks(tmp_path, name, fraction):
    network, path = network_of(name, fraction), tmp_path / "file"
    sparse.write(network, path)
    weights, masks = read_sparse.read_sparse(path)
    assert_identical(weights, leaves_of(network.variables))
    prunable = {p: m for p, m in leaves_of({"params": network.masks}).items() if m.ndim}
    assert_identical(masks, prunable)
    np.testing.assert_array_equal(
        sparse.read_logits(path, images_for(network)), network.logits(images_for(network))
    )
    # Four bytes for each value left, and the smaller of a bit a weight and an index a value.
    whole = sum(leaf.nbytes for leaf in weights.values())
    pruned = sum(4 * mask.size for mask in masks.values())
    left = sum(
        4 * mask.sum() + min(-(-mask.size // 8), mask.sum() * (2 if mask.size <= 2**16 else 4))
        for mask in masks.values()
    )
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size == 8 + header + whole - pruned + left


def test_the_reader_beside_a_sparse_file_needs_numpy_and_safetensors_alone(tmp_path):
    network = network_of("mlp")
    sparse.write(network, tmp_path / "file")
    program = "import sys, runpy; sys.modules.update(jax=None, silo_jax=None, flax=None)\n"
    program += "sys.argv[1:] = ['file']; runpy.run_path('read_sparse.py', run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    masks = leaves_of({"params": network.masks})
    lines = [f"{p}  {m.shape}  {m.sum()} of {m.size} left" for p, m in masks.items() if m.ndim]
    assert sorted(result.stdout.splitlines()) == sorted(lines)


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
def test_bcoo_has_the_weights_that_are_left_and_dense_layers_multiply_by_it(
    tmp_path, monkeypatch, name
):
    network, path, products = network_of(name), tmp_path / "file", []
    bcoo.write(network, path)
    variables = bcoo.read_bcoo(path)
    kernels = jax.tree.leaves(variables, is_leaf=bcoo.is_bcoo)
    kept = sorted(int(m.sum()) for m in jax.tree.leaves(network.masks) if m.ndim)
    assert sorted(leaf.nse for leaf in kernels if bcoo.is_bcoo(leaf)) == kept
    dense_again = jax.tree.map(
        lambda leaf: leaf.todense() if bcoo.is_bcoo(leaf) else leaf,
        variables,
        is_leaf=bcoo.is_bcoo,
    )
    assert_identical(dense_again, network.variables)
    product = bcoo.sparse.bcoo_dot_general
    monkeypatch.setattr(
        bcoo.sparse,
        "bcoo_dot_general",
        lambda x, kernel, **kw: products.append(kernel.nse) or product(x, kernel, **kw),
    )
    images = images_for(network)
    assert_same_logits(bcoo.read_logits(path, images), network.logits(images))
    assert len(products) == 3


@needs_flatbuffers
@pytest.mark.parametrize("name", ["mlp", "lenet5", "vit_cifar"])
def test_stablehlo_takes_batches_of_any_size(tmp_path, name):
    network, path = network_of(name), tmp_path / "file"
    stablehlo.write(network, path)
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    assert set(program.platforms) >= {"cpu", "cuda", "tpu"}
    images = images_for(network, 7)
    for size in (1, 4, 7):
        assert_same_logits(program.call(images[:size]), network.logits(images)[:size])
    assert_same_logits(stablehlo.read_logits(path, images), network.logits(images))


@pytest.mark.parametrize("name", [*SMALL, "resnet20"])
def test_a_state_dict_is_brought_back_bit_for_bit(tmp_path, name):
    network, path = network_of(name), tmp_path / "file"
    pytorch.write(network, path)
    assert_identical(pytorch.read_variables(path), network.variables)


def test_a_state_dict_has_the_layouts_of_pytorch(tmp_path):
    network, path = network_of("lenet5"), tmp_path / "file"
    pytorch.write(network, path)
    state, params = load_file(path), network.variables["params"]
    assert state["0.weight"].shape == (6, 1, 5, 5)
    assert state["3.weight"].tolist() == params["Conv_1"]["kernel"].transpose(3, 2, 0, 1).tolist()
    assert state["3.bias"].tolist() == params["Conv_1"]["bias"].tolist()
    # Pooled to 1×1 pixels of 16 channels by 12×14 images: (6, 7), (2, 3), (1, 1).
    assert state["7.weight"].shape == (120, 16)
    pixels = np.random.default_rng(0).standard_normal((3, 4, 5, 3), np.float32)  # n, h, w, c
    mlp = network_of("mlp")
    pytorch.write(mlp, path)
    ours = pixels.reshape(3, -1) @ mlp.variables["params"]["Dense_0"]["kernel"]
    theirs = pixels.transpose(0, 3, 1, 2).reshape(3, -1) @ load_file(path)["1.weight"].T
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


@needs_torch
@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_pytorch_gives_the_same_logits(tmp_path, name):
    network, path = network_of(name), tmp_path / "file"
    pytorch.write(network, path)
    images = images_for(network)
    assert_same_logits(pytorch.read_logits(path, images), network.logits(images))


@pytest.mark.parametrize("name", ["dense", "sparse", "bcoo", "torch"])
def test_a_shrunk_file_is_enough_by_itself(tmp_path, name):
    network = with_channels_pruned(network_of("lenet5", fraction=0.0), 0.5)
    export = export_network(shrink(network), name, tmp_path / "small", reference=network)
    assert export.difference <= 2e-5 * export.largest
    assert export.num_bytes == export.path.stat().st_size < formats.dense_bytes(network)


def test_a_file_with_other_logits_is_no_export(tmp_path, monkeypatch):
    wrong = FORMATS["dense"]._replace(
        read_logits=lambda path, images: 1.01 * dense.read_logits(path, images)
    )
    monkeypatch.setitem(FORMATS, "dense", wrong)
    with pytest.raises(RuntimeError, match="its logits differ by"):
        export_network(network_of("mlp"), "dense", tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_families_that_have_no_counterpart_are_refused():
    resnet, vit = network_of("resnet20"), network_of("vit_cifar")
    with pytest.raises(ValueError, match=r"^shrink: model: ResNetCifar; allowed: mlp, .*vgg19$"):
        shrink(resnet)
    with pytest.raises(
        ValueError, match=r"^format: 'torch' with ViT; allowed: with mlp, .*vgg19, "
    ):
        pytorch.write(vit, None)
