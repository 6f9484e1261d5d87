"""Masks of all pages of a file as one file: volumes with the same position as the slices of their images.

A volume is written when the mask of its last page is ready; until then its masks are in memory, one byte per
voxel (two or four for object numbers, four for uncertainty). The reader of the format writes it
(`segzoo.specs.ReaderSpec`, ``writes``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.files import whole_files, writing
from segzoo.images.volumes import volume_suffix, write_volume
from segzoo.interfaces import ImageInfo
from segzoo.prediction.outputs.writing import (
    drawn_pages,
    find_output,
    make_output,
    options_for,
    output_path,
    written_as,
)
from segzoo.prediction.sources import FileSource, VideoSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.files import Keeping
    from segzoo.prediction.outputs import OutputOptions
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.prediction.sources import Source
    from segzoo.specs import Labels


def stem_of(out: Path, source: Source) -> Path:
    """Return folder and stem of the outputs for all pages of a source's file."""
    return out / ((source.whole if isinstance(source, FileSource) else "") or source.name)


def look_of(source: Source, outputs: Sequence[str], options: OutputOptions) -> OutputOptions:
    """Return the options of a source's outputs: a georeferenced mask gets a format with a position."""
    return options_for(source.info if isinstance(source, FileSource) else None, outputs, options)


def divided(outputs: Sequence[str], look: OutputOptions) -> tuple[list[str], list[str]]:
    """Return the outputs with one file per page, and those with one file for all pages."""
    gathered = [name for name in outputs if volume_suffix(look.suffixes.get(name, ""))]
    return [name for name in outputs if name not in gathered], gathered


def volume_paths(
    out: Path, source: Source, outputs: Sequence[str], look: OutputOptions, labels: Labels | None
) -> list[Path]:
    """Return the volumes that a source's masks are written into.

    Args:
        out: output folder.
        source: a page, or a whole image.
        outputs: all outputs that are written.
        look: options of this source's outputs.
        labels: labels, which decide whether each class has its own file; ``None`` if not known yet.
    """
    stem = stem_of(out, source)
    paths = {name: output_path(stem, name, look) for name in divided(outputs, look)[1]}
    return [*paths.values()] if labels is None else [path for *_, path in written_as(paths, labels, look)]


@dataclass(frozen=True)
class Page:
    """The record of a page, which is written together with its volume.

    Attributes:
        source: source of the page.
        state: state of its file before it was read.
        outputs: files that were written for this page only.
        seconds: processing time.
        size: (height, width).
        areas: share of the page that each class covers.
    """

    source: Source
    state: str
    outputs: tuple[Path, ...]
    seconds: float
    size: tuple[int, int]
    areas: Mapping[str, float]


@dataclass
class _Volume:
    """The unfinished volumes of one file: for each output one, or one per class."""

    waiting: set[str]
    arrays: dict[Path, NDArray[Any]] = field(default_factory=dict)
    #: Volumes of arrays that hold object numbers.
    numbered: set[Path] = field(default_factory=set)
    pages: list[Page] = field(default_factory=list)
    broken: bool = False


class Volumes:
    """Gathers the masks of pages, and writes volumes that are complete.

    Args:
        out: output folder.
        outputs: all outputs that are written.
        options: options of the outputs.
        labels: labels of the masks.
        keeping: which existing files may be replaced, and what records a volume before it is named.
    """

    def __init__(
        self,
        out: Path,
        outputs: Sequence[str],
        options: OutputOptions,
        labels: Labels,
        keeping: Callable[[Sequence[Page]], Keeping],
    ) -> None:
        self._out, self._outputs, self._options, self._labels = out, tuple(outputs), options, labels
        self._keeping, self._lock = keeping, Lock()
        self._volumes: dict[Path, _Volume] = {}

    def paths(self, source: Source | VideoSource) -> list[Path]:
        """Return the volumes that the masks of a source are written into."""
        if isinstance(source, VideoSource):
            return []
        look = look_of(source, self._outputs, self._options)
        return volume_paths(self._out, source, self._outputs, look, self._labels)

    def expect(self, sources: Sequence[Source]) -> None:
        """Register the pages to come; a volume needs all of its pages."""
        for source in sources:
            if self.paths(source):
                stem = stem_of(self._out, source)
                self._volumes.setdefault(stem, _Volume(set())).waiting.add(source.origin)

    def add(self, page: Page, segmentation: Segmentation) -> tuple[Path, ...]:
        """Add the mask of a page; return the volumes that it completed.

        Raises:
            FailureError: a volume cannot be written.
            MissingExtraError: the package that writes it is not installed.
        """
        source = page.source
        look = look_of(source, self._outputs, self._options)
        names = divided(self._outputs, look)[1]
        if not names:
            return ()
        # The segmentation of a page may not know the number of pages.
        file = source if isinstance(source, FileSource) else None
        info = (file and file.info) or segmentation.info or _plain(segmentation)
        number = (file and file.page) or 0
        stem = stem_of(self._out, source)
        paths = {name: output_path(stem, name, look) for name in names}
        drawn = drawn_pages(segmentation, paths, look, source.origin)
        counted = {name: paths[name] for name in names if make_output(find_output(name)).numbers}
        with self._lock:
            volume = self._volumes.setdefault(stem, _Volume({source.origin}))
            volume.numbered |= {path for *_, path in written_as(counted, segmentation.labels, look)}
            for path, mask in drawn.items():
                if path not in volume.arrays:
                    volume.arrays[path] = np.zeros((info.pages, *mask.shape), mask.dtype)
                if mask.itemsize > volume.arrays[path].itemsize:
                    volume.arrays[path] = volume.arrays[path].astype(mask.dtype)
                volume.arrays[path][number] = mask
            volume.pages.append(page)
            if not self._is_last(stem, source) or volume.broken:
                return ()
            del self._volumes[stem]
        self._write(volume, info, look)
        return tuple(volume.arrays)

    def fail(self, source: Source | VideoSource) -> list[Path]:
        """Record that a page has no mask; return the volumes that are not written because of it."""
        if isinstance(source, VideoSource):
            return []
        stem = stem_of(self._out, source)
        with self._lock:
            volume = self._volumes.get(stem)
            if volume is None:
                return []
            # The masks gathered so far are not needed any more.
            told = not volume.broken
            volume.broken, volume.arrays, volume.pages = True, {}, []
            self._is_last(stem, source)
        return self.paths(source) if told else []

    def _is_last(self, stem: Path, source: Source) -> bool:
        waiting = self._volumes[stem].waiting
        waiting.discard(source.origin)
        return not waiting

    def _write(self, volume: _Volume, info: ImageInfo, look: OutputOptions) -> None:
        keeping = self._keeping(volume.pages)
        with whole_files([*volume.arrays], overwrite=look.overwrite, keeping=keeping) as parts:
            for (path, array), part in zip(volume.arrays.items(), parts, strict=True):
                pages = _numbered_on(array) if path in volume.numbered else array
                with writing(path), part.open("wb") as file:
                    write_volume(file, pages, info, path.name)


def _numbered_on(pages: NDArray[Any]) -> NDArray[Any]:
    """Return object numbers ``(pages, H, W)`` that continue from one page to the next."""
    most = pages.max(axis=(1, 2), initial=0).astype(np.int64)
    found = pages.astype(np.uint16 if most.sum() <= np.iinfo(np.uint16).max else np.int32)
    for page, before in zip(found, (np.cumsum(most) - most).tolist(), strict=True):
        page[page > 0] += before
    return found


def _plain(segmentation: Segmentation) -> ImageInfo:
    """Return metadata for an image without a file: one page of its size."""
    height, width = segmentation.size
    return ImageInfo(height=height, width=width, dtype="uint8", bands=())
