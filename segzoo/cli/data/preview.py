"""``segzoo data preview``: a contact sheet."""

from __future__ import annotations

import click


@click.command("preview")
@click.argument("data", metavar="DIR|NAME")
@click.option("--root", type=click.Path(), help="Where a named data set lies [default: $SEGZOO_DATA/NAME].")
@click.option("--split", help="Only this part of it [default: all].")
@click.option("--count", default=24, show_default=True, type=click.IntRange(1, 400), help="How many images.")
@click.option("--out", type=click.Path(), help="The picture [default: NAME_preview.png].")
def command(data: str, root: str | None, split: str | None, count: int, out: str | None) -> None:
    """Draw a contact sheet of images with their masks.

    Each class is tinted and outlined in its colour, void in grey. Images are chosen evenly over splits and
    names, so that the same sheet comes out each time; dark ones are brightened.
    """
    from segzoo.doctor.preview import preview

    click.echo(preview(data, root=root, split=split, count=count, out=out))
