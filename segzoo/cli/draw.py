"""``segzoo draw``: the architecture of a model as an SVG."""

from __future__ import annotations

import re
from pathlib import Path

import click

from segzoo.cli import completions as offers
from segzoo.cli.words import naming, read_size
from segzoo.printing import echo


@click.command("draw")
@click.argument("model", metavar="MODEL", shell_complete=offers.models)
@click.option("--out", type=click.Path(), help="The file to write [default: the model's name and .svg].")
@click.option(
    "--size", metavar="HxW", default="256x256", show_default=True, help="Height x width of the image."
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def command(model: str, out: str | None, size: str, overwrite: bool) -> None:
    """Draw the architecture of a model as an SVG file.

    MODEL is a model, 'decoder/encoder', weights, or a folder of weights. The drawing shows the stages of
    encoder and decoder by stride, with the shape (channels x height x width) and the parameters of each. The
    network is built and run without values to find them; no weights are loaded.

    \b
    segzoo draw unet-resnet50
    segzoo draw deeplabv3plus/convnext_tiny --size 512x512 --out deeplab.svg
    """
    from segzoo.drawing import draw

    with naming("--size"):
        height_width = read_size(size)
    drawing = draw(model, size=height_width)
    file = drawing.save(Path(out or _file_name(model)), overwrite=overwrite)
    echo(f"{file} ({drawing.parameters:,} parameters)")


def _file_name(model: str) -> str:
    """Return a model's name as a file's: what no file name should hold becomes a dash."""
    return re.sub(r"[^\w.+-]+", "-", model).strip("-.") + ".svg"
