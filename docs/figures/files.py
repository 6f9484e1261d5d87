"""Which files are written, and by what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from metrics import FIGURES as OF_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from drawing import Drawing

DOCS = Path(__file__).parents[1]


def _drawing(draw: Callable[[], Drawing]) -> Callable[[], str]:
    return lambda: draw().svg()


#: By path below ``docs``.
FILES: dict[str, Callable[[], str]] = {
    **{f"guides/images/{name}.svg": _drawing(draw) for name, draw in OF_METRICS.items()},
}
