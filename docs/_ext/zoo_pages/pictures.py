"""Pictures of what weights see, kept in this repository: ``python docs/images/zoo/compute.py`` made them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

from zoo_pages.markup import html

if TYPE_CHECKING:
    from zoo_pages.facts import Weights

#: Where they lie, below the documents.
FOLDER = "images/zoo"


def picture_of(one: Weights) -> nodes.Node:
    """Return the picture of a prediction, or why there is none."""
    said = _kept().get(one.entry.full_name)
    if said is None:
        return html("p", html("strong", "No picture: "), _why(one), classes=["zoo-picture-missing"])
    image = nodes.image(uri=f"/{FOLDER}/{said['file']}", alt=said["alt"], classes=["zoo-picture"])
    return html("figure", image, html("figcaption", said["caption"]))


def _why(one: Weights) -> str:
    if one.trouble:
        return "what they are is not known."
    if one.of_encoder:
        return "they are an encoder's, which by itself segments nothing."
    if one.shipped:
        return "nobody has computed one yet."
    return "they are fetched from their authors at first use; this site is built from what ships, offline."


@cache
def _kept() -> dict[str, Any]:
    file = Path(__file__).resolve().parents[2] / FOLDER / "pictures.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
