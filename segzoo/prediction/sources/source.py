"""One thing to segment: where it comes from, how it is read, and what its mask is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from segzoo.copies import fetched, named
from segzoo.errors import FailureError, ImageError, MissingExtraError, SegzooError
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


#: Bytes that an address may give; more is refused, unless images of any size are read.
LARGEST_DOWNLOAD = 512 * 1024**2


class Source(Protocol):
    """Something that can be read as an image."""

    @property
    def origin(self) -> str:
        """The file or address, for people and for the manifest."""
        ...

    @property
    def name(self) -> str:
        """Of what is written for it, below the output folder and without suffix."""
        ...

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Return the image as `segzoo.images.read_with_info` does.

        Raises:
            ImageError: it cannot be read.
        """
        ...

    def state(self) -> str:
        """Return what changes when the source does; empty if unknown without reading it."""
        ...


@dataclass(frozen=True)
class FileSource:
    """An image file, or one page of it, on this machine or in a store of objects.

    Attributes:
        path: the file, or the `segzoo.storage.RemotePath` of an object.
        name: of what is written for it.
        page: from 0, of a file with several; ``None`` of one with one.
        whole: of several pages, name of what is written for all of them.
        info: the file's metadata, where that was looked up.
        listed: of an object, what its store said of it when it was listed; see `state`.
    """

    path: Path
    name: str
    page: int | None = None
    whole: str = ""
    info: ImageInfo | None = field(default=None, compare=False, repr=False)
    listed: str = field(default="", compare=False, repr=False)

    def here(self) -> Path:
        """Return the file on this machine, which may be a copy that is there as long as what is returned.

        Raises:
            ImageError: there is no such object, or its store refuses.
        """
        try:
            return fetched(self.path)
        except FailureError as error:
            raise ImageError(str(error)) from error

    @property
    def origin(self) -> str:
        """The path, and the page where there are several."""
        return str(self.path) if self.page is None else f"{self.path}[{self.page}]"

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Decode the file; errors as `segzoo.images.read`."""
        here = self.here()
        with named(here, self.path):
            return read_with_info(here, page=self.page)

    def state(self) -> str:
        """Return the file's size and the time of its last change, or what a store says in their place."""
        if not isinstance(self.path, RemotePath):
            return _file_state(self.path)
        if self.listed:
            return self.listed
        try:
            there = look(self.path)
        except FailureError:  # reading it will say why
            return ""
        return there.state if there else ""


@dataclass(frozen=True)
class VideoSource:
    """A video file or a camera, which is read by `segzoo.prediction.video.segment.segment_video`.

    Attributes:
        origin: the file, or ``camera:0``.
        name: of what is written for it.
    """

    origin: str
    name: str

    @property
    def is_camera(self) -> bool:
        """Whether it is no file: what it shows cannot be had again."""
        return self.origin.startswith(CAMERA)

    def state(self) -> str:
        """Return the file's size and the time of its last change; nothing of a camera."""
        return "" if self.is_camera else _file_state(Path(self.origin))


@dataclass(frozen=True)
class UrlSource:
    """An image at an http or https address.

    Attributes:
        url: where it is.
        name: of what is written for it.
    """

    url: str
    name: str

    @property
    def origin(self) -> str:
        """The address, without what is secret in it."""
        return shown(self.url, longest=None)

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Fetch and decode the image.

        Raises:
            ImageError: the address gives no image, or too large a one, or the network is switched off.
        """
        # Who lifts Pillow's limit, as --any-size does, trusts what comes.
        most = None if Image.MAX_IMAGE_PIXELS is None else LARGEST_DOWNLOAD
        lift = "say --any-size if you trust it, or fetch it by hand"
        try:
            content = downloaded(self.url, most=most, lift=lift, policy=FOR_EACH)
        except SegzooError as error:
            raise ImageError(str(error)) from error
        return read_bytes(content.getvalue(), self.origin)

    def state(self) -> str:
        """Return nothing: the address may give another image any time."""
        return ""


@dataclass(frozen=True)
class StreamSource:
    """An image whose bytes come through a stream, such as standard input.

    Attributes:
        stream: read once, to its end.
        name: of what is written for it.
    """

    stream: BinaryIO = field(repr=False)
    name: str = "stdin"

    @property
    def origin(self) -> str:
        """The name."""
        return self.name

    def read(self) -> tuple[NDArray[Any], ImageInfo]:
        """Decode what the stream gives; errors as `segzoo.images.read`."""
        return read_bytes(self.stream.read(), self.name)

    def state(self) -> str:
        """Return nothing: a stream is read once."""
        return ""


def files_of(sources: Sequence[Source | VideoSource]) -> list[Path]:
    """Return the files that sources are read from; what comes from elsewhere has none."""
    files = [one.path for one in sources if isinstance(one, FileSource)]
    return files + [Path(one.origin) for one in sources if isinstance(one, VideoSource) and not one.is_camera]


def _file_state(path: Path) -> str:
    try:
        # Of a folder that is one image, all that is in it.
        files = path.rglob("*") if path.is_dir() else [path]
        found = [file.stat() for file in files]
    except OSError:
        return ""
    size = sum(status.st_size for status in found)
    return f"{size}-{max((status.st_mtime_ns for status in found), default=0)}"


def info_of(path: Path) -> ImageInfo | None:
    """Return the metadata of a file; nothing where it cannot be read, since reading it will tell why."""
    try:
        here = fetched(path)
        with open_image(here) as image:
            return image.info
    except (FailureError, MissingExtraError):
        return None
