"""Which samples train and which validate: decided by their names alone.

Chance is a hash of a seed and a name, not a generator: the division is the same on every machine, with
every version of NumPy, in whatever order a disk lists files. Samples of one group, such as the slices of
one patient, are never divided.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.files import name_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

#: By what order a share and a fold are cut off.
SHARE_ORDERS = ("shuffled", "hash", "contiguous")
FOLD_ORDERS = ("contiguous", "shuffled")


def validating_share(groups: Sequence[str], share: float, order: str, seed: int) -> list[bool]:
    """Say of every sample whether it validates.

    Args:
        groups: of each sample: what keeps together; its name where it stands alone.
        share: of the samples that validate, above 0 and below 1.
        order: ``shuffled`` takes the share exactly, by chance; ``hash`` takes each group by its own name
            alone, so that a new image moves no other one, and the share is met on average; ``contiguous``
            takes the last ones.
        seed: of the chance.

    Raises:
        OptionError: one of the two sides would be empty.
    """
    if order == "hash":
        chosen = {group for group in groups if _chance(group, seed) < share}
    else:
        units = list(dict.fromkeys(groups))
        units = units[::-1] if order == "contiguous" else _shuffled(units, seed)
        # One is left to train, however large the share.
        chosen = set(_first(units[:-1] or units, Counter(groups), share * len(groups)))
    validates = [group in chosen for group in groups]
    if all(validates) or not any(validates):
        side = "training" if all(validates) else "validation"
        kinds = len(set(groups))
        what = f"{len(groups)} samples" + ("" if kinds == len(groups) else f" in {kinds} groups")
        advice = (
            "; a hash decides for each sample alone: split.order='shuffled' takes the share exactly"
            if order == "hash" and kinds > 1
            else ": at least two are needed"
        )
        raise OptionError(f"split.share={share:g} leaves nothing for {side}, of {what}{advice}")
    return validates


def validating_fold(groups: Sequence[str], folds: int, fold: int, order: str, seed: int) -> list[bool]:
    """Say of every sample whether it is in fold ``fold``, which validates.

    Folds differ by one sample at most, the first ones being larger; with groups, by as little as their
    order allows.

    Raises:
        OptionError: there are fewer groups than folds.
    """
    units = list(dict.fromkeys(groups))
    if folds > len(units):
        what = "samples" if len(units) == len(groups) else f"groups, of {len(groups)} samples"
        raise OptionError(f"split.folds={folds} is too many: there are {len(units)} {what}")
    if order == "shuffled":
        units = _shuffled(units, seed)
    chosen = set(_cut(units, Counter(groups), folds)[fold])
    return [group in chosen for group in groups]


def _cut(units: list[str], sizes: Counter[str], folds: int) -> list[list[str]]:
    """Cut units into consecutive folds of nearly as many samples, none empty."""
    cut: list[list[str]] = []
    rest = list(units)
    for left in range(folds, 1, -1):
        wanted = -(-sum(sizes[unit] for unit in rest) // left)
        most = rest[: len(rest) - left + 1]
        taken = max(_first(most, sizes, wanted), most[:1], key=len)
        cut.append(taken)
        rest = rest[len(taken) :]
    return [*cut, rest]


def _first(units: Sequence[str], sizes: Counter[str], wanted: float) -> list[str]:
    """Return the first units whose samples come closest to as many as are wanted, at least one unit."""
    taken, count = list(units[:1]), sizes[units[0]] if units else 0
    for unit in units[1:]:
        if abs(count + sizes[unit] - wanted) >= abs(count - wanted):
            break
        taken.append(unit)
        count += sizes[unit]
    return taken


def _shuffled(units: Sequence[str], seed: int) -> list[str]:
    return sorted(units, key=lambda unit: (_digest(unit, seed), unit))


def _chance(name: str, seed: int) -> float:
    return int.from_bytes(_digest(name, seed)[:8], "big") / 2**64


def _digest(name: str, seed: int) -> bytes:
    return hashlib.sha256(name_bytes(f"{seed}\n{name}")).digest()
