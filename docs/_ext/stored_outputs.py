"""`python docs/_ext/stored_outputs.py [NAME ...]`: run the notebooks of docs/start and store their outputs.

A notebook runs in its own folder, as a reader runs it, and without data of this machine. Names of temporary
folders are left out. Of the forms in which a picture is shown, the smallest is kept. `segzoo.code` in the
metadata is the hash of the code that was run: the tests compare it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "start"


def code_hash(notebook: Any) -> str:
    """Return the hash of a notebook's code."""
    code = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def run(file: Path) -> None:
    """Run a notebook, and store what its cells show."""
    notebook = nbformat.read(file, as_version=4)
    resources = {"metadata": {"path": str(file.parent)}}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        NotebookClient(notebook, timeout=None, record_timing=False, resources=resources).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            keep_smallest(output.get("data", {}))
            if "text" in output:
                output.text = re.sub(rf"{re.escape(folder)}/\w+/", "", output.text)
    notebook.metadata = {
        "kernelspec": notebook.metadata.kernelspec,
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        "segzoo": {"code": code_hash(notebook)},
    }
    nbformat.write(notebook, file)


def keep_smallest(shown: dict[str, Any]) -> None:
    """Remove all forms of a picture but the smallest, and the text of pictures and HTML."""
    pictures = sorted((len(data), kind) for kind, data in shown.items() if kind.startswith("image/"))
    for _, kind in pictures[1:]:
        del shown[kind]
    if pictures or "text/html" in shown:
        shown.pop("text/plain", None)


def main() -> None:
    """Run the notebooks."""
    parser = argparse.ArgumentParser(description="run notebooks and store their outputs")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as quickstart [default: all]")
    os.environ.pop("SEGZOO_DATA", None)
    files = sorted(FOLDER.glob("*.ipynb"))
    for name in parser.parse_args().names or [file.stem for file in files]:
        run(FOLDER / f"{name}.ipynb")
        print(f"{name}: {(FOLDER / f'{name}.ipynb').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
