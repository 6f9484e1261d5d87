"""A source to segment: where it comes from, how it is read, and the name of its mask."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from PIL import Image

from segzoo import options
from segzoo.copies import fetched, named
from segzoo.errors import FailureError, ImageError, MissingExtraError, OptionError, SegzooError
from segzoo.http import FOR_EACH, shown
from segzoo.http import read as downloaded
from segzoo.images import open_image, read_bytes, read_with_info
from segzoo.prediction.video.reader import CAMERA
from segzoo.storage import RemotePath, look

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

    from segzoo.interfaces import ImageInfo

#: Maximum download from an address in bytes, unless images of any size are allowed.
LARGEST_DOWNLOAD = 512 * 1024**2


class Source(Protocol):
    """Something that can be read as an image."""

    @property
    def origin(self) -> str:
        """File or address, for messages and the manifest."""
        ...

    @property
    def name(self) -> str:
        """Name for its outputs, below the output folder and without suffix."""
        ...

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Return the image as `segzoo.images.read_with_info` does.

        Raises:
            ImageError: the image cannot be read.
        """
        ...

    def state(self) -> str:
        """Return a text that changes when the source changes; empty if unknown without reading it."""
        ...


@dataclass(frozen=True)
class FileSource:
    """An image file, or one page of it, on this machine or in an object store.

    Attributes:
        path: the file, or the `segzoo.storage.RemotePath` of an object.
        name: name for its outputs.
        page: page from 0, if the file has several; else ``None``.
        whole: name for outputs of all pages together, if there are several.
        info: metadata of the file, if it was read.
        listed: state of an object, as its store listed it; see `state`.
    """

    path: Path
    name: str
    page: int | None = None
    whole: str = ""
    info: ImageInfo | None = field(default=None, compare=False, repr=False)
    listed: str = field(default="", compare=False, repr=False)

    def here(self) -> Path:
        """Return the local file, which may be a temporary copy that is deleted with the returned path.

        Raises:
            ImageError: there is no such object, or its store refuses.
        """
        try:
            return fetched(self.path)
        except FailureError as error:
            raise ImageError(str(error)) from error

    @property
    def origin(self) -> str:
        """Path, with the page if there are several."""
        return str(self.path) if self.page is None else f"{self.path}[{self.page}]"

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Decode the file; raises the errors of `segzoo.images.read`."""
        here = self.here()
        with named(here, self.path):
            return read_with_info(here, page=self.page)

    def state(self) -> str:
        """Return the file's size and modification time, or the equivalent of a store."""
        if not isinstance(self.path, RemotePath):
            return _file_state(self.path)
        if self.listed:
            return self.listed
        try:
            there = look(self.path)
        except FailureError:  # reading it will report the problem
            return ""
        return there.state if there else ""


@dataclass(frozen=True)
class VideoSource:
    """A video file or a camera, for `segzoo.prediction.video.segment.segment_video`.

    Attributes:
        origin: path of the file, or ``camera:0``.
        name: name for its outputs.
    """

    origin: str
    name: str

    @property
    def is_camera(self) -> bool:
        """Whether it is a camera, whose frames cannot be read again."""
        return self.origin.startswith(CAMERA)

    def state(self) -> str:
        """Return the file's size and modification time; empty for a camera."""
        return "" if self.is_camera else _file_state(Path(self.origin))


@dataclass(frozen=True)
class UrlSource:
    """An image at an http or https address.

    Attributes:
        url: address of the image.
        name: name for its outputs.
    """

    url: str
    name: str

    @property
    def origin(self) -> str:
        """The address, without secrets such as passwords."""
        return shown(self.url, longest=None)

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Download and decode the image.

        Raises:
            ImageError: the address returns no image or one that is too large, or network access is disabled.
        """
        # Raising Pillow's limit, as --any-size does, means that the input is trusted.
        most = None if Image.MAX_IMAGE_PIXELS is None else LARGEST_DOWNLOAD
        lift = "pass --any-size if you trust it, or download it yourself"
        try:
            content = downloaded(self.url, most=most, lift=lift, policy=FOR_EACH)
        except SegzooError as error:
            raise ImageError(str(error)) from error
        return read_bytes(content.getvalue(), self.origin)

    def state(self) -> str:
        """Return an empty text: the address may return another image at any time."""
        return ""


@dataclass(frozen=True)
class StreamSource:
    """An image whose bytes come from a stream, such as standard input.

    Attributes:
        stream: stream that is read once, to its end.
        name: name for its outputs.
    """

    stream: BinaryIO = field(repr=False)
    name: str = "stdin"

    @property
    def origin(self) -> str:
        """The name."""
        return self.name

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Decode the image in the stream; raises the errors of `segzoo.images.read`."""
        return read_bytes(self.stream.read(), self.name)

    def state(self) -> str:
        """Return an empty text: a stream is read only once."""
        return ""


def files_of(sources: Sequence[Source | VideoSource]) -> list[Path]:
    """Return the files that sources are read from; other sources are left out."""
    files = [one.path for one in sources if isinstance(one, FileSource)]
    return files + [Path(one.origin) for one in sources if isinstance(one, VideoSource) and not one.is_camera]


def _file_state(path: Path) -> str:
    try:
        # For a folder that is one image, everything in it.
        files = path.rglob("*") if path.is_dir() else [path]
        found = [file.stat() for file in files]
    except OSError:
        return ""
    size = sum(status.st_size for status in found)
    return f"{size}-{max((status.st_mtime_ns for status in found), default=0)}"


def info_of(path: Path) -> ImageInfo | None:
    """Return the metadata of a file; ``None`` if it is unreadable, which reading the image will report."""
    try:
        here = fetched(path)
        with open_image(here) as image:
            return image.info
    except (FailureError, MissingExtraError):
        return None


T = TypeVar("T")

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Shard:
    """The part of a list that one of several runs processes: ``3/8`` is the third of eight.

    Processes started by Accelerate's launcher or ``torchrun`` share the work automatically.

    Attributes:
        index: number of the part, from 0.
        count: number of parts.
    """

    index: int = 0
    count: int = 1

    def of(self, everything: Sequence[T]) -> list[T]:
        """Return every ``count``-th element, so that parts of a list sorted by size are similar."""
        return list(everything[self.index :: self.count])

    def of_files(self, images: Sequence[Source]) -> list[Source]:
        """Return every ``count``-th file with all its pages, which a volume of masks needs."""
        files: dict[Path | str, list[Source]] = {}
        for one in images:
            files.setdefault(one.path if isinstance(one, FileSource) else one.origin, []).append(one)
        return [one for pages in self.of([*files.values()]) for one in pages]

    @property
    def name(self) -> str:
        """Suffix for the names of this part's files; empty if there is only one part."""
        return f"-{self.index + 1}-of-{self.count}" if self.count > 1 else ""


def parse_shard(text: str | None) -> Shard:
    """Read ``3/8``; without a text, read the environment variables that a launcher has set.

    Raises:
        OptionError: the text is not a valid part.
    """
    if text is None:
        rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        if not (_NUMBER.fullmatch(rank) and _NUMBER.fullmatch(size) and int(rank) < int(size)):
            raise OptionError(
                f"RANK={options.shown(rank)} and WORLD_SIZE={options.shown(size)}, which a launcher sets, "
                "must be a number from 0 and the number of processes: unset them, or pass --shard 3/8"
            )
        return Shard(int(rank), int(size))
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise OptionError(f"shard must look like 3/8, the third of eight; got {options.shown(text)}")
    return Shard(int(found[1]) - 1, int(found[2]))
