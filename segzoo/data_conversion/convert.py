"""Converts a dataset sample by sample to the files of another format.

A record, ``conversion.jsonl``, has a line for each sample, written before its files get their names. So a run
that was stopped, by Ctrl-C or a crash, continues when it is started again, and foreign files are never
replaced. No sample is kept in memory after it is written.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from segzoo import json_text, zoo
from segzoo.build import open_dataset
from segzoo.data_conversion.targets import (
    CocoTarget,
    Entry,
    FolderTarget,
    Item,
    Target,
    VocTarget,
    YoloTarget,
)
from segzoo.datasets.pairs import Pairs
from segzoo.datasets.splits import FOLDERS
from segzoo.errors import FailureError, ImageError, OptionError, SegzooError
from segzoo.files import Keeping, keep_apart, whole_file, whole_files, writable, writing
from segzoo.images import has_suffix, readable_suffixes
from segzoo.options import check_choice, check_number, many
from segzoo.printing import as_json, bar
from segzoo.recognition import chosen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset, Sample
    from segzoo.specs import Labels

Format = Literal["coco", "yolo", "folder", "voc"]
FORMATS: tuple[str, ...] = get_args(Format)
RECORD = "conversion.jsonl"
_PARTS = ("train", "val", "test")
#: If the first samples all fail, up to this number, the conversion stops.
_HOPELESS = 20
#: Maximum number of failures that are listed.
_LISTED = 10


@dataclass(frozen=True)
class Converted:
    """Result of a conversion.

    Attributes:
        folder: output folder.
        parts: number of images in each part.
        before: how many of them an earlier run had written.
        command: words of the command that trains on it.
        notes: messages for the user, such as what the format cannot store.
    """

    folder: Path
    parts: Mapping[str, int]
    before: int
    command: tuple[str, ...]
    notes: tuple[str, ...] = ()


def convert_data(
    data: str,
    out: str | os.PathLike[str],
    to: Format,
    *,
    root: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    parts: Mapping[str, Dataset] | None = None,
    link: bool = False,
    coco: Literal["rle", "polygons"] = "rle",
    simplify: float = 0.0,
    progress: bool | None = None,
) -> Converted:
    """Write a dataset as files of another format, with its parts, its classes and its images.

    If an earlier conversion was stopped, the same call continues it.

    Args:
        data: a registered dataset, an address of one, or a recognised folder or file.
        out: a new folder, or that of a stopped conversion.
        to: ``coco``, ``yolo``, ``folder`` (images and masks) or ``voc``.
        root: location of a registered dataset.
        options: options of the dataset.
        parts: the opened parts of the dataset, if it is not divided in its own way.
        link: whether images are hard links to the original files instead of copies.
        coco: whether COCO files store objects as run lengths or polygons.
        simplify: maximum distance of simplified polygons from removed corners, in pixels; 0 keeps every
            pixel.
        progress: whether to show a progress bar; ``None`` shows it only on a terminal.

    Raises:
        OptionError: the format cannot store the classes, or the data can be read in several ways.
        FailureError: the folder holds something else, a file cannot be written, images cannot be linked, or
            samples cannot be read; the message names them, and all others are written.
    """
    check_choice("to", to, FORMATS)
    check_number("simplify", simplify)
    folder, options = Path(out), dict(options or {})
    datasets = parts or _parts_of(data, root, options)
    target = _target(to, _labels(datasets), coco, simplify)
    files = [path for one in datasets.values() for path in _some_files(one)]
    keep_apart(folder, files, inside=True)
    settings = {"to": to, "data": _place(data, root), "options": options, "coco": coco, "simplify": simplify}
    names = _names(datasets)
    if parts:
        settings["parts"] = hashlib.sha256(repr(names).encode()).hexdigest()
    record = _Record(folder, as_json(settings, sort_keys=True, default=str))
    with bar(
        what=f"to {to}", unit="image", shown=progress, total=len(names), initial=len(record.done)
    ) as shown:
        before, failed = 0, list[str]()
        for part, index, name in names:
            if record.has(part, name):
                before += 1
                continue
            try:
                _write(folder, target, record, datasets[part], part, index, name, link=link)
            except ImageError as error:
                failed.append(str(error))
                if len(failed) == _HOPELESS and not record.done:
                    break
            shown.update()
    if failed:
        told = (
            f"none of the first {_HOPELESS} samples can be read: check the options of the data"
            if not record.done and len(failed) == _HOPELESS
            else f"{many(len(failed), 'sample')} cannot be read, so {folder} is not complete. Correct the "
            "files and run the same command again, which continues"
        )
        more = [f"... and {len(failed) - _LISTED} more"] if len(failed) > _LISTED else []
        raise FailureError("\n".join([told, *failed[:_LISTED], *more]))
    counts = {part: len(one) for part, one in datasets.items()}
    keys = [(part, name) for part, _, name in names]

    def entries() -> Iterator[Entry]:
        return record.entries(keys)

    for inner, write in target.summary(entries, list(counts)).items():
        path = folder / inner
        keeping = record.keeping({}, None)
        with writing(path), whole_file(path, keeping=keeping) as place, place.open("wb") as file:
            write(file)
    return Converted(folder, counts, before, _command(target, folder), tuple(target.notes(entries())))


def _command(target: Target, folder: Path) -> tuple[str, ...]:
    """Return the words of the command that trains on the output."""
    place: list[str] = ["--data", target.reader, "--root", str(folder)]
    with suppress(SegzooError):
        if chosen(str(folder)).name == target.reader:
            place = ["--data", str(folder)]
    return ("segzoo", "train", *place, *target.options())


# Input.


def _parts_of(
    data: str, root: str | os.PathLike[str] | None, options: Mapping[str, Any]
) -> dict[str, Dataset]:
    """Return the parts of a dataset, opened."""
    reading = chosen(data, root)
    found: dict[str, Dataset] = {}
    empty: OptionError | None = None
    for part in zoo.registry("datasets").get(reading.name).splits or _PARTS:
        try:
            dataset = open_dataset(data, root=root, split=part, **options)
        except OptionError as error:
            if "empty" not in str(error):
                raise
            empty = error
            continue
        if len(dataset):
            found[part] = dataset
    if not found:
        raise empty or FailureError(f"{data} holds no images")
    return found


def _labels(datasets: Mapping[str, Dataset]) -> Labels:
    first = next(iter(datasets.values())).labels
    for part, one in datasets.items():
        if one.labels.classes != first.classes:
            raise FailureError(f"the part {part} has the classes {one.labels.classes}, not {first.classes}")
    return first


def _target(to: str, labels: Labels, coco: Literal["rle", "polygons"], simplify: float) -> Target:
    if to == "coco":
        return CocoTarget(labels, coco, simplify)
    if to == "yolo":
        return YoloTarget(labels, simplify)
    return FolderTarget(labels) if to == "folder" else VocTarget(labels)


def _place(data: str, root: str | os.PathLike[str] | None) -> str:
    """Return an identifier of a dataset that includes its location."""
    place = Path(data if root is None else root)
    return f"{data} {place.resolve()}" if place.exists() else f"{data} {root or ''}"


def _some_files(dataset: Dataset) -> list[Path]:
    """Return the files of the first and the last sample, which show where the data is."""
    files = getattr(dataset, "files", None)
    if files is None or not len(dataset):
        return []
    with suppress(OSError, ValueError):
        return [Path(path) for index in {0, len(dataset) - 1} for path in files(index)]
    return []


def _names(datasets: Mapping[str, Dataset]) -> list[tuple[str, int, str]]:
    """Return part, index and file name of every sample: one word, unique over all parts."""
    found: list[tuple[str, int, str]] = []
    taken: set[str] = set()
    for part, dataset in datasets.items():
        names = getattr(dataset, "names", None) or [f"{part}_{index:06}" for index in range(len(dataset))]
        for index, whole in enumerate(names):
            pieces = whole.replace("\\", "/").split("/")
            known = {part, *FOLDERS.get(part, ())}
            inner = [piece for piece in pieces if piece not in known] or pieces
            name = re.sub(r'[<>:"|?*\0-\x1f]', "_", "_".join(inner)).strip(" .") or "image"
            word, number = name, 2
            while word.casefold() in taken:  # some file systems ignore letter case
                word, number = f"{name}_{number}", number + 1
            taken.add(word.casefold())
            found.append((part, index, word))
    return found


# Output.


def _write(
    folder: Path,
    target: Target,
    record: _Record,
    dataset: Dataset,
    part: str,
    index: int,
    name: str,
    *,
    link: bool,
) -> None:
    """Write all files of a sample, or none."""
    sample = dataset[index]
    item = Item(dataset, index, sample, part, name)
    source = _image_file(dataset, index, sample)
    data, suffix = (b"", source.suffix.lower()) if source else _encoded(sample.image)
    image = target.image(part, name, suffix)
    contents, told = target.files(item)
    linked = source if link else None
    places = {folder / inner: content for inner, content in contents.items()}
    if linked is None:
        places[folder / image] = data
    sizes = {} if linked is None else {image: linked.stat().st_size}
    entry = Entry(part, name, image, item.size, told)
    with whole_files([*places], keeping=record.keeping(sizes, entry)) as files:
        for (path, content), file in zip(places.items(), files, strict=True):
            with writing(path):
                if source is not None and path == folder / image:
                    shutil.copyfile(source, file)
                else:
                    file.write_bytes(content)
    if linked is not None:
        _link(linked, folder / image)


def _link(source: Path, path: Path) -> None:
    """Hard-link a file under a second name, unless it already is."""
    if path.exists() and path.samefile(source):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)
    except OSError as error:
        raise FailureError(
            f"cannot link {path} to {source}: {error.strerror or error}. Leave out --link to copy images"
        ) from error


def _image_file(dataset: Dataset, index: int, sample: Sample) -> Path | None:
    """Return the file of a sample's image; ``None`` if the image is not a whole file."""
    files = getattr(dataset, "files", None)
    if files is None or getattr(dataset, "scale", 1) != 1:
        return None
    path = Path(next(iter(files(index)), ""))
    alone = sample.info is None or sample.info.pages == 1
    if isinstance(dataset, Pairs) and dataset.pairs[index].channels:
        return None
    return path if alone and path.is_file() and has_suffix(path, readable_suffixes()) else None


def _encoded(image: NDArray[Any]) -> tuple[bytes, str]:
    """Return a file for an image that has none, and its suffix."""
    pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    file = BytesIO()
    plain = pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] in (3, 4))
    if plain or (pixels.dtype == np.uint16 and pixels.ndim == 2):
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue(), ".png"
    np.save(file, pixels)
    return file.getvalue(), ".npy"


@dataclass
class _Record:
    """The record of a conversion, in the output folder.

    Attributes:
        folder: output folder.
        settings: what is converted, and how, as text.
        done: part and name of each written sample, with its files and their sizes.
    """

    folder: Path
    settings: str
    done: dict[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path = self.folder / RECORD
        self._end, self._whole = 0, True
        self._sizes: dict[str, int] = {}
        #: Position of the last line of each sample.
        self._where: dict[tuple[str, str], int] = {}
        if self.path.is_file():
            self._read()
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise FailureError(
                f"{self.folder} already exists and does not hold a conversion: choose another folder, or "
                f"remove it"
            )
        writable(self.folder)
        if not self._end:
            self._append({"conversion": self.settings})
        elif not self._whole:
            with writing(self.path), self.path.open("ab", buffering=0) as file:
                self._end += file.write(b"\n")

    def _read(self) -> None:
        with writing(self.path, what="cannot read"), self.path.open("rb") as file:
            for line in file:
                begin, self._end, self._whole = self._end, self._end + len(line), line.endswith(b"\n")
                try:
                    found = json_text.parse(line)
                except ValueError:
                    if begin:  # incomplete after a crash
                        continue
                    found = {}
                if not begin and (told := found.get("conversion")) != self.settings:
                    raise FailureError(
                        f"{self.folder} holds another conversion ({_differences(told, self.settings)}): "
                        "choose another folder, or remove it"
                    )
                self._sizes.update(found.get("files", {}))
                if "name" in found:
                    key = found["part"], found["name"]
                    self.done[key], self._where[key] = found["files"], begin

    def has(self, part: str, name: str) -> bool:
        """Return whether a sample is written, and its files are complete."""
        files = self.done.get((part, name))
        return files is not None and all(self._is(inner, size) for inner, size in files.items())

    def _is(self, inner: str, size: int) -> bool:
        with suppress(OSError):
            return (self.folder / inner).stat().st_size == size
        return False

    def entries(self, keys: Iterable[tuple[str, str]]) -> Iterator[Entry]:
        """Yield the last record of samples.

        Args:
            keys: part and name of each sample.
        """
        with self.path.open("rb") as file:
            for key in keys:
                file.seek(self._where[key])
                line = json_text.parse(file.readline())
                size = (int(line["size"][0]), int(line["size"][1]))
                yield Entry(line["part"], line["name"], line["image"], size, line["kept"])

    def keeping(self, sizes: Mapping[str, int], entry: Entry | None) -> Keeping:
        """Return what may be replaced, and the function that records files before they get their names."""

        def owns(path: Path) -> bool:
            inner = path.relative_to(self.folder).as_posix()
            return inner in self._sizes and self._is(inner, self._sizes[inner])

        def naming(parts: Mapping[Path, Path]) -> None:
            found = {
                path.relative_to(self.folder).as_posix(): part.stat().st_size for path, part in parts.items()
            }
            self.add(entry, {**found, **sizes})

        return Keeping(owns, naming)

    def add(self, entry: Entry | None, files: Mapping[str, int]) -> None:
        """Write a line for a sample, or for files of the whole dataset."""
        self._sizes.update(files)
        line: dict[str, Any] = {"files": dict(files)}
        if entry is not None:
            key = entry.part, entry.name
            self.done[key], self._where[key] = files, self._end
            line |= {"part": entry.part, "name": entry.name, "image": entry.image}
            line |= {"size": list(entry.size), "kept": entry.kept}
        self._append(line)

    def _append(self, line: Mapping[str, Any]) -> None:
        text = (as_json(line) + "\n").encode()
        with writing(self.path), self.path.open("ab", buffering=0) as file:
            file.write(text)
        self._end += len(text)


def _differences(there: object, here: str) -> str:
    """Return the differences between the settings of a conversion and the text in a record."""
    now = json_text.parse(here)
    try:
        then = json_text.parse(str(there))
    except ValueError:
        then = None
    if not isinstance(then, dict):
        return "its record is damaged"
    told = []
    for name in sorted(then.keys() | now.keys()):
        was, wanted = then.get(name), now.get(name)
        if was != wanted:
            told.append("other parts" if name == "parts" else f"{name}: {was} there, {wanted} here")
    return "; ".join(told)
