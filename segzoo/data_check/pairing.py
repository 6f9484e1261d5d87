"""Findings about names and folders: how files pair, what does not pair, and options for training."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from segzoo.data_check.report import Finding, Severity
from segzoo.data_check.survey import shown
from segzoo.data_check.unread import annotation_tool
from segzoo.datasets.pairing import MASK_SUFFIX, SPLITS
from segzoo.datasets.splits import groups_of
from segzoo.options import as_word, many

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from segzoo.datasets.pairing import Pairing

_SHOWN = 20
#: Number of pairs that are shown if they were found by the part of names that varies.
_PAIRS = 3


def pairing(layout: Pairing) -> Iterator[Finding]:
    """Report how files pair, files without a partner, two files for one, and the parts."""
    yield from _choices(layout)
    yield from _unpaired(layout)
    yield from _names(layout)
    yield from _aside(layout)
    yield from _splits(layout)


def _choices(layout: Pairing) -> Iterator[Finding]:
    if not layout.choices:
        return
    ways = [
        f"{one.summary}: {shlex.join(f'data.{key}={as_word(value)}' for key, value in one.options.items())}"
        for one in layout.choices
    ]
    ends = any("mask_suffix" in one.options for one in layout.choices)
    classes = " If each is a separate class, set data.per_class=true and data.classes=[...]." if ends else ""
    yield Finding(
        kind="choice",
        severity="error",
        what=f"it is not clear which files are the masks: {len(ways)} sets fit the images",
        advice=f"Choose the set with the classes to learn, with one of these options.{classes}",
        count=len(ways),
        examples=tuple(ways),
    )


def _unpaired(layout: Pairing) -> Iterator[Finding]:
    left = "leaves them out and lists them"
    if layout.missing:
        yield Finding(
            kind="missing",
            severity="error",
            what=f"{many(len(layout.missing), 'line')} of a list without a file",
            advice="Add the files, or remove these lines from the list.",
            count=len(layout.missing),
            examples=tuple(layout.missing[:_SHOWN]),
            repaired=left,
        )
    if layout.images and not layout.choices:
        tool = annotation_tool(layout.ignored)
        yield _of_paths(
            layout,
            (
                "unpaired-images",
                "error",
                f"{many(len(layout.images), 'image', 'have')} no mask of the same name",
            ),
            layout.images,
            f"{tool}{' ' if tool else ''}An image is paired with the mask of its name, a.jpg with a.png or "
            "a_mask.png, or by the part of names that varies. Draw the mask, rename it, or remove the image. "
            "data.image_prefix, data.image_suffix, data.mask_prefix, data.mask_suffix or data.pattern define "
            "how names are built.",
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
            "Rename the mask like its image, or remove it.",
            left,
        )
    if layout.ambiguous:
        yield _of_paths(
            layout,
            ("ambiguous", "error", f"{many(len(layout.ambiguous), 'file', 'have')} a rival of the same name"),
            [file for file, _ in layout.ambiguous],
            "Two files with the same name, such as a.jpg and a.png, or a.png and a_mask.png: it is not clear "
            "which one is right. Keep one of them.",
            f"keeps the other one ({_shown(layout, layout.ambiguous[0][1])}, ...); check that it is right",
        )
    for told in layout.problems:
        yield Finding(kind="unpaired", severity="error", what="files do not fit each other", advice=told)


def _names(layout: Pairing) -> Iterator[Finding]:
    naming = layout.naming
    folders = [option for option in layout.options if option.startswith(("data.images=", "data.masks="))]
    if folders and layout.pairs:
        yield Finding(
            kind="folders",
            severity="note",
            what=f"images are in {naming.images or 'images'}/, masks in {naming.masks or 'masks'}/",
            advice=f"The options for these names: {shlex.join(folders)}.",
            repaired="names them images and masks",
        )
    if layout.learned or naming.mask_suffix not in (MASK_SUFFIX, "") or naming.pattern:
        said = [option for option in layout.options if option not in folders]
        how = (
            f"The options for these names: {shlex.join(said)}."
            if said
            else ("`segzoo data check DIR --pairs pairs.csv` writes the pairs to a file.")
        )
        yield Finding(
            kind="pairing",
            severity="note",
            what="files are paired by the part of their names that varies",
            advice=f"{how} Check whether these belong together:",
            count=len(layout.pairs),
            examples=tuple(
                f"{_shown(layout, one.image)} with {_shown(layout, one.mask)}"
                for one in layout.pairs[:_PAIRS]
                if not isinstance(one.mask, tuple)
            ),
            repaired="names masks like their images",
        )
    if layout.together:
        yield Finding(
            kind="together",
            severity="note",
            what="masks and images are in the same folder",
            advice="Their names show which is which.",
            repaired="puts them into two folders",
        )
    if layout.stacks:
        yield Finding(
            kind="stacks",
            severity="note",
            what=f"{many(layout.stacks, 'file')} of several pages: each page is an image with its mask",
            advice="Neighbouring pages are almost alike, so all pages of a stack stay in one part, "
            "unless it is the only stack.",
            count=layout.stacks,
        )


def _aside(layout: Pairing) -> Iterator[Finding]:
    if layout.ignored:
        tool = annotation_tool(layout.ignored)
        yield _of_paths(
            layout,
            ("ignored", "note", f"{many(len(layout.ignored), 'file')} of other kinds, which are not read"),
            layout.ignored,
            tool
            or "Only image files, .npy and .pt are read; if these are images or masks, save them as PNG.",
            "",
        )
    if layout.beside:
        yield _of_paths(
            layout,
            ("beside", "note", f"{many(len(layout.beside), 'file')} neither image nor mask, by their names"),
            layout.beside,
            "They are ignored.",
            "leaves them out and lists them",
        )
    if layout.unlabelled:
        yield _of_paths(
            layout,
            ("unlabelled", "note", f"{many(len(layout.unlabelled), 'image')} in parts without any mask"),
            layout.unlabelled,
            "They cannot be used for training or scoring; `segzoo predict` segments them.",
            "leaves them out",
        )
    if layout.unlisted:
        yield _of_paths(
            layout,
            ("unlisted", "note", f"{many(len(layout.unlisted), 'image')} in no part"),
            layout.unlisted,
            "Folders or lists define which images belong to train, val and test; the others are not used.",
            "leaves them out",
        )


def _splits(layout: Pairing) -> Iterator[Finding]:
    if not layout.pairs:
        return
    yield from _groups(layout)
    counts = {split: sum(one.split == split for one in layout.pairs) for split in SPLITS}
    yield from empty_parts({split: counts[split] for split in ("train", "val")}, made=len(layout.pairs) > 1)


def empty_parts(counts: Mapping[str, int], *, made: bool = False) -> Iterator[Finding]:
    """Report parts that training needs and that have no images.

    Args:
        counts: number of images in train and in val, if there are such parts.
        made: whether ``--fix`` creates parts.
    """
    missing = [split for split, count in counts.items() if not count]
    if missing == ["val"] and counts.get("train", 0) > 1:
        yield Finding(
            kind="no-val",
            severity="warning",
            what="there are no images for validation (val)",
            advice="Training chooses the best weights with them. The command below uses a tenth of train for "
            "it. split.group keeps images together that belong together, such as frames of one video.",
            repaired="uses a tenth of train for it" if made else "",
        )
    elif missing and sum(counts.values()) == 1:
        yield Finding(
            kind="empty-split",
            severity="error",
            what="there is only one image with a mask",
            advice="Training needs at least one image in train and another in val.",
        )
    elif missing:
        yield Finding(
            kind="empty-split",
            severity="error",
            what=f"there is no image with a mask for {' or '.join(missing)}",
            advice="Training needs images to learn from (train) and others to choose the best weights with "
            "(val)."
            + (" Create the folders train/images, train/masks, val/images and val/masks." if made else ""),
            repaired="creates them" if made else "",
        )


def _groups(layout: Pairing) -> Iterator[Finding]:
    """Report names that look like pieces of one whole, if the division keeps these together."""
    names = [one.pair.name for one in layout.pairs if one.page is None]
    groups: dict[str, list[str]] = {}
    for name, group in zip(names, groups_of(names), strict=True):
        groups.setdefault(group, []).append(name)
    several = {group: members for group, members in groups.items() if len(members) > 1}
    if layout.divided or not several:
        return
    if len(groups) == 1:
        yield Finding(
            kind="one-group",
            severity="warning",
            what="by their names, all images are pieces of one whole, such as frames of one video",
            advice="They are divided in the order of their names into train, val and test, which are then "
            "neighbours: scores say little about other recordings.",
            count=len(names),
        )
        return
    yield Finding(
        kind="groups",
        severity="note",
        what=f"by their names, images are pieces of {len(groups):,} wholes, such as slices of one volume",
        advice="Pieces of one whole stay in one part. split.group changes this.",
        count=len(several),
        examples=tuple(
            f"{group or 'all without a prefix'}: {', '.join(members[:_PAIRS])}, ..."
            for group, members in [*several.items()][:_PAIRS]
        ),
    )


def _of_paths(
    layout: Pairing,
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


def _shown(layout: Pairing, path: Path) -> str:
    return shown(path, layout.root)
