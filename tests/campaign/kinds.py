"""The kinds of input, by name, and how much of each is tried."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import archives, checkpoints, cli_words, configs, filenames, kills, pictures
from .running import Result, run_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {
    kind.name: kind
    for kind in (configs.KIND, filenames.KIND, archives.KIND, cli_words.KIND, pictures.KIND, checkpoints.KIND)
}
#: What is killed, and what runs twice at once: how often in all.
STRIKES = {
    "kill": kills.ROUNDS * len(kills.OPERATIONS),
    "pair": kills.PAIR_ROUNDS * len(kills.PAIRS),
}
NAMES = (*KINDS, *STRIKES)
#: Another seed tries other cases; the first ones of every kind are the same for all.
SEED = int(os.environ.get("SEGZOO_CAMPAIGN_SEED", "0"))
#: How many times as many cases as the standard campaign has.
TIMES = 10 if os.environ.get("SEGZOO_CAMPAIGN") == "long" else 1


def run(name: str, numbers: Sequence[int], seed: int) -> Result:
    """Run cases of a kind in the caller's process, which has warmed up."""
    if name in STRIKES:
        return kills.run(name, numbers, seed)
    return run_kind(KINDS[name], numbers, seed)


def count(name: str) -> int:
    """Return how many cases of a kind a campaign of this length tries."""
    return (STRIKES[name] if name in STRIKES else KINDS[name].count) * TIMES
