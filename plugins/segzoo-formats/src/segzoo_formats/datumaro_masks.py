"""Images and masks as Datumaro exports them, "common semantic segmentation", with ``dataset_meta.json``.

The file names the classes by number and says the colour of each, in which masks are saved.

The format: https://open-edge-platform.github.io/datumaro/stable/docs/data-formats/formats/common_semantic_segmentation.html
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import segzoo.json_text as json_text
from segzoo.datasets import Pairs, check_split, find_pairs, listed
from segzoo.errors import FailureError, OptionError
from segzoo.specs import Labels, Recognition, voc_colour
from segzoo_formats.labelmap import LabelMap
from segzoo_formats.search import name_remarks, unwrapped
from segzoo_formats.values import distinct

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance

_META = "dataset_meta.json"


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``dataset_meta.json`` with colours, a folder of images and a folder of masks."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if (
        glance.file
        or not glance.has(_META)
        or "segmentation_colors" not in glance.head(glance.folder / _META)
    ):
        return None
    data, found = glance.json(glance.folder / _META), find_pairs(glance.folder, quick=True)
    if not isinstance(data, dict) or not isinstance(data.get("label_map"), dict) or not found.pairs:
        return None
    told = f"masks of Datumaro, {len(data['label_map'])} classes as {_META} says"
    return Recognition(summary=told, masks=True)


def datumaro_masks(root: str | os.PathLike[str], split: str = "train", *, scale: float = 1.0) -> Pairs:
    """Open images with masks in the colours that ``dataset_meta.json`` says.

    Args:
        root: folder that holds ``dataset_meta.json``, ``images`` and ``masks``; files pair as those of the
            dataset ``folder``.
        split: ``train``, ``val``, ``test`` or ``all``.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: there is no such file, it does not name classes, or a file has no partner.
        OptionError: the split is empty.
    """
    check_split("datumaro-masks", split)
    folder = Path(root)
    said = _read(folder / _META)
    found = find_pairs(folder)
    alone = [path.relative_to(folder).as_posix() for path in (*found.images, *found.masks)]
    if alone or found.problems or not found.pairs:
        what = (
            f"files have no partner: {listed(alone)}"
            if alone
            else listed(found.problems) or "there are no pairs"
        )
        raise FailureError(f"{folder}: {what}. `segzoo data check {folder}` says more")
    chosen = [one.pair for one in found.pairs if split in ("all", one.split)]
    if not chosen:
        there = listed(sorted({one.split for one in found.pairs}))
        raise OptionError(f"the split {split!r} of {folder} is empty: there is {there}")
    return Pairs(
        chosen,
        said.labels,
        scale=scale,
        ignore_colour=said.ignored,
        decode=said.decode,
        remarks=name_remarks(said.labels.classes),
    )


def _read(path: Path) -> LabelMap:
    try:
        data = json_text.read(path)
        names = {int(number): str(name) for number, name in data["label_map"].items()}
        colours = [_colour(one) for one in data.get("segmentation_colors") or map(voc_colour, sorted(names))]
        background = data.get("background_label")
        numbers = sorted(distinct(names, path))
        palette = tuple(colours[number] for number in numbers)
        place = None if background is None else numbers.index(int(background))
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise FailureError(f"{path} does not name classes and their colours: {error!r}") from error
    if len(set(palette)) < len(palette):
        raise FailureError(f"{path} gives two classes one colour")
    labels = Labels(classes=tuple(names[number] for number in numbers), palette=palette, background=place)
    return LabelMap(replace(labels, ignore_index=labels.unused_index), colours=tuple(colours))


def _colour(said: Any) -> tuple[int, int, int]:
    red, green, blue = (int(band) for band in said)
    return red, green, blue
