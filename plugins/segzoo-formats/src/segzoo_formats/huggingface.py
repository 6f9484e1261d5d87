"""Datasets of the Hugging Face Hub, and folders that the library ``datasets`` reads: ``hf:org/name``.

An image and its mask are two columns of a row. Masks hold one value a pixel; their classes are named by the
features of the dataset or by its file ``id2label.json``.

The library: https://huggingface.co/docs/datasets
"""

from __future__ import annotations

import io
import logging
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segzoo.json_text as json_text
from segzoo.datasets import FOLDERS, as_names, check_split, divided, evenly_spread, listed, many
from segzoo.errors import FailureError, ImageError, MaskError, MissingExtraError, OptionError, did_you_mean
from segzoo.images import read_bytes, read_with_info
from segzoo.interfaces import Remark, Sample
from segzoo.labels import read_mask
from segzoo.specs import Recognition
from segzoo_formats.search import unwrapped
from segzoo_formats.values import class_lookup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from segzoo.datasets import Glance
    from segzoo.interfaces import ImageInfo
    from segzoo.specs import Labels
    from segzoo_formats.lookup import Lookup

#: What columns of images and of masks are called; the first of images that is there counts.
_IMAGES = ("image", "images", "img", "pixel_values", "photo", "picture", "input")
_MASKS = (
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentation_mask",
    "semantic_mask", "semantic_segmentation", "semantic", "seg", "seg_map", "label_map", "ground_truth", "gt",
    "target",
)  # fmt: skip
_NAMES = "id2label.json"
#: Number of masks that are read if nothing names their classes.
_LOOKED_AT = 50
#: Rows that a stream skips to come to the next sample; more are another order.
_MOST_SKIPPED = 256
_END_OF_FILE = 1 << 16
_MOST_FOLDERS = 16
#: A column of files besides that of images, in the table of a folder of images.
_MASK_COLUMN = re.compile(rf"\b(?:{'|'.join(_MASKS)})_file_name\b")

_logger = logging.getLogger(__name__)


def recognise(glance: Glance) -> Recognition | None:
    """Recognise what ``save_to_disk`` wrote, and Parquet files, where features are images with masks."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if glance.file:
        return None
    parts = glance.folders() if glance.has("dataset_dict.json") else ["."]
    saved = [glance.folder / part / "dataset_info.json" for part in parts if glance.has(f"{part}/state.json")]
    if saved and _says_masks(glance.head(saved[0])):
        return Recognition(summary="a dataset of the library datasets, as save_to_disk writes it")
    folders = (".", *glance.folders()[:_MOST_FOLDERS])
    files = [path for inner in folders for path in glance.files("*.parquet", inner)]
    if files and _says_masks(_end(files[0])):
        return Recognition(summary=f"a dataset of the library datasets, {many(len(files), 'Parquet file')}")
    tables = [path for inner in folders for path in glance.files("metadata.*", inner)]
    if tables and _MASK_COLUMN.search(glance.head(tables[0]).partition("\n")[0]):
        told = f"a folder of images of the library datasets, masks as {tables[0].name} says"
        return Recognition(summary=told)
    return None


def _says_masks(features: str) -> bool:
    """Whether features that are written as JSON are an image and another, or an array of numbers."""
    kinds = re.findall(r'"_type": *"(\w+)"', features.replace('\\"', '"'))
    return kinds.count("Image") >= 2 or (kinds.count("Image") == 1 and "Array2D" in kinds)


def _end(path: Path) -> str:
    """Return the end of a Parquet file, which holds its schema."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_OF_FILE))
        end = file.read()
    return end.decode("latin-1") if end.endswith(b"PAR1") else ""


def huggingface(
    root: str | os.PathLike[str] | None,
    split: str = "train",
    *,
    config: str = "",
    image: str = "",
    mask: str = "",
    classes: Sequence[str] | str = (),
    ignored: Sequence[int] | int | str = (255,),
    stream: bool = False,
) -> HubImages:
    """Open a dataset of the Hub, or a folder of Parquet files, images or what ``save_to_disk`` wrote.

    Args:
        root: ``org/name`` or ``org/name@revision`` on the Hub; or a folder: ``./folder``.
        split: ``train``, ``val``, ``test`` or ``all``. The splits ``train``, ``validation`` and ``test`` of
            the dataset are these parts; one that is alone is divided by segzoo.
        config: configuration of the dataset, if it has several.
        image: column of images, if the names of the columns do not show it.
        mask: column of masks, if the names of the columns do not show it.
        classes: names of those that are wanted, where the dataset names its classes: the rest is background.
            Where it does not: the names of the values 0, 1 and so on.
        ignored: values of masks that are ignored, also as one text with commas.
        stream: whether rows are fetched when they are asked for, in their order, instead of all before. All
            are fetched where samples are asked for in another order, as in training, or where the dataset
            does not say how many rows it has.

    Raises:
        MissingExtraError: the library ``datasets`` is not installed.
        FailureError: there is no such dataset, or it cannot be fetched.
        OptionError: it is not clear which columns are meant, or the split is empty.
    """
    check_split("huggingface", split)
    if root is None:
        raise OptionError("say which dataset of the Hub: --data hf:org/name, or --root for a folder")
    source = _Source(str(root), config)
    parts = source.parts(stream)
    rows = _rows(parts, split, str(root))
    first = next(iter(parts.values()))
    columns = _columns(first.features, image, mask, str(root))
    for part in parts.values():
        part.take(columns)
    lookup, remarks = _lookup(source, first, columns[1], classes, _numbers(ignored))
    return HubImages(str(root), parts, rows, columns, lookup, remarks)


class HubImages:
    """Rows of a dataset of the library ``datasets`` as samples.

    Args:
        root: what it is called.
        parts: its splits, by their own names.
        rows: split and number of each sample.
        columns: the column of images and the column of masks.
        lookup: decodes masks.
        remarks: remarks for the person.
    """

    def __init__(
        self,
        root: str,
        parts: Mapping[str, _Part],
        rows: Sequence[tuple[str, int]],
        columns: tuple[str, str],
        lookup: Lookup,
        remarks: Sequence[Remark] = (),
    ) -> None:
        self.labels: Labels = lookup.labels
        self.remarks = tuple(remarks)
        self.names = [f"{part}/{number:06}" for part, number in rows]
        self._root, self._parts, self._rows = root, dict(parts), list(rows)
        self._columns, self._lookup = columns, lookup

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """Decode one row.

        Raises:
            ImageError: the image cannot be read.
            MaskError: the mask cannot be read, or differs from the image in size.
        """
        part, number = self._rows[index]
        row, where = self._parts[part].row(number), f"{self._root}, {self.names[index]}"
        image, info = _image(row[self._columns[0]], f"{where}, {self._columns[0]}")
        called = f"{where}, {self._columns[1]}"
        mask = self._lookup(_mask(row[self._columns[1]], called), called)
        if mask.shape != image.shape[:2]:
            raise MaskError(f"{called} is {mask.shape}, and its image is {image.shape[:2]}")
        return Sample(image=image, mask=mask, name=self.names[index], info=info)


# What the library gives.


def _library() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            "datasets of the Hugging Face Hub need datasets: pip install 'segzoo-formats[hub]'"
        ) from error
    return datasets


@dataclass
class _Part:
    """One split.

    Attributes:
        source: dataset that the split belongs to.
        name: name of the split.
        data: the rows, of the library's class; streamed or not.
        length: how many rows there are.
        streamed: whether they come one after the other.
    """

    source: _Source
    name: str
    data: Any
    length: int
    streamed: bool
    _columns: tuple[str, ...] = ()
    _rows: Iterator[Any] | None = field(default=None, repr=False)
    _next: int = 0
    _process: int = 0

    @property
    def features(self) -> Mapping[str, Any]:
        return self.data.features

    def take(self, columns: tuple[str, str]) -> None:
        """Leave all other columns where they are, and images as bytes."""
        library, self._columns = _library(), columns
        data = self.data.select_columns(list(columns))
        for column in columns:
            if isinstance(self.data.features[column], library.Image):
                data = data.cast_column(column, library.Image(decode=False))
        self.data = data

    def row(self, number: int) -> Mapping[str, Any]:
        """Return one row; of a stream, all others are fetched too unless it comes next."""
        if self.streamed and not self._comes(number):
            _logger.info(
                "%s: samples are asked for out of order, so all of %s is fetched", self.source, self.name
            )
            self.data, self.streamed, self._rows = self.source.load(False)[self.name], False, None
            self.take((self._columns[0], self._columns[1]))
        if not self.streamed:
            return self.data[number]
        while True:
            self._next += 1
            assert self._rows is not None
            row = next(self._rows)
            if self._next > number:
                return row

    def _comes(self, number: int) -> bool:
        # A forked process shares the connection of the one before.
        if self._rows is None or number < self._next or self._process != os.getpid():
            self._rows, self._next, self._process = iter(self.data), 0, os.getpid()
        return number - self._next <= _MOST_SKIPPED

    def some(self, most: int) -> Iterator[Mapping[str, Any]]:
        """Yield rows to look at: evenly spread, or the first ones of a stream."""
        if self.streamed:
            yield from self.data.take(most)
        else:
            yield from (self.data[number] for number in evenly_spread(self.length, most))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open stream behind: another process begins its own."""
        return {**self.__dict__, "_rows": None, "_next": 0}


@dataclass(frozen=True)
class _Source:
    """A dataset of the Hub, or in a folder."""

    root: str
    config: str

    def __str__(self) -> str:
        return self.root

    @property
    def folder(self) -> Path | None:
        """The folder that it is, if it is one."""
        path = Path(self.root).expanduser()
        if path.is_dir():
            return path
        if self.root.startswith((".", "~")) or path.is_absolute():
            raise FailureError(f"there is no folder {self.root}")
        return None

    def parts(self, stream: bool) -> dict[str, _Part]:
        """Return its splits by their own names, in the order of train, val and test."""
        data = self.load(stream)
        known = [name for words in FOLDERS.values() for name in words if name in data]
        parts: dict[str, _Part] = {}
        for name in known or data:
            rows = data[name]
            length = _length(rows, name) if stream else len(rows)
            if length is None or rows.features is None:
                _logger.info("%s does not say its length or its columns, so it is not streamed", self)
                return self.parts(stream=False)
            if length:
                parts[name] = _Part(self, name, rows, length, stream)
        if not parts:
            raise FailureError(f"{self} has no rows")
        return parts

    def load(self, stream: bool) -> Mapping[str, Any]:
        """Return the splits as the library has them.

        Raises:
            FailureError: it cannot be read or fetched.
        """
        library, folder = _library(), self.folder
        try:
            if folder and ((folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()):
                data = library.load_from_disk(str(folder))
            else:
                name, _, revision = (str(folder), "", "") if folder else self.root.partition("@")
                data = library.load_dataset(
                    name, self.config or None, revision=revision or None, streaming=stream
                )
        except Exception as error:  # there is no list of what the library and its network raise
            raise FailureError(
                f"the dataset {self} cannot be opened: {type(error).__name__}: {error}. See that its name, "
                "revision and data.config are right; private ones need `hf auth login`"
            ) from error
        return {"train": data} if isinstance(data, library.Dataset) else data

    def names(self) -> dict[int, str]:
        """Return the classes of ``id2label.json``; none where there is no such file."""
        path = self._names_file()
        if path is None:
            return {}
        try:
            said = json_text.read(path)
            pairs = said.items() if isinstance(said, dict) else enumerate(said)
            return {int(number): str(name) for number, name in pairs}
        except (OSError, ValueError, TypeError) as error:
            raise FailureError(f"{path} does not name classes by number: {error}") from error

    def _names_file(self) -> Path | None:
        if self.folder:
            return path if (path := self.folder / _NAMES).is_file() else None
        from huggingface_hub import hf_hub_download

        name, _, revision = self.root.partition("@")
        try:
            return Path(hf_hub_download(name, _NAMES, repo_type="dataset", revision=revision or None))
        except Exception as error:  # it is no part of most datasets, and the data itself has been opened
            _logger.debug("%s has no %s: %s", self, _NAMES, error)
            return None


def _length(rows: Any, name: str) -> int | None:
    splits = rows.info.splits or {}
    return splits[name].num_examples if name in splits else None


# Which rows, which columns, which classes.


def _rows(parts: Mapping[str, _Part], split: str, root: str) -> list[tuple[str, int]]:
    """Return split and number of each row of a part."""
    every = [(name, number) for name, part in parts.items() for number in range(part.length)]
    if split == "all":
        return every
    if len(parts) == 1:
        made = divided([f"{name}/{number:06}" for name, number in every])
        chosen = [row for row, part in zip(every, made, strict=True) if part == split]
    else:
        chosen = [row for row in every if row[0] in FOLDERS[split]]
    if not chosen:
        raise OptionError(f"the split {split!r} of {root} is empty: it has {listed(list(parts))}")
    return chosen


def _columns(features: Mapping[str, Any], image: str, mask: str, root: str) -> tuple[str, str]:
    library = _library()
    images = [name for name, kind in features.items() if isinstance(kind, library.Image)]
    others = [name for name, kind in features.items() if name in images or _is_array(kind)]
    shown = listed([f"{name} ({type(kind).__name__})" for name, kind in features.items()], 20)
    for option, name in (("image", image), ("mask", mask)):
        if name and name not in features:
            raise OptionError(f"{root} has no column {name!r}{did_you_mean(name, features)}: {option}=...")
    if not image:
        called = [name for name in images if name.lower() in _IMAGES and name != mask]
        left = [name for name in images if name not in (mask, *(n for n in images if n.lower() in _MASKS))]
        found = called[:1] if len(called) == 1 else left
        if len(found) != 1:
            raise OptionError(f"name the column of images in {root} with data.image=...: it has {shown}")
        image = found[0]
    if not mask:
        left = [name for name in others if name != image]
        found = [name for name in left if name.lower() in _MASKS] or left
        if len(found) != 1:
            no = "has no column of masks" if not found else "has several columns that may be masks"
            raise OptionError(
                f"{root} {no}: name it with data.mask=...; it has {shown}. A class per image is no mask"
            )
        mask = found[0]
    return image, mask


def _is_array(kind: Any) -> bool:
    """Whether a column holds rows of numbers."""
    library = _library()
    if isinstance(kind, library.Array2D):
        return True
    inner = getattr(getattr(kind, "feature", None), "feature", None)
    return isinstance(inner, library.Value | library.ClassLabel)


def _lookup(
    source: _Source, part: _Part, mask: str, classes: Sequence[str] | str, ignored: Sequence[int]
) -> tuple[Lookup, list[Remark]]:
    """Return what decodes masks, by names that the dataset has or that were said, else by their values."""
    inner = getattr(getattr(part.features[mask], "feature", None), "feature", None)
    named = getattr(inner, "names", None)
    names = dict(enumerate(named)) if named else source.names()
    if names:
        void = [value for value in ignored if value not in names]
        return class_lookup(names, classes, source=source, ignored=void), []
    found: set[int] = set()
    for number, row in enumerate(part.some(_LOOKED_AT)):
        with suppress(ImageError):  # reading the sample says what is wrong
            pixels = _mask(row[mask], f"{source}, {part.name}/{number:06}, {mask}")
            found.update(np.unique(pixels).tolist())
    values = None
    if found == {0, 255}:  # nothing but void would leave nothing to train on
        values, ignored = {0: 0, 255: 1}, ()
    count = 2 if values else max((*(found - {*ignored}), 1)) + 1
    if count > 255 and not classes:
        raise OptionError(
            f"masks of {source} hold values up to {count - 1}, which may number objects: name the classes "
            "with data.classes=..."
        )
    said = as_names(classes)
    remarks = [] if said else [_unnamed(source, count)]
    said = said or ["background", *(f"class {number}" for number in range(1, count))]
    if len(said) < 2:
        raise OptionError(f"classes names one class; masks need two, the background's first, got {said}")
    void = [value for value in ignored if value >= len(said)]
    return class_lookup(dict(enumerate(said)), source=source, values=values, ignored=void), remarks


def _unnamed(source: _Source, count: int) -> Remark:
    return Remark(
        kind="no-class-names",
        severity="note",
        what=f"nothing names the {count} classes of {source}: it has no {_NAMES}",
        advice="data.classes=background,cat,dog names them, the first is the value 0",
    )


def _numbers(ignored: Sequence[int] | int | str) -> list[int]:
    words = ignored.split(",") if isinstance(ignored, str) else ignored
    try:
        return [int(word) for word in ([words] if isinstance(words, int) else words) if word != ""]
    except (TypeError, ValueError):
        raise OptionError(f"ignored must be values of masks, such as 0,255, got {ignored!r}") from None


# Pixels.


def _image(value: Any, where: str) -> tuple[NDArray[Any], ImageInfo | None]:
    path, content = _file(value, where)
    if path is not None:
        return read_with_info(path)
    return read_bytes(content, where)


def _mask(value: Any, where: str) -> NDArray[Any]:
    if isinstance(value, list | np.ndarray):
        return np.asarray(value)
    path, content = _file(value, where)
    if path is not None:
        return read_mask(path, colours=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mask")
        file.write_bytes(content)
        try:
            return read_mask(file, colours=True)
        except ImageError as error:
            raise MaskError(str(error).replace(str(file), where)) from error


def _file(value: Any, where: str) -> tuple[Path | None, bytes]:
    """Return the file of an image, or its bytes."""
    if not isinstance(value, dict):
        raise ImageError(f"{where} is empty: take the row out of the dataset")
    content, path = value.get("bytes"), value.get("path")
    if content:
        return None, content
    if path and Path(path).is_file():
        return Path(path), b""
    if path:  # an address that only the library opens, as of a file in an archive that is streamed
        with _library().Image().decode_example(value) as picture, io.BytesIO() as file:
            picture.save(file, "PNG" if picture.mode != "F" else "TIFF")
            return None, file.getvalue()
    raise ImageError(f"{where} has neither bytes nor a file")
