"""Options of milesial's and bubbliiiing's programs that ``segzoo predict`` understands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo.errors import is_address
from segzoo.printing import echo, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.config import ModelConfig
    from segzoo.prediction.outputs import OutputOptions
    from segzoo.prediction.predictor import Predictor
    from segzoo.prediction.sources import Source

#: Drawing modes of bubbliiiing's program, with the names of segzoo's outputs.
MIX = {"blend": "overlay", "mask": "colour", "cutout": "cutout"}


def check_classes(classes: int | None, name: str, config: ModelConfig) -> None:
    """Compare ``--classes`` with the weights; a single logit counts as one class or as two.

    Raises:
        OptionError: the weights have another number of classes.
    """
    from segzoo.errors import OptionError

    count = len(config.labels.classes)
    if classes not in (None, count, config.class_logits):
        raise OptionError(f"--classes {classes}: {name} has {count} classes")


def named_masks(images: Sequence[Source], names: tuple[str, ...]) -> dict[str, str]:
    """Return the file for the mask of each image, if ``-o`` names them.

    Raises:
        click.UsageError: there are more or fewer names than images.
    """
    if not names:
        return {}
    if len(names) != len(images):
        raise click.UsageError(f"-o names {len(names)} files for {len(images)} images: name one for each")
    if far := next(filter(is_address, names), None):
        raise click.BadParameter(
            f"expected a file on this machine, got {far!r}: --out accepts the URL of a folder",
            param_hint="'-o'",
        )
    wrong = next((name for name in names if not name.lower().endswith(".png")), None)
    if wrong is not None:
        raise click.BadParameter(f"a mask is a .png file, got {wrong!r}", param_hint="'-o'")
    return {image.origin: name for image, name in zip(images, names, strict=True)}


def masks_to_names(
    predictor: Predictor,
    images: Sequence[Source],
    named: Mapping[str, str],
    look: OutputOptions,
    options: Mapping[str, Any],
) -> list[str]:
    """Write one mask for each image to its named file, as milesial's program does; return the errors."""
    from segzoo.errors import SegzooError
    from segzoo.prediction.job import prepare_source
    from segzoo.prediction.outputs import write_output

    troubles: list[str] = []
    for image in images:
        try:
            found = predictor.segment_prepared([prepare_source(predictor, image)])[0]
            path = Path(named[image.origin])
            if not options["no_save"]:
                path = write_output(found, path, "mask", look, source=image.origin)
                echo(f"{printable(image.origin)}: {printable(path)}")
            if options["show"]:
                found.overlay(options["opacity"]).show(title=image.origin)
        except SegzooError as error:
            troubles.append(str(error))
    predictor.tell_watched()
    return troubles
