"""Read video files and cameras: packets in, upright frames out.

Frames are decoded by PyAV, an extra. A damaged packet loses only its own frames.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, OptionError, missing_extra
from segzoo.files import regular

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

_SUFFIXES = ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv"
#: Suffixes of video files.
VIDEO_SUFFIXES = frozenset(_SUFFIXES.split())
#: Prefix of words that name a camera; its number or path follows.
CAMERA = "camera:"
#: FFmpeg's names for camera input, by `sys.platform`.
_CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
#: Frames per second of a stream that does not declare them.
_RATE = Fraction(30)
#: Number of failed attempts to find the next packet that are tolerated per file.
_PATIENCE = 100


def is_video(word: str | os.PathLike[str]) -> bool:
    """Whether a word names a video file, by its suffix, or a camera: ``camera:0``."""
    text = str(word)
    return text.startswith(CAMERA) or Path(text).suffix.lower() in VIDEO_SUFFIXES


def load_av() -> Any:
    """Return the module ``av``; raise `MissingExtraError` if PyAV is not installed."""
    try:
        return import_module("av")
    except ImportError as error:
        raise missing_extra("videos need PyAV", "video") from error


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, upright.
        pts: presentation time in the video's time base, relative to the first requested second.
    """

    image: NDArray[np.uint8] = field(repr=False)
    pts: int


class Video:
    """An open video file or camera.

    Args:
        word: a path, or ``camera:`` followed by a number or the system's name of a device.
        every: use every N-th frame.
        first: start in seconds.
        last: end in seconds; ``None`` for the end of the video.

    Attributes:
        time_base: seconds per unit of a time stamp.
        rate: frames per second, of the frames used.
        sound: audio stream, or ``None``.
        aspect: width of a pixel divided by its height; certain only after the first frame.
        broken: times in seconds of packets that could not be decoded.

    Raises:
        MissingExtraError: PyAV is not installed.
        ImageError: there is no such video, or it contains no pictures.
        OptionError: the range is empty, or ``every`` is not positive.
    """

    def __init__(
        self, word: str | os.PathLike[str], *, every: int = 1, first: float = 0.0, last: float | None = None
    ) -> None:
        if every < 1:
            raise OptionError(f"every must be 1 or more, got {every}")
        if first < 0 or (last is not None and last <= first):
            raise OptionError(
                f"the range must begin at 0 s or later and end after its beginning, got {first} to {last}"
            )
        self.word, self.every = str(word), every
        self.last = None if last is None else Fraction(last).limit_denominator(1_000_000)
        self.is_camera = self.word.startswith(CAMERA)
        self._av = load_av()
        self.container = self._opened()
        pictures = self.container.streams.video
        if not pictures:
            self.container.close()
            raise ImageError(f"{self.word} contains no pictures")
        self._stream = pictures[0]
        # With several threads, a broken packet is reported at a later one, whose frames would be lost too.
        self._stream.codec_context.thread_count = 1
        sounds = self.container.streams.audio
        self.sound = sounds[0] if sounds else None
        self.time_base = Fraction(self._stream.time_base or Fraction(1, 90000))
        self.aspect = self._stream.sample_aspect_ratio or Fraction(1)
        self._source_rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or _RATE)
        self.rate = self._source_rate / every
        # Streams cut out of longer ones begin late; cameras count from when the machine was started.
        self._start = Fraction(max(self.container.start_time or 0, 0), self._av.time_base)
        self._first = Fraction(first).limit_denominator(1_000_000)
        self._seen, self._previous = 0, -1
        self._size: tuple[int, int] | None = None
        self.broken: list[float] = []
        if first:
            with suppress(self._av.FFmpegError):
                self.container.seek(int((self._start + self._first) * self._av.time_base))

    @property
    def frames(self) -> int | None:
        """Number of frames that will be used, as far as the file declares it; ``None`` for a camera."""
        duration = self.container.duration
        ends = [] if self.last is None else [self.last]
        if self._stream.frames:
            ends.append(self._stream.frames / self._source_rate)
        elif duration:
            ends.append(Fraction(duration, self._av.time_base))
        return max(1, round((min(ends) - self._first) * self.rate)) if ends else None

    def packets(self) -> Iterator[Packet[Any]]:
        """Yield the packets of pictures and sound in the order of the file.

        Raises:
            ImageError: the camera was disconnected.
        """
        streams = [self._stream] if self.sound is None else [self._stream, self.sound]
        over = dict.fromkeys((stream.index for stream in streams), False)
        packets, failures = self.container.demux(*streams), 0
        while not all(over.values()):
            try:
                packet = next(packets, None)
            except self._av.FFmpegError as error:
                failures += 1
                if self.is_camera or failures > _PATIENCE:
                    raise ImageError(f"{self.word} stopped sending frames: {error.strerror}") from error
                self.broken.append(self._seconds(self._previous))
                packets = self.container.demux(*streams)
                continue
            if packet is None:
                return
            over[packet.stream.index] |= self._is_late(packet)
            if not over[packet.stream.index]:
                yield packet

    def is_sound(self, packet: Packet[Any]) -> bool:
        """Whether a packet contains sound."""
        return self.sound is not None and packet.stream.index == self.sound.index

    def shots(self, packet: Packet[Any]) -> list[Frame]:
        """Return the frames that a packet completes; if it is damaged, none, and add its time to `broken`."""
        try:
            frames = packet.decode()
        except self._av.FFmpegError:
            when = self._previous if packet.pts is None else packet.pts - self._shift(self.time_base)
            self.broken.append(self._seconds(when))
            return []
        return [shot for frame in frames if (shot := self._shot(frame)) is not None]

    def sound_packet(self, packet: Packet[Any]) -> Packet[Any] | None:
        """Return an audio packet with times like those of the frames, or ``None`` if it is out of range."""
        if packet.dts is None or packet.pts is None:
            return None
        shift = self._shift(packet.time_base)
        if packet.pts + (packet.duration or 0) <= shift and shift > 0:
            return None
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return packet

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _opened(self) -> InputContainer:
        try:
            if not self.is_camera:
                regular(self.word)
        except FileNotFoundError as error:
            raise ImageError(f"there is no file {self.word}") from error
        except OSError as error:
            raise ImageError(f"{self.word} cannot be read as a video: {error.strerror}") from error
        try:
            if not self.is_camera:
                return self._av.open(self.word, metadata_errors="replace")
            return self._av.open(*camera_input(self.word.removeprefix(CAMERA), sys.platform))
        except (self._av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            what = "opened" if self.is_camera else "read as a video"
            raise ImageError(f"{self.word} cannot be {what}: {reason}") from error

    def _shot(self, frame: VideoFrame) -> Frame | None:
        shift = self._shift(self.time_base)
        step = max(1, round(1 / (self._source_rate * self.time_base)))
        pts = self._previous + step if frame.pts is None else frame.pts - shift
        if pts < 0 or (self.last is not None and pts * self.time_base + self._first >= self.last):
            return None
        pts = max(pts, self._previous + 1)
        self._previous = pts
        number, self._seen = self._seen, self._seen + 1
        if number % self.every:
            return None
        if frame.is_corrupt:
            self.broken.append(self._seconds(pts))
            return None
        if self._size is None:
            self._size = frame.width, frame.height
            if round(frame.rotation / 90) % 2:
                self.aspect = 1 / self.aspect
        width, height = self._size
        image = frame.to_ndarray(format="rgb24", width=width, height=height)
        return Frame(upright(np.asarray(image, np.uint8), frame.rotation), pts)

    def _shift(self, time_base: Fraction) -> int:
        return round((self._start + self._first) / time_base)

    def _is_late(self, packet: Packet[Any]) -> bool:
        # Packets are in decoding order, and no frame is shown before it is decoded.
        if self.last is None or packet.dts is None:
            return False
        return packet.dts * packet.time_base >= self._start + self.last

    def _seconds(self, pts: int) -> float:
        return max(0.0, float(pts * self.time_base))


def upright(image: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """Rotate an image counterclockwise by degrees; only right angles are supported."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def camera_input(name: str, platform: str) -> tuple[str, str, str]:
    """Return the arguments of ``av.open`` for a camera: file, mode, and FFmpeg's name of the format.

    Args:
        name: a number, or the system's name: ``/dev/video2``, ``Integrated Camera``.
        platform: value of `sys.platform`.

    Raises:
        OptionError: cameras are not supported on the platform, or the name is a number on Windows.
    """
    kind = _CAMERAS.get(platform)
    if kind is None:
        raise OptionError(f"cameras are not supported on {platform}")
    if kind == "v4l2":
        return (f"/dev/video{name}" if name.isdecimal() else name), "r", kind
    if kind == "dshow":
        if name.isdecimal() or not name:
            raise OptionError("on Windows, cameras are named, such as camera:Integrated Camera")
        return f"video={name}", "r", kind
    return name or "0", "r", kind
