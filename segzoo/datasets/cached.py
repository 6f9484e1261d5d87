"""Caches decoded samples, in memory or on disk, so that nothing is decoded twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.files import whole_file, writing
from segzoo.interfaces import GeoReference, ImageInfo, Sample

if TYPE_CHECKING:
    import os

    from segzoo.interfaces import Dataset

_ARRAYS = ("image", "mask", "field_of_view", "instances")
#: Version of the samples on disk; since 2, images keep data type and bands.
_VERSION = 2


class Cached:
    """A dataset that caches every sample.

    On disk all arrays of a sample are stored, uncompressed, in a file whose name is a hash of the sample's
    name, the options, and the sizes and times of its files, so that a changed file or another option never
    returns an old sample; old files are not deleted.

    Args:
        dataset: the dataset to cache.
        folder: folder on disk; ``None`` caches in memory.
        key: what the samples depend on in addition to their files, such as the options of the dataset.
        instances: whether instances are cached in memory too; training does not need them.
    """

    def __init__(
        self,
        dataset: Dataset,
        folder: str | os.PathLike[str] | None = None,
        *,
        key: str = "",
        instances: bool = True,
    ) -> None:
        self.labels = dataset.labels
        self.scale = float(getattr(dataset, "scale", 1.0))
        self._dataset = dataset
        self._folder = None if folder is None else Path(folder)
        self._key, self._instances = key, instances
        self._samples: dict[int, Sample] = {}

    def __getattr__(self, name: str) -> Any:
        """Return names, tags and files of samples, if the dataset has them."""
        if name in ("names", "tags", "files"):
            return getattr(self._dataset, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index``, decoded at most once."""
        if self._folder is not None:
            return self._from_disk(self._folder, index)
        if index not in self._samples:
            sample = self._dataset[index]
            self._samples[index] = sample if self._instances else replace(sample, instances=None)
        return self._samples[index]

    def _from_disk(self, folder: Path, index: int) -> Sample:
        path = folder / f"{self._name(index)}.npz"
        kept = _read(path)
        if kept is not None:
            return kept
        sample = self._dataset[index]
        _write(path, sample)
        return sample

    def _name(self, index: int) -> str:
        dataset: Any = self._dataset
        files = list(dataset.files(index)) if hasattr(dataset, "files") else []
        files += [dataset.table] if getattr(dataset, "table", None) else []
        files = [file for file in files if file.exists()]
        # A folder that is one image has changed if one of its files has changed.
        files += [inner for file in files if file.is_dir() for inner in sorted(file.rglob("*"))]
        status = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        names = getattr(dataset, "names", None)
        told = (
            _VERSION,
            type(dataset).__qualname__,
            self._key,
            str(self.labels),
            index,
            names and names[index],
            status,
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def _read(path: Path) -> Sample | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            name = str(file["name"])
            arrays = {key: file[key] for key in _ARRAYS if key in file}
            info = _info(str(file["info"])) if "info" in file else None
    except FileNotFoundError:
        return None
    except Exception:  # a damaged archive can fail in many ways: it is written again
        return None
    return Sample(name=name, info=info, **arrays)


def _info(text: str) -> ImageInfo:
    """Return an image's metadata from JSON, with lists as tuples."""
    told = {key: _tuples(value) for key, value in json.loads(text).items()}
    geo = told.pop("geo")
    return ImageInfo(**told, geo=None if geo is None else GeoReference(**geo))


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(one) for key, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _write(path: Path, sample: Sample) -> None:
    arrays = {key: getattr(sample, key) for key in _ARRAYS if getattr(sample, key) is not None}
    if sample.info is not None:
        arrays["info"] = np.array(json.dumps(asdict(sample.info)))

    def advice() -> str:
        return ". Free some space or choose another folder: cache=..."

    with writing(path.parent, advice, what=f"cannot keep {sample.name} in"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # An open file, because NumPy would change the suffix of a path.
        with whole_file(path, overwrite=True, advice=advice) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, name=np.array(sample.name), **arrays)
