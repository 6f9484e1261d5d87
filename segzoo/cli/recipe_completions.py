"""Completions for a recipe and for ``KEY=VALUE``. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

from segzoo import zoo
from segzoo.cli import completions as offers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import click

#: Every key of a recipe, one per line; ``python tests/test_completion.py --write`` updates the file.
KEYS = Path(__file__).with_name("recipe_keys.txt")

_YES_NO = ("true", "false")

#: Values of keys that have a few values only.
CHOICES = {
    "channels_last": _YES_NO,
    "checkpointing": _YES_NO,
    "compile": _YES_NO,
    "device": ("auto", "cpu", "cuda", "mps", "npu"),
    "extend_from": ("last", "best"),
    "precision": ("auto", "no", "bf16", "fp16"),
    "resize.mode": ("bounds", "letterbox", "scale", "short", "stretch"),
    "sampling": ("shuffled", "classes", "by:"),
    "separator.kind": ("boundary", "distance"),
    "separator.where": ("touching", "rim"),
    "shard": _YES_NO,
    "supervision": ("auto", "mean", "sum"),
    "sync_batchnorm": _YES_NO,
}

#: Keys whose values are names or folders.
_NAMED = {
    "best": offers.metrics,
    "data": offers.data,
    "extend": offers.folders,
    "loss": offers.losses,
    "metrics": offers.listed_metrics,
    "model": offers.models,
    "optimizer": offers.optimizers,
    "out": offers.folders,
    "root": offers.folders,
    "schedule": offers.schedules,
    "trackers": offers.listed_trackers,
    "weights": offers.weights,
}


def recipe_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Offer keys, and recipes and files if none was given yet; after ``KEY=`` its values."""
    key, equals, value = incomplete.partition("=")
    if equals:
        found = _values(ctx, param, key.removesuffix(".name"), value)
        return [CompletionItem(f"{key}={one.value}", type=one.type, help=one.help) for one in found]
    words: Sequence[str] = ctx.params.get(param.name or "") or ()
    keys = [CompletionItem(word) for word in _keys(incomplete)]
    if any("=" not in word for word in words):
        return keys
    return [*offers.recipes(ctx, param, incomplete), *keys]


def search_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Offer keys for a search, and after ``KEY=`` the names that may be in a list."""
    key, equals, value = incomplete.partition("=")
    if not equals:
        return [CompletionItem(word) for word in _keys(incomplete)]
    before, comma, last = value.rpartition(",")
    found = _values(ctx, param, key.removesuffix(".name"), last)
    return [
        CompletionItem(f"{key}={before}{comma}{one.value}", type=one.type, help=one.help) for one in found
    ]


def _values(
    ctx: click.Context, param: click.Parameter, key: str, value: str
) -> Iterable[CompletionItem[Any]]:
    if key in _NAMED:
        return _NAMED[key](ctx, param, value)
    return [CompletionItem(one) for one in CHOICES.get(key, ()) if one.startswith(value)]


def _keys(incomplete: str) -> Iterator[str]:
    """Yield keys with ``=``, up to the next dot."""
    steps = [f"augment.{name}" for name in zoo.registry("augmentations").names()]
    try:
        keys = KEYS.read_text(encoding="utf-8").split()
    except OSError:
        return
    begun = (key for key in (*keys, *steps) if key.startswith(incomplete))
    shown = dict.fromkeys(_shown(key, len(incomplete)) for key in begun)
    yield from (word for word in shown if word)


def _shown(key: str, begun: int) -> str:
    rest, dot, _ = key[begun:].partition(".")
    return f"{key[:begun]}{rest}{dot or '='}"
