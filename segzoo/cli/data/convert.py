"""``segzoo data convert``: a data set as files of another format."""

from __future__ import annotations

from typing import Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import data_recipe, divided_parts
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
    help="COCO, Ultralytics YOLO, folders of images and masks, or Pascal VOC's folders.",
)
@click.option("--root", type=click.Path(), help="Location of a named data set [default: $SEGZOO_DATA/NAME].")
@click.option("--link", is_flag=True, help="Make hard links of image files instead of copies.")
@click.option(
    "--coco",
    type=click.Choice(["rle", "polygons"]),
    default="rle",
    show_default=True,
    help="How COCO has objects; those with holes are run lengths in any case.",
)
@click.option(
    "--simplify",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    metavar="PIXELS",
    help="How far polygons may pass from corners that are left out; 0 keeps every pixel.",
)
def command(data: str, out: str, settings: tuple[str, ...], **options: Any) -> None:
    """Write a data set as files of another format.

    PATH|NAME is what `segzoo train --data` takes, with a RECIPE or its words about the data, such as
    data.classes=cat,dog or split.share=0.2; OUT is a new folder. Parts (train, val, test), names of classes
    and images are kept; data that nobody has divided is divided as for training. Objects of annotation files
    stay whole where others lie on them.

    What was stopped goes on where it was when the same command is run again. Nothing of others is replaced.

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
        echo("stopped: the same command goes on from here", err=True)
        raise
    if found.before:
        echo(f"{found.before:,} were done before")
    parts = ", ".join(f"{part} {count:,}" for part, count in found.parts.items())
    echo(f"{printable(found.folder)}: {parts}")
    for note in found.notes:
        echo(f"note: {note}")
    echo(f"next: {command_line(*found.command)}")
