"""What is imported when: nothing heavy for a name or a list, and rooms import only rooms below."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT

import segzoo

if TYPE_CHECKING:
    from conftest import Run

HEAVY = ("torch", "torchvision", "timm", "numpy", "PIL", "safetensors", "huggingface_hub", "accelerate")


def loaded_by(python: Run, code: str) -> set[str]:
    done = python("-c", f"{code}\nimport sys; print('\\n', *[n for n in {HEAVY} if n in sys.modules])")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.medium
@pytest.mark.parametrize(
    "code",
    [
        "import segzoo",
        "import segzoo; dir(segzoo); segzoo.errors, segzoo.specs, segzoo.hooks, segzoo.interfaces",
        "from segzoo import zoo; zoo.encoders.names(), zoo.plugins, zoo.weights.match('u*')",
        "from segzoo import zoo; zoo.find_model('unet-vgg'), zoo.find_model('unet/vgg16_bn')",
        "from segzoo.cli import run; run(['--help'])",
        "from segzoo.cli import run; run(['list'])",
        "from segzoo.cli import run; run(['list', 'encoders']); run(['list', 'models', 'u', '--json'])",
        "from segzoo.cli import run; run(['plugins', '-v'])",
        "import segzoo_attention, segzoo_carvana, segzoo_driving, segzoo_medical",
        "import segzoo_nested, segzoo_steel, segzoo_voc",
    ],
)
def test_names_and_lists_import_nothing_heavy(python: Run, code: str) -> None:
    assert loaded_by(python, code) == set()


@pytest.mark.parametrize("name", segzoo.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(segzoo, name)
    assert name == "__version__" or value.__doc__


@pytest.mark.slow
def test_public_names_resolve_in_a_fresh_process_in_any_order(python: Run) -> None:
    # In this process another test may have imported what a name forgot to.
    code = (
        "import importlib, sys, segzoo\n"
        "for name in reversed(segzoo.__all__):\n"
        "    value = getattr(segzoo, name)\n"
        "    assert getattr(segzoo, name) is value\n"
        "from segzoo import *\n"
        "assert callable(predict) and callable(train) and callable(evaluate)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'segzoo' has no attribute 'creat'"):
        segzoo.creat  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.slow
def test_import_contracts_are_kept() -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.slow
def test_one_module_speaks_http_and_the_rooms_of_the_hub_its_client() -> None:
    speaks = {
        "urllib.request",
        "urllib.error",
        "http.client",
        "requests",
        "httpx",
        "aiohttp",
        "urllib3",
        "ftplib",
    }
    allowed = {
        "segzoo/http.py": {"urllib.request", "urllib.error", "http.client", "huggingface_hub"},
        "segzoo/weights/hub.py": {"huggingface_hub"},
        "segzoo/publishing/push.py": {"huggingface_hub"},
        "segzoo/publishing/card.py": {"huggingface_hub"},
        # Names of classes lie in a file of their own in datasets of the Hub.
        "plugins/segzoo-formats/src/segzoo_formats/huggingface.py": {"huggingface_hub"},
    }
    found: dict[str, set[str]] = {}
    for file in [*ROOT.glob("segzoo/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"), ROOT / "hubconf.py"]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
            else:
                continue
            spoken = names & speaks | {
                "huggingface_hub" for name in names if name.startswith("huggingface_hub")
            }
            spoken |= {
                name for name in names if name.endswith(("load_state_dict_from_url", "download_url_to_file"))
            }
            if spoken:
                found.setdefault(file.relative_to(ROOT).as_posix(), set()).update(spoken)
    assert found == allowed
