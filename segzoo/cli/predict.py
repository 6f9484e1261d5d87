"""``segzoo predict``: masks for images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from segzoo.prediction.job import Source


@click.command("predict")
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@click.option("--model", "name", required=True, help="Weights by name, or a folder that training left.")
@click.option("--out", type=click.Path(), default="masks", show_default=True, help="Where the masks go.")
@click.option("--device", help="Where to compute, such as cpu or cuda:1 [default: a GPU if there is one].")
def command(paths: tuple[str, ...], name: str, out: str, device: str | None) -> None:
    """Segment images and write masks.

    PATH is an image, or a folder that is searched for images. For each, NAME_mask.png holds the class
    of every pixel (values are class indices, colours those of the classes) and NAME_overlay.png
    shows it on the image.
    """
    from segzoo.errors import FailureError
    from segzoo.prediction.device import parse_device
    from segzoo.prediction.job import run, writable
    from segzoo.weights import load

    sources, troubles = _found(paths)
    if sources:
        from pathlib import Path

        where = parse_device(device)
        writable(Path(out))
        model = load(name).to(where)
        for done in run(model, sources, out):
            if done.segmentation is None:
                troubles.append(done.error)
                continue
            shares = ", ".join(f"{k} {v:.1%}" for k, v in list(done.segmentation.shares.items())[1:] if v)
            click.echo(f"{done.source.path}: {shares or 'background only'}")
            for file in done.written:
                click.echo(f"  {file}")
    if troubles:
        raise FailureError("\n".join([f"{len(troubles)} could not be segmented:", *troubles]))


def _found(paths: tuple[str, ...]) -> tuple[list[Source], list[str]]:
    """Return the files to segment, and what is wrong with the paths that name none."""
    from segzoo.errors import ImageError
    from segzoo.prediction.job import find

    good, troubles = [], []
    for path in paths:
        try:
            find([path])
            good.append(path)
        except ImageError as error:
            troubles.append(str(error))
    return find(good), troubles
