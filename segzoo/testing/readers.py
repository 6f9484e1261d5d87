"""The contract of readers: a file's metadata agree with its pixels, and damage is an error."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.errors import MissingExtraError
from segzoo.images.opening import reader_of
from segzoo.interfaces import ImageInfo
from segzoo.plugins import resolve
from segzoo.specs import ReaderSpec
from segzoo.testing.promises import Checked, described, promise

if TYPE_CHECKING:
    from collections.abc import Callable

#: Pages of an example that are read.
_PAGES = 3


def check_reader(
    reader: str | ReaderSpec, *, example: Callable[[Path], Path] | None = None, **options: Any
) -> None:
    """Check a reader.

    Damaged files are errors. With an example: the metadata match the pixels on each page; reading twice gives
    the same values; rows that are read separately match the whole image; and masks of all pages that the
    reader writes are read back unchanged.

    Args:
        reader: its name, or its spec if no plug-in registers it yet.
        example: writes an image into a folder, and returns its path; without it, nothing is read.
        **options: options of its factory.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(reader, ReaderSpec), example=example, **options).keep()


class _Subject(Checked[ReaderSpec], of="reader"):
    """A reader under check."""

    def __init__(
        self, spec: ReaderSpec, *, example: Callable[[Path], Path] | None = None, **options: Any
    ) -> None:
        super().__init__(spec, **options)
        self.example = example

    @cached_property
    def _temporary(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory()  # removed with the subject, which has no end of its own

    @property
    def folder(self) -> Path:
        return Path(self._temporary.name)

    @cached_property
    def file(self) -> Path | None:
        return None if self.example is None else Path(self.example(self.folder))

    def damage(self) -> None:
        suffix = next(iter(self.spec.suffixes), "")
        noise = np.random.default_rng(0).bytes(200)
        starts = [b"", *(bytes(self.spec.offset) + magic for magic in self.spec.magic)]
        with tempfile.TemporaryDirectory() as name:
            for number, start in enumerate(starts):
                path = Path(name, f"damaged{number}{suffix}")
                if self.spec.folders:
                    path.mkdir()
                else:
                    path.write_bytes(start + noise)
                told = f"a {'folder' if self.spec.folders else 'file'} of noise"
                try:
                    with self._opened(path) as image:
                        found = np.shape(image.read(0))
                except MissingExtraError:
                    raise
                except Exception:
                    continue
                promise(False, f"{self.what}: of {told} it makes an image {found}; raise ImageError")

    def claims(self) -> None:
        if not self.spec.claims:
            return
        asked = resolve(self.spec.claims)
        with tempfile.TemporaryDirectory() as name:
            empty = Path(name, "empty")
            empty.touch()
            for path in (Path(name), empty, Path(name, "none")):
                kind = "an empty folder" if path.is_dir() else f"the {path.name} file"
                promise(not asked(path), f"{self.what}: claims says that {kind} is its")
        if self.file is not None:
            promise(bool(asked(self.file)), f"{self.what}: claims says that the example is none of its files")

    def description(self) -> None:
        if self.file is None:
            return
        with self._opened(self.file) as image:
            info = image.info
            promise(isinstance(info, ImageInfo), f"{self.what}: info must be an ImageInfo, got {type(info)}")
            promise(
                info.pages >= 1 and info.orientation in range(1, 9),
                f"{self.what}: pages is {info.pages} and orientation {info.orientation}, expected at least 1 "
                "page and 1 to 8",
            )
            for page in range(min(info.pages, _PAGES)):
                pixels = image.read(page)
                wanted = (info.height, info.width, len(info.bands))
                same = pixels.shape == wanted if page == 0 else pixels.ndim == 3
                promise(
                    same and pixels.dtype.name == info.dtype,
                    f"{self.what}: page {page} is {pixels.shape} {pixels.dtype}, but info says {wanted} "
                    f"{info.dtype}",
                )
            count = len(info.bands)
            promise(
                info.alpha is None or 0 <= info.alpha < count,
                f"{self.what}: alpha is band {info.alpha} of {count}, counted from 0",
            )
            highest = int(np.max(image.read(0))) if info.palette else 0
            promise(
                not info.palette or (count == 1 and highest < len(info.palette)),
                f"{self.what}: the palette has {len(info.palette)} colours, the pixels {count} bands up to "
                f"{highest}",
            )

    def pixels(self) -> None:
        if self.file is None:
            return
        with self._opened(self.file) as image:
            last = image.info.pages - 1
            first, other = np.array(image.read(0)), np.array(image.read(last))
            again = np.array(image.read(0))
        promise(_same(first, again), f"{self.what}: reading a page again, after another, gives other values")
        with self._opened(self.file) as image:
            promise(_same(image.read(last), other), f"{self.what}: opened again, page {last} is another")
        registered = any(entry.spec is self.spec for entry in zoo.registry("readers").find(self.spec.name))
        found = reader_of(self.file)
        promise(
            not registered or found is self.spec,
            f"{self.what}: {self.file.name} is opened by the reader {found.name!r}: magic, suffixes and "
            "claims do not lead to this one",
        )

    def rows(self) -> None:
        if self.file is None:
            return
        with self._opened(self.file) as image:
            held = getattr(image, "resident", lambda page: 0)(0)
            if not hasattr(image, "rows") or held is None:
                return
            whole, height = np.array(image.read(0)), image.info.height
            for top, bottom in ((0, 1), (height // 2, height), (0, height), (height - 1, height)):
                got: Any = image.rows(0, top, bottom)
                promise(
                    _same(got, whole[top:bottom]),
                    f"{self.what}: rows {top} to {bottom} are others than those of the whole image",
                )

    def writes(self) -> None:
        if self.file is None or not self.spec.writes:
            return
        with self._opened(self.file) as image:
            info = image.info
        masks = np.random.default_rng(0).integers(0, 3, (info.pages, info.height, info.width), np.uint8)
        for number, suffix in enumerate(self.spec.suffixes):
            path = self.folder / f"masks{number}{suffix}"
            with path.open("wb") as file:
                resolve(self.spec.writes)(file, masks, info, suffix)
            with self._opened(path) as image:
                pages = image.info.pages
                found = [image.read(page) for page in range(pages)]
            same = pages == info.pages and all(
                _same(page[..., 0], mask) for page, mask in zip(found, masks, strict=True)
            )
            promise(same, f"{self.what}: masks that it writes as {suffix} are read back as others")

    def _opened(self, path: Path) -> Any:
        return resolve(self.spec.factory)(path, **{**self.spec.options, **self.options})


def _same(first: Any, second: Any) -> bool:
    first, second = np.asarray(first), np.asarray(second)
    kinds = first.dtype == second.dtype and first.shape == second.shape
    return kinds and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
