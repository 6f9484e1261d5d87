"""The scores of weights with their contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo_pages import words
from zoo_pages.markup import as_is, definitions, details, html, original
from zoo_pages.table import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docutils import nodes

    from zoo_pages.facts import Weights


def scores_of(one: Weights) -> list[nodes.Node]:
    """Return the known scores of weights, and who measured them."""
    found: list[nodes.Node] = []
    provenance: Any = one.config.provenance if one.config else {}
    if one.scores:
        found += _measured(one.scores, provenance)
    if isinstance(provenance.get("cross_validation"), dict):
        found += _folds(provenance["cross_validation"])
    if one.entry.spec.claimed:
        found.append(
            html("p", html("strong", "Claimed by the authors: "), original(one.entry.spec.claimed), ".")
        )
    if not one.scores and one.config is not None:
        found.append(html("p", "Not measured with segzoo."))
    return found


def _measured(scores: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[nodes.Node]:
    data = as_is(str(provenance["data"])) if "data" in provenance else html("span", "its data")
    part = as_is(str(provenance.get("scored", "test")))
    count = [as_is(str(scores["images"])), " images"] if "images" in scores else ["the images"]
    caption = html("span", "Measured with segzoo on ", *count, ", the ", part, " part of ", data)
    rows, contracts = [], []
    for metric, said in words.metrics(scores):
        contracts.append((metric, str(said["contract"])))
        intervals = said.get("intervals") or {}
        for average, value in words.values(said):
            rows.append(
                (as_is(metric), average.replace("_", " "), f"{value:.4f}", _interval(intervals.get(average)))
            )
    found = [plain(caption, ("Metric", "Average", "Value", "95 % confidence interval"), rows)] if rows else []
    classes = scores.get("classes")
    if isinstance(classes, dict) and classes:
        found += _by_class(classes, contracts)
    if scores.get("intervals by"):
        found.append(html("p", "Intervals: ", original(str(scores["intervals by"])), "."))
    return [*found, *_contracts(contracts)]


def _interval(ends: Any) -> nodes.Node | str:
    """Return an interval, such as ``0.8184 to 0.8736``; nothing where there is none."""
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return ""
    return html("span", as_is(f"{ends[0]:.4f}"), " to ", as_is(f"{ends[1]:.4f}"))


def _by_class(classes: Mapping[str, Any], contracts: list[tuple[str, str]]) -> list[nodes.Node]:
    said = {name: dict(words.values(one)) for name, one in classes.items() if isinstance(one, dict)}
    columns = list(dict.fromkeys(metric for one in said.values() for metric in one))
    rows = [
        (as_is(name), *(f"{one[column]:.4f}" if column in one else "" for column in columns))
        for name, one in said.items()
    ]
    contract = next((one.get("contract") for one in classes.values() if isinstance(one, dict)), None)
    if contract:
        contracts.append(("each class", str(contract)))
    return [plain("Each class, over the pixels of all images", ("Class", *map(as_is, columns)), rows)]


def _folds(said: Mapping[str, Any]) -> list[nodes.Node]:
    mean, deviation = said.get("mean"), said.get("deviation")
    if not isinstance(mean, dict) or not isinstance(deviation, dict):
        return []
    spread = dict(words.values(deviation))
    rows = [
        (as_is(name.replace("_", " ")), f"{value:.4f}", f"{spread[name]:.4f}" if name in spread else "")
        for name, value in words.values(mean)
    ]
    table = plain("Cross-validation by segzoo", ("Metric", "Mean of the folds", "Standard deviation"), rows)
    contracts = said.get("contracts")
    told = [("folds", str(mean.get("contract", "")))]
    told += [(name, str(text)) for name, text in contracts.items()] if isinstance(contracts, dict) else []
    return [table, *_contracts(told)]


def _contracts(contracts: Sequence[tuple[str, str]]) -> list[nodes.Node]:
    told: list[tuple[list[nodes.Node], list[nodes.Node]]] = [
        ([as_is(name)], [html("ul", *_lines(text))]) for name, text in contracts if text
    ]
    return [details("What these numbers count", definitions(told))] if told else []


def _lines(contract: str) -> Iterator[nodes.Node]:
    for line in contract.split("; "):
        yield html("li", original(line))
