"""``segzoo calibrate``: temperature, thresholds and the smallest object, chosen on validation images."""

from __future__ import annotations

from typing import Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.table import echo_json
from segzoo.cli.words import data_options_of, words_of
from segzoo.printing import command_line, echo


@click.command("calibrate")
@click.argument("model", shell_complete=offers.weights)
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder of the new weights.")
@click.option(
    "--data",
    shell_complete=offers.data,
    help="A data set by name, or a folder or file of any format that is recognised [default: the data that "
    "MODEL was trained on].",
)
@click.option("--root", type=click.Path(), help="Location of a named data set [default: $SEGZOO_DATA/NAME].")
@click.option(
    "--split", default="val", show_default=True, shell_complete=offers.splits, help="Which part of it."
)
@click.option(
    "--data-option",
    "data_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the data set, such as values=[0,128]; may be repeated [default: those that MODEL was "
    "trained with, where the same data set reads the data].",
)
@click.option(
    "--choose",
    default="temperature",
    show_default=True,
    metavar="WHAT,...",
    help="What to choose: temperature, threshold, smallest_object, or several.",
)
@click.option(
    "--metric",
    default="dice",
    show_default=True,
    shell_complete=offers.metrics,
    help="Metric, or METRIC.VALUE, that thresholds and the smallest object make as good as they can.",
)
@click.option(
    "--device",
    shell_complete=offers.devices,
    help="Where to compute, such as cpu or cuda:1 [default: a GPU if there is one].",
)
@click.option("--overwrite", is_flag=True, help="Replace weights that the folder holds.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(model: str, **options: Any) -> None:
    """Choose temperature, thresholds and smallest object on validation images.

    \b
    segzoo calibrate runs/cells --out runs/cells-calibrated
    segzoo calibrate unet-nuclei --data mine --out mine-nuclei --choose temperature,threshold

    A temperature divides the logits, so that about 80 % of the pixels with a probability of 80 % are right;
    masks of the most probable class stay as they are. Thresholds and the smallest object change masks. The
    config.json of the new weights stores these values; the tensors are those of MODEL. Choose on validation
    images: scores on them are then a little too good, and `segzoo evaluate` on a test part shows the gain.
    """
    from dataclasses import asdict
    from pathlib import Path

    from segzoo.evaluation.results import without_nan
    from segzoo.training.choosing import calibrate
    from segzoo.training.recipe.schema import CHOICES

    what = words_of("--choose", options["choose"], dict.fromkeys(CHOICES))
    out = Path(options["out"])
    chosen = calibrate(
        model,
        out,
        data=options["data"],
        root=options["root"],
        part=options["split"],
        data_options=data_options_of(options["data_options"]),
        metric=options["metric"],
        what=what,
        device=options["device"],
        overwrite=options["overwrite"],
        progress=not options["as_json"],
        on_message=lambda text: echo(text, err=True),
    )
    if options["as_json"]:
        echo_json(without_nan(asdict(chosen)))
        return
    for reason in chosen.reasons:
        echo(reason)
    echo(out)
    echo(f"next: {command_line('segzoo', 'predict', 'IMAGES', '--model', out)}")
