"""``segzoo evaluate``: scores with their contracts."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("evaluate")
@click.argument("model")
@click.option("--data", required=True, help="A data set by name, or a folder with images/ and masks/.")
@click.option("--root", type=click.Path(), help="Where a named data set lies [default: $SEGZOO_DATA/NAME].")
@click.option("--split", default="test", show_default=True, help="Which part of it.")
@click.option(
    "--metric", "metrics", multiple=True, help="A metric by name; may be repeated [default: iou, dice]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str, data: str, root: str | None, split: str, metrics: tuple[str, ...], as_json: bool
) -> None:
    """Score a model on a data set.

    MODEL is weights by name, or a folder that training left. Every score comes with its contract:
    which pixels and classes it counts, how it averages, and what an empty mask scores.
    """
    from segzoo.evaluation import evaluate
    from segzoo.parts import open_dataset

    dataset = open_dataset(data, root=root, split=split)
    scores = evaluate(model, dataset, metrics=metrics or ("iou", "dice"), progress=not as_json)
    if as_json:
        click.echo(json.dumps([asdict(score) for score in scores], indent=2))
        return
    click.echo(f"{model} on {data}, split {split}: {len(dataset)} images")
    for score in scores:
        values = "  ".join(f"{name} {value:.4f}" for name, value in score.values.items())
        click.echo(f"{score.metric:6} {values}\n       {score.contract}")
