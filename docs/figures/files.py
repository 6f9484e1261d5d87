"""Which files are written, and by what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from findings import page
from flows import FLOWS
from house import house
from metrics import FIGURES as OF_METRICS
from tiles import tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from drawing import Drawing

DOCS = Path(__file__).parents[1]


def _drawing(draw: Callable[[], Drawing]) -> Callable[[], str]:
    return lambda: draw().svg()


#: By path below ``docs``.
FILES: dict[str, Callable[[], str]] = {
    "guides/findings.md": page,
    "design/images/house.svg": _drawing(house),
    **{f"design/images/{name}.svg": _drawing(draw) for name, draw in FLOWS.items()},
    "guides/images/tiles.svg": _drawing(tiles),
    **{f"guides/images/{name}.svg": _drawing(draw) for name, draw in OF_METRICS.items()},
}
