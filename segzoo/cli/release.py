"""``segzoo release``: turn a training run into weights that ship with a plug-in."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import root_option
from segzoo.cli.help import progress_option
from segzoo.cli.prediction_options import device_option
from segzoo.cli.table import echo_rows
from segzoo.printing import echo


@click.command("release")
@click.argument("run", type=click.Path(exists=True, file_okay=False))
@click.argument("target", type=click.Path(file_okay=False))
@click.option(
    "--data",
    default="",
    shell_complete=offers.data,
    help="Dataset, if it is not the one in the recipe.",
)
@root_option
@click.option(
    "--split",
    "part",
    default="test",
    show_default=True,
    shell_complete=offers.splits,
    help="Part of the dataset to score the weights on.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    shell_complete=offers.metrics,
    help="Name of a metric; may be repeated [default: iou, dice].",
)
@click.option(
    "--by",
    multiple=True,
    metavar="TAG|REGEX",
    help="Also score groups of images separately, as in segzoo evaluate; may be repeated.",
)
@click.option(
    "--machine",
    default="",
    help="Description of the machine that trained the weights [default: this machine].",
)
@click.option("--licence", default="", help="Licence of the weights [default: the recipe's].")
@click.option(
    "--note",
    "notes",
    multiple=True,
    help="Sentence for the model card, such as a known limit of the weights; may be repeated.",
)
@click.option("--full", is_flag=True, help="Keep float32, at twice the size.")
@click.option("--overwrite", is_flag=True, help="Replace the weights and the model card in TARGET.")
@device_option
@progress_option
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
    """Turn a training run into weights that ship with a plug-in.

    \b
    segzoo release runs/nuclei src/mine/weights/nuclei --machine "one H200"

    RUN is the folder of a training run, or of one fold of a cross-validation, whose scores are then added.
    TARGET gets the weights in float16, their scores in that precision, a model card, and everything that
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
    echo_rows(rows)
    echo(f"{target}: model.safetensors, config.json and a card, README.md")
