"""The one way to open an image file: with the reader for its first bytes or suffix, from any plug-in."""

from __future__ import annotations

import inspect
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.distribution import OWNER
from segzoo.errors import ImageError, OptionError, PluginError, SegzooError
from segzoo.files import regular
from segzoo.images.naming import naming
from segzoo.plugins import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from segzoo.interfaces import ImageInfo, OpenedImage
    from segzoo.registry import Registry
    from segzoo.specs import ReaderSpec

#: Environment variable for options of readers; it also reaches processes that load data.
OPTIONS = "SEGZOO_READER_OPTIONS"
#: Readers whose files hold exactly one image.
_FLAT = ("segzoo:pillow", "segzoo:numpy", "segzoo:torch")
#: The reader of files that no reader claims by first bytes or suffix: it detects dozens of formats itself.
_FALLBACK = "segzoo:pillow"


@contextmanager
def open_image(path: str | os.PathLike[str]) -> Iterator[NamedImage]:
    """Open an image file, or a folder that is an image; pixels are decoded when they are requested.

    The reader is chosen by the file's first bytes, else by its suffix; see `segzoo.specs.ReaderSpec`. It gets
    its options from the environment variable ``SEGZOO_READER_OPTIONS``, such as
    ``nifti:axis=coronal,fourth=bands``; options of several readers are separated by spaces.

    Args:
        path: image file or folder.

    Raises:
        OptionError: the reader has no such option.
        ImageError: there is no such file, or it is empty, damaged or not an image.
        MissingExtraError: the format needs an extra that is not installed.

    Example:
        >>> from segzoo.images import open_image
        >>> with open_image("cells.png") as image:
        ...     bands = image.info.bands
        ...     pages = [image.read(page) for page in range(image.info.pages)]
    """
    path = Path(path)
    with naming(path):
        known = _readers()
        spec = _reader_of(path, known)
        options = {**spec.options, **_said_options(spec)}
        opening = known.code(spec, spec.factory)(path, **options)
        if not hasattr(opening, "__enter__"):
            got = type(opening).__name__
            raise PluginError(f"reader {spec.name!r}: its factory must return a context manager, got {got}")
        opened = opening.__enter__()
        try:
            image = NamedImage(path, opened)
        except BaseException:
            opening.__exit__(None, None, None)
            raise
    try:
        yield image
    finally:
        opening.__exit__(None, None, None)


def _said_options(spec: ReaderSpec) -> dict[str, str]:
    """Return the options for a reader from the environment."""
    found: dict[str, str] = {}
    for words in os.environ.get(OPTIONS, "").split():
        name, _, options = words.partition(":")
        for option in options.split(",") if name == spec.name else ():
            key, _, value = option.partition("=")
            found[key.strip()] = value.strip()
    known = inspect.signature(resolve(spec.factory)).parameters if found else {}
    if unknown := [key for key in found if key not in list(known)[1:]]:
        has = ", ".join(list(known)[1:]) or "none"
        raise OptionError(f"{OPTIONS}: the reader {spec.name!r} has no option {unknown[0]!r}; it has {has}")
    return found


class NamedImage:
    """An open image that names its file in errors, and checks what its reader returns.

    Args:
        path: the file.
        opened: the object that its reader returned.
    """

    def __init__(self, path: Path, opened: OpenedImage) -> None:
        self.path, self._opened = path, opened
        info = opened.info
        if info.height < 1 or info.width < 1:
            raise ImageError(
                f"{path}: an image must have at least one pixel, got {info.width} x {info.height}"
            )

    @property
    def info(self) -> ImageInfo:
        """Metadata of the file."""
        return self._opened.info

    def describe(self, page: int = 0) -> ImageInfo:
        """Return the metadata of a page; pages may differ in size and kind.

        Raises:
            ImageError: there is no such page.
        """
        self._check(page)
        if page == 0 or not hasattr(self._opened, "describe"):
            return self.info
        with naming(self.path, page):
            return self._opened.describe(page)  # pyright: ignore[reportAttributeAccessIssue]

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page as ``(H, W, C)`` in its own type; see `segzoo.interfaces.OpenedImage`.

        Raises:
            ImageError: there is no such page, or it is damaged.
        """
        self._check(page)
        with naming(self.path, page):
            pixels = np.asarray(self._opened.read(page, smallest=smallest))
        if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype.kind not in "biuf":
            raise ImageError(
                f"{self.path}: its reader returned {pixels.dtype} {pixels.shape}, expected numbers (H, W, C)"
            )
        return pixels

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom`` of a page; only if `resident` is a number.

        Raises:
            ImageError: the file is damaged.
        """
        with naming(self.path, page):
            return self._opened.rows(page, top, bottom)  # pyright: ignore[reportAttributeAccessIssue]

    def resident(self, page: int) -> int | None:
        """Return the bytes that `rows` holds besides its result; ``None`` if a page is decoded whole."""
        self._check(page)
        if not hasattr(self._opened, "rows"):
            return None
        with naming(self.path, page):
            held = getattr(self._opened, "resident", None)
            return 0 if held is None else held(page)

    def _check(self, page: int) -> None:
        if not 0 <= page < self.info.pages:
            has = "only one" if self.info.pages == 1 else f"{self.info.pages}, from 0"
            raise ImageError(f"{self.path} has no page {page}: it has {has}")


@dataclass(frozen=True)
class _Readers:
    """The readers of a zoo, in the order in which they are tried.

    Attributes:
        registry: registry that they come from.
        specs: specs of readers, those of plug-ins before segzoo's own.
        head: number of bytes of a file that readers look at.
        searched: suffixes that count as images in folders.
        readable: all suffixes.
        flat: suffixes of files that hold exactly one image.
        folders: readers of folders.
    """

    registry: Registry[ReaderSpec]
    specs: tuple[ReaderSpec, ...]
    head: int
    searched: frozenset[str]
    readable: frozenset[str]
    flat: frozenset[str]
    folders: tuple[ReaderSpec, ...]
    _code: dict[str, Any] = field(default_factory=dict)

    def code(self, spec: ReaderSpec, reference: str) -> Any:
        """Return the object that a field of a reader's spec names, imported once.

        Raises:
            PluginError: it cannot be imported.
        """
        if reference not in self._code:
            try:
                self._code[reference] = resolve(reference)
            except SegzooError:
                raise
            except Exception as error:  # importing a module may raise anything
                told = f"{type(error).__name__}: {error}"
                raise PluginError(f"reader {spec.name!r}: {reference} cannot be imported: {told}") from error
        return self._code[reference]

    def claims(self, spec: ReaderSpec, path: Path) -> bool:
        """Whether a reader whose magic, suffix or kind fits accepts a file or folder.

        Raises:
            PluginError: the reader's own check fails.
        """
        if not spec.claims:
            return True
        asked = self.code(spec, spec.claims)
        try:
            return bool(asked(path))
        except (SegzooError, OSError):
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise PluginError(f"reader {spec.name!r}: {spec.claims} raised {told} of {path}") from error


_known: _Readers | None = None


def _readers() -> _Readers:
    global _known
    registry = zoo.registry("readers")
    known = _known
    if known is None or known.registry is not registry:
        entries = sorted((entry for _, entry in registry.items()), key=lambda entry: entry.owner == OWNER)
        specs = tuple(entry.spec for entry in entries)
        _known = known = _Readers(
            registry,
            specs,
            head=max((spec.offset + len(magic) for spec in specs for magic in spec.magic), default=0),
            searched=frozenset(suffix for spec in specs if spec.searched for suffix in spec.suffixes),
            readable=frozenset(suffix for spec in specs for suffix in spec.suffixes),
            flat=frozenset(suffix for name in _FLAT for suffix in registry.get(name).suffixes),
            folders=tuple(spec for spec in specs if spec.folders),
        )
    return known


def reader_of(path: Path) -> ReaderSpec:
    """Return the reader that opens a file or folder.

    Raises:
        OSError: there is no such file, or it is special, such as a pipe or a folder that is not an image.
    """
    return _reader_of(path, _readers())


def _reader_of(path: Path, known: _Readers) -> ReaderSpec:
    try:
        regular(path)
    except IsADirectoryError:
        if found := _of_folder(path, known):
            return found
        raise
    with path.open("rb", buffering=0) as file:
        head = file.read(known.head)
    for spec in _candidates(known, head, path.name.lower()):
        if known.claims(spec, path):
            return spec
    return known.registry.get(_FALLBACK)


def _candidates(known: _Readers, head: bytes, name: str) -> Iterator[ReaderSpec]:
    for spec in known.specs:
        for magic in spec.magic:
            if head.startswith(magic, spec.offset):
                yield spec
    for spec in known.specs:
        if not spec.folders and spec.suffixes and name.endswith(spec.suffixes):
            yield spec


def _of_folder(path: Path, known: _Readers) -> ReaderSpec | None:
    for spec in known.folders:
        fits = spec.claims or (spec.suffixes and path.name.lower().endswith(spec.suffixes))
        if fits and known.claims(spec, path):
            return spec
    return None


def is_image_folder(path: Path) -> bool:
    """Whether a path is a folder that is one image, such as Zarr."""
    try:
        return path.is_dir() and _of_folder(path, _readers()) is not None
    except OSError:  # no permission, or the name is too long: opening it will report the problem
        return False


def searched_suffixes() -> frozenset[str]:
    """Return the suffixes that count as images in folders; a file that is named directly may have any."""
    return _readers().searched


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of all files from which images and masks are read."""
    return _readers().readable


def folder_suffixes() -> frozenset[str]:
    """Return the suffixes of folders that are one image."""
    return frozenset(suffix for spec in _readers().folders for suffix in spec.suffixes)


def may_have_pages(path: Path) -> bool:
    """Whether a file may have several pages, each an image; pictures and arrays never do.

    For an animation, such as a GIF, the first frame is used.
    """
    return not has_suffix(path, _readers().flat)


def begins_as_image(path: Path) -> bool:
    """Whether the first bytes of a file are those of a format that counts as an image in folders."""
    known = _readers()
    try:
        with regular(path).open("rb", buffering=0) as file:
            head = file.read(known.head)
    except OSError:
        return False
    marks = ((magic, spec.offset) for spec in known.specs if spec.searched for magic in spec.magic)
    return any(head.startswith(magic, offset) for magic, offset in marks)


def without_suffix(path: Path) -> Path:
    """Return a path without its suffix, such as ``.nii.gz``; ``..png`` stays, because ``.`` is a folder."""
    name = path.name.lower()
    long = next((one for one in _long(readable_suffixes()) if name.endswith(one)), "")
    stem = path.name[: -len(long)] if long else path.stem
    return path.with_name(stem) if stem.strip(".") else path


def has_suffix(path: Path, suffixes: frozenset[str]) -> bool:
    """Whether a file's name ends with one of the suffixes, ignoring case.

    Args:
        path: the file, which need not exist.
        suffixes: suffixes in lower case, such as ``.nii.gz``.
    """
    name = path.name.lower()
    return path.suffix.lower() in suffixes or any(map(name.endswith, _long(suffixes)))


@lru_cache(maxsize=8)
def _long(suffixes: frozenset[str]) -> tuple[str, ...]:
    """Return the suffixes with two dots, such as ``.nii.gz``."""
    return tuple(one for one in suffixes if one.count(".") > 1)
