"""The notebooks run top to bottom, compute what they say, and are kept without outputs."""

import ast
import csv
import html
import json
import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from configs import cifar10_resnet20
from silo_jax.training.config import check_config, flatten
from tests.tfds_sets import write_set

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]
NAMES = ("silo_quickstart", "silo_tpu")


def read(name):
    return nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)


def execute(notebook, directory, **environment):
    """Runs the cells in a kernel of this interpreter; returns what each printed and displayed."""
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(str(directory / "jupyter/kernels/python3"))
    settings = {
        "IPYTHONDIR": directory / "ipython",
        "JUPYTER_PATH": directory / "jupyter",
        "JUPYTER_RUNTIME_DIR": directory / "jupyter",
        "PYTHONPATH": ROOT,
        "SILO_SMALL": 1,
        **environment,
    }
    resources = {"metadata": {"path": str(directory)}}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, str(value))
        nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    return {cell.id: shown(cell) for cell in notebook.cells if cell.cell_type == "code"}


def shown(cell):
    streams = [output.text for output in cell.outputs if output.output_type == "stream"]
    data = [output.data for output in cell.outputs if output.output_type != "stream"]
    pages = [mime["text/html"] for mime in data if "text/html" in mime]
    return SimpleNamespace(text="".join(streams), pages=pages, data=data)


def with_cell(notebook, source):
    notebook.cells.append(nbformat.v4.new_code_cell(source, id="added"))
    return notebook


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def weights_left(count, num_cycles):
    left = [count]
    for _ in range(num_cycles - 1):
        left.append(left[-1] - round(0.2 * left[-1]))
    return left


def silo(num_cycles, lower, upper):
    """The closed form: the sparsity of the cycle before, in an S-curve with β = 5."""
    sparsity = 1 - 0.8 ** np.maximum(np.arange(num_cycles) - 1, 0)
    return lower + (upper - lower) * sparsity**5 / (sparsity**5 + (1 - sparsity) ** 5)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_kept_without_outputs_and_traces_of_a_session(name):
    from IPython.core.inputtransformer2 import TransformerManager

    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            ast.parse(TransformerManager().transform_cell(cell.source))


@pytest.mark.parametrize("name", NAMES)
def test_the_address_of_the_repository_is_in_one_place(name):
    source = "\n".join(cell.source for cell in read(name).cells)
    assert len(re.findall("github.com", source)) == 1


LOOK = """
import json
leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
kept = [np.asarray(leaf) for leaf in jax.tree.leaves(masks)]
kernels = [pair for pair in zip(leaves, kept) if pair[1].ndim]
print(json.dumps({
    "densities": densities,
    "left": int(sum(mask.sum() for _, mask in kernels)),
    "pruned_are_0": all((leaf[~mask] == 0).all() for leaf, mask in kernels),
    "peaks": [float(schedules["SILO"](cycle * STEPS + STEPS // 8)) for cycle in range(CYCLES)],
    "programs": [train_cycle._cache_size(), prune_and_rewind._cache_size()],
    "results": {name: means.tolist() for name, means in results.items()},
    "accuracies": accuracies,
}))
"""


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    notebook = with_cell(read("silo_quickstart"), LOOK)
    outputs = execute(notebook, tmp_path_factory.mktemp("quickstart"))
    return outputs, SimpleNamespace(**json.loads(outputs["added"].text))


def test_the_quickstart_prunes_as_the_closed_forms_say(quickstart):
    _, found = quickstart
    count = 64 * 48 + 48 * 24 + 24 * 10
    left = weights_left(count, 4)
    np.testing.assert_allclose(found.densities, [kept / count for kept in left], rtol=1e-6)
    assert (found.left, found.pruned_are_0) == (left[-1], True)
    np.testing.assert_allclose(found.peaks, silo(4, 0.05, 0.2), rtol=1e-5)


def test_the_quickstart_compiles_once_a_schedule_and_learns(quickstart):
    outputs, found = quickstart
    assert found.programs == [4, 1]  # SILO is trained in two cells
    assert found.results["SILO"] == found.accuracies
    assert min(map(min, found.results.values())) > 80
    for accuracy in found.accuracies:
        assert f"test {accuracy:.1f} %" in outputs["run"].text
    for cell in ("schedule", "comparison"):
        assert any("image/png" in mime for mime in outputs[cell].data)


BACKENDS = """
from jax._src import xla_bridge
print(xla_bridge.backends_are_initialized())
"""


def coloured(count, seed):
    """Images of 32×32 pixels, each class about a colour of its own."""
    labels = (np.arange(count) % 10).astype(np.int32)
    colours = np.random.default_rng(0).uniform(60, 190, (10, 1, 1, 3))
    noise = np.random.default_rng(seed).normal(0, 20, (count, 32, 32, 3))
    return np.clip(colours[labels] + noise, 0, 255).astype(np.uint8), labels


def test_its_config_is_that_of_the_experiment_in_shorter_cycles():
    (source,) = [cell.source for cell in read("silo_tpu").cells if cell.id == "config"]
    names = {}
    exec(source.partition("\n")[2], names)
    config = names["get_config"]()
    check_config(config)
    fields, whole = flatten(config), flatten(cifar10_resnet20.get_config())
    assert {name for name in {*fields, *whole} if fields.get(name) != whole.get(name)} == {
        "model.shortcut",  # left at the default, which is the same
        "pruning.num_cycles",
        "schedule.drop_epochs",
        "schedule.warmup_epochs",
        "training.epochs_per_cycle",
    }


@pytest.fixture(scope="module")
def tpu(tmp_path_factory):
    tfds = pytest.importorskip("tensorflow_datasets")
    directory = tmp_path_factory.mktemp("tpu")
    builder = tfds.builder("cifar10", data_dir=directory / "tfds")
    write_set(
        directory / "tfds",
        "cifar10",
        str(builder.version),
        splits={"train": coloured(360, 1), "test": coloured(100, 2)},
        features=dict(builder.info.features),
    )
    outputs = execute(
        with_cell(read("silo_tpu"), BACKENDS),
        directory,
        SILO_JAX_CACHE=directory / "cache",
        TFDS_DATA_DIR=directory / "tfds",
    )
    return outputs, directory / "silo"


def test_the_accelerator_is_left_to_the_commands(tpu):
    outputs, _ = tpu
    assert outputs["added"].text == "False\n"


def test_the_run_prunes_as_the_closed_forms_say_and_learns(tpu):
    outputs, folder = tpu
    rows = table(folder / "run/cycles.csv")
    assert [int(row["cycle"]) for row in rows] == [0, 1, 2]
    left = weights_left(3072 * 300 + 300 * 100 + 100 * 10, 3)
    assert [int(row["weights_left"]) for row in rows] == left
    peaks = [float(row["max_lr"]) for row in rows]
    np.testing.assert_allclose(peaks, silo(3, 0.03, 0.07), rtol=1e-6)
    assert float(rows[-1]["test_accuracy"]) > 60
    assert f"{left[-1]:,}" in outputs["run"].text


def test_every_schedule_is_compared_at_every_max_lr(tpu):
    _, folder = tpu
    cells = table(folder / "compare/cells.csv")
    found = [(row["option"], row["max_lr"], row["cycle"]) for row in cells]
    assert found == [*product(("silo", "warmup"), ("0.03", "0.06"), ("0", "1"))]


def test_the_oracle_chooses_the_best_by_validation_accuracy(tpu):
    _, folder = tpu
    choices, grid = table(folder / "oracle/choices.csv"), table(folder / "oracle/grid.csv")
    assert [choice["cycle"] for choice in choices] == ["0", "1"]
    for choice in choices:
        tried = {
            row["max_lr"]: float(row["val_accuracy"])
            for row in grid
            if row["cycle"] == choice["cycle"]
        }
        assert {*tried} == {"0.03", "0.06"}
        assert tried[choice["max_lr"]] == max(tried.values())


@pytest.mark.parametrize(
    ("cell", "name"), [("report", "run"), ("compare", "compare"), ("oracle", "oracle")]
)
def test_the_reports_are_shown_whole_in_a_frame(tpu, cell, name):
    outputs, folder = tpu
    (page,) = outputs[cell].pages
    (source,) = re.findall('<iframe srcdoc="([^"]*)"', page)
    assert html.unescape(source) == (folder / name / "report.html").read_text()
