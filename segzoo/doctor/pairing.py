"""Findings about names and folders: what does not pair, and what training would not find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.doctor.layout import MASK_SUFFIX, SPLITS
from segzoo.doctor.report import Finding, Severity
from segzoo.doctor.survey import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from segzoo.doctor.layout import Layout

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
            ("unpaired-images", "error", f"{_count(layout.images, 'image')} no mask of the same name"),
            layout.images,
            "An image is paired with the mask of its name, a.jpg with a.png or a_mask.png. Draw the mask, "
            "rename it, or take the image away.",
            left,
        )
    if layout.masks:
        yield _of_paths(
            layout,
            ("unpaired-masks", "error", f"{_count(layout.masks, 'mask')} no image of the same name"),
            layout.masks,
            "Rename the mask like its image, or take it away.",
            left,
        )
    if layout.ambiguous:
        yield _of_paths(
            layout,
            ("ambiguous", "error", f"{_count(layout.ambiguous, 'file')} a rival of the same name"),
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
    if layout.leftovers:
        yield _of_paths(
            layout,
            ("leftovers", "error", f"{len(layout.leftovers):,} files are leftovers of macOS, not images"),
            layout.leftovers,
            "macOS leaves a file ._name beside each file it copies to other disks. Delete them.",
            "leaves them out",
        )
    if layout.ignored:
        yield _of_paths(
            layout,
            ("ignored", "note", f"{len(layout.ignored):,} files of other kinds are not looked at"),
            layout.ignored,
            "Only image files are read; if these are images or masks, save them as PNG.",
            "",
        )


def _folders(layout: Layout) -> Iterator[Finding]:
    if layout.renamed:
        yield Finding(
            kind="folders",
            severity="error",
            what=f"{len(layout.renamed)} folder{'s have' if len(layout.renamed) > 1 else ' has'} a name that "
            "training does not look for",
            advice="Training looks for images (or imgs) and masks (or labels), if divided then inside train, "
            "val and test. Rename: "
            + ", ".join(f"{_shown(layout, folder)} to {name}" for folder, name in layout.renamed[:6])
            + ".",
            count=len(layout.renamed),
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
    if layout.inside:
        yield Finding(
            kind="splits-inside",
            severity="warning",
            what="the folders train, val and test lie inside the folders of images and masks",
            advice="Training would take them as part of the names and divide the images by a hash of the "
            "name instead. Turn it round: train/images, train/masks, val/images, and so on.",
            repaired="turns them round",
        )
    missing = [split for split in ("train", "val") if not counts[split]]
    if missing and len(layout.pairs) > 1:
        by_hash = "" if layout.divided or layout.inside else " (without folders, a hash of the name decides)"
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


def _count(files: Sequence[object], noun: str) -> str:
    return f"{len(files):,} {noun} has" if len(files) == 1 else f"{len(files):,} {noun}s have"


def _shown(layout: Layout, path: Path) -> str:
    return shown(path, layout.root)
