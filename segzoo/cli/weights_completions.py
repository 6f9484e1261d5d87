"""What shells offer that the weights know: their classes, and what the cache holds of them.

Apart from the other offers, since `segzoo list` imports those and may import nothing that leads to torch.
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
    """Offer what the cache holds."""
    return ((item.name, item.kind) for item in items())


@offering()
def classes(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer the classes of the weights that were named before."""
    return ((name, "") for name in _class_names(ctx))


@offering()
def class_thresholds(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer ``CLASS=`` of the weights that were named before."""
    return ((f"{name}=", "") for name in _class_names(ctx))


def _class_names(ctx: click.Context) -> Iterator[str]:
    for name in ctx.params.get("models") or filter(None, [ctx.params.get("model")]):
        entries = zoo.registry("weights").find(name)
        spec = entries[0].spec if entries else None
        if spec is not None and not spec.folder:
            yield from spec.classes
            continue
        folder = Path(name) if spec is None else in_package(spec)
        told = json_text.read(folder / "config.json")
        yield from told["labels"]["classes"]
