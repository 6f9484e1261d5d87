"""The notebooks: what is stored in them, and that their code runs."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import nbformat
import pytest
from conftest import ROOT
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from traitlets.config import Config

from segzoo.datasets.splits import split_of

sys.path.insert(0, str(ROOT / "docs/_ext"))

from stored_outputs import FOLDER, code_hash

if TYPE_CHECKING:
    from pathlib import Path

QUICK_START = "quickstart"
#: What a notebook computes, and what the tests compute instead, which takes seconds.
SHORTER = {
    "train-on-your-data": {
        '"width": 12, "depth": 4': '"width": 4, "depth": 3',
        "epochs=40": "epochs=2",
        "epochs=4,": "epochs=1,",
    },
    "fine-tune-transformer": {"steps=120": "steps=3", '"warmup_steps": 10': '"warmup_steps": 1'},
    "large-image": {"6000, 8000": "1000, 1500", '"1GB"': '"400MB"'},
}
NAMES = (QUICK_START, *SHORTER)


def notebook(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs_of(cells: Any) -> list[Any]:
    return [output for cell in cells for output in cell.get("outputs", ())]


def pictures_without_text(cell: Any) -> int:
    """Count pictures that have no text for those who do not see them."""
    told = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    shown = [output.get("data", {}) for output in cell.outputs]
    html = "".join(data.get("text/html", "") for data in shown)
    files = sum(any(kind.startswith("image/") for kind in data) for data in shown)
    return html.count("<img ") - len(re.findall(r'<img [^>]*alt="[^"]', html)) + (0 if told else files)


def test_these_are_all_notebooks() -> None:
    assert sorted(NAMES) == sorted(file.stem for file in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_are_those_of_the_code_and_show_nothing_of_the_machine(name: str) -> None:
    found = notebook(name)
    nbformat.validate(found)
    code = [cell for cell in found.cells if cell.cell_type == "code"]
    assert found.metadata["segzoo"]["code"] == code_hash(found), f"run docs/_ext/stored_outputs.py {name}"
    assert all(cell.execution_count for cell in code)
    told = outputs_of(code)
    assert [one for one in told if one.output_type == "error" or one.get("name") == "stderr"] == []
    assert "execution" not in str(found.metadata)
    assert re.findall(r"(?:/tmp|/root|/home|/work|file://)\b", str(told)) == []
    assert [cell["id"] for cell in code if pictures_without_text(cell)] == []
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 600_000


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_open_this_notebook(name: str) -> None:
    first, *_ = cells = notebook(name).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)", text)
    files = [link for link in links if not link.startswith("https://")]
    assert files
    assert [link for link in files if not (FOLDER / link).is_file()] == []
    for site in ("colab.research.google.com/github", "kaggle.com/kernels/welcome?src=https://github.com"):
        assert f"https://{site}/org/segzoo/blob/main/docs/start/{name}.ipynb" in first.source


def test_the_bundled_images_were_not_used_for_training() -> None:
    with ZipFile(FOLDER / "nuclei.zip") as file:
        told = file.read("nuclei/README.txt").decode()
        images = [name for name in file.namelist() if name.startswith("nuclei/images/")]
    sources = re.findall(r"^nuclei-\d+  ([0-9a-f]{64})$", told, re.MULTILINE)
    assert len(set(sources)) == len(images) == 16
    assert {split_of(source) for source in sources} == {"test"}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for all that Jupyter and the notebook write, and no data."""
    monkeypatch.delenv("SEGZOO_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        folder = tmp_path / variable.lower()
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def shown(outputs: list[Any]) -> str:
    assert [one["text"] for one in outputs if one.get("name") == "stderr"] == []
    return "".join(one.get("text") or one.data["text/plain"] for one in outputs)


@pytest.mark.slow
def test_the_quick_start_runs_in_jupyter(elsewhere: Path) -> None:
    found = notebook(QUICK_START)
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(found, timeout=240, kernel_name="python3", resources=resources).execute()
    shows = {cell["id"]: cell.outputs for cell in found.cells if cell.cell_type == "code"}
    told = {name: shown(outputs) for name, outputs in shows.items()}
    assert told["predict"].startswith("<Segmentation of 696 x 520 pixels: background 7")
    assert shows["predict"][0].data["text/html"].count('src="data:image/') == 2
    assert "Apache-2.0" in shows["model"][0].data["text/html"]
    assert "image/png" in shows["draw"][0].data
    assert float(re.findall(r"'per_image': ([\d.]+)", told["score"])[0]) > 0.6
    before, after = map(float, re.findall(r"\d\.\d{3}", told["create"]))
    assert after < before


def run(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, Any]]:
    """Run a shorter form of a notebook; return what each cell prints, and the value of its last line."""
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    changes, found = dict(SHORTER[name]), {}
    for cell in notebook(name).cells:
        if cell.cell_type == "code":
            code = cell.source
            for old in [old for old in changes if old in code]:
                code = code.replace(old, changes.pop(old))
            done = shell.run_cell(code, silent=True)
            done.raise_error()
            found[cell["id"]] = (capsys.readouterr().out, done.result)
    assert changes == {}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORTER)
def test_the_other_notebooks_run(
    name: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(FOLDER)
    found = run(name, capsys)
    if name == "train-on-your-data":
        assert "Nothing here would stop training" in found["check"][0]
        scratch, tuned = map(float, re.findall(r"IoU ([\d.]+)", found["tune"][0]))
        assert scratch < tuned
    elif name == "fine-tune-transformer":
        assert "random weights" in found["model"][0] + found["train"][0]
        assert re.findall(r"validation \w+ 0\.\d+", found["train"][0])
    else:
        assert "tiles" in found["predict"][0]
        counted = int(re.findall(r"^(\d+) nuclei", found["count"][0])[0])
        expected = int(re.findall(r"(\d+) expected", found["control"][0])[0])
        assert 0.75 < counted / expected < 1.1
