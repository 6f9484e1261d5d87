"""A model in a notebook: what it is, what it expects, and what it reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.labels import background_name
from segzoo.notebooks.elements import card, details, heading, swatch, table
from segzoo.printing import markup
from segzoo.words import preprocessing_steps, stated_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.config import ModelConfig

#: Classes that are named at once.
MOST = 12


def model_html(
    kind: str, *, parameters: int, logits: int, stride: int, where: str, config: ModelConfig | None
) -> str:
    """Return a model as HTML that stands alone.

    Args:
        kind: the name of its Python class.
        parameters: their number.
        logits: channels that it returns.
        stride: of its coarsest features.
        where: device and type of its parameters.
        config: how it was made and how it predicts, if that is known.
    """
    rows = [
        ("parameters", f"{parameters:,}"),
        ("stride", f"{stride} at the coarsest"),
        ("weights", markup(where)),
    ]
    if config is None:
        rows.append(("logits", str(logits)))
        return card(heading(kind), table(rows), label=kind)
    name = config.architecture.name
    channels = config.architecture.in_channels
    rows[1:1] = [("images", f"{channels} channel{'s' if channels != 1 else ''}"), ("logits", str(logits))]
    rows.append(("classes", _classes(config)))
    if config.labels.background != 0:
        rows.append(("background", markup(background_name(config.labels) or "none")))
    rows.append(("preprocessing", markup(preprocessing_steps(config.preprocessing))))
    if logits == 1:
        rows.append(("threshold", f"{config.threshold:g}"))
    if config.provenance.get("data"):
        rows.append(("trained on", markup(str(config.provenance["data"]))))
    if config.provenance:
        rows.append(("licence", markup(config.licence or "not stated")))
    return card(heading(kind, name), table(rows), *_scores(config.provenance), label=f"{kind} {name}")


def _classes(config: ModelConfig) -> str:
    labels = config.labels
    named = list(zip(labels.classes, labels.colours, strict=True))
    shown = [
        f'<span style="white-space: nowrap">{swatch(colour)}{markup(name)}</span>'
        for name, colour in named[:MOST]
    ]
    more = [f"{len(named) - MOST} more"] if len(named) > MOST else []
    return " &ensp;".join([*shown, *more])


def _scores(provenance: Mapping[str, Any]) -> list[str]:
    """Return every number that the weights state, with its contract; those of single classes left out."""
    rows, last = [], ""
    for one in stated_scores(provenance):
        if " classes " in f" {one.name} ":
            continue
        told = "as above" if one.contract == last else markup(one.contract)
        rows.append((markup(one.name), f"{one.value:.4f}{markup(one.interval).replace(' ', '&nbsp;')}", told))
        last = one.contract
    claimed = provenance.get("claimed")
    parts = []
    if rows:
        parts = [details(f"{len(rows)} scores", table(rows, header=("measured", "value", "contract")))]
    if claimed:
        parts.append(heading("claimed by their authors", str(claimed)))
    return parts
