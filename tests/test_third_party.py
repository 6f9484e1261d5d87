"""Strangers' packages, built to wheels and installed beside segzoo's own: what becomes of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ROOT
from hub_server import TOKEN, serving_hub
from third_party import OTHERS, YOURS, Environment, brings, build, write_package

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# Every command waits for a slow plug-in; all tests but one leave it out.
NOT_SLOW = {"SEGZOO_DISABLE_PLUGINS": "segzoo-slow"}

STORY = """
import json, sys
import torch
import segzoo
from segzoo.cli import run

def tell(*arguments):
    assert run(list(arguments)) == 0, arguments

model = segzoo.create("striped", num_classes=2, width=4)
assert model(torch.rand(1, 3, 7, 9)).shape == (1, 2, 7, 9)
tell("train", "--data", "stripes", "--root", ".", "--model", "striped", "model.width=4", "epochs=2",
     "crop=16", "batch_size=2", "lr=0.05", "precision=no", "--out", "trained", "--no-progress")
tell("evaluate", "trained", "--data", "stripes", "--root", ".", "--metric", "hits", "--resamples", "0",
     "--report", "report")
tell("predict", "picture.png", "--model", "trained", "--out", "masks")
segzoo.save(segzoo.load("trained"), "kept")
same = [torch.equal(a, b) for a, b in zip(*(segzoo.load(n).parameters() for n in ("trained", "kept")))]
assert same and all(same)
tell("push", "kept", "you/striped")
again = segzoo.load("hf-hub:you/striped")
assert type(again).__module__ == "segzoo_yours.code", type(again)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, bare_site: Path) -> Environment:
    """One that holds wheels of segzoo and of all strangers."""
    folder = tmp_path_factory.mktemp("strangers")
    packages = [
        write_package(folder, name, files) for name, files in {"segzoo-yours": YOURS, **OTHERS}.items()
    ]
    wheels = [build(package, folder / "wheels") for package in (ROOT, *packages)]
    made = Environment(folder / "venv", bare_site)
    made.install(*wheels)
    return made


def records(environment: Environment, **variables: str) -> dict[str, dict[str, Any]]:
    """Return what ``segzoo plugins`` says of each distribution."""
    done = environment.run("segzoo", "plugins", "--json", **variables)
    assert done.returncode == 0, done.stderr
    return {record["distribution"]: record for record in json.loads(done.stdout)}


def models(environment: Environment, **variables: str) -> set[str]:
    done = environment.run("segzoo", "list", "models", "--json", **{**NOT_SLOW, **variables})
    assert done.returncode == 0, done.stderr
    return {model["name"] for model in json.loads(done.stdout)}


def test_what_became_of_each_stranger_is_shown(environment: Environment) -> None:
    found = records(environment)
    assert {name: record["status"] for name, record in found.items()} == {
        "segzoo": "ok",
        "segzoo-broken": "broken",
        "segzoo-newer": "incompatible",
        "segzoo-slow": "ok",
        "segzoo-theirs": "ok",
        "segzoo-yours": "ok",
    }
    assert found["segzoo-yours"]["provides"]["dataset"] == ["stripes"]
    assert "pip install a_module_that_nobody_has" in found["segzoo-broken"]["error"]
    assert "a_module_that_nobody_has" in found["segzoo-broken"]["traceback"]
    assert found["segzoo-newer"]["error"].startswith("needs plug-in interface 99")
    assert found["segzoo-slow"]["milliseconds"] > 1000
    assert "every command waits" in " ".join(found["segzoo-slow"]["warnings"])


def test_two_that_claim_a_name_are_both_reached_by_prefix(environment: Environment) -> None:
    assert {"segzoo-theirs:twin", "segzoo-yours:twin"} <= models(environment)
    code = """
import segzoo, torch
with torch.device("meta"):
    for who in ("segzoo-theirs", "segzoo-yours"):
        print(len(segzoo.create(f"{who}:twin", num_classes=1, width=2).encoder.stages))
    try:
        segzoo.create("twin", num_classes=1)
    except segzoo.errors.AmbiguousNameError as error:
        print(error)
"""
    done = environment.run("python", "-c", code, **NOT_SLOW)
    theirs, yours, short = done.stdout.splitlines()
    assert (theirs, yours) == ("5", "3")  # as deep as each made its twin
    assert "say 'segzoo-theirs:twin' or 'segzoo-yours:twin'" in short
    warnings = records(environment, **NOT_SLOW)["segzoo-yours"]["warnings"]
    assert "the model name 'twin' is segzoo-theirs's too" in " ".join(warnings)


def test_one_installed_editable_changes_with_its_source(environment: Environment, tmp_path: Path) -> None:
    package = write_package(tmp_path, "segzoo-edited", brings("before"))
    environment.install("--editable", package)
    assert "before" in models(environment)
    module = package / "src/segzoo_edited/__init__.py"
    module.write_text(module.read_text(encoding="utf-8").replace("before", "afterwards"), encoding="utf-8")
    assert "afterwards" in models(environment)
    assert records(environment, **NOT_SLOW)["segzoo-edited"]["status"] == "ok"
    environment.pip("uninstall", "--quiet", "--yes", "segzoo-edited")
    assert "segzoo-edited" not in records(environment, **NOT_SLOW)


def test_one_on_the_path_alone_is_found_by_its_metadata(environment: Environment, tmp_path: Path) -> None:
    package = write_package(tmp_path, "segzoo-aside", brings("beside"))
    environment.install("--target", tmp_path / "target", build(package, tmp_path))
    found = records(environment, **NOT_SLOW, PYTHONPATH=str(tmp_path / "target"))
    assert found["segzoo-aside"]["status"] == "ok"
    # Without metadata nothing says that a folder is a plug-in: Python imports it, segzoo knows nothing.
    bare = str(package / "src")
    assert "segzoo-aside" not in records(environment, **NOT_SLOW, PYTHONPATH=bare)
    imported = environment.run("python", "-c", "import segzoo_aside", PYTHONPATH=bare)
    assert imported.returncode == 0, imported.stderr


def test_a_stranger_is_trained_evaluated_pushed_and_uninstalled(
    environment: Environment, tmp_path: Path
) -> None:
    from PIL import Image

    place = environment.folder
    Image.new("RGB", (21, 17), (180, 180, 180)).save(place / "picture.png")
    assert "striped" in models(environment)
    with serving_hub() as hub:
        variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "hf")}
        done = environment.run("python", "-c", STORY, **NOT_SLOW, **variables, HF_HUB_DISABLE_XET="1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(hub.repos) == {"you/striped"}
    assert Image.open(place / "masks/picture_mask.png").size == (21, 17)
    report = json.loads((place / "report/report.json").read_text(encoding="utf-8"))
    assert "share of all pixels whose class is right" in json.dumps(report)
    config = json.loads((place / "kept/config.json").read_text(encoding="utf-8"))
    assert config["architecture"]["name"] == "segzoo-yours:striped"

    environment.pip("uninstall", "--quiet", "--yes", "segzoo-yours")
    assert "striped" not in models(environment)
    # Nobody else claims the name any more.
    assert "twin" in models(environment)
    gone = environment.run("segzoo", "predict", "picture.png", "--model", "kept", "--out", "new", **NOT_SLOW)
    assert gone.returncode == 2
    assert "pip install 'segzoo-yours>=1.0'" in gone.stderr
    assert "Traceback" not in gone.stderr
