"""The SVG of a traced network: the encoder goes down on the left, the decoder up on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from segzoo.drawing.tracing import DECODER, ENCODER, HEAD, IMAGE
from segzoo.printing import markup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.drawing.tracing import Box, Key, Traced

#: Each colour in a light scheme and in a dark one.
_COLOURS = {
    "paper": ("#ffffff", "#1b1d21"),
    "ink": ("#1f2328", "#e6e6e6"),
    "faint": ("#57606a", "#a3a9b1"),
    "line": ("#8b949e", "#7d8590"),
    IMAGE: ("#eef1f4", "#2a2e34"),
    ENCODER: ("#dcebfa", "#22384f"),
    DECODER: ("#f7e7d0", "#473a26"),
    HEAD: ("#f6dfec", "#4a2c3f"),
}

#: Parts in the left column.
_LEFT = (IMAGE, ENCODER)

_TIMES = " \N{MULTIPLICATION SIGN} "

_WIDTH, _MARGIN = 460, 12
_BOX, _TALL, _APART = 178, 56, 22
_TOP, _LINE = 56, 15
#: Letters of 11 pixels that fit into a box.
_LETTERS = 24


class _Place(NamedTuple):
    """Where a box is drawn."""

    x: float
    y: float
    row: int

    @property
    def right(self) -> float:
        return self.x + _BOX

    @property
    def bottom(self) -> float:
        return self.y + _TALL

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + _BOX / 2, self.y + _TALL / 2


def drawn(title: str, found: Traced) -> str:
    """Return the SVG.

    Args:
        title: name of the network.
        found: what it is made of.
    """
    places = _placed(found)
    notes = _notes(found)
    below = max(place.bottom for place in places.values()) + 24
    height = below + _LINE * len(notes)
    light, dark = ("".join(f"--{name}:{pair[one]};" for name, pair in _COLOURS.items()) for one in (0, 1))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" '
        f'height="{height:g}" role="img" aria-labelledby="t d" font-family="system-ui, sans-serif">',
        f'<title id="t">{markup(title)}</title>',
        f'<desc id="d">{markup(described(title, found))}</desc>',
        f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}"
        "text{font-size:11px;fill:var(--ink)}.s{fill:var(--faint)}.b{font-weight:600}"
        "path{fill:none;stroke:var(--line);stroke-width:1.5}rect{stroke:var(--line)}"
        + "".join(f".{part}{{fill:var(--{part})}}" for part in (IMAGE, ENCODER, DECODER, HEAD))
        + "</style>",
        f'<rect width="{_WIDTH}" height="{height:g}" rx="6" style="fill:var(--paper);stroke:none"/>',
        _text(_MARGIN, 22, _cut(title, 52), "b", size=14),
        _text(_MARGIN, 40, f"{found.parameters:,} parameters", "s"),
        *_arrows(found, places),
        *_image(found, places[IMAGE, 1]),
    ]
    for box in found.boxes:
        lines += _drawn_box(box, found, places[box.key])
    lines += [_text(_MARGIN, below + index * _LINE, note, "s") for index, note in enumerate(notes)]
    return "\n".join([*lines, "</svg>"]) + "\n"


def described(title: str, found: Traced) -> str:
    """Return what the drawing shows, in sentences."""
    channels, height, width = found.image
    told = [
        f"Architecture of {title}, {found.parameters:,} parameters. "
        f"The image has {channels} x {height} x {width} values (channels x height x width)."
    ]
    for part in (ENCODER, DECODER, HEAD):
        boxes = [box for box in found.boxes if box.part == part]
        if boxes:
            shapes = "; ".join(
                f"stride {box.grid.stride}: {_shape(box)}, {box.parameters:,} parameters" for box in boxes
            )
            told.append(f"{part.capitalize()}: {shapes}.")
    told.append(f"The logits have {' x '.join(map(str, found.logits))} values.")
    return " ".join(told)


def _placed(found: Traced) -> dict[Key, _Place]:
    """Return the place of each box: a row for each stride, the image and the head above all."""
    strides = sorted({box.grid.stride for box in found.boxes if box.part != HEAD})
    rows = {stride: row for row, stride in enumerate(strides, start=1)}
    # The farther down, the nearer to the middle.
    lean = min(6, (_WIDTH - 2 * _MARGIN - 2 * _BOX - 40) // 2 // max(len(strides), 1))
    places = {}
    keys = [(IMAGE, 1), *(box.key for box in found.boxes)]
    for part, stride in keys:
        row = 0 if part in (IMAGE, HEAD) else rows[stride]
        x = _MARGIN + row * lean if part in _LEFT else _WIDTH - _MARGIN - _BOX - row * lean
        places[part, stride] = _Place(x, _TOP + row * (_TALL + _APART), row)
    return places


def _image(found: Traced, place: _Place) -> Iterator[str]:
    inner = found.inner
    note = "" if inner == found.image[1:] else f"computed at {_TIMES.join(map(str, inner))}"
    yield _rect(place, IMAGE)
    yield from _lines(place, ("image", _TIMES.join(map(str, found.image)), note))


def _drawn_box(box: Box, found: Traced, place: _Place) -> Iterator[str]:
    shape = _shape(box, _TIMES)
    if box.part == HEAD and (box.grid.height, box.grid.width) != found.logits[1:]:
        shape += f" → {_TIMES.join(map(str, found.logits[1:]))}"
    what = "head" if box.part == HEAD else f"stride {box.grid.stride}"
    yield _rect(place, box.part)
    names = _named(box)
    name = f"{what} · {names}" if names else what
    yield from _lines(place, (name, shape, f"{box.parameters:,} parameters"))


def _shape(box: Box, times: str = " x ") -> str:
    return times.join(map(str, box.grid[:3]))


def _named(box: Box) -> str:
    """Return the short name of a box's block, empty if that is its part's; of several, their number."""
    first, *others = box.names
    if others:
        return f"{len(box.names)} blocks"
    short = _short(first)
    return "" if short == box.part else short


def _short(name: str) -> str:
    """Return the end of a module's name: its last word with letters, and the numbers after it."""
    words = name.split(".")
    last = max((index for index, word in enumerate(words) if not word.isdecimal()), default=0)
    return ".".join(words[last:])


def _rect(place: _Place, kind: str) -> str:
    return f'<rect class="{kind}" x="{place.x:g}" y="{place.y:g}" width="{_BOX}" height="{_TALL}" rx="5"/>'


def _lines(place: _Place, words: tuple[str, str, str]) -> Iterator[str]:
    name, shape, parameters = words
    yield _text(place.x + 9, place.y + 17, _cut(name, _LETTERS), "b")
    yield _text(place.x + 9, place.y + 32, shape)
    if parameters:
        yield _text(place.x + 9, place.y + 47, parameters, "s")


def _text(x: float, y: float, words: str, kind: str = "", *, size: int = 0) -> str:
    style = (f' class="{kind}"' if kind else "") + (f' style="font-size:{size}px"' if size else "")
    return f'<text x="{x:g}" y="{y:g}"{style}>{markup(words)}</text>'


def _cut(words: str, letters: int) -> str:
    return words if len(words) <= letters else f"{words[: letters - 1]}…"


def _notes(found: Traced) -> list[str]:
    notes = [f"Shapes are {_TIMES.join(('channels', 'height', 'width'))}."]
    if found.unused:
        notes.append(f"{found.unused:,} parameters take no part in prediction and are in no box.")
    return notes


def _arrows(found: Traced, places: dict[Key, _Place]) -> Iterator[str]:
    """Yield an arrow for each edge; where both directions occur, one with two heads."""
    edges = sorted(edge for edge in found.edges if edge[0] in places and edge[1] in places)
    for source, target in edges:
        both = (target, source) in found.edges
        if not (both and (target, source) < (source, target)):
            yield _arrow(source, target, places, both=both)


def _arrow(source: Key, target: Key, places: dict[Key, _Place], *, both: bool) -> str:
    start, end = places[source], places[target]
    left = source[0] in _LEFT
    if left == (target[0] in _LEFT):
        return _in_column(start, end, leftwards=left, places=places, both=both)
    sides = (start.right, end.x) if left else (start.x, end.right)
    between = [
        place
        for (part, _), place in places.items()
        if (part in _LEFT) != left and end.row < place.row <= start.row and place != end
    ]
    if end.row < start.row and not between:
        # Nothing is in the way: along the bottom, then up, as a U is drawn.
        x = end.middle[0]
        return _path([(sides[0], start.middle[1]), (x, start.middle[1]), (x, end.bottom)], both=both)
    if start.row == end.row:
        return _path([(sides[0], start.middle[1]), (sides[1], end.middle[1])], both=both)
    x = _WIDTH / 2 + 4 * (start.row - len(places) / 4)
    points = [(sides[0], start.middle[1] + 8), (x, start.middle[1] + 8), (x, end.middle[1] - 8)]
    return _path([*points, (sides[1], end.middle[1] - 8)], both=both)


def _in_column(start: _Place, end: _Place, *, leftwards: bool, places: dict[Key, _Place], both: bool) -> str:
    low, high = sorted((start.row, end.row))
    between = [place for place in places.values() if low < place.row < high and abs(place.x - start.x) < _BOX]
    if not between:
        x = (start.middle[0] + end.middle[0]) / 2
        ends = (start.bottom, end.y) if start.row < end.row else (start.y, end.bottom)
        return _path([(x, ends[0]), (x, ends[1])], both=both)
    # Around the boxes between, outside of the U.
    away = 3 + 1.5 * (high - low)
    x = min(start.x, end.x) - away if leftwards else max(start.right, end.right) + away
    sides = (start.x, end.x) if leftwards else (start.right, end.right)
    return _path(
        [(sides[0], start.middle[1]), (x, start.middle[1]), (x, end.middle[1]), (sides[1], end.middle[1])],
        both=both,
    )


def _path(points: list[tuple[float, float]], *, both: bool) -> str:
    line = " L".join(f"{x:g} {y:g}" for x, y in points)
    heads = _tip(points[-2], points[-1]) + (_tip(points[1], points[0]) if both else "")
    return f'<path d="M{line}{heads}"/>'


def _tip(before: tuple[float, float], at: tuple[float, float]) -> str:
    """Return the head of an arrow that goes straight."""
    dx, dy = (_sign(at[0] - before[0]), _sign(at[1] - before[1]))
    if dx:
        return f"M{at[0] - 5 * dx:g} {at[1] - 4:g}L{at[0]:g} {at[1]:g}L{at[0] - 5 * dx:g} {at[1] + 4:g}"
    return f"M{at[0] - 4:g} {at[1] - 5 * dy:g}L{at[0]:g} {at[1]:g}L{at[0] + 4:g} {at[1] - 5 * dy:g}"


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
