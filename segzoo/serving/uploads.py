"""Uploads: the bytes that a client sends, within limits, opened as an image by segzoo's readers.

A request cannot name files of the server. Its bytes are written into a temporary folder, under a name that
the server chooses, and the folder is deleted when the request is answered.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from segzoo.errors import FailureError, ImageError, OptionError, SegzooError
from segzoo.images import open_image, searched_suffixes
from segzoo.images.sizes import ANY_SIZE, most_pixels
from segzoo.prediction.shortage import MemoryShortageError, is_short_of_memory, told_shortage
from segzoo.resources import told_bytes
from segzoo.serving.batching import QueueFullError
from segzoo.serving.choices import ChoiceError
from segzoo.serving.notes import noting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message

    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.predictor import Predictor, Prepared
    from segzoo.serving.limits import Limits

#: Formats that Pillow passes to another program, or that are vector drawings.
_PROGRAMS = ("EPS", "WMF", "EMF")
#: An option of the command line, which a request has as ``NAME=``.
_OPTION = re.compile(r"--(bands|intensity) ")
#: The same advice for Python and for training.
_ELSEWHERE = re.compile(
    r", with bands=\(.*?\) in Python, or with data\.bands=\[.*?\] in training"
    r"| \(bands=1 in Python\)| \(data\.intensity= in training, intensity= in Python\)"
)
#: Bytes per pixel; a pixel with more counts as several.
_DEEP = 16


class TooLargeError(FailureError):
    """An upload has more bytes, or an image more pixels, than the server takes."""


class SlowClientError(FailureError):
    """A client takes too long to send its image."""


class ForeignBodyError(FailureError):
    """The body of a request has an encoding that is not supported."""


class HeldBytes:
    """Number of bytes of all uploads in memory."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0


class Upload:
    """An image that a client sent.

    Args:
        content: bytes of the image.
        name: name of the image in messages.
        suffix: suffix of its file, one that readers know; empty to detect the format from its first bytes.
        page: page to use; ``None`` for the first.
        most: maximum number of pixels.
    """

    def __init__(self, content: bytes, *, name: str, suffix: str, page: int | None, most: int) -> None:
        self._content, self._name, self._suffix, self._page, self._most = content, name, suffix, page, most
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._path = Path()
        #: Warnings about the image, for its client.
        self.notes: list[str] = []
        #: Metadata of the file, after it was opened.
        self.info: ImageInfo | None = None

    def measure(self) -> int:
        """Open the image; return its number of pixels without decoding them.

        Raises:
            ImageError: it is not an image.
            OptionError: it has no such page.
            TooLargeError: it has too many pixels.
        """
        if not self._content:
            raise ImageError("the request has no body: send the bytes of an image")
        self._folder = tempfile.TemporaryDirectory(prefix="segzoo-serve-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name, f"image{self._suffix}")
        self._path.write_bytes(self._content)
        self._content = b""
        with self.unnamed(), open_image(self._path) as image:
            if self._page is not None and not 0 <= self._page < image.info.pages:
                raise ChoiceError(
                    f"page={self._page}: the image has {image.info.pages} page(s), counted from 0", "page"
                )
            info = image.describe(self._page or 0)
        if info.format in _PROGRAMS:
            raise ImageError(f"the image is {info.format}, a vector drawing: send it as PNG, JPEG or TIFF")
        self.info = info
        size = info.height * info.width
        deep = size * len(info.bands) * _bytes_of(info.dtype)
        if max(size, deep // _DEEP) > self._most:
            raise TooLargeError(
                f"the image has {info.width} x {info.height} pixels of {len(info.bands)} band(s), "
                f"{info.dtype}; this server accepts {self._most:,} pixels, of at most {_DEEP} bytes"
            )
        return max(size, deep // _DEEP)

    def prepare(self, predictor: Predictor, *, probabilities: bool) -> Prepared:
        """Decode the image; raises the errors of `segzoo.Predictor.prepare`."""
        with self.unnamed():
            return predictor.prepare(
                self._path, probabilities=probabilities, name=self._name, page=self._page
            )

    @contextmanager
    def unnamed(self) -> Iterator[None]:
        """Remove the server's own paths, and advice for its command line, from errors and notes."""
        told: list[str] = []
        try:
            with noting(told):
                yield
            self.notes += [self._plain(one) for one in told]
        except SegzooError as error:
            if is_short_of_memory(error):
                raise
            kind = OptionError if isinstance(error, OptionError) else ImageError
            raise kind(self._plain(str(error))) from error
        except (RuntimeError, MemoryError) as error:
            if not is_short_of_memory(error):
                raise
            raise MemoryShortageError(
                f"the image does not fit in the server's memory ({told_shortage(error)})"
            ) from error

    def _plain(self, text: str) -> str:
        text = text.replace(str(self._path), "the image").partition(f"; {ANY_SIZE}")[0]
        return _OPTION.sub(r"\1=", _ELSEWHERE.sub("", text))

    def close(self) -> None:
        """Remove the file."""
        self._content = b""
        if self._folder is not None:
            self._folder.cleanup()


def most_taken() -> int:
    """Return the largest pixel limit that a server may have: as many as readers decode at once."""
    return most_pixels() or 1 << 62


def _bytes_of(dtype: str) -> int:
    import numpy as np

    return np.dtype(dtype).itemsize


def image_suffix(name: str) -> str:
    """Return the suffix of a file's name if it is one of an image, else nothing."""
    return next((one for one in sorted(searched_suffixes()) if name.lower().endswith(one)), "")


async def received(request: Request, limits: Limits, held: HeldBytes) -> tuple[bytes, str]:
    """Read the image of a request.

    Args:
        request: request whose body is an image, or a form with one file.
        limits: limits on bytes and seconds.
        held: counts the bytes; the caller releases them.

    Returns:
        The bytes of the image, and the suffix of the form's file, if it is an image suffix.

    Raises:
        TooLargeError: the body is too large.
        SlowClientError: it did not arrive in time.
        ForeignBodyError: it is compressed.
        QueueFullError: the server holds as many bytes as allowed.
        OptionError: a form has no file.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise ForeignBodyError(
            f"Content-Encoding {coding[:40]!r} is not supported: send the image uncompressed"
        )
    body = await _body(request, limits, held)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return body, ""

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    form = await Request(request.scope, again).form(max_files=1, max_fields=16)
    try:
        for _, value in form.multi_items():
            if not isinstance(value, str):
                return await value.read(), image_suffix(value.filename or "")
    finally:
        await form.close()
    raise OptionError("the form has no file: send one, as `curl -F image=@cells.png` does")


async def _body(request: Request, limits: Limits, held: HeldBytes) -> bytes:
    most = told_bytes(limits.max_bytes)
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > limits.max_bytes:
        raise TooLargeError(f"the body has {int(told):,} bytes; this server accepts {most}")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.timeout):
            async for part in request.stream():
                size += len(part)
                held.bytes += len(part)
                parts.append(part)
                if size > limits.max_bytes:
                    raise TooLargeError(f"the body has more than {most}, the maximum of this server")
                if held.bytes > held.most:
                    raise QueueFullError("the server holds as many uploads as allowed: try again later")
        return b"".join(parts)
    except TimeoutError as error:
        raise SlowClientError(
            f"the image did not arrive within {limits.timeout:g} seconds ({size:,} bytes did)"
        ) from error
    finally:
        # The caller releases what is held, even after an error.
        request.state.received = size
