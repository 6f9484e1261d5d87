"""``segzoo fetch``: download weights into the cache ahead of time."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.cli.help import progress_option
from segzoo.errors import FailureError, SegzooError, UsageError
from segzoo.printing import echo


@click.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=offers.fetchable)
@progress_option
def command(names: tuple[str, ...]) -> None:
    """Download weights ahead of time.

    NAME is a name in `segzoo list weights`, or 'hf-hub:ORG/NAME@REVISION'. The weights are downloaded,
    checked and converted, so that they load later without a network. Prints the folder of each.

    \b
    segzoo fetch segformer-b0-ade20k
    """
    from segzoo.weights.sources import locate

    failed: dict[str, SegzooError] = {}
    for name in dict.fromkeys(names):
        try:
            echo(f"{name}\t{locate(name)}")
        except SegzooError as error:
            failed[name] = error
    if not failed:
        return
    if len(names) == 1:
        raise failed[names[0]]
    wrong = all(isinstance(error, UsageError) for error in failed.values())
    told = "\n".join(f"  {name}: {error}" for name, error in failed.items())
    text = f"{len(failed)} of {len(set(names))} could not be downloaded:\n{told}"
    raise UsageError(text) if wrong else FailureError(text)
