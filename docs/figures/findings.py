"""The page of the doctor's findings, generated from folders that have each of them."""

from __future__ import annotations

import ast
import re
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ill_data as ill
import numpy as np

from segzoo import data_check as doctor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from segzoo.data_check import Finding

#: Settings and commands in what the doctor says.
_CODE = re.compile(
    r"(?:data|model|loss)\.\w+(?:=\[[^\]]*\]|=\{[^}]*\}|=[\w.:,]*\w)?|segzoo data \w+ DIR"
    r"|--data \S+ --root [\w/]+"
)
#: What is made, and what the doctor should find there.
CASES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "names": (ill.badly_named, ("unpaired-images", "unpaired-masks", "ambiguous", "ignored")),
    "varying": (partial(ill.folder, masks="masks/{}_gt.png"), ("pairing",)),
    "choice": (ill.two_sets, ("choice",)),
    "groups": (partial(ill.pieces, wholes=4), ("groups",)),
    "film": (partial(ill.pieces, wholes=1), ("one-group",)),
    "listed": (ill.listed, ("missing",)),
    "beside": (ill.beside, ("beside",)),
    "parts": (ill.in_parts, ("no-val", "unlabelled")),
    "lists": (ill.in_lists, ("unlisted",)),
    "gone": (partial(ill.annotated, gone=True), ("not-opened",)),
    "mixed": (partial(ill.annotated, masks=True), ("readings",)),
    "nothing": (lambda root: root.mkdir(), ("unrecognised",)),
    "strange": (ill.strange, ("uniform", "outliers")),
    "folders": (partial(ill.folder, images="Photos/{}.png", masks="annotations/{}.png"), ("folders",)),
    "together": (partial(ill.folder, images="{}.png", masks="{}_mask.png"), ("together",)),
    "few": (
        lambda root: [ill.save(root / f"{part}/1.png", ill.disc(1)) for part in ("images", "masks")],
        ("empty-split",),
    ),
    "layers": (ill.layered, ("layers",)),
    "overlap": (ill.overlapped, ("overlap",)),
    "stacks": (ill.stacked, ("stacks", "uneven-stacks", "unpaired")),
    "unlike": (ill.unlike, ("damaged", "sizes", "frames", "modes", "deep", "cmyk")),
    "turned": (ill.turned, ("rotation", "rotation-unclear")),
    "banded": (ill.banded, ("bands",)),
    "alpha": (partial(ill.folder, image=ill.transparent), ("alpha",)),
    "nodata": (partial(ill.folder, images="images/{}.tif", image=ill.partly_measured), ("nodata",)),
    "signed": (ill.signed, ("unscaled",)),
    "grey": (partial(ill.folder, image=lambda n: ill.photo(n)[..., 0]), ("grey",)),
    "binary": (ill.folder, ("binary",)),
    "indices": (partial(ill.folder, mask=ill.disc), ("indices",)),
    "void": (partial(ill.folder, mask=ill.with_void), ("void",)),
    "values": (partial(ill.folder, mask=lambda n: ill.disc(n, 128)), ("values",)),
    "one-based": (partial(ill.folder, mask=lambda n: ill.disc(n) + np.uint8(1)), ("one-based",)),
    "colours": (partial(ill.folder, mask=ill.coloured), ("colours",)),
    "camvid": (partial(ill.folder, mask=ill.streets), ("camvid",)),
    "odd": (partial(ill.folder, mask=ill.odd_one), ("odd-masks",)),
    "smeared": (partial(ill.folder, mask=ill.smooth), ("smeared",)),
    "palettes": (partial(ill.folder, mask=ill.shuffled), ("palettes",)),
    "instances": (partial(ill.folder, mask=ill.counted), ("instances",)),
    "filled": (partial(ill.folder, mask=ill.filled), ("filled",)),
    "pieces": (partial(ill.folder, mask=ill.one_of_each), ("pieces",)),
    "unfinished": (ill.half_counted, ("unfinished",)),
    "single": (partial(ill.folder, mask=lambda n: ill.disc(n, 0)), ("single",)),
    "unclear": (partial(ill.folder, mask=ill.noise), ("unclear",)),
    "balance": (ill.unbalanced, ("black", "missing-classes", "missing-in-split", "rare")),
    "doubled": (ill.doubled, ("copies-across-splits", "near-copies-across-splits", "copies")),
}

GROUPS = {
    "Names and folders": (
        "unpaired-images", "unpaired-masks", "ambiguous", "unpaired", "missing", "pairing", "choice",
        "folders", "together", "ignored", "beside", "layers", "overlap",
    ),
    "What it is, and its parts": (
        "readings", "unrecognised", "not-opened", "no-val", "empty-split", "unlabelled", "unlisted", "groups",
        "one-group",
    ),
    "Files": (
        "damaged", "sizes", "rotation", "rotation-unclear", "stacks", "uneven-stacks", "frames", "modes",
        "grey", "bands", "alpha", "deep", "unscaled", "nodata", "cmyk", "uniform", "outliers",
    ),
    "What the masks mean": (
        "binary", "indices", "void", "values", "one-based", "colours", "camvid", "odd-masks", "smeared",
        "palettes", "instances", "filled", "unfinished", "pieces", "single", "unclear",
    ),
    "Classes": ("black", "missing-classes", "missing-in-split", "rare"),
    "The same image twice": ("copies-across-splits", "near-copies-across-splits", "copies"),
}  # fmt: skip

_HEAD = """# What the doctor says

This page lists every finding of `segzoo data check`, in the doctor's own words. An **error** stops training
or makes it useless. A **warning** does not stop training, but the result is probably not what you want. A
**note** is good to know. `--fix OUT` writes a repaired copy; your data is never changed.

<!-- written by `python docs/figures` from what the doctor finds in small folders that have each fault -->
"""


def kinds() -> set[str]:
    """Return every kind of finding that the doctor's source names."""
    found: set[str] = set()
    for path in Path(doctor.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                found |= set(_kinds_of(call))
    return found


def _kinds_of(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "id", "")
    told: list[ast.expr] = []
    if name == "Finding":
        told = [keyword.value for keyword in call.keywords if keyword.arg == "kind"]
    elif name in ("_found", "_of_paths", "_note", "_error"):
        # What lists paths is given the layout first.
        first = call.args[1 if name == "_of_paths" else 0]
        told = [first.elts[0] if isinstance(first, ast.Tuple) else first]
    for one in told:
        for part in (one.body, one.orelse) if isinstance(one, ast.IfExp) else (one,):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def found() -> dict[str, Finding]:
    """Return one finding of each kind, from folders that are made for it."""
    result: dict[str, Finding] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, wanted) in CASES.items():
            root = Path(folder) / name
            make(root)
            here = {one.kind: _placeless(one, folder) for one in doctor.check_data(root).findings}
            for kind in wanted:
                if kind not in here:
                    raise LookupError(f"the folder {name!r} should have {kind!r}, and has {', '.join(here)}")
                result[kind] = here[kind]
    return result


def _placeless(finding: Finding, folder: str) -> Finding:
    """Return a finding without the path of the temporary folder."""
    return replace(
        finding,
        what=finding.what.replace(f"{folder}/", ""),
        advice=finding.advice.replace(f"{folder}/", ""),
    )


def page() -> str:
    """Return the page."""
    told = found()
    text = [_HEAD]
    for title, names in GROUPS.items():
        text.append(f"\n## {title}\n")
        text += [_section(told[name]) for name in names]
    return "".join(text)


def _section(finding: Finding) -> str:
    fix = f" **`--fix`** {_plain(finding.repaired)}." if finding.repaired else ""
    what, advice = _plain(finding.what), _plain(finding.advice)
    return f"\n### {finding.kind}\n\n**{finding.severity}**: *{what}*\n\n{advice}{fix}\n"


def _plain(text: str) -> str:
    """Mark settings and commands as code, so that their brackets and stars are not Markdown."""
    return _CODE.sub(lambda match: f"`{match[0]}`", text)
