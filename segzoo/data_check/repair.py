"""A repaired copy: masks of class indices or object numbers, upright images, and only complete pairs.

The copy is written to a temporary folder next to its final place, and moved there when it is complete.
"""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.data_check.meaning import VOID, fits
from segzoo.data_check.pictures import same_shape, turned_with_image
from segzoo.data_check.survey import shown
from segzoo.datasets.numbered import narrowed
from segzoo.datasets.pairing import SPLITS
from segzoo.datasets.splits import divided
from segzoo.errors import FailureError, ImageError, OptionError
from segzoo.files import whole_folder, writing
from segzoo.images import read
from segzoo.images.reading import upright
from segzoo.labels import colour_number, packed, read_mask
from segzoo.printing import command_line, printable
from segzoo.specs import VOC_VOID, Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.data_check.meaning import Meaning
    from segzoo.data_check.survey import Look
    from segzoo.datasets.pairing import Pairing

LIST = "REPAIRS.txt"


@dataclass
class Repair:
    """The result for each file: what the copy leaves out, and what it holds in another form."""

    left_out: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def check_out(out: Path, root: Path) -> None:
    """Refuse a place for the copy that would affect the original, or any other existing files.

    Raises:
        OptionError: ``out`` is the original, is inside it or contains it, or is not empty.
    """
    # Not Path.resolve, which raises RuntimeError for a link to itself.
    here, there = (Path(os.path.realpath(one)) for one in (out, root.parent if root.is_file() else root))
    if here == there or here.is_relative_to(there) or there.is_relative_to(here):
        raise OptionError(f"--fix {out} would write into the data itself, {root}: choose a folder outside")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"--fix {out} already exists: choose a new folder, or delete it first")


def repair(layout: Pairing, looks: Sequence[Look], meaning: Meaning, out: Path) -> Repair:
    """Write a repaired copy to ``out``, which `check_out` has approved.

    Raises:
        FailureError: no pair can be repaired, or the copy cannot be written.
    """
    done = Repair()
    _list_unpaired(layout, done)
    good = [look for look in looks if _listed(look, meaning, done, layout.root)]
    if not good:
        raise FailureError(
            f"{layout.root}: no pair can be repaired, so nothing was written; "
            f"`{command_line('segzoo', 'data', 'check', layout.root)}` gives the reason"
        )
    with writing(out, what="cannot write the repaired copy"), whole_folder(out) as part:
        for look, folder, name in _places(layout, good):
            try:
                _write(look, part / folder, name, meaning, done)
            except ImageError as error:  # the file is gone, or cannot be rotated
                done.left_out.append(str(error))
        _write_list(part, meaning, done)
    return done


def _list_unpaired(layout: Pairing, done: Repair) -> None:
    rivals = [path for path, _ in layout.ambiguous]
    for reason, paths in (
        ("has no mask", layout.images),
        ("has no image", layout.masks),
        ("has a rival of the same name", rivals),
    ):
        done.left_out += [f"{shown(path, layout.root)}: {reason}" for path in paths]


def refusal(look: Look, meaning: Meaning, root: Path) -> str:
    """Return why a pair cannot be in the copy; empty if it can."""
    if look.image.problem or look.mask.problem:
        which = look.image_path if look.image.problem else look.mask_path
        return f"{shown(which, root)} cannot be read: {look.image.problem or look.mask.problem}"
    if not fits(look.mask, meaning):
        return "the meaning of its values is unclear"
    if look.mask.size != look.image.size and not turned_with_image(look) and not same_shape(look):
        return "image and mask have different shapes"
    return ""


def _listed(look: Look, meaning: Meaning, done: Repair, root: Path) -> bool:
    """Return whether a pair can be in the copy; list it as left out if it cannot."""
    reason = refusal(look, meaning, root)
    if not reason:
        return True
    image, mask = (shown(path, root) for path in (look.image_path, look.mask_path))
    done.left_out.append(f"{image} and {mask}: {reason}")
    return False


def _places(layout: Pairing, looks: Sequence[Look]) -> list[tuple[Look, str, str]]:
    """Return each pair with its folder and its new name; empty splits are filled."""
    counts = {split: sum(look.split == split for look in looks) for split in SPLITS}
    if counts["train"] and counts["val"]:
        return [(look, look.split if layout.divided else "", look.name) for look in looks]
    # A test part does not change. Groups, such as the pages of a stack, also stay together here.
    rest = [look for look in looks if look.split != "test"] if layout.divided else [*looks]
    names = [look.name if look.page is None else look.name.rpartition("/")[0] for look in rest]
    parts = divided([look.name for look in rest], names if len(set(names)) < len(names) else None)
    made = {look: "val" if part == "val" else "train" for look, part in zip(rest, parts, strict=True)}
    return [(look, made.get(look, look.split), look.name) for look in looks]


def _write(look: Look, folder: Path, name: str, meaning: Meaning, done: Repair) -> None:
    source = Path(look.image_path)
    paged = look.page is None and look.image.frames > 1
    again = look.image.turn != 1 or paged or look.page is not None
    image = folder / "images" / (name + (".png" if again else source.suffix))
    mask = folder / "masks" / f"{name}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    mask.parent.mkdir(parents=True, exist_ok=True)
    if again:
        image = _save_upright(look, image)
        why = "one page of it" if look.page is not None else "the first page" if paged else "turned upright"
        done.changed.append(f"{look.image_path} is {image.relative_to(folder)}: {why}")
    else:
        shutil.copyfile(source, image)
    if meaning.kind != "instances":
        indexed(class_mask(look, meaning), meaning).save(mask)
        return
    numbers = object_mask(look)
    if numbers.max() <= 0xFFFF:
        Image.fromarray(numbers.astype(np.uint16)).save(mask)
    else:  # PNG has at most 16 bits
        Image.fromarray(numbers).save(mask.with_suffix(".tif"))


def object_mask(look: Look) -> NDArray[np.int32]:
    """Return the numbers of a mask's objects, rotated and sized like its image.

    Numbers beyond 31 bits are replaced by new ones.
    """
    numbers = _values(look)
    numbers = narrowed(packed(numbers) if numbers.ndim == 3 else numbers)
    return np.asarray(_sized(numbers.astype(np.int32), look))


def _save_upright(look: Look, path: Path) -> Path:
    """Write one page of an image, upright: as PNG if possible, else as an array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = read(look.image_path, page=look.page or 0)
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if (pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3)) or (
        pixels.dtype == np.uint16 and shown.ndim == 2
    ):
        Image.fromarray(shown).save(path)
        return path
    path = path.with_suffix(".npy")
    np.save(path, pixels)
    return path


def class_mask(look: Look, meaning: Meaning) -> Image.Image:
    """Return a mask as class indices, rotated and sized like its image."""
    return _sized(_classes(_values(look), look, meaning), look)


def _values(look: Look) -> NDArray[Any]:
    """Return the values of a mask as training reads them, ``(H, W)``, or ``(H, W, 3)`` colours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_mask(look.mask_path, page=look.page, colours=True)


def _sized(mask: NDArray[Any], look: Look) -> Image.Image:
    """Return a mask rotated and sized like its image."""
    picture = Image.fromarray(upright(mask, look.image.turn) if turned_with_image(look) else mask)
    size = look.image.size[1], look.image.size[0]
    return picture if picture.size == size else picture.resize(size, Image.Resampling.NEAREST)


def _classes(values: NDArray[Any], look: Look, meaning: Meaning) -> NDArray[np.uint8]:
    if meaning.colours:
        table = {colour_number(colour): index for index, colour in enumerate(meaning.colours)}
        return _by_table(packed(_looked_up(values, look)), table)
    return _by_table(values.astype(np.int64), meaning.table(look.mask))


def _looked_up(values: NDArray[Any], look: Look) -> NDArray[np.uint8]:
    """Return the colours of a mask whose values stand for palette colours or grey levels."""
    if values.ndim == 3:
        return values
    colours = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    if look.mask.dtype == "bool":
        colours[1] = 255
    for value, colour in look.mask.palette.items():
        colours[value] = colour
    return colours[values]


def _by_table(array: NDArray[np.int64], table: dict[int, int]) -> NDArray[np.uint8]:
    keys = np.array(sorted(table), np.int64)
    classes = np.array([table[int(key)] for key in keys], np.uint8)
    place = np.minimum(np.searchsorted(keys, array), len(keys) - 1)
    return np.where(keys[place] == array, classes[place], VOID).astype(np.uint8)


def indexed(mask: Image.Image, meaning: Meaning) -> Image.Image:
    """Add a palette to class indices, so that viewers show colours instead of almost black."""
    colours: list[Any] = [(0, 0, 0)] * 256
    palette = meaning.colours or Labels(classes=meaning.names).colours
    colours[: len(palette)] = palette
    colours[VOID] = VOC_VOID
    mask.putpalette([value for colour in colours for value in colour])
    return mask


def _write_list(folder: Path, meaning: Meaning, done: Repair) -> None:
    lines = [
        f"left out ({len(done.left_out)}):",
        *done.left_out,
        "",
        f"changed images ({len(done.changed)}):",
    ]
    held = "with the numbers of their objects" if meaning.kind == "instances" else "as class indices"
    lines += [*done.changed, "", f"All masks were written again {held}."]
    (folder / LIST).write_text("\n".join(map(printable, lines)) + "\n", encoding="utf-8")
