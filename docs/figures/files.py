"""The files that are generated, and the function for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contracts import page as contracts
from findings import page as findings
from flows import FLOWS
from house import house, rooms_table
from metrics import FIGURES as OF_METRICS
from tiles import tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from drawing import Drawing

DOCS = Path(__file__).parents[1]


def _drawing(draw: Callable[[], Drawing]) -> Callable[[], str]:
    return lambda: draw().svg()


def _with_rooms() -> str:
    """Return the page of the design with its table of modules from the code."""
    text = (DOCS / "design/index.md").read_text(encoding="utf-8")
    opening, _, rest = text.partition("<!-- rooms -->\n")
    closing = rest.partition("<!-- end -->")[2]
    return f"{opening}<!-- rooms -->\n\n{rooms_table()}\n\n<!-- end -->{closing}" if rest else text


#: By path below ``docs``.
FILES: dict[str, Callable[[], str]] = {
    "guides/findings.md": findings,
    "guides/contracts.md": contracts,
    "design/index.md": _with_rooms,
    "design/images/house.svg": _drawing(house),
    **{f"design/images/{name}.svg": _drawing(draw) for name, draw in FLOWS.items()},
    "guides/images/tiles.svg": _drawing(tiles),
    **{f"guides/images/{name}.svg": _drawing(draw) for name, draw in OF_METRICS.items()},
}
