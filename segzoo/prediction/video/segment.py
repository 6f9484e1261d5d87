"""Turn a video into a segmented video: decoding, segmentation and encoding run at the same time.

Frames keep their time stamps and the sound is copied, so skipped frames shift nothing. The video is written
to a temporary file next to its destination until it is complete. Ctrl-C discards the result of a file, which
can be processed again, but keeps that of a camera, which cannot.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.errors import ImageError, OptionError
from segzoo.files import refuse_taken
from segzoo.labels import found_in_words
from segzoo.prediction.pipeline import Stages, run_stages
from segzoo.prediction.video.reader import Video
from segzoo.prediction.video.writer import VideoOutput, VideoWriter, check_video, video_suffix
from segzoo.stopping import Stopped
from segzoo.storage import place

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from av.packet import Packet
    from numpy.typing import NDArray

    from segzoo.files import Keeping
    from segzoo.prediction.predictor import Predictor
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.prediction.sources import VideoSource
    from segzoo.prediction.video.reader import Frame
    from segzoo.specs import Labels

    # Frames of one packet, or the packet itself if it is sound.
    Ready = tuple[list[Frame], Packet[Any] | None]
    Found = tuple[list[tuple[Frame, Segmentation]], Packet[Any] | None]


_log = logging.getLogger(__name__)
#: Number of packets that wait between the stages; audio packets are many and small.
_AHEAD = 6
#: Number of broken frames that are reported individually.
_TOLD = 5


@dataclass(frozen=True)
class VideoResult:
    """Outcome of a video.

    Attributes:
        source: video file or camera.
        path: video that was written.
        frames: number of frames that were segmented and written.
        broken: times in seconds of frames that could not be decoded; they are left out.
        size: ``(height, width)`` of the frames.
        areas: share of all frames that each class covers, by name.
        sound: whether the source's sound was copied.
        seconds: processing time.
        interrupted: whether Ctrl-C ended it; only a camera's video is then kept.
    """

    source: str
    path: Path
    frames: int
    broken: tuple[float, ...]
    size: tuple[int, int]
    areas: Mapping[str, float]
    sound: bool
    seconds: float
    interrupted: bool = False


def segment_video(
    predict: Callable[[NDArray[np.uint8]], Segmentation],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    output: VideoOutput = "overlay",
    opacity: float = 0.35,
    every: int = 1,
    first: float = 0.0,
    last: float | None = None,
    overwrite: bool = False,
    keeping: Callable[[VideoResult], Keeping] | None = None,
    on_message: Callable[[str], None] = _log.warning,
    progress: Callable[[int, int | None], None] | None = None,
) -> VideoResult:
    """Segment a video or a camera, and write a video with the same frame rate, size and sound.

    Args:
        predict: segments one frame, ``(H, W, 3)`` uint8 RGB; called in this thread.
        source: a video file, or ``camera:0``, which is recorded until ``last`` or Ctrl-C.
        out: ``.mp4``, ``.mov``, ``.m4v``, ``.mkv``, ``.avi`` or ``.webm``; masks are written to ``.mkv`` or
            ``.avi``.
        output: ``overlay``, or ``mask``: grey frames of class indices, compressed without loss.
        opacity: overlay opacity, 0 to 1.
        every: use every N-th frame; the others are left out, and the rest keep their times.
        first: start in seconds of the source; it becomes 0.
        last: end in seconds of the source.
        overwrite: whether ``out`` may exist.
        keeping: returns what a record knows about ``out``; called with the result before ``out`` is named.
        on_message: called for broken frames, and for sound that cannot be copied.
        progress: called with the number of frames written, and the total if known.

    Raises:
        MissingExtraError: PyAV is not installed.
        ImageError: the source cannot be read, or none of its frames can.
        OptionError: an option is out of range.
        FailureError: ``out`` exists, is the source, or cannot be written; no partial file is left.

    Example:
        >>> model = segzoo.load("unet-nuclei")
        >>> segment_video(lambda frame: segzoo.predict(frame, model=model), "dish.mp4", "dish_overlay.mp4")
    """
    begun, out = time.perf_counter(), place(out, writes=True)
    check_video(out, output)
    if keeping is None:
        refuse_taken([out], overwrite=overwrite, inputs=[Path(source)])
    video = Video(source, every=every, first=first, last=last)
    job = _Job(
        predict,
        video,
        VideoWriter(out, video, output=output, on_message=on_message, overwrite=overwrite),
        output,
        opacity,
    )
    ended: KeyboardInterrupt | None = None
    try:
        try:
            job.run(on_message, progress)
        except KeyboardInterrupt as error:
            if not video.is_camera or not job.film.frames:
                raise
            ended = error
        if not job.film.frames:
            raise ImageError(f"no frame of {source} can be read{_reasons(video)}")
        result = VideoResult(
            source=str(source),
            path=out,
            frames=job.film.frames,
            broken=tuple(video.broken),
            size=job.size,
            areas={name: share / job.film.frames for name, share in job.areas.items()},
            sound=job.film.sound,
            seconds=time.perf_counter() - begun,
            interrupted=ended is not None,
        )
        job.film.close(keeping and keeping(result))
    except BaseException:
        job.film.discard()
        raise
    finally:
        video.close()
    if isinstance(ended, Stopped):  # unlike Ctrl-C, SIGTERM ends the whole run
        raise ended
    return result


class _Job:
    """The stages that process a packet."""

    def __init__(
        self,
        predict: Callable[[NDArray[np.uint8]], Segmentation],
        video: Video,
        film: VideoWriter,
        output: VideoOutput,
        opacity: float,
    ) -> None:
        self.predict, self.video, self.film = predict, video, film
        self.output, self.opacity = output, opacity
        self.areas: Counter[str] = Counter()
        self.size = (0, 0)

    def run(
        self, on_message: Callable[[str], None], progress: Callable[[int, int | None], None] | None
    ) -> None:
        """Write everything that the video contains."""
        stages = Stages(
            prepare=self.decode, kind=lambda ready: ready[1] is None, infer=self.infer, finish=self.write
        )
        told, expected = 0, self.video.frames
        for outcome in run_stages(self.video.packets(), stages, ahead=_AHEAD):
            if outcome.error is not None:
                raise outcome.error
            while told < len(self.video.broken):
                told += 1
                if told <= _TOLD:
                    when = self.video.broken[told - 1]
                    on_message(f"{self.video.word}: the frame at {when:.2f} s is broken, left out")
            if progress is not None and outcome.result:
                progress(self.film.frames, expected)
        if told > _TOLD:
            on_message(f"{self.video.word}: {told} frames are broken and left out")

    def decode(self, packet: Packet[Any]) -> Ready:
        if self.video.is_sound(packet):
            return [], self.video.sound_packet(packet)
        return self.video.shots(packet), None

    def infer(self, batch: Sequence[Ready]) -> list[Found]:
        return [([(shot, self.predict(shot.image)) for shot in shots], sound) for shots, sound in batch]

    def write(self, packet: Packet[Any], found: Found) -> int:
        """Write frames and return their number."""
        shots, sound = found
        if sound is not None:
            self.film.add_sound(sound)
        for shot, segmentation in shots:
            self.film.add(self.picture(segmentation), shot.pts)
            self.areas.update(segmentation.shares)
            self.size = segmentation.size
        return len(shots)

    def picture(self, segmentation: Segmentation) -> NDArray[np.uint8]:
        """Return the frame to write."""
        import numpy as np

        if self.output == "mask" and segmentation.labels.overlapping:
            raise OptionError(
                "a video of masks holds one class per pixel, but classes overlap: write the overlay instead"
            )
        if self.output == "mask":
            return np.ascontiguousarray(segmentation.mask)
        return np.ascontiguousarray(segmentation.overlay(self.opacity))


def _reasons(video: Video) -> str:
    return f": {len(video.broken)} are broken" if video.broken else ""


# Videos in a run over many images: each becomes a video in the output folder.


@dataclass(frozen=True)
class VideoOptions:
    """Which frames of videos are used, and callbacks.

    Attributes:
        every: use every N-th frame.
        first: start in seconds.
        last: end in seconds; ``None`` for the end of the video.
        on_message: called for broken frames, and for sound that cannot be copied.
        progress: called with the number of frames written, and the total if known.
    """

    every: int = 1
    first: float = 0.0
    last: float | None = None
    on_message: Callable[[str], None] = _log.warning
    progress: Callable[[int, int | None], None] | None = None

    @property
    def settings(self) -> str:
        """The options that frames depend on, as text."""
        return f"{self.every} {self.first} {self.last}"


def video_output(outputs: Sequence[str], *, save: bool = True) -> VideoOutput:
    """Return which of the requested outputs a video is written as.

    Raises:
        OptionError: none of them works for videos.
    """
    if not save:
        raise OptionError("videos are only written, not shown: leave --no-save out")
    if "overlay" in outputs:
        return "overlay"
    if "mask" in outputs:
        return "mask"
    raise OptionError(f"videos are written as overlay or mask, not as {', '.join(outputs)}")


def video_path(folder: Path, source: VideoSource, output: VideoOutput) -> Path:
    """Return the path of a video's output: ``clip_overlay.mp4``, ``camera_0_mask.mkv``."""
    return folder / f"{source.name}_{output}{video_suffix(source.origin, output)}"


def write_video(
    predictor: Predictor,
    source: VideoSource,
    path: Path,
    output: VideoOutput,
    options: VideoOptions,
    *,
    opacity: float,
    overwrite: bool,
    keeping: Callable[[VideoResult], Keeping] | None = None,
) -> VideoResult:
    """Segment a video and write it; raises the errors of `segzoo.prediction.video.segment.segment_video`."""
    return segment_video(
        predictor,
        source.origin,
        path,
        output=output,
        opacity=opacity,
        every=options.every,
        first=options.first,
        last=options.last,
        overwrite=overwrite,
        keeping=keeping,
        on_message=options.on_message,
        progress=options.progress,
    )


def video_note(found: VideoResult, labels: Labels) -> str:
    """Return a short summary of a video for people: number of frames, and what they show."""
    return f"{found.frames} frames, {found_in_words(found.areas, labels)}"
