"""``segzoo data convert``: convert a dataset to another format."""

from __future__ import annotations

from typing import Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import data_recipe, divided_parts, root_option
from segzoo.cli.help import progress_option
from segzoo.cli.recipe_completions import recipe_words
from segzoo.printing import command_line, echo, printable


@click.command("convert")
@click.argument("data", metavar="PATH|NAME", shell_complete=offers.data)
@click.argument("out", type=click.Path())
@click.argument("settings", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@click.option(
    "--to",
    type=click.Choice(["coco", "yolo", "folder", "voc"]),
    required=True,
    help="Format: COCO, Ultralytics YOLO, folders of images and masks, or Pascal VOC.",
)
@root_option
@click.option("--link", is_flag=True, help="Create hard links to image files instead of copies.")
@click.option(
    "--coco",
    type=click.Choice(["rle", "polygons"]),
    default="rle",
    show_default=True,
    help="Form of objects in COCO; objects with holes are always run lengths.",
)
@click.option(
    "--simplify",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    metavar="PIXELS",
    help="Tolerance for simplifying polygons; 0 keeps every corner.",
)
@progress_option
def command(data: str, out: str, settings: tuple[str, ...], **options: Any) -> None:
    """Convert a dataset to COCO, YOLO, Pascal VOC or folders.

    PATH|NAME is data that `segzoo train --data` takes, with a RECIPE or settings of the data, such as
    data.classes=cat,dog or split.share=0.2. OUT is a new folder. Parts (train, val, test) and the names of
    classes and images are kept. Data without parts is split as for training. Objects in annotation files
    stay whole where other objects cover them.

    Run the same command again to resume a conversion that was stopped. Files of other origin are never
    replaced.

    \b
    segzoo data convert export/annotations.xml cells-yolo --to yolo
    segzoo data convert dsb2018 cells-coco --to coco --coco polygons --simplify 1
    """
    from segzoo.data_conversion import convert_data

    reading: dict[str, Any] = {}
    if settings:
        recipe, _ = data_recipe(data, options["root"], settings)
        reading = {"options": recipe.data_options, "parts": divided_parts(recipe)}
    try:
        found = convert_data(data, out, options.pop("to"), **reading, **options)
    except KeyboardInterrupt:
        echo("stopped: run the same command to resume", err=True)
        raise
    if found.before:
        echo(f"{found.before:,} were done before")
    parts = ", ".join(f"{part} {count:,}" for part, count in found.parts.items())
    echo(f"{printable(found.folder)}: {parts}")
    for note in found.notes:
        echo(f"note: {note}")
    echo(f"next: {command_line(*found.command)}")
