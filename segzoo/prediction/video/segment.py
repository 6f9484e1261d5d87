"""A video in, a video of what was found out: decoded, segmented and encoded at the same time.

The frames keep their time stamps and the sound is copied, so that what was skipped shifts nothing. The
video lies beside its place until it is whole. Ctrl-C leaves nothing of a file's, which can be done again,
and ends that of a camera, which cannot.
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

    # Frames of one packet, or the packet of sound that it is.
    Ready = tuple[list[Frame], Packet[Any] | None]
    Found = tuple[list[tuple[Frame, Segmentation]], Packet[Any] | None]


_log = logging.getLogger(__name__)
#: Packets that wait between the stages; those of sound are many and small.
_AHEAD = 6
#: Broken frames that are told of one by one.
_TOLD = 5


@dataclass(frozen=True)
class VideoResult:
    """What became of a video.

    Attributes:
        source: the file or the camera.
        path: the video that was written.
        frames: that were segmented and written.
        broken: when frames could not be decoded, in seconds; they are left out.
        size: ``(height, width)`` of the frames.
        areas: the share of the pictures that each class covers, by name, over all frames.
        sound: whether the source's sound was copied.
        seconds: that it took.
        interrupted: whether Ctrl-C ended it, which only a camera's video outlives.
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
    """Segment a video or what a camera sees, and write a video with the same rate, size and sound.

    Args:
        predict: segments one frame, ``(H, W, 3)`` uint8 RGB; is called in this thread.
        source: a video file, or ``camera:0``, which is watched until ``last`` or Ctrl-C.
        out: ``.mp4``, ``.mov``, ``.m4v``, ``.mkv``, ``.avi`` or ``.webm``; masks go to ``.mkv`` or ``.avi``.
        output: ``overlay``, or ``mask``: grey pictures of class indices, compressed without loss.
        opacity: of the overlay, in [0, 1].
        every: take one frame of so many; the others are left out, and the rest keep their times.
        first: seconds of the source to begin at; they become 0.
        last: seconds of the source to end at.
        overwrite: whether ``out`` may exist.
        keeping: returns what a record knows of ``out``, and is given the result before ``out`` gets its name.
        on_message: called for broken frames, and for sound that cannot be copied.
        progress: called with how many frames are written, and of how many, where that is known.

    Raises:
        MissingExtraError: PyAV is not installed.
        ImageError: the source cannot be read, or not one frame of it.
        OptionError: an option is out of range.
        FailureError: ``out`` exists, is the source, or cannot be written; nothing is left of it.

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
    if isinstance(ended, Stopped):  # unlike Ctrl-C, SIGTERM means the whole run
        raise ended
    return result


class _Job:
    """The stages that a packet goes through."""

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
        """Write all that the video holds."""
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
                    on_message(f"{self.video.word}: a frame at {when:.2f} s is broken, left out")
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
        """Return how many frames were written."""
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
                "a video of masks has one class a pixel, and classes overlap: write the overlay"
            )
        if self.output == "mask":
            return np.ascontiguousarray(segmentation.mask)
        return np.ascontiguousarray(segmentation.overlay(self.opacity))


def _reasons(video: Video) -> str:
    return f": {len(video.broken)} are broken" if video.broken else ""


# The videos of a run over many images: each becomes a video below the run's folder.


@dataclass(frozen=True)
class VideoOptions:
    """Which frames of videos are taken, and what is called meanwhile.

    Attributes:
        every: take one frame of so many.
        first: seconds of the video to begin at.
        last: seconds to end at; ``None`` is its end.
        on_message: called for broken frames, and for sound that cannot be copied.
        progress: called with how many frames are written, and of how many, where that is known.
    """

    every: int = 1
    first: float = 0.0
    last: float | None = None
    on_message: Callable[[str], None] = _log.warning
    progress: Callable[[int, int | None], None] | None = None

    @property
    def settings(self) -> str:
        """What the frames depend on."""
        return f"{self.every} {self.first} {self.last}"


def video_output(outputs: Sequence[str], *, save: bool = True) -> VideoOutput:
    """Return which of the outputs that people asked for a video is written as.

    Raises:
        OptionError: none of them.
    """
    if not save:
        raise OptionError("of a video nothing is shown, it is only written: leave --no-save out")
    if "overlay" in outputs:
        return "overlay"
    if "mask" in outputs:
        return "mask"
    raise OptionError(f"videos are written as overlay or mask, not as {', '.join(outputs)}")


def video_path(folder: Path, source: VideoSource, output: VideoOutput) -> Path:
    """Return what is written for a video: ``clip_overlay.mp4``, ``camera_0_mask.mkv``."""
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
    """Segment a video and write it; errors as `segzoo.prediction.video.segment.segment_video`."""
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
    """Return what people are told of a video: how many frames, and what is on them."""
    return f"{found.frames} frames, {found_in_words(found.areas, labels)}"
