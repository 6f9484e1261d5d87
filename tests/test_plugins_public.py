"""Our own plug-ins, and those that ``segzoo plugins new`` writes, use what is public and nothing else."""

from __future__ import annotations

import ast
import pkgutil
import re
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from conftest import PLUGINS, ROOT

from segzoo import zoo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The modules that plug-ins may import from; plugins/README.md tells people the same.
PUBLIC = (
    "segzoo",
    "segzoo.hooks",
    "segzoo.specs",
    "segzoo.interfaces",
    "segzoo.errors",
    "segzoo.testing",
    "segzoo.blocks",
    "segzoo.datasets",
    "segzoo.losses",
    "segzoo.metrics",
    "segzoo.weights.layouts",
    "segzoo.weights.layouts.processors",
    "segzoo.weights.layouts.transforms",
    "segzoo.images",
    "segzoo.labels",
    "segzoo.build",
    "segzoo.prediction",
    "segzoo.prediction.outputs",
    "segzoo.json_text",
    "segzoo.exporting",
    "segzoo.runtimes",
)
PACKAGES = sorted((*ROOT.glob("plugins/segzoo-*/src/*"), *ROOT.glob("plugins/template/*/src/*")))


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each module of segzoo that is imported, with the name taken from it; nothing if it is whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.module or "", alias.name) for alias in node.names)


def private(folder: Path) -> list[str]:
    """Return what a package imports of segzoo and should not."""
    found = []
    for file in sorted(folder.rglob("*.py")):
        for module, name in imported(ast.parse(file.read_text(encoding="utf-8"))):
            if module == "segzoo" or module.startswith("segzoo."):
                public = shown(module) if module in PUBLIC else ()
                if module not in PUBLIC or (name and name not in public):
                    found.append(f"{file.name}: {module} {name}".strip())
    return found


def shown(module: str) -> set[str]:
    """Return the names that a module shows."""
    there = import_module(module)
    names = getattr(there, "__all__", None) or [name for name in vars(there) if not name.startswith("_")]
    return {name for name in names if hasattr(there, name)}


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: f"{folder.parents[1].name}")
def test_a_plugin_imports_only_what_is_public(folder: Path) -> None:
    assert private(folder) == []


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: f"{folder.parents[1].name}")
def test_a_plugin_imports_no_other_plugin(folder: Path) -> None:
    others = {
        module
        for file in folder.rglob("*.py")
        for module, _ in imported(ast.parse(file.read_text(encoding="utf-8")))
        if module.startswith("segzoo_") and module.partition(".")[0] != folder.name
    }
    assert others == set()


def test_what_is_private_is_found(tmp_path: Path) -> None:
    code = (
        "from segzoo.zoo import _fill\nfrom segzoo.blocks import _log2, fit\nimport segzoo, segzoo.config\n"
    )
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    assert private(tmp_path) == [
        "mine.py: segzoo.zoo _fill",
        "mine.py: segzoo.blocks _log2",
        "mine.py: segzoo.config",
    ]


def test_people_are_told_the_same_list() -> None:
    text = (ROOT / "plugins/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(segzoo(?:\.[\w.]+)?)` \|", text, flags=re.MULTILINE)
    assert tuple(rows) == PUBLIC


def test_people_are_told_of_every_package() -> None:
    text = (ROOT / "plugins/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(segzoo-\w+)` \|", text, flags=re.MULTILINE)
    assert rows == sorted(path.name for path in ROOT.glob("plugins/segzoo-*"))


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_for_plugins_is_there(module: str) -> None:
    there = import_module(module)
    assert there.__doc__
    assert set(getattr(there, "__all__", ())) <= shown(module)


@pytest.mark.medium
@pytest.mark.parametrize("name", [path.name for path in sorted(ROOT.glob("plugins/segzoo-*"))])
def test_a_plugin_s_readme_says_how_to_install_it_and_names_all_that_it_brings(name: str) -> None:
    text = (ROOT / "plugins" / name / "README.md").read_text(encoding="utf-8")
    records = [record for record in zoo.plugins if record.distribution == name]
    assert len(records) == (name in [folder.name for folder in PLUGINS])
    brought = {part for record in records for parts in record.provides.values() for part in parts}
    address = rf" @ git\+https://github\.com/org/segzoo#subdirectory=plugins/{name}"
    assert re.search(rf'"{name}(\[[a-z,]+\])?{address}"', text)
    assert {part for part in brought if f"`{part}`" not in text} == set()


@pytest.mark.parametrize("package", ["segzoo.datasets", "segzoo.prediction.outputs", "segzoo.images"])
def test_no_public_name_is_that_of_a_module_in_the_package(package):
    # Importing the module would put it in the place of the function.
    found = import_module(package)
    assert not {one.name for one in pkgutil.iter_modules(found.__path__)} & {*found.__all__}
