"""``segzoo data preview``: draw a contact sheet of images with their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import data_recipe, divided_parts, root_option
from segzoo.cli.recipe_completions import recipe_words
from segzoo.printing import echo, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.data_check.preview import Vary
    from segzoo.specs import Labels
    from segzoo.training.recipe.schema import Recipe

_IMAGES, _AUGMENTED = 24, 6


@click.command("preview")
@click.argument("data", metavar="PATH|NAME", shell_complete=offers.data)
@click.argument("settings", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@root_option
@click.option("--split", shell_complete=offers.splits, help="Part of the dataset [default: all parts].")
@click.option(
    "--count",
    type=click.IntRange(1, 400),
    help=f"Number of images [default: {_IMAGES}; {_AUGMENTED} with --augment].",
)
@click.option("--out", type=click.Path(), help="Image file to write [default: NAME_preview.png].")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--bands", metavar="BAND,...", help="One or three bands to show, such as 4,3,2 or nir.")
@click.option(
    "--augment", is_flag=True, help="Draw augmented variants next to each image, as training would make them."
)
@click.option(
    "--variants",
    default=4,
    show_default=True,
    type=click.IntRange(1, 20),
    help="Number of variants of each image, with --augment.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the random augmentation.",
)
def command(
    data: str,
    settings: tuple[str, ...],
    root: str | None,
    split: str | None,
    count: int | None,
    out: str | None,
    overwrite: bool,
    bands: str | None,
    augment: bool,
    variants: int,
    seed: int,
) -> None:
    """Draw a contact sheet of images with their masks.

    Each class is tinted and outlined in its colour, and ignored pixels are grey. Images are chosen evenly
    over parts and names, so that the sheet is the same each time. Dark images are brightened, and images of
    more than 8 bits are stretched. Of many bands, the sheet shows red, green and blue, or the first one.

    RECIPE and KEY=VALUE are those of `segzoo train` that concern the data, and with --augment also those of
    augmentation:

    \b
    segzoo data preview photos data.masks=truth data.classes=4
    segzoo data preview photos --augment
    segzoo data preview photos --augment recipe.toml augment.rotate.degrees=30
    """
    from segzoo.data_check.preview import preview
    from segzoo.errors import FailureError

    recipe = _recipe(data, root, settings, augment=augment) if settings or augment else None
    vary = _vary(recipe.augment, variants, seed) if recipe is not None and augment else None
    if bands is None and recipe is not None and recipe.bands:
        bands = ",".join(recipe.bands)
    shown = count or (_AUGMENTED if augment else _IMAGES)
    bad: list[str] = []
    sheet = preview(
        data,
        root=root,
        options={} if recipe is None else recipe.data_options,
        parts={} if recipe is None else divided_parts(recipe),
        split=split,
        count=shown,
        out=out,
        overwrite=overwrite,
        vary=vary,
        bands=() if bands is None else bands,
        on_message=bad.append,
    )
    echo(printable(sheet))
    if bad:
        raise FailureError("\n".join([f"{len(bad)} of the samples cannot be read:", *map(printable, bad)]))


def _recipe(data: str, root: str | None, settings: Sequence[str], *, augment: bool) -> Recipe:
    """Return the recipe that the settings describe; one of them may be its name or file."""
    if not augment and any(word.startswith(("augment", "crop=")) for word in settings):
        raise click.UsageError(f"{settings[0]!r} needs --augment: add it")
    return data_recipe(data, root, settings, also=("augment",) if augment else ())[0]


def _vary(steps: Mapping[str, Mapping[str, Any]], variants: int, seed: int) -> Vary:
    """Return a function that draws variants of an image and its mask by steps of augmentation.

    Steps that combine two images take the second one from the images shown so far, this one included.
    """
    import numpy as np

    from segzoo.interfaces import Sample
    from segzoo.training.augmentation import Opened, augmentation_for

    seen: list[Opened] = []

    def vary(image: np.ndarray, mask: np.ndarray, labels: Labels) -> list[tuple[np.ndarray, np.ndarray]]:
        augmentation = augmentation_for(steps, labels)
        index = len(seen)
        seen.append(Opened(Sample(image, mask, "")))
        made = [
            augmentation.mixture(
                seen[index],
                np.random.default_rng([seed, variant, index]),
                lambda random: seen[int(random.integers(len(seen)))],
            ).sample
            for variant in range(variants)
        ]
        return [(one.image, one.mask) for one in made]

    return vary
