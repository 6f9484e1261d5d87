"""Pictures of predictions, created by ``python docs/images/zoo/compute.py`` and kept in this repository."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

from zoo_pages.markup import html, original

if TYPE_CHECKING:
    from zoo_pages.facts import Weights

#: The folder of the pictures, relative to the documents.
FOLDER = "images/zoo"


def picture_of(one: Weights) -> nodes.Node:
    """Return the picture of a prediction, or why there is none."""
    said = _kept().get(one.entry.full_name)
    if said is None:
        return html(
            "p", html("strong", "No picture: "), html("span", _why(one)), classes=["zoo-picture-missing"]
        )
    image = nodes.image(uri=f"/{FOLDER}/{said['file']}", alt=said["alt"], classes=["zoo-picture"])
    return html("figure", image, html("figcaption", original(said["caption"])))


def _why(one: Weights) -> str:
    if one.trouble:
        return "their description could not be read."
    if one.of_encoder:
        return "these are weights of an encoder, which cannot segment images alone."
    if one.shipped:
        return "it has not been computed yet."
    return "these weights are downloaded at first use, and this site is built offline."


@cache
def _kept() -> dict[str, Any]:
    file = Path(__file__).resolve().parents[2] / FOLDER / "pictures.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
