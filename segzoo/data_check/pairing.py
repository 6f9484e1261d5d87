"""Findings about names and folders: what does not pair, and what training would not find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.data_check.layout import MASK_SUFFIX, SPLITS
from segzoo.data_check.report import Finding, Severity
from segzoo.data_check.survey import shown
from segzoo.datasets.naming import IMAGES, MASKS
from segzoo.options import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from segzoo.data_check.layout import Layout

_SHOWN = 20


def pairing(layout: Layout) -> Iterator[Finding]:
    """Tell of files without a partner, of two files for one, and of folders under other names."""
    yield from _unpaired(layout)
    yield from _names(layout)
    yield from _folders(layout)
    yield from _splits(layout)


def _unpaired(layout: Layout) -> Iterator[Finding]:
    left = "leaves them out and lists them"
    if layout.images:
        yield _of_paths(
            layout,
            (
                "unpaired-images",
                "error",
                f"{many(len(layout.images), 'image', 'have')} no mask of the same name",
            ),
            layout.images,
            "An image is paired with the mask of its name, a.jpg with a.png or a_mask.png. Draw the mask, "
            "rename it, or take the image away.",
            left,
        )
    if layout.masks:
        yield _of_paths(
            layout,
            (
                "unpaired-masks",
                "error",
                f"{many(len(layout.masks), 'mask', 'have')} no image of the same name",
            ),
            layout.masks,
            "Rename the mask like its image, or take it away.",
            left,
        )
    if layout.ambiguous:
        yield _of_paths(
            layout,
            ("ambiguous", "error", f"{many(len(layout.ambiguous), 'file', 'have')} a rival of the same name"),
            [file for file, _ in layout.ambiguous],
            "Two files of one name, such as a.jpg and a.png, or a.png and a_mask.png: which one is meant "
            "cannot be known. Keep one of them.",
            f"keeps the other one ({_shown(layout, layout.ambiguous[0][1])}, ...); make sure it is right",
        )


def _names(layout: Layout) -> Iterator[Finding]:
    if layout.suffix != MASK_SUFFIX:
        yield Finding(
            kind="suffix",
            severity="note",
            what=f"masks are named like their images with {layout.suffix!r} added",
            advice=f"Training must be told: data.mask_suffix={layout.suffix}.",
            repaired="names them like their images",
        )
    if layout.stacks:
        yield Finding(
            kind="stacks",
            severity="note",
            what=f"{many(layout.stacks, 'file')} of several pages: each page is an image with its mask",
            advice="Neighbouring pages are nearly alike, so all pages of a stack stay in one split.",
            count=layout.stacks,
        )
    if layout.ignored:
        yield _of_paths(
            layout,
            ("ignored", "note", f"{many(len(layout.ignored), 'file')} of other kinds not looked at"),
            layout.ignored,
            "Only image files, .npy and .pt are read; if these are images or masks, save them as PNG.",
            "",
        )


def _folders(layout: Layout) -> Iterator[Finding]:
    named = [option for option in layout.options if not option.startswith("data.mask_suffix")]
    if named:
        yield Finding(
            kind="folders",
            severity="note",
            what=f"the folders are not called {IMAGES[0]} and {MASKS[0]}",
            advice=f"Training must be told what they are called: {' '.join(named)}.",
            repaired="names them so",
        )
    if layout.together:
        yield Finding(
            kind="together",
            severity="error",
            what="images and masks lie in one folder",
            advice="Training looks for them in two, images and masks.",
            repaired="puts them into two",
        )


def _splits(layout: Layout) -> Iterator[Finding]:
    if not layout.pairs:
        return
    counts = {split: sum(pair.split == split for pair in layout.pairs) for split in SPLITS}
    missing = [split for split in ("train", "val") if not counts[split]]
    if missing and len(layout.pairs) > 1:
        by_hash = "" if layout.divided else " (without folders, a hash of the name decides)"
        yield Finding(
            kind="empty-split",
            severity="error",
            what=f"no image with a mask is for {' or '.join(missing)}{by_hash}",
            advice="Training needs images to learn from (train) and others to choose the best weights by "
            "(val). Make folders train/images, train/masks, val/images, val/masks, with a tenth in val.",
            repaired="makes them" if len(layout.pairs) > 1 else "",
        )
    elif missing:
        yield Finding(
            kind="empty-split",
            severity="error",
            what="there is only one image with a mask",
            advice="Training needs at least one image in train and another in val.",
        )


def _of_paths(
    layout: Layout,
    told: tuple[str, Severity, str],
    paths: Sequence[Path],
    advice: str,
    repaired: str,
) -> Finding:
    kind, severity, what = told
    examples = tuple(_shown(layout, path) for path in paths[:_SHOWN])
    return Finding(
        kind=kind,
        severity=severity,
        what=what,
        advice=advice,
        count=len(paths),
        examples=examples,
        repaired=repaired,
    )


def _shown(layout: Layout, path: Path) -> str:
    return shown(path, layout.root)
