"""A few validation images with the network's predictions over the epochs.

They are kept as small files in the run's folder, so that a resumed run still shows its beginning.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo import json_text
from segzoo.errors import FailureError
from segzoo.evaluation.pictures import encode_image, encode_mask, shares, shrunk, thinned, without
from segzoo.evaluation.results import Panel
from segzoo.files import write_whole
from segzoo.prediction.outputs.encoding import encode_png
from segzoo.printing import as_json
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.evaluation.samples import ScoredSample
    from segzoo.specs import Labels

#: Longest side of a picture, in pixels.
LONGEST = 256

#: Number of evaluations whose pictures are kept: the first, the best, the latest, and some in between.
KEPT = 8

#: The rule of the Dice of one image.
DICE = (
    "Dice of one image = mean over the classes except background that either mask has, 1 if neither has "
    "any; pixels that are ignored or outside the field of view are left out"
)

_INDEX = "index.json"


@dataclass(frozen=True)
class Example:
    """A validation image with its ground truth and a prediction.

    Attributes:
        name: name of the image in its dataset.
        image: ``(H, W, C)`` or ``(H, W)``, displayed by `segzoo.images.displayed`.
        target: ``(H, W)`` class indices, or ``(K, H, W)`` if classes overlap; the labels' ``unused_index``
            for ignored pixels.
        prediction: ``(H, W)`` class indices, or ``(K, H, W)``.
        score: score of this image; NaN if there is none.
        measure: name of the score.
    """

    name: str
    image: NDArray[Any] = field(repr=False)
    target: NDArray[Any] = field(repr=False)
    prediction: NDArray[Any] = field(repr=False)
    score: float = math.nan
    measure: str = "score"

    @classmethod
    def of(cls, case: ScoredSample, labels: Labels) -> Example:
        """Return a scored sample as an example, with its Dice as in `DICE`."""
        counted = case.counted(labels)
        target = without(case.target, ~counted, labels)
        picture = case.picture
        image = np.zeros((*counted.shape, 3), np.uint8) if picture is None else picture
        score = _dice(case.prediction[..., counted], case.target[..., counted], labels)
        return cls(case.name, image, target, case.prediction, score, "Dice")


@dataclass(frozen=True)
class Shown:
    """An example, as read from the folder.

    Attributes:
        name: name of the image.
        image: ``(H, W, 3)`` uint8.
        target: ``(H, W)`` class indices; the labels' ``unused_index`` for ignored pixels.
        predictions: PNG files of masks by epoch, with the same pixels ignored. Planes of classes that
            overlap are stacked vertically.
        scores: scores of this image by epoch, if there are any.
        measure: name of the scores.
    """

    name: str
    image: NDArray[np.uint8]
    target: NDArray[Any]
    predictions: dict[int, bytes]
    scores: dict[int, float]
    measure: str

    def mask(self, epoch: int) -> NDArray[Any]:
        """Return the prediction after an epoch, in the format of the target."""
        return np.asarray(Image.open(io.BytesIO(self.predictions[epoch]))).reshape(self.target.shape)

    def prediction(self, epoch: int, labels: Labels, caption: str) -> Panel:
        """Return the picture of the prediction after an epoch."""
        mask = self.mask(epoch)
        counted = (mask != labels.unused_index).reshape(-1, *mask.shape[-2:]).any(axis=0)
        told = shares(mask[..., counted], labels)
        alt = f"{self.name}: the prediction after epoch {epoch}: {told}"
        return Panel(caption, alt, *encode_mask(mask, labels))


class Gallery:
    """The folder of examples.

    Args:
        folder: folder, which is created for the first examples.
        labels: labels of the masks.
    """

    def __init__(self, folder: Path, labels: Labels) -> None:
        self.folder, self.labels = folder, labels
        self._names: list[str] = []
        self._scores: dict[int, dict[str, float | None]] = {}
        self._measure = ""
        if (folder / _INDEX).exists():
            self._read()

    @property
    def epochs(self) -> list[int]:
        """The epochs whose predictions are kept, in order."""
        return sorted(self._scores)

    def add(self, epoch: int, examples: Sequence[Example], best: int | None) -> None:
        """Keep the examples of an evaluation; of earlier ones, keep at most `KEPT`.

        Args:
            epoch: the epoch of the predictions.
            examples: the same images every time.
            best: the best epoch so far, which is kept.

        Raises:
            FailureError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise FailureError(f"cannot write to {self.folder}: {error.strerror}") from error
        for example in examples:
            self._store(epoch, example)
            self._measure = example.measure
        self._scores[epoch] = {one.name: one.score if math.isfinite(one.score) else None for one in examples}
        kept = thin(self.epochs, KEPT, () if best is None else (best,))
        self._drop(set(self._scores) - set(kept))

    def rewind(self, epoch: int) -> None:
        """Drop everything after an epoch."""
        gone = {one for one in self._scores if one > epoch}
        if not gone:
            return
        self._drop(gone)
        if not self._scores:
            # Another run begins, perhaps with other images of the same names.
            self._names = []

    def shown(self) -> list[Shown]:
        """Return the examples with their predictions, without those whose files are missing."""
        found = (self._shown(number) for number in range(len(self._names)))
        return [one for one in found if one is not None and one.predictions]

    def _store(self, epoch: int, example: Example) -> None:
        rows, columns = thinned(example.target.shape, LONGEST)
        grid = (..., rows[:, None], columns)
        small = example.target[grid]
        outside = (small == self.labels.unused_index) | (small == self.labels.ignore_index)
        truth, found = (
            self._encoded(without(mask[grid], outside, self.labels))
            for mask in (example.target, example.prediction)
        )
        if example.name not in self._names:
            self._names.append(example.name)
            number = self._names.index(example.name)
            picture = encode_image(shrunk(example.image, outside.shape[-2:]))[1]
            write_whole(self._file(number, "image.jpg"), picture)
            write_whole(self._file(number, "truth.png"), truth)
        write_whole(self._file(self._names.index(example.name), f"{epoch:05}.png"), found)

    def _encoded(self, mask: NDArray[Any]) -> bytes:
        """Return the file for a mask: a picture of it, if that can hold its indices."""
        if self.labels.overlapping:
            return encode_png(mask.reshape(-1, mask.shape[-1]))
        many = self.labels.unused_index > 255
        return encode_png(mask.astype(np.uint16)) if many else encode_mask(mask, self.labels)[1]

    def _shown(self, number: int) -> Shown | None:
        name = self._names[number]
        try:
            image = np.asarray(Image.open(self._file(number, "image.jpg")))
            target = np.asarray(Image.open(self._file(number, "truth.png")))
            if self.labels.overlapping:
                target = target.reshape(len(self.labels.classes), -1, target.shape[1])
            predictions = {
                epoch: self._file(number, f"{epoch:05}.png").read_bytes()
                for epoch in self.epochs
                if name in self._scores[epoch]
            }
        except OSError:
            return None
        told = {epoch: self._scores[epoch][name] for epoch in predictions}
        scores = {epoch: score for epoch, score in told.items() if score is not None}
        return Shown(name, image, target, predictions, scores, self._measure)

    def _drop(self, epochs: Iterable[int]) -> None:
        for epoch in epochs:
            del self._scores[epoch]
            for number in range(len(self._names)):
                self._file(number, f"{epoch:05}.png").unlink(missing_ok=True)
        scores = {str(one): self._scores[one] for one in self.epochs}
        told = {"names": self._names if scores else [], "measure": self._measure, "scores": scores}
        write_whole(self.folder / _INDEX, (as_json(told) + "\n").encode())

    def _read(self) -> None:
        path = self.folder / _INDEX
        try:
            told = json_text.read(path)
            self._names, self._measure = [str(name) for name in told["names"]], str(told["measure"])
            self._scores = {int(epoch): dict(scores) for epoch, scores in told["scores"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FailureError(f"{path} is damaged ({error}): delete {self.folder} and try again") from error

    def _file(self, number: int, name: str) -> Path:
        """Return the file of an image by its number, because its name may not be a valid file name."""
        return self.folder / f"{number + 1}-{name}"


def thin(epochs: Sequence[int], most: int, kept: Sequence[int] = ()) -> list[int]:
    """Return at most ``most`` epochs: the first, the last, those in ``kept``, and some in between.

    Those in between are denser at the beginning, where a network changes most: the epoch that is dropped
    is the one whose neighbours are the closest by their ratio.
    """
    left = list(epochs)
    while len(left) > most:
        inner = [place for place in range(1, len(left) - 1) if left[place] not in kept]
        if not inner:
            break
        del left[min(inner, key=lambda place: (left[place + 1] + 1) / (left[place - 1] + 1))]
    return left


def _dice(prediction: NDArray[np.uint8], target: NDArray[np.uint8], labels: Labels) -> float:
    """Return the mean over the classes except background that either mask has, 1 if there are none."""
    if labels.overlapping:
        found, true = (prediction == 1) & (target != IGNORED), target == 1
        sizes, common = (found.sum(axis=1) + true.sum(axis=1)), (found & true).sum(axis=1)
        return float((2 * common[sizes > 0] / sizes[sizes > 0]).mean()) if sizes.any() else 1.0
    classes = len(labels.classes)
    sizes = np.bincount(prediction, minlength=classes) + np.bincount(target, minlength=classes)
    both = np.bincount(prediction[prediction == target], minlength=classes)
    present = [index for index in labels.foreground if sizes[index]]
    return float((2 * both[present] / sizes[present]).mean()) if present else 1.0
