"""Sphinx: `make docs` builds the pages into docs/_build/html."""

from docutils import nodes
from latex2mathml.converter import convert

import silo_jax

project = "SILO-JAX"
author = copyright = "the SILO-JAX authors"
version = release = silo_jax.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words, with shapes and units
napoleon_use_rtype = False  # what comes before a colon in "Returns" is no type
napoleon_use_ivar = True  # attributes in one list
napoleon_attr_annotations = False
default_role = "any"  # `prune` in a docstring is a link
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [("any", r"(flax|jax|optax)\..*")]

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navbar_persistent": [], "use_download_button": False}
html_title = f"{project} {version}"
html_math_renderer = "mathml"


def add_mathml(translator, node):
    """Formulas as MathML, which browsers show offline and without a script."""
    if isinstance(node, nodes.math_block):
        translator.body.append(f"<p>{convert(node.astext(), display='block')}</p>")
    else:
        translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (add_mathml, None), (add_mathml, None))
