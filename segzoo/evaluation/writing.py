"""What an evaluation leaves on disk: masks, a page, a table and JSON."""

from __future__ import annotations

import csv
import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from PIL import Image

from segzoo.errors import FailureError
from segzoo.evaluation.page import page
from segzoo.files import writable, write_whole
from segzoo.printing import as_json, csv_cell

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from segzoo.evaluation.results import Evaluation
    from segzoo.specs import Labels

#: The files of a report.
PAGE, TABLE, DATA = "report.html", "images.csv", "report.json"


def write_report(evaluation: Evaluation, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``report.html``, ``images.csv`` and ``report.json`` into a folder; return their paths.

    The page is one file that asks nothing of any server. The table has a row per image.

    Args:
        evaluation: what `evaluate` or `score_predictions` returned.
        folder: made where it is missing.

    Raises:
        FailureError: the folder cannot be written.
    """
    folder = writable(folder)
    files = tuple(folder / name for name in (PAGE, TABLE, DATA))
    try:
        write_whole(files[0], page(evaluation).encode())
        _write_table(evaluation, files[1])
        files[2].write_text(
            as_json(evaluation.to_json(), indent=2, allow_nan=False) + "\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise FailureError(f"cannot write {error.filename}: {error.strerror}") from error
    return files


def save_mask(mask: NDArray[np.uint8], labels: Labels, folder: Path, name: str) -> Path:
    """Write class indices as ``FOLDER/NAME.png`` with the colours of the classes.

    Raises:
        FailureError: the file cannot be written, or its name leads out of the folder.
    """
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or not inner.name:
        raise FailureError(f"the image name {name!r} cannot name a file in {folder}")
    path = folder / inner.parent / f"{inner.name}.png"
    picture = Image.fromarray(mask)
    picture.putpalette([value for colour in labels.colours for value in colour])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except OSError as error:
        raise FailureError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _write_table(evaluation: Evaluation, path: Path) -> None:
    columns = list(dict.fromkeys(column for image in evaluation.images for column in image.scores))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "height", "width", "pixels counted", *map(csv_cell, columns)])
        for image in evaluation.images:
            scores = (image.scores.get(column, math.nan) for column in columns)
            values = ("" if math.isnan(value) else f"{value:.6g}" for value in scores)
            rows.writerow([csv_cell(image.name), image.height, image.width, image.counted, *values])
