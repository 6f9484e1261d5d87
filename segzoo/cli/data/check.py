"""``segzoo data check``: find problems in images and masks, and write a repaired copy."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import data_recipe, root_option
from segzoo.cli.help import progress_option
from segzoo.cli.recipe_completions import recipe_words
from segzoo.printing import echo


@click.command("check")
@click.argument("data", metavar="PATH|NAME", shell_complete=offers.data)
@click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@root_option
@click.option("--fix", type=click.Path(), metavar="OUT", help="Write a repaired copy to this new folder.")
@click.option("--pairs", type=click.Path(), metavar="CSV", help="Write a list of the images and their masks.")
@click.option("--overwrite", is_flag=True, help="Replace an existing list of --pairs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@progress_option
@click.pass_context
def command(
    ctx: click.Context,
    data: str,
    words: tuple[str, ...],
    root: str | None,
    fix: str | None,
    pairs: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find problems in images and masks before training.

    PATH is a folder or a file: images and masks, or the export of an annotation tool, such as COCO, YOLO,
    CVAT or labelme. NAME is a registered dataset. Every file is opened once. The report names the format,
    lists the problems with their solutions, and ends with the command for training. The data is never
    changed: --fix writes a copy, and --pairs writes a list of images and masks that --data reads.

    RECIPE and KEY=VALUE are those of `segzoo train` that concern the data. With them, the images and masks
    are checked as training would see them.

    The exit code is 1 if an error would stop training (with --fix: in the copy), or if the data can be read
    in several ways, else 0.

    \b
    segzoo data check photos
    segzoo data check export/instances.json
    segzoo data check photos --fix photos-fixed
    segzoo data check photos --pairs pairs.csv
    segzoo data check dsb2018 --json
    segzoo data check photos data.masks=truth data.classes=4 split.share=0.2
    segzoo data check fields data.bands=4,3,2 data.intensity=percentiles:1,99.8
    """
    from segzoo.cli.table import echo_json
    from segzoo.data_check import check_data
    from segzoo.data_check.advice import quoted
    from segzoo.options import many

    if words and fix:
        raise click.UsageError(f"--fix recognises the values of masks by itself: leave out {words[0]!r}")
    options = None
    if words:
        from segzoo.training.data.checked import check_recipe_data

        recipe, base = data_recipe(data, root, words)
        options = recipe.data_options
        report = check_recipe_data(recipe, base=base, progress=True)
    else:
        report = check_data(data, root=root, fix=fix, progress=True)
    if as_json:
        echo_json(report.to_json())
    else:
        echo(str(report))
    if pairs is not None:
        from segzoo.data_check.listing import write_pairs

        count = write_pairs(data, pairs, root=root, options=options, overwrite=overwrite)
        echo(f"{pairs}: {many(count, 'pair')}; --data {quoted(pairs)} reads them", err=as_json)
    last = report.repaired or report
    ctx.exit(0 if last.ok else 1)
