"""What a model's config says, in words for people: its scores, its preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from segzoo.specs import intensity_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.specs import Preprocessing, Resize


class Score(NamedTuple):
    """A number that a provenance states.

    Attributes:
        name: key in the provenance, such as ``test iou per image``.
        value: the number.
        contract: what the number counts.
        interval: confidence interval, such as `` [0.8184, 0.8736]``, or empty.
    """

    name: str
    value: float
    contract: str
    interval: str


def stated_scores(provenance: Mapping[str, Any]) -> Iterator[Score]:
    """Yield every number below a mapping that states a ``contract``, with its interval."""
    for key, value in provenance.items():
        if not isinstance(value, Mapping):
            continue
        if "contract" not in value:
            for one in stated_scores(value):
                yield one._replace(name=f"{key} {one.name}".replace("_", " "))
            continue
        intervals = value.get("intervals")
        for name, number in value.items():
            if isinstance(number, int | float) and not isinstance(number, bool):
                told = _interval(intervals.get(name) if isinstance(intervals, Mapping) else None)
                words = f"{key} {name}".replace("_", " ")
                yield Score(words, float(number), str(value["contract"]), told)


def group_value(group: Mapping[str, Any], metric: str, name: str) -> str:
    """Return a value of a group of images with its interval, as the config of weights holds it; or a dash."""
    values = group.get(metric)
    number = values.get(name) if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(number, int | float):
        return "-"
    intervals = values.get("intervals")
    return f"{number:.3f}" + _interval(intervals.get(name) if isinstance(intervals, Mapping) else None, 3)


def _interval(ends: Any, digits: int = 4) -> str:
    numbers = isinstance(ends, list | tuple) and all(isinstance(end, int | float) for end in ends)
    return f" [{', '.join(f'{end:.{digits}f}' for end in ends)}]" if numbers else ""


def _new_size(resize: Resize) -> str:
    if resize.mode == "scale":
        return f"by {resize.scale:g}"
    if resize.mode in ("stretch", "letterbox"):
        return f"to {resize.height} x {resize.width} ({resize.mode})"
    up = f", up to multiples of {resize.multiple}" if resize.multiple > 1 else ""
    if resize.mode == "bounds":
        return f"to fit sides of {resize.long} and {resize.short} pixels{up}"
    most = f" and the other at most {resize.long}" if resize.long else ""
    return f"so that the shorter side is {resize.short} pixels{most}{up}"


def preprocessing_steps(known: Preprocessing) -> str:
    """Return what happens to an image before the network sees it, in a sentence without its full stop."""
    said = {"rgb": "RGB", "bgr": "BGR", "grey": "grey", "any": "as they are stored"}[known.channels]
    steps = [f"Channels are {said}"]
    if known.resize is not None:
        steps.append(f"images are resized {_new_size(known.resize)}, {known.resize.interpolation}")
    rule = intensity_text(known.intensity)
    steps.append("values are divided by 255" if rule == "uint8" else f"intensity is scaled by {rule}")
    if known.mean != (0.0,) or known.std != (1.0,):
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (known.mean, known.std))
        steps.append(f"less mean ({mean}), divided by std ({std})")
    return "; ".join(steps)
