"""What the README shows is so."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_runs_and_prunes_what_it_says():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    random = np.random.default_rng(0)
    params = {"Dense_0": {"kernel": jnp.asarray(random.normal(size=(9, 7))), "bias": jnp.ones(7)}}
    names = {"params": params, "grads": params}
    exec(example, names)
    kept = np.asarray(names["masks"]["Dense_0"]["kernel"])
    assert kept.sum() == 63 - round(0.2 * 63)
    assert not np.asarray(names["params"]["Dense_0"]["kernel"])[~kept].any()
    np.testing.assert_allclose(names["schedule"](24 * 500 + 100), 0.07, rtol=1e-4)


def test_files_and_targets_that_it_names_are_there():
    for link in re.findall(r"\]\(((?!http|#)[^)]+)\)", README):
        assert (ROOT / link).exists(), link
    for config in re.findall(r"--config=([\w/.]+)", README):
        assert (ROOT / config).is_file(), config
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m (\w+\.\w+)", README):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
