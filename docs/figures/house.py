"""The drawing of segzoo's modules: a floor for each layer of the import contract in pyproject.toml."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from drawing import WIDTH, Drawing

ROOT = Path(__file__).parents[2]
CODE = ROOT / "segzoo"

_FLOOR, _LEFT, _TOWER = 30, 12, 264
_PARTS = "blocks"
#: Letters that fit into a row, with two more for each name.
_LETTERS = 36


def floors() -> list[list[str]]:
    """Return the modules of each layer, the top one first, as pyproject.toml lists them."""
    contract = next(one for one in _contracts() if one["type"] == "layers")
    return [re.findall(r"[\w.]+", layer) for layer in contract["layers"]]


def annexe() -> list[str]:
    """Return the modules outside the layers, which do not import each other."""
    contract = next(one for one in _contracts() if one["type"] == "independence")
    return [module.removeprefix("segzoo.") for module in contract["modules"]]


def purpose(room: str) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    path = CODE / room / "__init__.py"
    tree = ast.parse((path if path.is_file() else CODE / f"{room}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".").replace("``", "`")


def _contracts() -> list[dict]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["tool"]["importlinter"]["contracts"]


def house() -> Drawing:
    """Draw the layers, with the parts at the height of the modules that they may import."""
    layers = [_rows(names) for names in floors()]
    top = 78
    ground = top + _FLOOR * sum(map(len, layers))
    drawing = Drawing(ground + 66, "The modules of segzoo in layers: each layer imports only layers below it")
    middle = _LEFT + _TOWER / 2
    drawing.path([(_LEFT - 8, top), (middle, 18), (_LEFT + _TOWER + 8, top)], fill="roof", closed=True)
    drawing.text(middle, top - 14, "segzoo", size=16, anchor="middle", fill="bright", bold=True)
    y = top
    for number, rows in enumerate(layers):
        _floor(drawing, y, rows, cellar=number >= len(layers) - 1)
        y += _FLOOR * len(rows)
    _annexe(drawing, ground)
    drawing.path([(0, ground), (WIDTH, ground)], stroke="faint", width=2)
    x = _LEFT + _TOWER + 22
    drawing.arrow(x, top + 10, x, top + 84)
    drawing.text(x + 10, top + 40, "imports go", size=12, fill="faint")
    drawing.text(x + 10, top + 56, "down only", size=12, fill="faint")
    drawing.text(
        12, ground + 24, "Below: torch, timm, Accelerate, safetensors, pluggy, ...", size=12, fill="faint"
    )
    drawing.text(
        12,
        ground + 44,
        "Dashed: parts of other plug-ins, which follow the same rules.",
        size=12,
        fill="faint",
    )
    return drawing


def _rows(names: list[str]) -> list[list[str]]:
    """Divide the modules of a layer into rows that are wide enough for their names."""
    rows: list[list[str]] = [[]]
    for name in names:
        if sum(len(one) + 2 for one in [*rows[-1], name]) > _LETTERS:
            rows.append([])
        rows[-1].append(name)
    return rows


def _floor(drawing: Drawing, y: float, rows: list[list[str]], *, cellar: bool) -> None:
    fill = "stone" if cellar else "wood"
    drawing.box(_LEFT, y, _TOWER, _FLOOR * len(rows), fill=fill, stroke="line")
    for number, names in enumerate(rows):
        letters = sum(len(name) + 2 for name in names)
        top, x = y + number * _FLOOR, float(_LEFT)
        for name in names:
            width = _TOWER * (len(name) + 2) / letters
            if x > _LEFT:
                drawing.path([(x, top), (x, top + _FLOOR)], stroke="line", width=1)
            drawing.text(x + width / 2, top + 20, name, size=12.5, anchor="middle", mono=True)
            x += width


def _annexe(drawing: Drawing, ground: float) -> None:
    """Draw the independent parts separately, on ``blocks``, next to the lowest layers."""
    parts = annexe()
    left, width = _LEFT + _TOWER + 20, WIDTH - _LEFT - _TOWER - 32
    step = _FLOOR
    top = ground - step * (len(parts) + 2)
    drawing.path(
        [(left - 6, top), (left + width / 2, top - 34), (left + width + 6, top)], fill="roof", closed=True
    )
    drawing.text(left + width / 2, top - 8, "parts", anchor="middle", fill="bright", bold=True)
    for number, name in enumerate([*parts, "yours", _PARTS]):
        y = top + number * step
        yours, base = name == "yours", name == _PARTS
        fill = "paper" if yours else "stone" if base else "glass"
        drawing.box(left, y, width, step, fill=fill, stroke="faint" if yours else "line", dashed=yours)
        drawing.text(left + width / 2, y + 20, name, size=12.5, anchor="middle", mono=True)
    y = ground - 2 * step + step / 2
    drawing.arrow(left, y, _LEFT + _TOWER, y)


def rooms_table() -> str:
    """Return the modules and their purposes as a Markdown table, the highest layer first."""
    rows = [name for names in floors() for name in names if name != "__main__"] + [_PARTS, *annexe()]
    lines = [f"| `{name}` | {purpose(name)} |" for name in rows]
    return "\n".join(["| module | what it is for |", "| --- | --- |", *lines])
