"""Chooses the content of a contact sheet: some images of a dataset with their masks, evenly chosen."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segzoo.data_check.meaning import VOID, Meaning, fits, interpret
from segzoo.data_check.pictures import same_shape, turned_with_image
from segzoo.data_check.repair import class_mask, object_mask
from segzoo.data_check.sheet import Cell, draw_sheet
from segzoo.data_check.source import find_source
from segzoo.data_check.survey import look_at_pairs
from segzoo.datasets.pairing import SPLITS
from segzoo.datasets.subset import evenly_spread
from segzoo.errors import FailureError, ImageError, MissingExtraError, OptionError
from segzoo.files import Keeping, keep_apart, refuse_taken, regular, whole_file, writing
from segzoo.images import displayed, read_with_info
from segzoo.specs import Labels, parse_bands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.data_check.source import Source
    from segzoo.data_check.survey import Look
    from segzoo.datasets.pairing import Found
    from segzoo.interfaces import Dataset

    Bytes = NDArray[np.uint8]
    Vary = Callable[[Bytes, Bytes, Labels], Iterable[tuple[Bytes, Bytes]]]

T = TypeVar("T")

#: Number of masks for determining the meaning of values; `check_data` uses all of them.
_JUDGED = 200
#: Metadata key that marks our sheets; its value is a hash of the pixels.
_MARK = "segzoo sheet"
_ADVICE = "choose another file with --out, or replace it with --overwrite"
_GREY = (150, 150, 150)
#: Numbered objects have the colours of these classes in turn.
_OBJECTS = ("background", *(f"{first}, {first + 7}, ..." for first in range(1, 8)))
_EMPTY = Cell("", "", None, None)


def preview(
    data: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    parts: Mapping[str, Dataset] | None = None,
    split: str | None = None,
    count: int = 24,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    vary: Vary | None = None,
    bands: str | int | Sequence[str | int] = (),
    on_message: Callable[[str], None] | None = None,
) -> Path:
    """Draw a contact sheet of images with their masks, and return its path.

    Args:
        data: a folder of images and masks, or a registered dataset.
        root: location of a registered dataset.
        options: options of the dataset, as in a recipe's ``data_options``.
        parts: the opened parts of the dataset, if it is not divided in its own way.
        split: only this part of it.
        count: maximum number of images.
        out: the picture file; ``NAME_preview.png`` in the working folder if ``None``. It must not be in a
            folder with images or masks of the dataset.
        overwrite: whether an existing file may be replaced; an unchanged sheet of ours always is.
        vary: function that returns further images with masks, to draw next to an image ``(H, W, C)`` and its
            mask ``(H, W)``. Its third argument is the mask's labels, whose ``ignore_index`` is ``None`` if
            the dataset ignores nothing.
        bands: one or three bands of the images to show, by number from 1 or by name; if empty, red, green
            and blue, or the first.
        on_message: called with a message for each sample of the sheet whose files cannot be read.

    Raises:
        OptionError: there is no such split, or the suffix is not that of a picture.
        FailureError: there is nothing to show, or the picture cannot be written, or already exists.
    """
    source = find_source(os.fspath(data), root, options, parts)
    shown = parse_bands(bands) if bands != () else ()
    source.check_opened()
    path = Path(out if out is not None else f"{_name(source)}_preview.png")
    kind = _format(path)
    inputs = _files(source)
    refuse_taken([path], overwrite=overwrite, owns=_is_sheet, inputs=inputs, advice=_ADVICE)
    keep_apart(path.parent, inputs, below=False)
    if source.layout is not None:
        pairs = _of_split(
            {name: [p for p in source.layout.pairs if p.split == name] for name in SPLITS}, split
        )
        cells, labels, total = _cells_of_pairs(pairs, count, shown)
        ignoring = True
    else:
        datasets = _of_split(source.datasets, split)
        cells, labels, total = _cells_of_samples(datasets, count, shown)
        ignoring = next(iter(datasets.values())).labels.ignore_index is not None
    for cell in cells:
        if cell.image is None and on_message is not None:
            on_message(f"{cell.name}: {cell.why or cell.trouble}")
    title = f"{_name(source)}" + (f", {split}" if split else "")
    told = ", ".join(f"{name} {number:,}" for name, number in total.items() if number)
    subtitle = f"{sum(total.values()):,} images with masks ({told})"
    if len(cells) < sum(total.values()):
        subtitle += f", {len(cells)} of them here"
    columns = None
    if vary is not None:
        rows = [_varied(cell, vary, _without_void(labels, ignoring=ignoring)) for cell in cells]
        columns = max(map(len, rows))
        cells = [cell for row in rows for cell in (*row, *[_EMPTY] * (columns - len(row)))]
    sheet = draw_sheet(title, subtitle, cells, labels, columns=columns)
    keeping = Keeping(owns=_is_sheet, naming=lambda parts: None)
    mark = PngInfo()
    mark.add_text(_MARK, _digest(sheet))
    with (
        writing(path, what="cannot write the picture"),
        whole_file(path, overwrite=overwrite, keeping=keeping) as part,
    ):
        sheet.save(part, kind, **({"pnginfo": mark} if kind == "PNG" else {}))
    return path


def _is_sheet(path: Path) -> bool:
    """Return whether a file is a sheet that was drawn here, with unchanged pixels."""
    try:
        with Image.open(regular(path)) as sheet:
            return _MARK in sheet.info and sheet.info[_MARK] == _digest(sheet)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _digest(picture: Image.Image) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def _varied(cell: Cell, vary: Vary, labels: Labels) -> list[Cell]:
    """Return a cell and its variants."""
    if cell.image is None or cell.mask is None or cell.mask.shape[-2:] != cell.image.shape[:2]:
        return [cell]
    variants = enumerate(vary(cell.image, cell.mask, labels), start=1)
    return [cell, *(Cell("", f"variant {number}", *pair, like=cell.image) for number, pair in variants)]


def _format(path: Path) -> str:
    """Return Pillow's name of the format for a picture's suffix."""
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in Image.SAVE:
        raise OptionError(f"{path} is not the name of a picture: use a suffix such as .png or .jpg")
    return kind


def _files(source: Source) -> list[Path]:
    """Return the images and masks of a dataset, if it lists them."""
    layout = source.layout
    if layout is not None:
        paired = [file for one in layout.pairs for file in one.pair.files]
        return [*paired, *layout.images, *layout.masks, *(file for file, _ in layout.ambiguous)]
    told = [(dataset, getattr(dataset, "files", None)) for dataset in source.datasets.values()]
    return [
        file for dataset, files in told if files is not None for i in range(len(dataset)) for file in files(i)
    ]


def _name(source: Source) -> str:
    path = Path(source.data)
    if not path.exists():
        return re.sub(r"[^\w.-]", "_", source.data)  # a name, or an address
    path = Path(os.path.realpath(path))
    return path.stem if path.is_file() else path.name


def _of_split(parts: Mapping[str, T], split: str | None) -> dict[str, T]:
    if split is not None and split not in parts:
        raise OptionError(f"there is no split {split!r}; there are {', '.join(parts)}")
    return {name: part for name, part in parts.items() if split in (None, name)}


def _cells_of_pairs(
    parts: Mapping[str, Sequence[Found]], count: int, bands: tuple[str, ...]
) -> tuple[list[Cell], Labels, dict[str, int]]:
    pairs = [pair for part in parts.values() for pair in part]
    if not pairs:
        raise FailureError("there is no image with a mask to show; `segzoo data check` gives the reason")
    shown = evenly_spread(len(pairs), count)
    judged = sorted({*shown, *evenly_spread(len(pairs), _JUDGED)})
    looks = dict(
        zip(judged, look_at_pairs([pairs[i] for i in judged], sample=0, progress=False), strict=True)
    )
    found = list(looks.values())
    meaning = interpret([look.mask for look in found], [look.mask_path for look in found])
    names = _OBJECTS if meaning.kind == "instances" else meaning.names or ("background", "foreground")
    labels = with_void(Labels(classes=names, palette=_palette(meaning)))
    cells = [_cell(looks[index], meaning, labels, bands) for index in shown]
    return cells, labels, {name: len(part) for name, part in parts.items()}


def _coloured(look: Look, meaning: Meaning) -> NDArray[np.uint8]:
    """Return a mask of objects in a few colours, so that touching objects are distinct."""
    numbers = object_mask(look)
    colours = np.where(numbers > 0, (numbers - 1) % (len(_OBJECTS) - 1) + 1, 0)
    return np.where(numbers == meaning.ignore, VOID, colours).astype(np.uint8)


def _palette(meaning: Meaning) -> tuple[tuple[int, int, int], ...]:
    return meaning.colours if len(meaning.colours) == len(meaning.names) else ()


def with_void(labels: Labels) -> Labels:
    """Return labels with an additional grey class for ignored pixels.

    Classes that overlap are not changed: each of their masks says what is ignored.
    """
    if labels.overlapping:
        return labels
    return Labels(
        classes=(*labels.classes, "void"), palette=(*labels.colours, _GREY), background=labels.background
    )


def _without_void(labels: Labels, *, ignoring: bool) -> Labels:
    """Undo `with_void`: return labels whose last class is the ignore index again."""
    if labels.overlapping:
        return labels
    void = len(labels.classes) - 1
    return Labels(
        classes=labels.classes[:-1], background=labels.background, ignore_index=void if ignoring else None
    )


def _cell(look: Look, meaning: Meaning, labels: Labels, bands: tuple[str, ...]) -> Cell:
    if not look.readable:
        which = look.image_path if look.image.problem else look.mask_path
        why = f"{which}: {look.image.problem or look.mask.problem}"
        return Cell(look.name, look.split, None, None, "cannot be read", why=why)
    try:
        image = displayed(*read_with_info(look.image_path, page=look.page), bands=bands)
    except (ImageError, MissingExtraError) as error:
        return Cell(look.name, look.split, None, None, "cannot be read", why=str(error))
    if not fits(look.mask, meaning):
        return Cell(look.name, look.split, image, None, "mask is unclear")
    trouble = ""
    if look.mask.size != look.image.size and not turned_with_image(look):
        trouble = "sizes differ" if same_shape(look) else "shapes differ"
    numbered = meaning.kind == "instances"
    mask = _coloured(look, meaning) if numbered else np.asarray(class_mask(look, meaning))
    return Cell(look.name, look.split, image, _void_last(mask, VOID, labels), trouble)


def _cells_of_samples(
    datasets: Mapping[str, Dataset], count: int, bands: tuple[str, ...]
) -> tuple[list[Cell], Labels, dict[str, int]]:
    total = {name: len(dataset) for name, dataset in datasets.items()}
    keys = [(name, index) for name, length in total.items() for index in range(length)]
    if not keys:
        raise FailureError("the dataset is empty: there is nothing to show")
    known = next(iter(datasets.values())).labels
    labels = with_void(known)

    def cells() -> Iterator[Cell]:
        for position in evenly_spread(len(keys), count):
            name, index = keys[position]
            try:
                sample = datasets[name][index]
            except Exception as error:  # a dataset's code may raise any error
                yield Cell(f"{name} {index}", name, None, None, str(error))
                continue
            mask = _void_last(sample.mask, known.ignore_index, labels)
            yield Cell(sample.name, name, displayed(sample.image, sample.info, bands=bands), mask)

    return list(cells()), labels, total


def _void_last(mask: NDArray[Any], ignore: int | None, labels: Labels) -> NDArray[Any]:
    """Return a mask in which void, and other values without a class, have the number of the last class."""
    if labels.overlapping:
        return mask
    last = len(labels.classes) - 1
    strange = mask >= last
    if ignore is not None:
        strange |= mask == ignore
    return np.where(strange, np.array(last, np.uint8 if last < 256 else np.uint16), mask)
