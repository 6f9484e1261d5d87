"""Turns a training's folder into the weights that ship: scored on the test part, in half precision.

python plugins/segzoo-medical/release.py runs/unet --root path/to/dsb2018 --machine "..."
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click
import torch

import segzoo
from segzoo.parts import open_dataset
from segzoo.prediction.predictor import config_of

SHIPPED = Path(__file__).parent / "src/segzoo_medical/weights/unet-nuclei"


@click.command()
@click.argument("folder", type=click.Path(exists=True))
@click.option("--root", type=click.Path(exists=True), required=True, help="Where DSB2018 lies.")
@click.option("--machine", required=True, help="What it was trained on, for the record.")
def main(folder: str, root: str, machine: str) -> None:
    """Write the shipped weights and print their scores, measured on what ships."""
    trained = segzoo.load(folder)
    segzoo.save(trained, SHIPPED, dtype=torch.float16)
    shipped = segzoo.load(SHIPPED)
    scores = segzoo.evaluate(shipped, open_dataset("dsb2018", root=root, split="test"), progress=True)
    config = config_of(shipped)
    record = {**config.provenance, "machine": machine, "test": [asdict(score) for score in scores]}
    segzoo.save(shipped, SHIPPED, config=replace(config, provenance=record), dtype=torch.float16)
    for score in scores:
        click.echo(f"{score.metric}: {dict(score.values)}\n  {score.contract}")


if __name__ == "__main__":
    main()
