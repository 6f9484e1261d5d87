"""Videos and cameras among what ``segzoo predict`` is given."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segzoo.prediction.film import VideoOutput
    from segzoo.prediction.predictor import Predictor


def segment_films(
    predictor: Predictor, films: Sequence[str], output: VideoOutput, options: Mapping[str, Any]
) -> list[str]:
    """Segment each video, write it below the output folder, and return what went wrong."""
    from segzoo.errors import SegzooError
    from segzoo.prediction.video import segment_video

    troubles: list[str] = []
    for film in films:
        target = Path(options["out"]) / film_name(film, output)
        if options["resume"] and target.exists():
            click.echo(f"{film}: was done before")
            continue
        try:
            found = segment_video(
                predictor,
                film,
                target,
                output=output,
                opacity=options["opacity"],
                every=options["every"],
                first=options["begin"],
                last=options["end"],
                overwrite=options["overwrite"],
                tell=lambda text: click.echo(text, err=True),
                progress=_progress(),
            )
        except SegzooError as error:
            troubles.append(str(error))
            continue
        shown = [f"{name} {share:.1%}" for name, share in list(found.areas.items())[1:] if share]
        click.echo(f"{film}: {found.frames} frames, {', '.join(shown) or 'background only'}")
        click.echo(f"  {found.path}")
    return troubles


def film_name(film: str, output: VideoOutput) -> str:
    """Return the name of what is written for a video: ``clip_overlay.mp4``, ``camera_0_mask.mkv``."""
    from segzoo.prediction.film import video_suffix

    stem = re.sub(r"\W+", "_", film) if film.startswith("camera:") else Path(film).stem
    return f"{stem}_{output}{video_suffix(film, output)}"


def film_output(outputs: Sequence[str], *, save: bool) -> VideoOutput:
    """Return which of the outputs that people asked for a video is written as.

    Raises:
        OptionError: none of them.
    """
    from segzoo.errors import OptionError

    if not save:
        raise OptionError("--no-save: of a video nothing is shown, it is only written")
    if "overlay" in outputs:
        return "overlay"
    if "mask" in outputs:
        return "mask"
    raise OptionError(f"videos are written as overlay or mask, not as {', '.join(outputs)}")


def _progress() -> Callable[[int, int | None], None] | None:
    """Return what shows people how far a video is; files and pipes get nothing of it."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, of: int | None) -> None:
        click.echo(f"\r{done}{f' of {of}' if of else ''} frames\r", err=True, nl=False)

    return show
