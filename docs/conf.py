"""How Sphinx builds the documentation: ``make docs`` writes ``dist/docs/index.html``.

The build needs neither the network nor segzoo's extras: see docs/README.md.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import segzoo

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from reference.links import source as linkcode_resolve  # noqa: E402, F401 - what sphinx.ext.linkcode calls

project = "segzoo"
author = "The segzoo authors"
copyright = "2026, The segzoo authors"  # noqa: A001 - Sphinx's name
version = release = segzoo.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.linkcode",
    "sphinx_copybutton",
    "sphinx_design",
    "languages",
    "page_head",
    "readable",
    "reference",
    "search_words",
    "try_it",
    "zoo_pages",
]
exclude_patterns = [
    *("README.md", "_ext", "_static", "_templates", "inventories", "locale"),
    "**/.ipynb_checkpoints",
]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests execute the notebooks and every code block

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
# An extra that is not installed is mocked, so that the reference looks the same without it.
autodoc_mock_imports = [
    name
    for name in (
        *("accelerate", "av", "nncf", "onnx", "onnxruntime", "onnxscript", "openvino"),
        *("scipy", "skimage", "tensorboard", "tifffile", "wandb"),
    )
    if find_spec(name) is None
]
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Optional attributes", "params_style")]

# Chinese: one file of messages for each page, see docs/_ext/languages.py.
locale_dirs = ["locale"]
gettext_compact = gettext_uuid = gettext_location = False

default_role = "py:obj"  # single backticks in docstrings are names of Python objects

# The site's own inventory of names, or our copy if it cannot be fetched or SEGZOO_OFFLINE is set.
REAL = () if os.environ.get("SEGZOO_OFFLINE") else (None,)
intersphinx_mapping = {
    name: (address, (*REAL, str(HERE / "inventories" / f"{name}.inv")))
    for name, address in {
        "python": "https://docs.python.org/3",
        "torch": "https://docs.pytorch.org/docs/stable",
        "numpy": "https://numpy.org/doc/stable",
        "pillow": "https://pillow.readthedocs.io/en/stable",
    }.items()
}
intersphinx_timeout = 5

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "segzoo"
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")  # full addresses in link previews
html_logo = html_favicon = "_static/mark.svg"
html_static_path = [name for name in ("_static",) if (HERE / name).is_dir()]
templates_path = ["_templates"]
html_css_files = sorted(path.name for path in HERE.glob("_static/look*.css"))
html_js_files = sorted(path.name for path in HERE.glob("_static/look*.js"))
html_theme_options = {
    "source_repository": "https://github.com/org/segzoo/",
    "source_branch": "main",
    "source_directory": "docs/",
}
