"""Completions that read weights: names of classes, and files in the cache.

This module is separate from the other completions: `segzoo list` imports those and must not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo import json_text, zoo
from segzoo.cli.completions import offering
from segzoo.weights.inventory import items
from segzoo.weights.sources import in_package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import click

    from segzoo.cli.completions import Offer


@offering()
def cached(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer files in the cache."""
    return ((item.name, item.kind) for item in items())


@offering()
def classes(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer the classes of the weights that were given before."""
    return ((name, "") for name in _class_names(ctx))


@offering()
def class_thresholds(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer ``CLASS=`` for the classes of the weights that were given before."""
    return ((f"{name}=", "") for name in _class_names(ctx))


def _class_names(ctx: click.Context) -> Iterator[str]:
    for name in ctx.params.get("models") or filter(None, [ctx.params.get("model")]):
        entries = zoo.registry("weights").find(name)
        spec = entries[0].spec if entries else None
        if spec is not None and not spec.folder:
            yield from spec.classes
            continue
        folder = Path(name) if spec is None else in_package(spec)
        config = json_text.read(folder / "config.json")
        yield from config["labels"]["classes"]
