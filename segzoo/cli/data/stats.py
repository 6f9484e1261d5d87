"""``segzoo data stats``: measure the statistics of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import data_recipe, root_option
from segzoo.cli.help import progress_option
from segzoo.cli.recipe_completions import recipe_words
from segzoo.options import many
from segzoo.printing import command_line, echo, plain_path, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.data_check.report import Report


@click.command("stats")
@click.argument("data", metavar="PATH|NAME", shell_complete=offers.data)
@click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@root_option
@click.option("--sample", default=500, show_default=True, help="Number of images to measure.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@progress_option
def command(data: str, words: tuple[str, ...], root: str | None, sample: int, as_json: bool) -> None:
    """Measure the mean and standard deviation of each channel.

    Values are scaled to [0, 1], and every pixel has the same weight. Also prints the sizes of the images, the
    share of pixels of each class, and class weights that balance the shares: 1 / sqrt(share), scaled to a
    mean of 1.

    RECIPE and KEY=VALUE are those of `segzoo train` that concern the data. With bands or an intensity rule,
    mean and standard deviation are measured on the training part only, as training measures them:

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
