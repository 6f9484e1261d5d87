"""``segzoo reproduce``: show the commands that made weights, and compare their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import root_option
from segzoo.cli.help import progress_option
from segzoo.cli.prediction_options import device_option
from segzoo.cli.table import echo_json, echo_rows
from segzoo.printing import command_line, echo

if TYPE_CHECKING:
    from segzoo.publishing.reproduce import Origin, Reproduction


@click.command("reproduce")
@click.argument("name", shell_complete=offers.weights)
@click.option("--check", is_flag=True, help="Score the weights again and compare the scores.")
@click.option("--run", is_flag=True, help="Train the weights again, score the result and compare the scores.")
@click.option(
    "--data",
    default="",
    shell_complete=offers.data,
    help="Dataset to use instead of the one in the recipe.",
)
@root_option
@click.option(
    "--out",
    default="",
    shell_complete=offers.folders,
    help="Folder for the weights of --run [default: runs/NAME].",
)
@click.option("--resume", is_flag=True, help="Resume the run in --out.")
@click.option("--overwrite", is_flag=True, help="Delete the run in --out first.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@progress_option
def command(
    name: str,
    check: bool,
    run: bool,
    data: str,
    root: str | None,
    out: str,
    resume: bool,
    overwrite: bool,
    device: str | None,
    as_json: bool,
) -> None:
    """Show how weights were made, and train or score them again.

    \b
    segzoo reproduce unet-nuclei            show the commands that made them
    segzoo reproduce unet-nuclei --check    score the weights again
    segzoo reproduce unet-nuclei --run      train new weights, and score them

    NAME is the name of weights, or the folder of a training run. The data is compared by a checksum of
    its pixels. The exit code is 0 if every score lies in the interval that the weights state and
    the data is the same, else 1.
    """
    from segzoo.publishing import reproduce as reproduction

    if check and run:
        raise click.UsageError("--check scores the weights, and --run trains new ones: choose one")
    if (resume or overwrite) and not run:
        raise click.UsageError("--resume and --overwrite need --run")
    origin = reproduction.origin_of(name, data=data, root=root, out=out)
    found: Reproduction | None = None
    if check:
        found = reproduction.check(origin, device=device, progress=not as_json)
    elif run:
        found = reproduction.rerun(
            origin,
            resume=resume,
            overwrite=overwrite,
            device=device,
            progress=not as_json,
        )
    if as_json:
        echo_json({**_json(origin), **(found.to_json() if found else {})})
    else:
        _tell(origin)
        if found is not None:
            _tell_found(found)
    if found is not None and not found.reproduced:
        click.get_current_context().exit(1)


def _json(origin: Origin) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": origin.name,
        "commands": [command_line(*words) for words in origin.commands],
        "recipe": asdict(origin.recipe),
        "part": origin.part,
        "stated": [asdict(one) for one in origin.scores],
        "checksums": origin.checksums,
        "facts": origin.facts,
    }


def _tell(origin: Origin) -> None:
    for words in origin.commands:
        echo(command_line(*words))
    rows = [(f"  {key}", value) for key, value in origin.facts.items()]
    rows += [(f"  data {part}", checksum) for part, checksum in origin.checksums.items()]
    if rows:
        echo()
        echo_rows(rows)
    if origin.scores:
        echo(f"\nstated by the weights, on the {origin.part} part:")
        echo_rows([(f"  {one.name}", f"{one.score:.4f}", _interval(one)) for one in origin.scores])


def _tell_found(found: Reproduction) -> None:
    echo(f"\nmeasured now, with {found.subject}:")
    for one in found.data:
        told = "the same" if one.same else f"DIFFERENT DATA, {one.found}"
        told = told if one.stated else "no checksum stated"
        echo(f"  data {one.part}: {one.samples} samples, {told}")
    rows = [
        (
            f"  {one.stated.name}",
            f"{one.found:.4f}",
            f"stated {one.stated.score:.4f}",
            f"{'within' if one.within else 'OUTSIDE'} [{one.low:.4f}, {one.high:.4f}]",
        )
        for one in found.scores
    ]
    echo_rows(rows)
    echo("reproduced" if found.reproduced else "NOT reproduced")


def _interval(one: Any) -> str:
    return "" if one.low is None else f"[{one.low:.4f}, {one.high:.4f}]"
