"""Files of an evaluation: masks, a page, a table and JSON."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError
from segzoo.evaluation.page import page
from segzoo.files import refuse_taken, whole_files, writable, writing
from segzoo.labels import alone, file_words
from segzoo.prediction.outputs.encoding import encode_png
from segzoo.printing import as_json, csv_cell

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from segzoo.evaluation.results import Evaluation
    from segzoo.specs import Labels

#: The files of a report.
PAGE, TABLE, DATA = "report.html", "images.csv", "report.json"


def write_report(
    evaluation: Evaluation, folder: str | os.PathLike[str], *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write ``report.html``, ``images.csv`` and ``report.json`` into a folder; return their paths.

    The page is a single file that loads nothing from any server. The table has one row per image.

    Args:
        evaluation: result of `evaluate` or `score_predictions`.
        folder: output folder, which is made if it does not exist.
        overwrite: whether existing files may be replaced.

    Raises:
        FailureError: the folder cannot be written, or a file exists already.
    """
    files = report_files(writable(folder))
    refuse_taken(files, overwrite=overwrite)
    with whole_files(files, overwrite=overwrite) as parts:
        texts = page(evaluation), _table(evaluation), _json(evaluation)
        for path, part, text in zip(files, parts, texts, strict=True):
            with writing(path):
                part.write_bytes(text.encode())
    return files


def report_files(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the files of a report in a folder."""
    return tuple(Path(folder) / name for name in (PAGE, TABLE, DATA))


def save_mask(
    mask: NDArray[Any], labels: Labels, folder: Path, name: str, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write class indices as ``FOLDER/NAME.png`` with the colours of the classes.

    For more than 256 classes, which a palette does not allow, indices are 16-bit grey. If classes overlap,
    each has its own file, ``FOLDER/NAME_CLASS.png``.

    Raises:
        FailureError: a file cannot be written or exists already, or its name leads out of the folder.
    """
    paths = mask_paths(folder, name, labels)
    with whole_files(paths, overwrite=overwrite) as parts:
        for number, (path, part) in enumerate(zip(paths, parts, strict=True)):
            plane, colours = mask, labels.colours
            if labels.overlapping:
                plane, colours = mask[number], alone(labels, number).colours
            with writing(path):
                part.write_bytes(encode_png(plane, colours))
    return paths


def mask_paths(folder: Path, name: str, labels: Labels) -> tuple[Path, ...]:
    """Return the path of an image's mask; one path per class if classes overlap. Raises as `mask_path`."""
    path = mask_path(folder, name)
    if not labels.overlapping:
        return (path,)
    return tuple(path.with_name(f"{path.stem}_{word}{path.suffix}") for word in file_words(labels))


def mask_path(folder: Path, name: str) -> Path:
    """Return the path of an image's mask.

    Raises:
        FailureError: the image's name leads out of the folder.
    """
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or not inner.name:
        raise FailureError(f"the image name {name!r} cannot be the name of a file in {folder}")
    return folder / inner.parent / f"{inner.name}.png"


def _json(evaluation: Evaluation) -> str:
    return as_json(evaluation.to_json(), indent=2, allow_nan=False) + "\n"


def _table(evaluation: Evaluation) -> str:
    columns = list(dict.fromkeys(column for image in evaluation.images for column in image.scores))
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(["image", "height", "width", "pixels counted", *map(csv_cell, columns)])
    for image in evaluation.images:
        scores = (image.scores.get(column, math.nan) for column in columns)
        values = ("" if math.isnan(value) else f"{value:.6g}" for value in scores)
        rows.writerow([csv_cell(image.name), image.height, image.width, image.counted, *values])
    return file.getvalue()
