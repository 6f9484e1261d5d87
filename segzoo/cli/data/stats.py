"""``segzoo data stats``: numbers of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import data_recipe
from segzoo.cli.recipe_completions import recipe_words
from segzoo.options import many
from segzoo.printing import command_line, echo, plain_path, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.data_check.report import Report


@click.command("stats")
@click.argument("data", metavar="PATH|NAME", shell_complete=offers.data)
@click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@click.option("--root", type=click.Path(), help="Location of a named data set [default: $SEGZOO_DATA/NAME].")
@click.option(
    "--sample", default=500, show_default=True, help="How many images to measure mean and std from."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(data: str, words: tuple[str, ...], root: str | None, sample: int, as_json: bool) -> None:
    """Measure the mean and standard deviation of each channel.

    Of values in [0, 1]; every pixel counts the same. Also shows the sizes of the images, and the share of
    each class in the pixels with weights that make up for it, 1 / sqrt(share) scaled to a mean of 1.

    RECIPE and KEY=VALUE are those of `segzoo train`, as far as they are about the data. With bands or an
    intensity, mean and standard deviation are those that training measures, of its own part of the images:

    \b
    segzoo data stats fields data.bands=4,3,2 data.intensity=percentiles:1,99.8
    """
    from segzoo.cli.table import echo_json
    from segzoo.data_check import check_data
    from segzoo.errors import FailureError

    if words:
        from segzoo.training.data.checked import check_recipe_data

        recipe, base = data_recipe(data, root, words)
        report = check_recipe_data(recipe, base=base, sample=sample, progress=True)
    else:
        report = check_data(data, root=root, sample=sample, progress=True)
    if as_json:
        echo_json(report.to_json()["statistics"])
    else:
        _tell(report, words)
    damage = next((finding for finding in report.findings if finding.kind == "damaged"), None)
    if damage is not None:
        told = [f"{damage.what}, and not in these numbers:", *map(printable, damage.examples)]
        raise FailureError("\n".join(told))


def _tell(report: Report, words: Sequence[str]) -> None:
    from segzoo.data_check.report import channel_line, class_table, pairs_in_words, sizes_in_words

    numbers = report.statistics
    echo(f"{report.data}: {pairs_in_words(report.pairs)}{sizes_in_words(numbers.sizes)}")
    for block in (channel_line(numbers), class_table(numbers)):
        if block:
            echo(f"\n{block}")
    if not report.ok:
        check = command_line("segzoo", "data", "check", plain_path(report.data), *words)
        echo(f"\n{many(len(report.errors), 'error', 'were')} found, which this shows:\n  {check}")
