"""``segzoo fetch``: weights into the cache ahead of time."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.errors import FailureError, SegzooError, UsageError
from segzoo.printing import echo


@click.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=offers.fetchable)
def command(names: tuple[str, ...]) -> None:
    """Fill the cache with weights ahead of time.

    NAME is registered weights, as `segzoo list weights` shows them, or 'hf-hub:ORG/NAME@REVISION'. They are
    fetched, checked and converted, so that they load without a network. Prints where each lies.
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
    text = f"{len(failed)} of {len(set(names))} could not be fetched:\n{told}"
    raise UsageError(text) if wrong else FailureError(text)
