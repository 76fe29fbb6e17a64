"""Sphinx's settings for the site: ``make docs`` builds it, from what lies in the repository and without a network."""

import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER / "_site"), str(FOLDER.parent)]

from public_names import members  # noqa: E402

import jasgd  # noqa: E402

project = "jasgd"
author = "The jasgd authors"
copyright = "The jasgd authors. Apache-2.0"
version = release = jasgd.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "myst_parser",
    "sphinx_copybutton",
    # ours, in _site/
    "every_name",
    "formulas",
    "repository_links",
]
exclude_patterns = ["_site", "study/runs"]
templates_path = ["_site/templates"]
needs_sphinx = "8.1"

# Pages are Markdown that also reads well in the repository: anchors are made of headings, as there.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

# The reference: a page for each public module, of the names that it exports.
autosummary_generate = True
suppress_warnings = ["config.cache"]  # of a function among the settings
autosummary_context = {"public": members}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "Source"), ("Guarantees", "Guarantees")]

# Text files with the few names of each that we use, so that nothing is fetched.
intersphinx_mapping = {
    "jax": ("https://docs.jax.dev/en/latest", "inventories/jax.txt"),
    "optax": ("https://optax.readthedocs.io/en/latest", "inventories/optax.txt"),
}

html_theme = "furo"
html_title = "jasgd"
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"  # prompts and output are not copied
