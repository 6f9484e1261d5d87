"""The quick-start notebook is run as people run it, with its data and without."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from PIL import Image

from segzoo.datasets.splits import split_of

if TYPE_CHECKING:
    from pathlib import Path

FILE = ROOT / "docs" / "start" / "quickstart.ipynb"


def notebook() -> Any:
    return nbformat.read(FILE, as_version=4)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for all that Jupyter and the notebook write, and no data."""
    monkeypatch.delenv("SEGZOO_DATA", raising=False)
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        folder = tmp_path / variable.lower()
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    return tmp_path


def run(found: Any) -> dict[str, str]:
    """Run a notebook where it lies, and return the text that each of its cells shows."""
    resources = {"metadata": {"path": str(FILE.parent)}}
    NotebookClient(found, timeout=240, kernel_name="python3", resources=resources).execute()
    return {cell["id"]: shown(cell.outputs) for cell in found.cells if cell.cell_type == "code"}


def shown(outputs: list[Any]) -> str:
    assert [one["text"] for one in outputs if one.get("name") == "stderr"] == []
    return "".join(one.get("text") or one.data["text/plain"] for one in outputs)


def test_the_notebook_is_kept_without_outputs_and_its_links_and_pictures_are_there() -> None:
    found = notebook()
    nbformat.validate(found)
    code = [cell for cell in found.cells if cell.cell_type == "code"]
    assert [cell["id"] for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert "execution" not in str(found.metadata)
    text = "\n".join(cell.source for cell in found.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert links
    assert [link for link in links if not (FILE.parent / link).is_file()] == []
    assert (FILE.parent / "../images/nuclei.png").is_file()


@pytest.mark.slow
def test_without_data_the_whole_notebook_runs_and_says_what_it_skips(elsewhere: Path) -> None:
    found = notebook()
    told = run(found)
    assert told["predict"].startswith("<Segmentation of 696 x 520 pixels: background 7")
    shows = {cell["id"]: cell.outputs for cell in found.cells if cell.cell_type == "code"}
    assert shows["predict"][0].data["text/html"].count('src="data:image/') == 2
    assert "Apache-2.0" in shows["model"][0].data["text/html"]
    assert "image/png" in shows["draw"][0].data
    assert float(re.findall(r"'per_image': ([\d.]+)", told["score"])[0]) > 0.9
    before, after = map(float, re.findall(r"\d\.\d{3}", told["create"]))
    assert after < before
    assert float(re.findall(r"dice_per_image (\d\.\d+)", told["train"])[0]) > 0.6
    assert told["data"] == "skipped: say where 'dsb2018' lies: root=..., --root, or $SEGZOO_DATA/dsb2018\n"


@pytest.mark.slow
def test_with_data_its_images_are_scored(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:08x}" for number in range(100) if split_of(f"{number:08x}") == "test"][:2]
    for name in names:
        nucleus = np.zeros((64, 64), np.uint8)
        nucleus[20:40, 24:44] = 255
        for kind in ("images", "masks"):
            folder = elsewhere / "data" / "dsb2018" / name / kind
            folder.mkdir(parents=True)
            Image.fromarray(nucleus).save(folder / f"{name}.png")
    monkeypatch.setenv("SEGZOO_DATA", str(elsewhere / "data"))
    found = notebook()
    found.cells = [cell for cell in found.cells if {"setup", "data"} & set(cell.metadata.get("tags", ()))]
    assert len(found.cells) == 2
    lines = run(found)["data"].splitlines()
    assert [line.partition(":")[0] for line in lines] == names
    assert all(float(line.rpartition(" ")[2]) > 0.5 for line in lines)
