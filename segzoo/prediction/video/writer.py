"""A video that is written frame by frame, to a temporary file until it is complete."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from segzoo.errors import FailureError, OptionError
from segzoo.files import Keeping, whole_file
from segzoo.options import check_choice
from segzoo.prediction.video.reader import load_av

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import numpy as np
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from segzoo.prediction.video.reader import Video

#: ``overlay``: frames with the classes drawn on them, compressed for viewing; ``mask``: grey frames whose
#: values are class indices, without loss.
VideoOutput = Literal["overlay", "mask"]
VIDEO_OUTPUTS: tuple[str, ...] = get_args(VideoOutput)
#: FFmpeg's container format by suffix.
_FORMATS = {
    ".avi": "avi",
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp4": "mp4",
    ".webm": "webm",
}
_LOSSLESS = (".mkv", ".avi")
#: Encoders to try by container format, the most widely playable first, with their options.
_ENCODERS = {"avi": ("mpeg4",), "webm": ("libvpx-vp9", "libvpx")}
_OTHERS = ("libx264", "mpeg4")
_OPTIONS = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libvpx-vp9": {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1"},
    "libvpx": {"crf": "10", "b": "4M", "deadline": "realtime"},
}
#: Largest denominator of a time base in MPEG-4.
_MPEG4_BASE = 65535


def video_suffix(source: str | os.PathLike[str], output: VideoOutput) -> str:
    """Return the suffix of a video's output: the input's own if it works, else a common one."""
    suffix = Path(source).suffix.lower()
    if output == "mask":
        return suffix if suffix in _LOSSLESS else _LOSSLESS[0]
    return suffix if suffix in _FORMATS else ".mp4"


def check_video(path: Path, output: VideoOutput) -> None:
    """Raise `OptionError` if a file with that suffix cannot hold that output."""
    check_choice("output", output, VIDEO_OUTPUTS)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise OptionError(f"videos are written as {', '.join(_FORMATS)}, not as {path.name}")
    if output == "mask" and suffix not in _LOSSLESS:
        raise OptionError(f"masks are written without loss, as {' or '.join(_LOSSLESS)}, not as {path.name}")


class VideoWriter:
    """A video that is being written.

    Args:
        path: path of the video; its suffix sets the container format.
        video: source of frame rate, time stamps and sound.
        output: content of the frames.
        on_message: called with the reason if the sound cannot be copied.
        overwrite: whether an existing file may be replaced.

    Attributes:
        frames: number of frames written so far.
        sound: whether it contains the source's sound.
    """

    def __init__(
        self,
        path: Path,
        video: Video,
        *,
        output: VideoOutput,
        on_message: Callable[[str], None],
        overwrite: bool = False,
    ) -> None:
        self.path, self.frames, self.sound = path, 0, video.sound is not None
        self._video, self._output, self._on_message = video, output, on_message
        self._av = load_av()
        self._overwrite = overwrite
        self._keeping: Keeping | None = None
        self._whole, self._part = ExitStack(), Path()
        self._file: OutputContainer | None = None
        self._pictures: VideoStream | None = None
        self._voice: Any = None
        self._early: list[Packet[Any]] = []
        self._standard, self._previous = 5, -1
        #: Why writing stopped: FFmpeg must not be called again after it failed.
        self._broken: FailureError | None = None

    def add(self, picture: NDArray[np.uint8], pts: int) -> None:
        """Write a frame.

        Args:
            picture: ``(H, W, 3)`` RGB, or ``(H, W)`` class indices; all frames have one size.
            pts: presentation time in the video's time base.

        Raises:
            FailureError: the frame cannot be written.
        """
        if self._broken is not None:
            raise self._broken
        try:
            if self._file is None:
                self._open(picture)
            assert self._file is not None
            assert self._pictures is not None
            frame = self._frame(picture)
            frame.time_base = Fraction(self._pictures.codec_context.time_base)
            # A coarser time base must not give two frames the same time.
            self._previous = max(self._previous + 1, round(pts * self._video.time_base / frame.time_base))
            frame.pts = self._previous
            self._file.mux(self._pictures.encode(frame))
            self.frames += 1
            while self._early:
                self._mux_sound(self._early.pop(0))
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error) from error

    def add_sound(self, packet: Packet[Any]) -> None:
        """Write a packet of the source's sound.

        Raises:
            FailureError: the packet cannot be written.
        """
        if self._broken is not None:
            raise self._broken
        if self._file is None:
            self._early.append(packet)
            return
        try:
            self._mux_sound(packet)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error) from error

    def close(self, keeping: Keeping | None = None) -> None:
        """Write what the encoder still holds, and rename the file to its final name.

        Args:
            keeping: see `segzoo.files.whole_files`.

        Raises:
            FailureError: the file cannot be written.
        """
        assert self._file is not None
        assert self._pictures is not None
        try:
            self._file.mux(self._pictures.encode(None))
            self._file.close()
        except (self._av.FFmpegError, OSError, ValueError) as error:
            self.discard()
            raise self._failure(error) from error
        self._keeping = keeping
        self._whole.close()

    def discard(self) -> None:
        """Delete the temporary file."""
        self._shut()
        dropped = KeyboardInterrupt()  # any error prevents the temporary file from being renamed
        with suppress(KeyboardInterrupt):
            self._whole.__exit__(type(dropped), dropped, None)

    def _shut(self) -> None:
        if self._file is not None:
            with suppress(self._av.FFmpegError, OSError, ValueError):
                self._file.close()

    def _open(self, picture: NDArray[np.uint8]) -> None:
        later = Keeping(
            owns=lambda path: self._keeping is not None and self._keeping.owns(path),
            naming=lambda parts: None if self._keeping is None else self._keeping.naming(parts),
            mark=lambda: "" if self._keeping is None else self._keeping.mark(),
        )
        whole = whole_file(self.path, overwrite=self._overwrite, keeping=later)
        self._part = self._whole.enter_context(whole)
        if self._video.sound is not None:
            try:
                self._begin(picture, sound=True)
                return
            except (self._av.FFmpegError, ValueError) as error:
                if isinstance(error, OSError):  # such as a full disk, which is not caused by the sound
                    raise
                kind = self._video.sound.codec_context.name
                reason = getattr(error, "strerror", None) or error
                self._on_message(
                    f"the sound ({kind}) is left out, because {self.path.suffix} cannot hold it: {reason}"
                )
                self._shut()
        self._begin(picture, sound=False)

    def _begin(self, picture: NDArray[np.uint8], *, sound: bool) -> None:
        kind = _FORMATS[self.path.suffix.lower()]
        self._file = file = self._av.open(str(self._part), "w", format=kind)
        self._pictures = self._add_pictures(file, picture)
        self._voice, self.sound = None, sound
        if sound:
            self._voice = file.add_stream_from_template(self._video.sound)
        file.start_encoding()

    def _add_pictures(self, file: OutputContainer, picture: NDArray[np.uint8]) -> VideoStream:
        kind, known = file.format.name, self._av.codecs_available
        choices = ("ffv1",) if self._output == "mask" else _ENCODERS.get(kind, _OTHERS)
        name = next((name for name in choices if name in known), None)
        if name is None:
            raise FailureError(f"this PyAV cannot write {self.path.suffix}: it lacks {' and '.join(choices)}")
        rate = self._video.rate.limit_denominator(_MPEG4_BASE)
        stream = cast("VideoStream", file.add_stream(name, rate=rate, options=_OPTIONS.get(name)))
        context, (height, width) = stream.codec_context, picture.shape[:2]
        # When a video is discarded because the disk is full, no thread may still be writing.
        context.thread_count = 1
        context.width, context.height = width, height
        context.time_base = self._video.time_base
        if kind == "avi":  # its frames have numbers, not times
            context.time_base = 1 / rate
        elif name == "mpeg4":
            context.time_base = Fraction(1, _MPEG4_BASE)
        if name == "mpeg4":
            context.bit_rate = max(400_000, int(width * height * rate / 4))
        if self._video.aspect != 1:
            context.sample_aspect_ratio = self._video.aspect
        if self._output == "mask":
            context.pix_fmt = self._mask_format(picture)
            return stream
        # Chroma at half the size needs even sides, if the encoder does not pad by itself.
        context.pix_fmt = "yuv444p" if name == "libx264" and (width % 2 or height % 2) else "yuv420p"
        # The players' default if a file declares nothing: ITU-R BT.709 from 720 lines up.
        self._standard = 1 if height >= 720 else 5
        context.colorspace, context.color_range = self._standard, 1
        return stream

    def _mask_format(self, mask: NDArray[np.uint8]) -> str:
        return "gray" if mask.itemsize == 1 else "gray16le"

    def _frame(self, picture: NDArray[np.uint8]) -> VideoFrame:
        assert self._pictures is not None
        if self._output == "mask":
            return self._av.VideoFrame.from_ndarray(picture, format=self._mask_format(picture))
        whole = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        kind = self._pictures.codec_context.pix_fmt
        return whole.reformat(format=kind, dst_colorspace=self._standard, dst_color_range="MPEG")

    def _mux_sound(self, packet: Packet[Any]) -> None:
        if self._voice is not None and self._file is not None:
            packet.stream = self._voice
            self._file.mux(packet)

    def _failure(self, error: Exception) -> FailureError:
        self._broken = FailureError(f"cannot write {self.path}: {getattr(error, 'strerror', None) or error}")
        return self._broken
