"""The page of contracts: the rules of every metric of segzoo, from the metrics themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.build import make_metric
from segzoo.metrics.contract import RULES
from segzoo.specs import Labels

if TYPE_CHECKING:
    from segzoo.specs import MetricSpec

LABELS = Labels(classes=("background", "cell"))

_HEAD = """# Every metric's contract

This page lists the rules that `segzoo evaluate` prints with each number, here for the two classes background
and cell. With other labels the words differ: an `ignore_index` is named, and classes are listed.
[What each metric means](metrics.md) explains the metrics with figures.

| rule | meaning |
| --- | --- |
| classes | which classes are averaged, and whether the background is one of them |
| average | what the mean is taken over |
| empty | the score of an image or a class without any object |
| ignored | which pixels are not counted |
| threshold | how probabilities become classes |
| size | the size at which masks are compared |

<!-- written by `python docs/figures` from the metrics themselves -->
"""


_NEEDS = {
    "probabilities": " Needs probabilities, so masks in files cannot be scored with it.",
    "instances": " Objects are the dataset's instances, if it has them.",
}


def own() -> list[MetricSpec]:
    """Return the specs of segzoo's own metrics, sorted by name."""
    entries = zoo.registry("metrics")
    found = [entries.entry(name) for name in entries.names()]
    return [entry.spec for entry in sorted(found, key=lambda one: one.spec.name) if entry.owner == "segzoo"]


def page() -> str:
    """Return the page."""
    return _HEAD + "".join(map(_section, own()))


def _section(spec: MetricSpec) -> str:
    contract = make_metric(spec.name, LABELS).contract
    measure, *rules = re.split(rf"; ({'|'.join(RULES)}): ", contract)
    rows = "".join(
        f"| {rule} | {_plain(text)} |\n" for rule, text in zip(rules[::2], rules[1::2], strict=True)
    )
    names = f" (also `{'`, `'.join(spec.aliases)}`)" if spec.aliases else ""
    needs = "".join(_NEEDS[one] for one in spec.needs)
    told = "" if measure in (spec.summary, spec.name) else f"\n{_plain(_sentence(measure))}.\n"
    head = f"\n## {spec.name}\n\n{_sentence(spec.summary)}{names}.{needs}\n{told}"
    return f"{head}\n| rule | meaning |\n| --- | --- |\n{rows}"


def _sentence(text: str) -> str:
    """Begin with a capital letter, except formulas and names such as mIoU, which stay unchanged."""
    first = text.partition(" ")[0]
    unchanged = " = " in text or first != first.lower()
    return text if unchanged else text[:1].upper() + text[1:]


def _plain(text: str) -> str:
    """Escape bars and stars, which are Markdown."""
    return re.sub(r"([|*_^])", r"\\\1", text)
