"""The result of a prediction, and the pictures that it draws of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.specs import Labels


@dataclass(frozen=True)
class Segmentation:
    """A class for every pixel of an image.

    Attributes:
        mask: ``(H, W)`` uint8 class indices.
        labels: names and colours of the classes.
        image: ``(H, W, C)`` uint8, what was segmented.
        probabilities: ``(num_classes, H, W)`` float32, in [0, 1], where they were asked for; a
            network with one logit gives those of class 1.
    """

    mask: NDArray[np.uint8]
    labels: Labels
    image: NDArray[np.uint8]
    probabilities: NDArray[np.float32] | None = None

    @property
    def shares(self) -> dict[str, float]:
        """The share of the image that each class covers, by name; they add up to 1."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.labels.classes))
        return {
            name: int(count) / self.mask.size
            for name, count in zip(self.labels.classes, counts, strict=False)
        }

    def index_image(self) -> Image.Image:
        """Return the mask as a palette image: values are class indices, colours those of the labels."""
        image = Image.fromarray(self.mask)
        image.putpalette([value for colour in self.labels.colours for value in colour])
        return image

    def overlay(self, opacity: float = 0.35) -> Image.Image:
        """Return the image with every class but background tinted and outlined in its colour."""
        picture = self.image if self.image.shape[2] == 3 else np.repeat(self.image[..., :1], 3, axis=2)
        colours = np.array(self.labels.colours, np.float32)[self.mask]
        weight = np.where(self.mask > 0, np.float32(opacity), np.float32(0))
        weight[_outline(self.mask)] = 1
        blended = picture * (1 - weight[..., None]) + colours * weight[..., None]
        return Image.fromarray(np.rint(blended).astype(np.uint8))


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the foreground pixels that touch another class to the right, left, above or below."""
    edge = np.zeros(mask.shape, np.bool_)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (mask > 0)
