"""``segzoo train``: a model from images and masks."""

from __future__ import annotations

import click


@click.command("train")
@click.option("--data", required=True, help="A data set by name, or a folder with images/ and masks/.")
@click.option("--root", type=click.Path(), help="Where a named data set lies [default: $SEGZOO_DATA/NAME].")
@click.option(
    "--model", default="unet", show_default=True, help="A model, decoder/encoder, or weights to start from."
)
@click.option("--out", type=click.Path(), help="Where the weights go [default: runs/MODEL].")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
def command(data: str, root: str | None, model: str, out: str | None, settings: tuple[str, ...]) -> None:
    """Train a model on images and masks.

    KEY=VALUE sets anything else in the recipe.

    \b
    segzoo train --data photos --model unet epochs=20
    segzoo train --data dsb2018 --model unet model.width=16 batch_size=16
    """
    from segzoo.training import train
    from segzoo.training.settings import read_settings

    values = read_settings(settings)
    result = train(data=data, root=root, model=model, out=out or f"runs/{model.replace('/', '-')}", **values)
    minutes = result.seconds / 60
    click.echo(f"best validation Dice {result.best:.4f} in epoch {result.epoch}, after {minutes:.1f} min")
    click.echo(f"{result.folder}")
    click.echo(f"next: segzoo predict IMAGES --model {result.folder}")
