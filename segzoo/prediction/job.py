"""Many files in one run: find them, segment each, write what was asked for, go on after a bad one."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.errors import FailureError, ImageError
from segzoo.images import SUFFIXES, read
from segzoo.prediction.predictor import segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from segzoo.prediction.segmentation import Segmentation


@dataclass(frozen=True)
class Source:
    """A file to segment and the name, without suffix, of what is written for it below the output folder."""

    path: Path
    name: str


@dataclass(frozen=True)
class Done:
    """What became of one file: the pictures that were written, or the error."""

    source: Source
    segmentation: Segmentation | None = None
    written: tuple[Path, ...] = ()
    error: str = ""


def find(paths: Sequence[str | os.PathLike[str]]) -> list[Source]:
    """Return the files that ``paths`` name, and the images in the folders among them and below.

    A file named by itself is taken whatever its suffix. What is written for the files of a folder
    keeps their subfolders; two that would share a name keep their suffixes in it.

    Raises:
        ImageError: a folder holds no image, or a path does not exist.
    """
    found: list[tuple[Path, Path]] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file()]
            if not inside:
                raise ImageError(f"{path} holds no image ({' '.join(sorted(SUFFIXES))})")
            found += [(p, p.relative_to(path)) for p in inside]
        elif path.exists():
            found.append((path, Path(path.name)))
        else:
            raise ImageError(f"there is no file {path}")
    unique = dict(found)
    stems = Counter(str(inner.with_suffix("")) for inner in unique.values())
    return [Source(path, _name(inner, stems)) for path, inner in unique.items()]


def run(model: nn.Module, sources: Sequence[Source], out: str | os.PathLike[str]) -> Iterator[Done]:
    """Segment every source and write ``NAME_mask.png`` and ``NAME_overlay.png`` below ``out``.

    The mask is a palette image whose values are class indices. A file that cannot be read is told of
    in its `Done`, and the rest goes on.

    Raises:
        FailureError: ``out`` cannot be written.
    """
    out = Path(out)
    writable(out)
    for source in sources:
        try:
            result = segment(model, read(source.path))
        except FailureError as error:
            yield Done(source, error=str(error))
            continue
        yield Done(source, result, write(result, out / source.name))


def write(result: Segmentation, stem: Path) -> tuple[Path, ...]:
    """Write mask and overlay beside each other as ``STEM_mask.png`` and ``STEM_overlay.png``."""
    mask, overlay = stem.with_name(f"{stem.name}_mask.png"), stem.with_name(f"{stem.name}_overlay.png")
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        result.index_image().save(mask)
        result.overlay().save(overlay)
    except OSError as error:
        raise FailureError(f"cannot write {mask}: {error}") from error
    return mask, overlay


def writable(folder: Path) -> None:
    """Make a folder and raise `FailureError` at once if nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailureError(f"cannot write to {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise FailureError(f"cannot write to {folder}: permission denied")


def _name(inner: Path, stems: Counter[str]) -> str:
    stem = str(inner.with_suffix(""))
    return stem if stems[stem] == 1 else str(inner)
