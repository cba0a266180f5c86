"""What the README and the pages of the documentation show is so."""

import ast
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import silo_jax
from configs import quickstart
from silo_jax.training.run import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*ROOT.glob("*.md"), *PAGES]
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES_WITH_CODE = [path for path in PAGES if path.stem != "index" and CODE.search(path.read_text())]


def test_the_five_statements_run_and_prune_what_they_say():
    (example,) = CODE.findall(README)
    assert len(ast.parse(example.partition("\n\n")[2]).body) == 5
    assert CODE.findall((ROOT / "docs/index.md").read_text()) == [example]
    before, at, after = example.partition("updates,")
    random = np.random.default_rng(0)
    params = {"Dense_0": {"kernel": jnp.asarray(random.normal(size=(9, 7))), "bias": jnp.ones(7)}}
    names = {"params": params, "grads": params}
    exec(before, names)
    names["opt_state"] = names["optimizer"].init(params)
    exec(at + after, names)
    kept = np.asarray(names["masks"]["Dense_0"]["kernel"])
    assert kept.sum() == 63 - round(0.2 * 63)
    assert not np.asarray(names["params"]["Dense_0"]["kernel"])[~kept].any()
    np.testing.assert_allclose(names["schedule"](24 * 500 + 100), 0.07, rtol=1e-4)


@pytest.mark.parametrize("path", PAGES_WITH_CODE, ids=lambda path: path.stem)
def test_the_python_of_a_page_runs(path, tmp_path, monkeypatch):
    blocks = CODE.findall(path.read_text())
    if any("runs/quickstart" in block for block in blocks):
        make_quickstart(tmp_path / "runs/quickstart")
        monkeypatch.chdir(tmp_path)
    names = {"images": np.zeros((2, 8, 8, 1), np.uint8)}
    for block in blocks:
        exec(block, names)


def make_quickstart(workdir):
    """A short one."""
    config = quickstart.get_config()
    config.seeds = (0,)
    config.pruning.num_cycles = 10
    config.training.epochs_per_cycle = 1
    config.schedule.warmup_epochs = 0.5
    config.schedule.drop_epochs = ()
    workdir.parent.mkdir()
    run(config, workdir, Console(quiet=True))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_files_and_targets_that_it_names_are_there(path):
    text, makefile = path.read_text(), (ROOT / "Makefile").read_text()
    links = re.findall(r"\]\(((?!http|#)[^)#]+)", text) + re.findall(r'src="([^"]+)"', text)
    for link in links:
        assert (path.parent / link).exists(), link
    for included in re.findall(r"^```\{literalinclude\} (.*)$", text, re.MULTILINE):
        assert (path.parent / included).is_file(), included
    for config in re.findall(r"--config=([\w/]+\.py)", text):
        assert (ROOT / config).is_file(), config
    for target in re.findall(r"^(?:    )?make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m ((?:experiments|examples|benchmarks)\.[a-z_]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_the_citation_is_of_this_version_and_of_the_paper():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == silo_jax.__version__
    paper = citation["preferred-citation"]
    authors = ", ".join(author["family-names"] for author in paper["authors"])
    cited = f'{authors}, "{paper["title"]}", {paper["journal"]}, {paper["year"]}'
    assert cited in " ".join(README.split())
    assert paper["url"] in README
