"""Numbers in readable form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def millions(count: int) -> str:
    """Return a number of parameters: ``31.0 M``; three figures at least below one million."""
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e6:.3g} M"


def giga(flops: int) -> str:
    """Return a number of operations in billions: ``96.3``."""
    return f"{flops / 1e9:.1f}" if flops < 1e11 else f"{flops / 1e9:.0f}"


def megabytes(count: int) -> str:
    """Return the size of a file: ``3.9 MB``."""
    return f"{count / 1e6:.1f} MB" if count < 1e8 else f"{count / 1e6:.0f} MB"


def size(height_and_width: tuple[int, int]) -> str:
    """Return a size in pixels: ``256 x 256``."""
    return " x ".join(map(str, height_and_width))


def metrics(scores: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the metrics of a scored part of the data, each with its contract, values and intervals."""
    for name, said in scores.items():
        if isinstance(said, dict) and "contract" in said:
            yield name, said


def values(metric: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the averages of a metric: ``per_image``, ``pooled``."""
    for name, value in metric.items():
        if (
            name not in ("contract", "intervals")
            and isinstance(value, int | float)
            and not isinstance(value, bool)
        ):
            yield name, float(value)
