"""Raw data of nnU-Net: ``imagesTr``, ``labelsTr`` and ``dataset.json``, of versions 1 and 2.

``imagesTr/CASE_0000.png`` belongs to ``labelsTr/CASE.png``; ``_0001`` and so on are more bands of the image.
Volumes are opened slice by slice. The Medical Segmentation Decathlon leaves ``_0000`` out.

The format: https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.datasets import Pair, Pairs, check_split, listed, many, slices
from segzoo.errors import FailureError, OptionError
from segzoo.images import parse_pages, readable_suffixes
from segzoo.interfaces import Remark
from segzoo.specs import Recognition
from segzoo_formats.json_files import read_json
from segzoo_formats.search import counted, parted, unwrapped
from segzoo_formats.values import distinct, valued_pairs

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from segzoo.datasets import Glance

_FILE, _DIVISION, _IGNORE = "dataset.json", "splits_final.json", "ignore"
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def nnunet(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    fold: int = 0,
    pages: str | int | Sequence[int] = "all",
    scale: float = 1.0,
) -> Pairs:
    """Open a raw dataset of nnU-Net.

    Args:
        root: folder that holds ``dataset.json``, ``imagesTr`` and ``labelsTr``; ``imagesTs`` with
            ``labelsTs`` is the test part. Train and val are as ``splits_final.json`` says them, where it lies
            there too; else cases are divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of the labels that are wanted, in this order; by default all. What belongs to others is
            background.
        fold: fold of ``splits_final.json``, from 0.
        pages: which slices of volumes are samples, such as ``"0,3-5"``, from 0.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: there are no such folders, labels are regions of several values, or files are missing.
        OptionError: there is no such label or fold, or the split is empty.
    """
    check_split("nnunet", split)
    folder = Path(root) if Path(root).is_dir() else Path(root).parent
    data = read_json(folder / _FILE)
    said = _Said.of(folder / _FILE, data)
    cases = _cases(folder, "Tr", said)
    tested = _cases(folder, "Ts", said) if (folder / "labelsTs").is_dir() else []
    parts = _parts(folder, [case.name for case in cases], fold, bool(tested))
    pairs = [pair for pair, part in zip(cases, parts, strict=True) if split in ("all", part)]
    pairs += tested if split in ("all", "test") else []
    if not pairs:
        raise OptionError(f"the split {split!r} of {folder} is empty: it has {many(len(cases), 'case')}")
    samples = [one for pair in pairs for one in slices(pair, parse_pages(pages))]
    ignored = () if said.ignored is None else (said.ignored,)
    return valued_pairs(
        samples,
        said.names,
        classes,
        source=folder / _FILE,
        ignored=ignored,
        scale=scale,
        remarks=_remarks(folder, data, [case.name for case in cases], parts),
    )


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a raw dataset of nnU-Net by its folder or its ``dataset.json``."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if glance.file is not None and glance.file.name != _FILE:
        return None
    if not glance.has("imagesTr", "labelsTr", _FILE):
        return None
    path = glance.folder / _FILE
    root = glance.folder if glance.file is not None else None
    try:
        said = _Said.of(path, glance.json(path))
    except _RegionsError:
        return Recognition(summary="raw data of nnU-Net with regions of several values: not read", root=root)
    except FailureError:
        return None
    bands = many(len(said.channels), "channel")
    classes = many(len(said.names), "class")
    tested = ", imagesTs is the test part" if glance.has("labelsTs") else ""
    return Recognition(summary=f"raw data of nnU-Net, {classes}, {bands}{tested}", root=root, masks=True)


class _RegionsError(FailureError):
    """Labels are sets of values, which overlap."""


@dataclass(frozen=True)
class _Said:
    """The contents of ``dataset.json``.

    Attributes:
        names: names of the labels, by value.
        ignored: value of ignored pixels.
        channels: names of the channels, in their order.
        ending: suffix of the image files; empty if the file does not say it.
    """

    names: Mapping[int, str]
    ignored: int | None
    channels: tuple[str, ...]
    ending: str

    @classmethod
    def of(cls, path: Path, data: Any) -> _Said:
        """Return what a parsed file says.

        Raises:
            FailureError: it is none of nnU-Net's, or labels are regions.
        """
        labels = data.get("labels") if isinstance(data, dict) else None
        channels = data.get("channel_names", data.get("modality")) if isinstance(data, dict) else None
        if not isinstance(labels, dict) or not labels or not isinstance(channels, dict) or not channels:
            raise FailureError(f"{path} is not nnU-Net's: it needs channel_names and labels")
        # Version 1 says {value: name}, version 2 {name: value}.
        turned = all(key.strip().isdecimal() and isinstance(said, str) for key, said in labels.items())
        values: dict[int, str] = {}
        for key, said in labels.items():
            name, value = (str(said), key) if turned else (key, said)
            number = _number(path, name, value)
            if values.setdefault(number, name) != name:
                raise FailureError(f"{path}: {values[number]!r} and {name!r} have one value, {number}")
        ignored = next((value for value, name in values.items() if name == _IGNORE), None)
        names = {value: name for value, name in values.items() if value != ignored}
        ordered = sorted(channels, key=lambda key: (len(str(key)), str(key)))
        ending = str(data.get("file_ending", ""))
        return cls(distinct(names, path), ignored, tuple(str(channels[key]) for key in ordered), ending)


def _number(path: Path, name: str, value: object) -> int:
    """Return the value of a label, which may stand in a list."""
    values = value if isinstance(value, list) else [value]
    if len(values) > 1:
        raise _RegionsError(
            f"{path}: {name!r} is a region of several values, {listed(values)}. Such regions may overlap, "
            "and are not read: give each value in the masks a name of its own"
        )
    said = str(*values).strip()
    if not said.isdecimal():
        raise FailureError(f"{path}: the value of {name!r} must be a number, got {value!r}")
    return int(said)


# Which files belong together.


def _cases(folder: Path, which: str, said: _Said) -> list[Pair]:
    """Return each case of a part with its channels and its labels.

    Raises:
        FailureError: a folder is not there, a file has no partner, or channels are missing; the message lists
            them.
    """
    images, labels = folder / f"images{which}", folder / f"labels{which}"
    for one in (images, labels):
        if not one.is_dir():
            raise FailureError(f"{folder} needs the folders images{which} and labels{which}")
    masks = {_stem(path, said): path for path in _files(labels, said)}
    found: dict[str, dict[int, Path]] = {}
    for path in _files(images, said):
        stem = _stem(path, said)
        channel = _CHANNEL.fullmatch(stem)
        # The Decathlon's names have no channel.
        name, number = (channel[1], int(channel[2])) if channel and stem not in masks else (stem, 0)
        found.setdefault(name, {})[number] = path
    alone = [path.name for name, paths in found.items() if name not in masks for path in paths.values()]
    alone += [path.name for name, path in masks.items() if name not in found]
    if alone:
        raise FailureError(
            f"{len(alone)} files of {images} and {labels} have no partner, as CASE_0000{said.ending} and "
            f"CASE{said.ending} are: {listed(sorted(alone))}. Add what is missing, or move these away"
        )
    if not found:
        raise FailureError(f"{images} holds no images{f' that end in {said.ending}' if said.ending else ''}")
    # One file holds all channels of colours.
    single = all(set(paths) == {0} for paths in found.values())
    wanted = 1 if single else len(said.channels)
    lacking = [name for name, paths in found.items() if set(paths) != set(range(wanted))]
    if lacking:
        raise FailureError(
            f"{images}: {many(len(lacking), 'case')} of {len(found)} must have the {wanted} channels that "
            f"{_FILE} names, _0000 to _{wanted - 1:04}: {listed(lacking)}"
        )
    prefix = "test/" if which == "Ts" else ""
    return [
        Pair(
            f"{prefix}{name}",
            paths[0],
            masks[name],
            channels=tuple(paths[number] for number in range(1, wanted)),
            bands=() if single else said.channels,
        )
        for name, paths in sorted(found.items())
    ]


def _files(folder: Path, said: _Said) -> list[Path]:
    endings = (said.ending,) if said.ending else tuple(readable_suffixes())
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.name.lower().endswith(tuple(one.lower() for one in endings))
    ]


def _stem(path: Path, said: _Said) -> str:
    if said.ending:
        return path.name[: -len(said.ending)]
    return path.name[: -len(max((s for s in readable_suffixes() if path.name.lower().endswith(s)), key=len))]


def _parts(folder: Path, names: Sequence[str], fold: int, tested: bool) -> list[str]:
    """Return the part of each case: as a fold of ``splits_final.json`` says it, else divided by names."""
    path = folder / _DIVISION
    if not path.is_file():
        parts = parted(names, [""] * len(names))
        return ["train" if tested and part == "test" else part for part in parts]
    folds = read_json(path)
    if not isinstance(folds, list) or not all(isinstance(one, dict) for one in folds):
        raise FailureError(f"{path} must be a list of folds, each with train and val")
    if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < len(folds):
        raise OptionError(f"{path} has the folds 0 to {len(folds) - 1}, not {fold}")
    said = {str(name): part for part in ("train", "val") for name in folds[fold].get(part, ())}
    gone = sorted({*said} - {*names})
    if gone:
        raise FailureError(f"{path} lists cases that are not there: {listed(gone)}")
    return [said.get(name, "") for name in names]


def _remarks(
    folder: Path, data: Mapping[str, Any], names: Sequence[str], parts: Sequence[str]
) -> list[Remark]:
    labelled = (folder / "labelsTs").is_dir()
    bare = [] if labelled else sorted(path.name for path in (folder / "imagesTs").glob("*"))
    apart = [name for name, part in zip(names, parts, strict=True) if not part]
    remarks = [
        *counted("no-annotation", "note", "have no labels", "They are not read.", bare, "file"),
        *counted("no-part", "note", "are in no part of the fold", "Only split=all has them.", apart, "case"),
    ]
    told = data.get("numTraining")
    if isinstance(told, int) and told != len(names):
        what = f"{_FILE} says that there are {many(told, 'case')}, and there are {len(names):,}"
        remarks.append(
            Remark(kind="cases", severity="warning", what=what, advice="Correct it, or add cases.")
        )
    return remarks
