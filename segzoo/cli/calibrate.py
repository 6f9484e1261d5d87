"""``segzoo calibrate``: choose temperature, thresholds and other values on validation images."""

from __future__ import annotations

from typing import Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import root_option
from segzoo.cli.help import progress_option, verbose_option
from segzoo.cli.prediction_options import device_option
from segzoo.cli.table import echo_json
from segzoo.cli.words import data_options_of, words_of
from segzoo.printing import command_line, echo, echo_note


@click.command("calibrate")
@click.argument("model", shell_complete=offers.weights)
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder for the new weights.")
@click.option(
    "--data",
    shell_complete=offers.data,
    help="Name of a dataset, or a folder or file in any recognised format [default: the data that MODEL was "
    "trained on].",
)
@root_option
@click.option(
    "--split", default="val", show_default=True, shell_complete=offers.splits, help="Part of the dataset."
)
@click.option(
    "--data-option",
    "data_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the dataset, such as values=[0,128]; may be repeated [default: the options that MODEL "
    "was trained with, if the dataset is the same].",
)
@click.option(
    "--choose",
    default="temperature",
    show_default=True,
    metavar="WHAT,...",
    help="Values to choose: temperature, threshold, separator, smallest_object, or several of them.",
)
@click.option(
    "--metric",
    default="dice",
    show_default=True,
    shell_complete=offers.metrics,
    help="Metric, or METRIC.VALUE, by which thresholds and the smallest object are chosen.",
)
@device_option
@click.option("--overwrite", is_flag=True, help="Replace weights in the folder.")
@verbose_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@progress_option
def command(model: str, **options: Any) -> None:
    """Choose temperature and thresholds on validation images.

    \b
    segzoo calibrate runs/cells --out runs/cells-calibrated
    segzoo calibrate unet-nuclei --data mine --out mine --choose threshold

    A temperature divides the logits, so that about 80 % of the pixels with a probability of 80 % are right.
    It does not change masks of the most probable class. Thresholds and the size of the smallest object change
    masks. The seeds of a separator change which touching objects are split. The new weights have the tensors
    of MODEL, and these values in their config.json. Scores on the validation images are a little too good
    afterwards; `segzoo evaluate` on a test part shows the gain.
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
        on_message=echo_note,
    )
    if options["as_json"]:
        echo_json(without_nan(asdict(chosen)))
        return
    for reason in chosen.reasons:
        echo(reason)
    echo(out)
    echo(f"next: {command_line('segzoo', 'predict', 'IMAGES', '--model', out)}")
