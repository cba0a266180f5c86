"""Every export, read back from its file alone, is the same network."""

import importlib.util
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import load_file

from silo_jax import apply_masks, init_masks, prune, prune_channels
from silo_jax.cli import export as command
from silo_jax.exporting import bcoo, dense, formats, pytorch, read_sparse, sparse, stablehlo
from silo_jax.exporting.formats import FORMATS, export_network
from silo_jax.exporting.network import TrainedNetwork
from silo_jax.exporting.sequential import Sequential, steps_of
from silo_jax.exporting.shrink import measure_speedup, shrink, widths_of
from silo_jax.models import create_model
from silo_jax.pruning.masks import named_leaves
from tests.tiny import assert_identical, run_quietly, tiny_config

needs_flatbuffers = pytest.mark.skipif(
    importlib.util.find_spec("flatbuffers") is None, reason="flatbuffers is not installed"
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
SMALL = {
    "mlp": ((4, 5, 3), {"hidden": (12, 9), "activation": "gelu"}),
    "lenet5": ((12, 14, 1), {}),
    "conv2": ((6, 4, 3), {"activation": "tanh"}),
}
LARGE = {
    "vgg16": ((32, 32, 3), {}),
    "vgg19": ((32, 32, 3), {"norm": "none", "activation": "gelu"}),
    "resnet20": ((8, 8, 3), {}),
    "resnet32": ((8, 8, 3), {"shortcut": "projection", "activation": "tanh"}),
    "resnet18": ((16, 16, 3), {"stem": "cifar", "norm": "none"}),
    "resnet50": ((32, 32, 3), {}),
}


STEPS = (
    *(("conv", 8, 3, 1), ("norm",), ("activation", "relu"), ("max_pool",)),
    *(("conv", 6, 3, 1), ("norm",), ("activation", "relu"), ("mean",), ("dense", 7)),
)


def shapes_of(model, image_shape):
    images = np.zeros((1, *image_shape), np.float32)
    return jax.eval_shape(model.init, jax.random.PRNGKey(0), images)


def network_of(name, fraction=0.9, bias=0.1):
    """A pruned network of random weights, biases and statistics."""
    others = {"vit_cifar": ((8, 8, 3), {"depth": 1, "width": 12}), "steps": ((6, 6, 3), {})}
    shape, options = (SMALL | LARGE | others)[name]
    if name == "steps":
        model = Sequential(7, STEPS)
    else:
        model = create_model(name, num_classes=7, **options)
    init, random = shapes_of(model, shape), np.random.default_rng(0)

    def draw(path, leaf):
        values = random.standard_normal(leaf.shape, np.float32)
        if path[-1].key == "kernel":
            return values * np.sqrt(2 / np.prod(leaf.shape[:-1])).astype(np.float32)
        return {"var": 1 + values**2, "scale": 1 + bias * values}.get(path[-1].key, bias * values)

    variables = jax.tree_util.tree_map_with_path(draw, init)
    params = variables["params"]
    masks = prune(params, init_masks(params, getattr(model, "prunable", None)), fraction)
    channels = shape[-1]
    return TrainedNetwork(
        model=model,
        variables=variables | {"params": apply_masks(params, masks)},
        masks=masks,
        config=ConfigDict({"model": {"name": name, **options}}),
        seed=0,
        cycle=5,
        image_shape=shape,
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.3, 0.25)[:channels],
    )


def with_channels_pruned(network, fraction):
    """Whole channels of every layer but the last, whose outputs are the logits."""
    params, masks = network.variables["params"], init_masks(network.variables["params"], ["kernel"])
    last = max(path for path in masks if path.startswith("Dense"))
    pruned = {**prune_channels(params, masks, fraction), last: masks[last]}
    variables = network.variables | {"params": apply_masks(params, pruned)}
    return network._replace(variables=variables, masks=pruned)


def images_for(network, number=6):
    shape = (number, *network.image_shape)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def assert_same_logits(found, expected, tolerance=2e-5):
    expected = np.asarray(expected)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def leaves_of(tree):
    return {path: np.asarray(leaf) for path, leaf in named_leaves(tree)}


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


@pytest.mark.parametrize("name", [*SMALL, "steps"])
def test_a_shrunk_network_has_the_living_channels_and_the_same_logits(name):
    network = with_channels_pruned(network_of(name, fraction=0.0), 0.5)
    smaller, images = shrink(network), images_for(network)
    assert_same_logits(smaller.logits(images), network.logits(images))
    before, after = widths_of(network), widths_of(smaller)
    alive = [width - round(width / 2) for width in before[:-1]] + before[-1:]
    if name in ("mlp", "lenet5"):
        assert after == alive  # every constant can be folded
    else:
        assert all(a <= b <= c for a, b, c in zip(alive, after, before, strict=True))
        assert after[0] > alive[0]  # some are kept, as the next convolution pads
        assert after[-2] == alive[-2]


def test_without_constants_only_living_channels_are_left():
    network = with_channels_pruned(network_of("conv2", fraction=0.0, bias=0.0), 0.5)
    widths = widths_of(network)
    assert widths_of(shrink(network)) == [w // 2 for w in widths[:-1]] + widths[-1:]


def test_channels_that_nothing_reads_go_and_so_does_what_only_they_read():
    network = network_of("mlp", fraction=0.0)
    masks = jax.tree.map(np.array, network.masks)
    masks["Dense_2"]["kernel"][3:] = False  # the last layer reads three units
    masks["Dense_1"]["kernel"][5, :3] = False  # which do not read unit 5
    params = apply_masks(network.variables["params"], masks)
    network = network._replace(variables={"params": params}, masks=masks)
    smaller = shrink(network)
    assert widths_of(smaller) == [11, 3, 7]
    images = images_for(network)
    assert_same_logits(smaller.logits(images), network.logits(images))


def test_a_network_with_nothing_to_take_out_stays_and_a_dead_one_keeps_a_channel():
    network = network_of("mlp", fraction=0.0)
    assert_identical(shrink(network).variables, network.variables)
    masks = jax.tree.map(np.array, network.masks)
    masks["Dense_0"]["kernel"][:] = False
    params = apply_masks(network.variables["params"], masks)
    dead = network._replace(variables={"params": params}, masks=masks)
    assert widths_of(shrink(dead)) == [1, 9, 7]
    images = images_for(network)
    np.testing.assert_allclose(shrink(dead).logits(images), dead.logits(images), atol=1e-5)


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


def test_both_networks_of_a_speedup_are_timed_in_turn(monkeypatch):
    calls, clock = [], iter(range(10_000))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))

    class Timed:
        image_shape = (2, 2, 1)

        def __init__(self, name, ticks):
            self.name, self.ticks = name, ticks

        def logits(self, images):
            calls.append(self.name)
            for _ in range(self.ticks):
                next(clock)
            return images

    # One tick is between the two looks at the clock.
    speedup = measure_speedup(Timed("large", 5), Timed("small", 2), batch_size=2, turns=4)
    assert speedup == (2.0, 2.0, 2.0)
    assert calls == ["large", "small"] * 5


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config = tiny_config(pruning__num_cycles=2, pruning__fraction=0.9)
    return run_quietly(config, tmp_path_factory.mktemp("export") / "run")


def test_the_command_writes_what_it_says(workdir, tmp_path, capsys):
    flags = ["--format=dense,sparse", "--cycle=1", "--shrink", f"--out={tmp_path / 'files'}"]
    command.main(["silo-jax export", str(workdir), *flags])
    printed = capsys.readouterr().out
    names = {f"seed_0_cycle_1_shrunk.{kind}.safetensors" for kind in ("dense", "sparse")}
    assert {path.name for path in (tmp_path / "files").iterdir()} == {*names, "read_sparse.py"}
    for name in names:
        assert str(tmp_path / "files" / name) in printed
        assert f"{(tmp_path / 'files' / name).stat().st_size:,}" in printed
    assert "save memory, not time" in printed
    assert "times as fast (quartiles" in printed
    (workdir / "exports").mkdir()
    command.main(["silo-jax export", str(workdir)])
    described = (workdir / "exports/seed_0_cycle_1.dense.safetensors").read_bytes()
    header = json.loads(described[8 : 8 + int.from_bytes(described[:8], "little")])
    told = json.loads(header["__metadata__"]["silo_jax"])
    assert (told["cycle"], told["model"]) == (1, {"hidden": [16], "name": "mlp"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "DIR: missing; allowed: one directory of a run"),
        (["RUN", "RUN"], "DIR: 2 given; allowed: one directory of a run"),
        (["nowhere"], "DIR: nowhere; allowed: a directory"),
        (
            ["RUN", "--format=onnx"],
            "--format: 'onnx'; allowed: bcoo, dense, sparse, stablehlo, torch",
        ),
        (["RUN", "--cycle=2"], "cycle: 2; allowed: 0 to 1, which seed 0 has finished"),
        (["RUN", "--cycle=x"], "flag --cycle=x: invalid literal"),
        (["RUN", "--seed=1"], "seed: 1; allowed: 0"),
        (
            ["RUN", "--shrnk"],
            "argument: '--shrnk'; allowed: --cycle, --format, --out, --seed, --shr",
        ),
        (["RUN", "--cycle=1", "--cycle=0"], "--cycle: given twice; allowed: once"),
        (["RUN", "--out=RUN/config.json/x"], "Not a directory"),
    ],
)
def test_bad_input_is_one_line_with_status_2(workdir, capsys, arguments, said):
    arguments = [argument.replace("RUN", str(workdir)) for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        command.main(["silo-jax export", *arguments])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err
