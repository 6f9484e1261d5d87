"""A site of the zoo's pages alone, with plug-ins that break in every way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT, Site
from made_once import made_once

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = "from segzoo.hooks import hookimpl\nfrom segzoo.specs import *\n"

#: Distributions, each of one module.
PLUGINS = {
    "segzoo-absent": "import a_module_that_nobody_has\n",
    "segzoo-invalid": _HEAD
    + """
@hookimpl
def segzoo_encoders():
    return [EncoderSpec(name="lopsided", factory="a.b:c", channels=(8, 16), strides=(1,))]
""",
    "segzoo-later": _HEAD
    + """
@hookimpl
def segzoo_api():
    return 99
""",
    "segzoo-rough": _HEAD
    + """
LABELS = Labels(classes=("background", "<b>crumb</b>"), palette=((0, 0, 0), (1, 2, 3)))

@hookimpl
def segzoo_models():
    return [
        ModelSpec(name="divided", factory="segzoo_rough:divided", summary="it has <script>alert(1)</script>"),
        ModelSpec(name="leaving", factory="segzoo_rough:leaving"),
        ModelSpec(name="lost", factory="segzoo_rough:nowhere"),
        ModelSpec(name="unfed", encoder="nobody", decoder="unet"),
        ModelSpec(name="wayward", factory="segzoo_rough:wayward"),
    ]

@hookimpl
def segzoo_weights():
    return [
        WeightsSpec(name="gone", folder="segzoo_rough:weights/gone", model="unet", classes=("a", "b")),
        WeightsSpec(name="orphans", url="https://example.org/w.pth", model="nobody", classes=("a", "b"),
                    labels=LABELS, homepage="javascript:alert(1)"),
    ]

@hookimpl
def segzoo_metrics():
    return [MetricSpec(name="unsaid", factory="segzoo_rough:divided")]

@hookimpl
def segzoo_recipes():
    return [RecipeSpec(name="burnt", file="segzoo_rough:burnt.toml", data="nobodys")]

def divided(**options):
    return 1 / 0

def leaving(**options):
    raise SystemExit("out of here")

def wayward(*, num_classes, in_channels):
    from torch import nn
    return nn.Linear(7, 7)
""",
}

#: What configs of weights may say and no page understands.
ODD = {
    "odd": {"recipe": "burnt", "scored": ["test"], "test": "well"},
    "odder": {
        "scored": "test",
        "test": {"iou": {"contract": 7, "per_image": 0.5, "intervals": ["low"]}, "classes": {"a": 3}},
        "cross_validation": {"mean": {"x": 1, "contract": ""}, "deviation": {"x": "wide"}},
    },
    "oddest": {"scored": "test", "test": {"dice": {"contract": "of all", "per_image": 1, "intervals": 4}}},
}

_ODD = f"""{_HEAD}
@hookimpl
def segzoo_weights():
    return [
        WeightsSpec(name=name, folder=f"segzoo_odd:{{name}}", model="unet", classes=("background", "object"))
        for name in {list(ODD)}
    ]
"""

_CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "docs/_ext")!r})
project = "zoo"
extensions = ["myst_nb", "zoo_pages"]
nb_execution_mode = "off"
suppress_warnings = ["myst.xref_missing"]  # the other sections of the site are not here
html_theme = "furo"
html_static_path, templates_path = ["_static"], ["_templates"]
html_css_files, html_js_files = ["look.css"], ["look.js"]
"""


@pytest.fixture(scope="session")
def broken_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages; a warning is an error. A test that takes it is slow."""
    return made_once(tmp_path_factory, "broken_zoo", _build) / "site"


def _build(folder: Path) -> None:
    packages, source = folder / "site-packages", folder / "source"
    packages.mkdir(parents=True)
    for distribution, code in PLUGINS.items():
        Site(packages).install(distribution, code)
    _install_odd(packages)
    for part in ("zoo", "_static", "_templates", "images/zoo"):
        shutil.copytree(ROOT / "docs" / part, source / part)
    (source / "index.md").write_text("# Zoo\n\n```{toctree}\nzoo/index\n```\n", encoding="utf-8")
    (source / "conf.py").write_text(_CONF, encoding="utf-8")
    done = build(folder)
    assert done.returncode == 0, done.stderr


def _install_odd(packages: Path) -> None:
    """Install a package whose weights are whole, but for what their configs say of where they come from."""
    package = packages / "segzoo_odd"
    (packages / f"{Site(packages).install('segzoo-odd', _ODD)}.py").unlink()
    for name, provenance in ODD.items():
        shutil.copytree(ROOT / "plugins/template/weights/src/segzoo_template/weights", package / name)
        config = json.loads((package / name / "config.json").read_text(encoding="utf-8"))
        config["provenance"] = provenance
        (package / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (package / "__init__.py").write_text(_ODD, encoding="utf-8")


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build the pages, or what has changed of them."""
    program = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", *options]
    packages = folder / "site-packages"
    variables = {
        "PYTHONPATH": str(packages),
        "SEGZOO_PLUGINS": ",".join((*PLUGINS, "segzoo-odd", "segzoo-medical")),
        "SEGZOO_OFFLINE": "1",
    }
    return subprocess.run(
        [*program, str(folder / "source"), str(folder / "site")],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
