"""The contract of outputs: files can be read, are the same whole and by rows, and need what the spec says."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.prediction import Segmentation
from segzoo.prediction.outputs import encoding, output_files
from segzoo.prediction.tiling.rows import ArrayRows
from segzoo.specs import Labels, OutputSpec
from segzoo.testing.promises import Checked, described, promise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SIZE = (150, 71)
_LABELS = Labels(classes=("background", "one", "two"), palette=((0, 0, 0), (200, 9, 30), (20, 90, 255)))


def check_output(output: str | OutputSpec) -> None:
    """Check an output.

    Files of all its formats can be read; are the same when they are written again; need nothing that its
    spec does not say; and hold the same by rows, if it goes by rows.

    Args:
        output: its name, or its spec if no plug-in registers it yet.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(output, OutputSpec)).keep()


class _Subject(Checked[OutputSpec], of="output"):
    """An output under check."""

    def formats(self) -> None:
        for suffix in self.spec.formats:
            for found in _examples():
                data = self._written(found, suffix)
                try:
                    _read(data, suffix)
                except (ValueError, OSError, SyntaxError) as error:
                    promise(False, f"{self.what}: its file NAME{suffix} cannot be read: {error}")

    def repeatable(self) -> None:
        for suffix in self.spec.formats:
            for found in _examples():
                before = found.mask.copy(), found.image.copy()
                once, twice = self._written(found, suffix), self._written(found, suffix)
                promise(once == twice, f"{self.what}: NAME{suffix} is another file when it is written again")
                same = (found.mask == before[0]).all() and (found.image == before[1]).all()
                promise(bool(same), f"{self.what}: it writes into the mask or the image that it is given")

    def needs(self) -> None:
        def refuse() -> NDArray[np.uint8]:
            promise(False, f"{self.what}: it draws on the image: its spec must say needs=('image',)")
            raise AssertionError

        for found in _examples():
            image = found.image if "image" in self.spec.needs else refuse
            scores = found.probabilities if "probabilities" in self.spec.needs else None
            self._written(Segmentation(found.mask, found.labels, image, scores), self.spec.formats[0])

    def by_rows(self) -> None:
        for suffix in self.spec.formats if self.spec.by_rows else ():
            if suffix in encoding.WHOLE:
                continue
            for found in _examples():
                whole, rows = self._written(found, suffix), self._written(found, suffix, step=36)
                same = np.array_equal(_read(whole, suffix), _read(rows, suffix))
                promise(
                    same,
                    f"{self.what}: NAME{suffix} by rows is not that of the whole image: reach() must say "
                    "how many rows around a band are looked at, and counts belong to the object",
                )

    def _written(self, found: Segmentation, suffix: str, step: int = 0) -> bytes:
        """Return the file of an image, written whole, or some rows at a time."""
        size, image = found.mask.shape, ArrayRows(found.image) if step else None
        given: Any = {"image": (lambda: image) if image else None, "source": "image", "whole": not step}
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"image{suffix}"
            with output_files({"it": path}, found.labels, size, specs={"it": self.spec}, **given) as files:
                if not step:
                    files.write_whole(found)
                for top in range(0, len(found.mask) if step else 0, step or 1):
                    files.write(found.mask[top : top + step])
                    if files.probabilities is not None and found.probabilities is not None:
                        files.probabilities.write(found.probabilities[:, top : top + step].astype(np.float16))
            return path.read_bytes()


def _examples() -> Iterator[Segmentation]:
    """Yield objects that cross every band, in colours and in grey; nothing but background; and one pixel.

    In the last one no class is background.
    """
    random = np.random.default_rng(0)
    every = replace(_LABELS, classes=("sky", "one", "two"), background=None)
    cases = (
        (_SIZE, 3, 3, _LABELS),
        (_SIZE, 1, 3, _LABELS),
        (_SIZE, 3, 1, _LABELS),
        ((1, 1), 3, 3, _LABELS),
        (_SIZE, 3, 3, every),
    )
    for (height, width), channels, classes, labels in cases:
        coarse = random.integers(0, classes, (height // 9 + 1, width // 9 + 1), np.uint8)
        mask = coarse.repeat(9, axis=0).repeat(9, axis=1)[:height, :width].copy()
        image = random.integers(0, 256, (height, width, channels), np.uint8)
        yield Segmentation(mask, labels, image, random.random((3, height, width), np.float32))


def _read(data: bytes, suffix: str) -> Any:
    """Return what a file holds."""
    if suffix == ".npy":
        return np.load(BytesIO(data), allow_pickle=False)
    if suffix in (".png", ".tif", ".tiff", *encoding.WHOLE):
        with Image.open(BytesIO(data)) as image:
            return np.asarray(image)
    return json.loads(data) if suffix in (".json", ".geojson") else data
