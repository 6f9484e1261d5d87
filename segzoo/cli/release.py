"""``segzoo release``: a training's folder as weights that ship."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.cli.table import table
from segzoo.printing import echo


@click.command("release")
@click.argument("run", type=click.Path(exists=True, file_okay=False))
@click.argument("target", type=click.Path(file_okay=False))
@click.option(
    "--data",
    default="",
    shell_complete=offers.data,
    help="The data set, where it is not the one that the recipe names.",
)
@click.option("--root", type=click.Path(), help="Location of a named data set [default: $SEGZOO_DATA/NAME].")
@click.option(
    "--split",
    "part",
    default="test",
    show_default=True,
    shell_complete=offers.splits,
    help="Which part of it scores them.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    shell_complete=offers.metrics,
    help="A metric by name; may be repeated [default: iou, dice].",
)
@click.option(
    "--by",
    multiple=True,
    metavar="TAG|REGEX",
    help="Score groups of images by themselves too, as in segzoo evaluate; may be repeated.",
)
@click.option("--machine", default="", help="What they were trained on, in words [default: this machine].")
@click.option("--licence", default="", help="Licence of the weights [default: the recipe's].")
@click.option(
    "--note",
    "notes",
    multiple=True,
    help="A sentence for the card, such as what the weights are not for; may be repeated.",
)
@click.option("--full", is_flag=True, help="Keep single precision, at twice the size.")
@click.option("--overwrite", is_flag=True, help="Replace weights and a card that TARGET holds.")
@click.option(
    "--device",
    shell_complete=offers.devices,
    help="Where to compute, such as cpu or cuda:1 [default: a GPU if there is one].",
)
def command(
    run: str,
    target: str,
    data: str,
    root: str | None,
    part: str,
    metrics: tuple[str, ...],
    by: tuple[str, ...],
    machine: str,
    licence: str,
    notes: tuple[str, ...],
    full: bool,
    overwrite: bool,
    device: str | None,
) -> None:
    """Turn a training's folder into weights that ship with a plug-in.

    \b
    segzoo release runs/nuclei src/mine/weights/nuclei --machine "one H200, 20 minutes"

    RUN is the folder that a training left, or one of the folds of a cross-validation, whose scores then
    go along. TARGET gets the weights in half precision, scored as they ship, with a card and all that
    `segzoo reproduce` needs.
    """
    import torch

    from segzoo.evaluation.results import format_number, interval_text
    from segzoo.publishing.release import release

    found = release(
        run,
        target,
        data=data,
        root=root,
        part=part,
        metrics=metrics or ("iou", "dice"),
        by=by,
        machine=machine,
        licence=licence,
        notes=notes,
        dtype=torch.float32 if full else torch.float16,
        device=device,
        overwrite=overwrite,
        progress=True,
    )
    rows = [
        (
            f"{score.metric} {name}",
            format_number(value),
            interval_text(found.intervals[score.metric].get(name)),
        )
        for score in found.scores
        for name, value in score.values.items()
    ]
    echo(table(rows))
    echo(f"{target}: model.safetensors, config.json and a card, README.md")
