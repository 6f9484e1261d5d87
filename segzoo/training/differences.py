"""Differences between two runs, as lines that a person can act on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segzoo.training.recipe.schema import Recipe

if TYPE_CHECKING:
    from segzoo.interfaces import Dataset

#: Recipe keys that may change when a run resumes: they say where and how, and do not affect the result.
MAY_DIFFER = (
    "out", "root", "device", "workers", "accumulate", "keep", "save_every", "trackers", "checkpointing",
    "shard", "licence", "comments",
)  # fmt: skip

#: Characters of a value that a line shows.
_SHOWN = 60

#: Number of samples that are opened for their names, if a dataset does not list them.
_OPENED = 4

_MISSING = object()


def recipe_differences(saved: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """Return one line for every difference between two recipes that affects the result.

    Args:
        saved: values of the earlier recipe; a key that an older version lacked counts as its default.
        recipe: the current recipe.
    """
    before = {**asdict(Recipe(data=recipe.data)), **saved}
    return differences(before, asdict(recipe), ignore=MAY_DIFFER, ordered=("augment",))


def differences(
    saved: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    ignore: Collection[str] = (),
    ordered: Collection[str] = (),
) -> list[str]:
    """Return one line for every value that differs, such as ``"model.width: 16 there, 32 here"``.

    A tuple equals the list of its items, as JSON knows no tuples, and NaN equals NaN.

    Args:
        saved: nested mappings of plain data, reported as "there".
        now: nested mappings of plain data, reported as "here".
        ignore: dotted names, such as ``"out"`` or ``"data.root"``, that may differ, including everything
            below them.
        ordered: dotted names of mappings whose order counts, such as ``"augment"``.
    """
    return list(_lines(saved, now, "", frozenset(ignore), frozenset(ordered)))


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Return values that identify a dataset cheaply: number of samples, their names, the classes.

    No image is decoded if the dataset lists its ``names``; otherwise a few samples are opened for their
    names. Pixels are not compared.

    Returns:
        ``samples``, ``classes``, ``ignore_index``, ``background`` unless it is class 0, and ``names``, the
        SHA-256 of the names in their order.
    """
    count = len(dataset)
    names = getattr(dataset, "names", None)
    if names is None:
        last = max(count - 1, 0)
        opened = {last * part // (_OPENED - 1) for part in range(_OPENED)} if count else set()
        names = [dataset[index].name for index in sorted(opened)]
    told = json.dumps([str(name) for name in names])
    labels = dataset.labels
    return {
        "samples": count,
        "classes": list(labels.classes),
        "ignore_index": labels.ignore_index,
        # Left out if it is the default, because older runs do not have it.
        **({} if labels.background == 0 else {"background": labels.background}),
        "names": hashlib.sha256(told.encode()).hexdigest(),
    }


def _lines(saved: Any, now: Any, name: str, ignore: frozenset[str], ordered: frozenset[str]) -> list[str]:
    if name in ignore:
        return []
    if not isinstance(saved, Mapping) or not isinstance(now, Mapping):
        return [] if _same(saved, now) else [f"{name}: {_told(saved)} there, {_told(now)} here"]
    lines: list[str] = []
    for key in dict.fromkeys((*saved, *now)):
        below = f"{name}.{key}" if name else str(key)
        lines += _lines(saved.get(key, _MISSING), now.get(key, _MISSING), below, ignore, ordered)
    if name in ordered and not lines and list(saved) != list(now):
        lines.append(f"{name}: in the order ({', '.join(saved)}) there, ({', '.join(now)}) here")
    return lines


def _same(one: Any, other: Any) -> bool:
    if _listlike(one) and _listlike(other):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    return bool(one == other)


def _listlike(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _told(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return f"{value[:8]}…"  # a hash
    if isinstance(value, tuple):
        value = list(value)
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
