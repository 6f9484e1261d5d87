"""The videos of a run over many images: each becomes a video below the run's folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.prediction.classes import found_in_words
from segzoo.prediction.film import video_suffix
from segzoo.prediction.video import segment_video

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from segzoo.files import Keeping
    from segzoo.prediction.film import VideoOutput
    from segzoo.prediction.predictor import Predictor
    from segzoo.prediction.sources import VideoSource
    from segzoo.prediction.video import VideoResult

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilmOptions:
    """Which frames of videos are taken, and who hears of them.

    Attributes:
        every: take one frame of so many.
        first: seconds of the video to begin at.
        last: seconds to end at; ``None`` is its end.
        tell: hears of broken frames, and of sound that cannot be copied.
        progress: hears how many frames are written, and of how many, where that is known.
    """

    every: int = 1
    first: float = 0.0
    last: float | None = None
    tell: Callable[[str], None] = _log.warning
    progress: Callable[[int, int | None], None] | None = None

    @property
    def settings(self) -> str:
        """What the frames depend on."""
        return f"{self.every} {self.first} {self.last}"


def film_output(outputs: Sequence[str], *, save: bool = True) -> VideoOutput:
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


def film_path(folder: Path, source: VideoSource, output: VideoOutput) -> Path:
    """Return what is written for a video: ``clip_overlay.mp4``, ``camera_0_mask.mkv``."""
    return folder / f"{source.name}_{output}{video_suffix(source.origin, output)}"


def write_film(
    predictor: Predictor,
    source: VideoSource,
    path: Path,
    output: VideoOutput,
    options: FilmOptions,
    *,
    opacity: float,
    overwrite: bool,
    keeping: Callable[[VideoResult], Keeping] | None = None,
) -> VideoResult:
    """Segment a video and write it; errors as `segzoo.prediction.video.segment_video`."""
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
        tell=options.tell,
        progress=options.progress,
    )


def film_note(found: VideoResult) -> str:
    """Return what people are told of a video: how many frames, and what is on them."""
    return f"{found.frames} frames, {found_in_words(found.areas)}"
