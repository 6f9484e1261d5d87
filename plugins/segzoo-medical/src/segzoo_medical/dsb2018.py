"""Data Science Bowl 2018, stage 1: nuclei, one mask file each.

Reads the archive as Kaggle serves it, zipped or unpacked. Images are RGBA with an empty alpha, which
is dropped; the semantic mask is the union of the nuclei. The split is by a hash of the image's
identifier, so it does not depend on the order of files: of a hundred, 80 train, 10 validate, 10 test.

The archive does not say which laboratory an image comes from. A source is therefore a stain and a size, which
are the same within one series of images: ``purple on white 320x256``. Scores by source, and runs that
leave one out (``data.without``), use it. A source may hold several series of one size, such as the 334
fluorescence images of 256x256.

Data: Caicedo et al., 2019, doi:10.1038/s41592-019-0612-7, CC0.
"""

from __future__ import annotations

import io
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from segzoo.datasets import Zip, as_names, check_split, split_of
from segzoo.errors import FailureError, ImageError, MaskError, OptionError, did_you_mean
from segzoo.interfaces import Sample
from segzoo.specs import Recognition
from segzoo_medical import NUCLEI

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance

Split = Literal["train", "val", "test", "all"]

_ARCHIVE = "stage1_train.zip"
#: Thresholds in grey levels of 255: a stained image has colours, a violet ground has more than a white one,
#: and the ground of a bright-field image is bright.
_COLOURED, _VIOLET, _BRIGHT = 5, 25, 128
#: Step between the rows, and between the columns, that are read to find the stain.
_LOOKED_AT = 8
_FILE = re.compile(r"(?:^|/)(?P<id>[^/]+)/(?P<kind>images|masks)/[^/]+\.png$", re.IGNORECASE)


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``stage1_train.zip``, or ``<id>/images/<id>.png`` with ``<id>/masks``."""
    told = "Data Science Bowl 2018: nuclei, a mask file each"
    if glance.file:
        return Recognition(summary=told, masks=True) if glance.file.name == _ARCHIVE else None
    for inner in (".", "stage1_train"):
        for name in glance.folders(inner)[:4]:
            one = f"{inner}/{name}"
            if glance.has(f"{one}/images/{name}.png") and glance.files("*.png", f"{one}/masks"):
                return Recognition(summary=told, masks=True)
    return Recognition(summary=told, masks=True) if glance.has(_ARCHIVE) else None


class DSB2018:
    """Nuclei with their instances.

    Args:
        root: ``stage1_train.zip``, the folder it unpacks to, or a folder that holds either.
        split: ``train``, ``val``, ``test`` or ``all``.
        only: stains or sources whose images are kept, such as ``fluorescence`` or ``purple on white
            320x256``; all where empty. Several may stand in one text, with commas between.
        without: stains or sources whose images are left out.

    Raises:
        FailureError: the root holds no such data.
        OptionError: ``only`` or ``without`` names no stain or source of the data, or no image is left.
    """

    labels = NUCLEI

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Split = "train",
        *,
        only: str | Sequence[str] = (),
        without: str | Sequence[str] = (),
    ) -> None:
        check_split("dsb2018", split, ("train", "val", "test", "all"))
        self._images, self._masks, self._bytes = _index(_find(Path(root)))
        self.names = [name for name in sorted(self._images) if split in ("all", split_of(name))]
        if only or without:
            self.names = self._chosen(_listed("only", only), _listed("without", without))

    @cached_property
    def tags(self) -> list[Mapping[str, str]]:
        """Stain and source of each sample; every image is decoded for this, but no mask."""
        return [_tags(self._decode(self._images[name], "RGB")) for name in self.names]

    def _chosen(self, only: Sequence[str], without: Sequence[str]) -> list[str]:
        known = {name: _tags(self._decode(file, "RGB")) for name, file in self._images.items()}
        words = sorted({word for tags in known.values() for word in tags.values()})
        for option, given in (("only", only), ("without", without)):
            for word in given:
                if word not in words:
                    close = did_you_mean(word, words, f"known are {', '.join(words)}")
                    raise OptionError(f"dsb2018: {option} names no stain or source {word!r}{close}")
        kept = [
            name
            for name in self.names
            if not {*known[name].values()} & {*without} and (not only or {*known[name].values()} & {*only})
        ]
        if not kept:
            raise OptionError("dsb2018: only and without leave no image: leave one of them out")
        return kept

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Decode one sample: image ``(H, W, 3)``, mask and instances ``(H, W)``."""
        name = self.names[index]
        image = self._decode(self._images[name], "RGB")
        instances = np.zeros(image.shape[:2], np.uint16)
        for number, file in enumerate(self._masks.get(name, []), start=1):
            nucleus = self._decode(file, "L")
            if nucleus.shape != instances.shape:
                raise MaskError(
                    f"{file} is {nucleus.shape}, its image is {instances.shape}: replace the file"
                )
            instances[nucleus > 127] = number
        return Sample(image=image, mask=(instances > 0).astype(np.uint8), name=name, instances=instances)

    def _decode(self, file: str, mode: str) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(self._bytes(file))) as image:
                return np.asarray(image.convert(mode))
        except FailureError as error:
            raise ImageError(str(error)) from error
        except FileNotFoundError as error:
            raise ImageError(f"{file} is gone: put it back, or open the dataset again") from error
        except Exception as error:  # there is no list of what Pillow raises
            raise ImageError(f"{file} cannot be read: {error}") from error


def _tags(image: NDArray[np.uint8]) -> Mapping[str, str]:
    """Return the stain of an image ``(H, W, 3)``, and its source: the stain and the size.

    Stains are ``fluorescence``, ``bright-field`` (grey, dark on bright), ``purple on white`` and ``purple on
    violet``.
    """
    pixels = image[::_LOOKED_AT, ::_LOOKED_AT].reshape(-1, 3).astype(np.int16)
    colour, level = pixels.max(1) - pixels.min(1), pixels.mean(1)
    if colour.mean() < _COLOURED:
        stain = "fluorescence" if np.median(level) < _BRIGHT else "bright-field"
    else:
        ground = np.median(colour[level >= np.percentile(level, 75)])
        stain = "purple on violet" if ground >= _VIOLET else "purple on white"
    return {"stain": stain, "source": f"{stain} {image.shape[1]}x{image.shape[0]}"}


def _listed(option: str, given: object) -> tuple[str, ...]:
    """Return the words of an option: a list, or one text with commas between them."""
    words = as_names(given) if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise OptionError(
            f"dsb2018: {option} must name stains or sources, such as 'fluorescence', got {given!r}"
        )
    return tuple(words)


def _find(root: Path) -> Path:
    candidates = [root, root / "stage1_train", root / _ARCHIVE]
    candidates += sorted(root.glob("*.zip")) if root.is_dir() else []
    for candidate in candidates:
        if candidate.is_file() or next(candidate.glob("*/images/*.png"), None) is not None:
            return candidate
    raise FailureError(
        f"{root} holds no DSB2018 data: expected stage1_train.zip, or folders <id>/images and <id>/masks"
    )


def _index(source: Path) -> tuple[dict[str, str], dict[str, list[str]], Callable[[str], bytes]]:
    """Return the image of each identifier, its masks, and what reads a file."""
    if source.is_dir():
        files = [str(path.relative_to(source)) for path in source.glob("*/*/*.png")]
        read = _FolderReader(source)
    else:
        archive = Zip(source)
        read, files = archive.read, archive.files()
    images: dict[str, str] = {}
    masks: dict[str, list[str]] = {}
    for file in sorted(files):
        match = _FILE.search(file.replace("\\", "/"))
        if match and match["kind"].lower() == "images":
            if match["id"] in images:
                two = f"{images[match['id']]} and {file}"
                raise FailureError(f"{source}: {two} are two images for the same masks: remove one")
            images[match["id"]] = file
        elif match:
            masks.setdefault(match["id"], []).append(file)
    if not images:
        raise FailureError(f"{source} holds no <id>/images/<id>.png")
    return images, masks, read


class _FolderReader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, file: str) -> bytes:
        return (self.folder / file).read_bytes()
