"""Writes the pairs of images and masks as a list that ``--data`` reads."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.data_check.advice import quoted
from segzoo.data_check.source import find_source
from segzoo.datasets.pairs import Pairs
from segzoo.errors import FailureError, OptionError
from segzoo.files import refuse_taken, whole_file, writing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from segzoo.data_check.source import Source
    from segzoo.datasets.pairs import Pair


def write_pairs(
    data: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> int:
    """Write the images and masks of a dataset as a list: ``image``, ``mask``, ``name`` and ``split``.

    Paths are relative to the list's folder. Parts are written if the dataset defines them; otherwise they
    follow from the names, as in the folder.

    Args:
        data: data, see `check_data`.
        path: path of the list, a ``.csv``.
        root: location of a registered dataset.
        options: options of the dataset.
        overwrite: whether an existing file is replaced.

    Returns:
        Number of pairs in the list.

    Raises:
        OptionError: the list has another suffix than ``.csv``.
        FailureError: masks are not separate files, or there are several for one image; no files pair; or the
            file exists, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise OptionError(f"a list of pairs is written as .csv, not {path.name!r}")
    source = find_source(os.fspath(data), root, options)
    source.check_opened()
    rows = _rows(source)
    inputs = [file for _, pair in rows for file in pair.files]
    refuse_taken([path], overwrite=overwrite, inputs=inputs, advice="choose another one, or use --overwrite")
    columns = ["image", "mask", "name"] + (["split"] if any(part for part, _ in rows) else [])
    with (
        writing(path, what="cannot write the list"),
        whole_file(path, overwrite=overwrite) as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for split, pair in rows:
            files = (_from(path.parent, pair.image), _from(path.parent, Path(str(pair.mask))))
            table.writerow([*files, pair.name, split][: len(columns)])
    return len(rows)


def _rows(source: Source) -> list[tuple[str, Pair]]:
    """Return each pair once, with its part if the dataset defines parts."""
    if source.layout is not None:
        layout = source.layout
        if layout.missing or layout.choices:
            raise FailureError(
                f"{layout.root} does not pair: `segzoo data check {quoted(source.data)}` shows why"
            )
        found = [(one.split if layout.divided else "", one.pair) for one in layout.pairs]
    else:
        found = []
        for split, dataset in source.datasets.items():
            if not isinstance(dataset, Pairs):
                raise FailureError(
                    f"{source.data} has no mask files for a list to name: `segzoo data convert` writes some"
                )
            found += [(split, pair) for pair in dataset.pairs]
    rows: dict[Path, tuple[str, Pair]] = {}
    for split, pair in found:
        if not isinstance(pair.mask, Path):
            raise FailureError(f"{pair.image} has several masks, but a list holds one for each image")
        rows.setdefault(pair.image, (split, pair))
    if not rows:
        raise FailureError(f"{source.data}: no image has a mask")
    return [*rows.values()]


def _from(folder: Path, path: Path) -> str:
    """Return a path relative to a folder, with slashes; absolute if they are on two drives."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.as_posix()
