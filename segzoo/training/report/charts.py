"""Charts as marks on paper, which are drawn as pixels in a file and as SVG in the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Size of a chart, the height of its title and legend, and the margins around its plot.
WIDTH, HEIGHT = 440.0, 230.0
HEAD = 36.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 52.0, HEAD + 10, 14.0, 26.0

#: Number of lines in a chart that have a colour and a name; more lines are grey.
NAMED = 6

#: Points in a line; a curve of thousands of epochs looks the same with fewer.
_POINTS = 400

#: A curve whose largest value is this many times its smallest has a logarithmic scale.
_LOGARITHMIC = 25.0

#: Columns that are not scores.
_NUMBERS = ("epoch", "step", "loss", "learning_rate", "seconds")
_SPEEDS = {"images_per_second": "with loading", "images_per_second_computing": "without loading"}


class Point(NamedTuple):
    """A value and where it was measured: an epoch, or the power of ten of a learning rate."""

    x: float
    y: float


@dataclass(frozen=True)
class Chart:
    """Lines that share their axes.

    Attributes:
        title: the measured quantity.
        lines: finite points by name, at least one each.
        best: ``x`` of the best epoch or of another place to mark, if any.
        logarithmic: whether the scale of values is logarithmic.
        across: name of the horizontal axis; unless it is epochs, ``x`` is a power of ten.
    """

    title: str
    lines: Mapping[str, Sequence[Point]]
    best: float | None = None
    logarithmic: bool = False
    across: str = "epoch"

    def at(self, x: float) -> str:
        """Return a position on the horizontal axis, in words."""
        return f"in epoch {x:.0f}" if self.across == "epoch" else f"at {self.across} {10**x:.1e}"

    @property
    def told(self) -> str:
        """A description of the chart, in words."""
        parts = []
        for name, points in self.lines.items():
            first, last = points[0], points[-1]
            part = f"{name}: {short(first.y)} {self.at(first.x)}"
            if len(points) > 1:
                part += f", {short(last.y)} {self.at(last.x)}"
            chosen = self.chosen(points)
            if chosen is not None and chosen not in (first, last):
                part += f", {short(chosen.y)} in the best epoch, {self.best}"
            parts.append(part)
        return f"{self.title} by {self.across}. {'; '.join(parts)}"

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Name, value and style of each line: the value at the best epoch, or the latest one."""
        if len(self.lines) == 1:
            points = next(iter(self.lines.values()))
            shown = self.chosen(points) or points[-1]
            return [(f"{short(shown.y)} {self.at(shown.x)}", "line-0")]
        told = [
            (f"{name} {short((self.chosen(points) or points[-1]).y)}", f"line-{number}")
            for number, (name, points) in enumerate(self.lines.items())
        ]
        more = [(f"and {len(told) - NAMED} more", "small")] if len(told) > NAMED else []
        return told[:NAMED] + more

    def chosen(self, points: Sequence[Point]) -> Point | None:
        """Return the point at the best epoch."""
        return next((point for point in points if point.x == self.best), None)


@dataclass(frozen=True)
class Stroke:
    """A line through points; ``style`` is ``grid``, ``axis``, ``best``, ``other`` or ``line-0`` to 5."""

    points: Sequence[Point]
    style: str


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    point: Point
    style: str


@dataclass(frozen=True)
class Words:
    """Text on its baseline; ``style`` is ``small``."""

    point: Point
    text: str
    style: str
    anchor: Literal["start", "middle", "end"] = "start"


Mark = Stroke | Dot | Words


def make_charts(rows: Sequence[Mapping[str, float]], best: int | None) -> list[Chart]:
    """Return a chart of the loss, one for each metric, the learning rate, and the speed."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    metrics: dict[str, dict[str, str]] = {}
    for column in columns:
        if column not in _NUMBERS and column not in _SPEEDS:
            metric, _, value = column.partition("_")
            value, _, part = value.replace("_", " ").partition("/")
            title = f"{metric} {value} by class" if part else metric
            metrics.setdefault(title, {})[column] = part or value or metric
    wanted = [
        ("loss", {"loss": "loss"}),
        *metrics.items(),
        ("learning rate", {"learning_rate": "learning rate"}),
        ("images per second", _SPEEDS),
    ]
    charts = (_chart(title, names, rows, best) for title, names in wanted)
    return [chart for chart in charts if chart is not None]


def lay_out(chart: Chart) -> list[Mark]:
    """Return the marks of a chart, ``WIDTH`` x ``HEIGHT``; a dashed line marks the best epoch.

    The top ``HEAD`` are free for its title and legend.
    """
    values = [point.y for points in chart.lines.values() for point in points]
    epochs = [point.x for points in chart.lines.values() for point in points]
    low, high, ticks = _scale(min(values), max(values), chart.logarithmic)
    first, last = min(epochs), max(max(epochs), min(epochs) + 1)

    def place(point: Point) -> Point:
        below, above, at = (math.log(v) if chart.logarithmic else v for v in (low, high, point.y))
        across = (point.x - first) / (last - first)
        up = (at - below) / (above - below)
        return Point(
            _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)
        )

    marks = _axes(ticks, place, (first, last), low, chart.across)
    if chart.best is not None and first <= chart.best <= last:
        marks.append(Stroke([place(Point(chart.best, low)), place(Point(chart.best, high))], "best"))
    for number, points in reversed(list(enumerate(chart.lines.values()))):
        style = f"line-{number}" if number < NAMED else "other"
        placed = [place(point) for point in points]
        marks.append(Stroke(placed, style) if len(points) > 1 else Dot(placed[0], style))
        chosen = chart.chosen(points)
        if chosen is not None and number < NAMED:
            marks.append(Dot(place(chosen), style))
    return marks


def short(value: float) -> str:
    """Return a number in as few characters as necessary."""
    if 0 < abs(value) < 0.01:
        digits, power = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _chart(
    title: str, names: Mapping[str, str], rows: Sequence[Mapping[str, float]], best: int | None
) -> Chart | None:
    lines = {}
    for column, name in names.items():
        points = [
            Point(row["epoch"], row[column]) for row in rows if math.isfinite(row.get(column, math.nan))
        ]
        if points:
            lines[name] = _fewer(points, best)
    if not lines:
        return None
    values = [point.y for points in lines.values() for point in points]
    wide = title == "loss" and min(values) > 0 and max(values) > _LOGARITHMIC * min(values)
    return Chart(title, lines, best, logarithmic=wide)


def _fewer(points: list[Point], best: int | None) -> list[Point]:
    """Return points at equal distances, including the last and the best."""
    stride = -(-len(points) // _POINTS)
    last = len(points) - 1
    return [
        point for place, point in enumerate(points) if place % stride == 0 or place == last or point.x == best
    ]


def _axes(
    ticks: Sequence[float],
    place: Callable[[Point], Point],
    epochs: tuple[float, float],
    low: float,
    across: str,
) -> list[Mark]:
    marks: list[Mark] = []
    for tick in ticks:
        left, right = (place(Point(epoch, tick)) for epoch in epochs)
        marks.append(Stroke([left, right], "grid"))
        marks.append(Words(Point(left.x - 6, left.y + 4), short(tick), "small", "end"))
    marks.append(Stroke([place(Point(epoch, low)) for epoch in epochs], "axis"))
    if across == "epoch":
        marks.append(Words(Point(0, HEIGHT - 8), across, "small"))
    for tick in _ticks(*epochs, 6):
        if tick == round(tick) and epochs[0] <= tick <= epochs[1]:
            x = place(Point(tick, low)).x
            told = f"{tick:,.0f}" if across == "epoch" else f"1e{tick:.0f}"
            marks.append(Words(Point(x, HEIGHT - 8), told, "small", "middle"))
    return marks


def _scale(low: float, high: float, logarithmic: bool) -> tuple[float, float, list[float]]:
    """Return the ends of an axis and its ticks."""
    if logarithmic:
        steps = (1, 3) if high / low < 1000 else (1,)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps]
        return low, high, [tick for tick in ticks if low <= tick <= high]
    if high - low <= 1e-9 * max(abs(high), abs(low)):
        reach = abs(high) / 2 or 0.5
        # Nothing that is measured here is negative, so the axis does not go below 0.
        low, high = (low - reach if low < 0 or low >= reach else 0.0), high + reach
    ticks = _ticks(low, high, 4)
    return min(low, ticks[0]), max(high, ticks[-1]), ticks


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers around a range, or within it."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    begin, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(begin, end + 1)]
