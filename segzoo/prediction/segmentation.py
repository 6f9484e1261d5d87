"""The result of a prediction, which can draw itself as pictures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.errors import OptionError
from segzoo.images import displayed
from segzoo.labels import alone, class_index, foreground
from segzoo.notebooks import segmentation_html, shares_in_words, thumbnails
from segzoo.prediction.outputs.painting import (
    cut_out,
    paint_classes,
    paint_overlay,
    side_by_side,
)
from segzoo.prediction.outputs.polygons import trace_polygons
from segzoo.prediction.outputs.uncertainty import entropy
from segzoo.prediction.postprocessing import clean, find_instances, sizes_by_class
from segzoo.prediction.splitting import split_instances

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.postprocessing import Instances
    from segzoo.specs import Labels, Separator

#: Number of classes up to which pixels are counted class by class.
_FEW = 16


class LateImage:
    """An array ``(H, W, C)``, or a function that returns it, which is called on first use."""

    def __get__(self, owner: Any, _: type | None = None) -> NDArray[Any]:
        if owner is None:
            raise AttributeError("the field has no default")
        if callable(owner.__dict__["_image"]):
            owner.__dict__["_image"] = owner.__dict__["_image"]()
        return owner.__dict__["_image"]

    def __set__(self, owner: Any, value: NDArray[Any] | Callable[[], NDArray[Any]]) -> None:
        owner.__dict__["_image"] = value


@dataclass(frozen=True)
class Segmentation:
    """A class for every pixel of an image, or any number of classes if they overlap.

    Pictures are drawn at the image's own size, on the image as ``picture`` shows it.

    Attributes:
        mask: ``(H, W)`` class indices: uint8, or uint16 for more than 256 classes. If classes overlap,
            ``(K, H, W)`` uint8: 1 where a class is present, else 0.
        labels: names and colours of the classes.
        image: ``(H, W, C)``, the segmented image, upright, in its own type and with all its bands; if the
            network got a smaller version, it is read on first use.
        probabilities: ``(num_classes, H, W)`` float32 in [0, 1], if requested; a network with one logit gives
            those of class 1.
        info: metadata of the image's file, if there is one: its position on the ground or in the body, and
            the size of its pixels.
        bands: bands of the image that pictures show, by number from 1 or by name, if some were chosen.
        separation: ``(H, W)`` float32 in [0, 1], if requested: the network's output that separates touching
            objects.
        separator: what ``separation`` means.
        split_touching: whether touching objects are separated: by ``separation``, or by their shape without
            it.
        smallest_object: minimum size in pixels of objects by class index, if set: smaller pieces do not count
            as objects. The mask does not change.
    """

    mask: NDArray[np.uint8]
    labels: Labels
    image: LateImage = LateImage()
    probabilities: NDArray[np.float32] | None = None
    info: ImageInfo | None = None
    bands: tuple[str, ...] = ()
    separation: NDArray[np.float32] | None = None
    separator: Separator | None = None
    split_touching: bool = False
    smallest_object: tuple[int, ...] = ()
    _instances: dict[tuple[int, bool], Instances] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def with_mask(
        self, mask: NDArray[np.uint8], *, probabilities: bool = True, labels: Labels | None = None
    ) -> Segmentation:
        """Return a copy with another mask, optionally without probabilities.

        If the image was not read yet, it stays unread; `dataclasses.replace` would read it.

        Args:
            mask: mask of the same shape and kind.
            probabilities: whether to keep the probabilities, if there are any.
            labels: labels of the mask; ``None`` keeps the same.
        """
        return replace(
            self,
            mask=mask,
            labels=labels or self.labels,
            image=self.__dict__["_image"],
            probabilities=self.probabilities if probabilities else None,
        )

    def cleaned(
        self,
        *,
        smallest_object: int | Mapping[str | int, int] = 0,
        smallest_hole: int | Mapping[str | int, int] = 0,
    ) -> Segmentation:
        """Return a copy without small objects, and then without small holes.

        If touching objects are split, pieces that are too small are merged into a neighbour.

        Args:
            smallest_object: minimum size in pixels of objects, for all classes or by class.
            smallest_hole: minimum size in pixels of holes, for all classes or by the class around them.

        Raises:
            OptionError: there is no such class, a size is negative, or holes cannot be filled because there
                is no background class.
        """
        sizes = sizes_by_class(self.labels, smallest_object)[: len(self.labels.classes)]
        return replace(
            self,
            mask=clean(self.mask, self.labels, smallest_object=smallest_object, smallest_hole=smallest_hole),
            image=self.__dict__["_image"],
            smallest_object=tuple(sizes.tolist()) if self.split_touching and sizes.any() else (),
        )

    def of_class(self, name: str | int) -> Segmentation:
        """Return one of several overlapping classes as class indices: 1 for the class, 0 for background.

        Args:
            name: name or index of the class.

        Raises:
            OptionError: there is no such class, or classes do not overlap.
        """
        index = class_index(self.labels, name)
        if not self.labels.overlapping:
            raise OptionError(f"classes do not overlap: to find {name!r}, use mask == {index}")
        return replace(
            self,
            mask=self.mask[index],
            labels=alone(self.labels, index),
            image=self.__dict__["_image"],
            probabilities=None if self.probabilities is None else self.probabilities[index : index + 1],
            smallest_object=(0, *self.smallest_object[index : index + 1]),
        )

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The image as shown to people, ``(H, W, 3)``; see `segzoo.images.displayed`."""
        return displayed(self.image, self.info, bands=self.bands)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.mask.shape[-2], self.mask.shape[-1]

    def __repr__(self) -> str:
        height, width = self.size
        told = shares_in_words(self.areas, most=6, pixels=height * width)
        return f"<Segmentation of {width} x {height} pixels: {told}>"

    def _repr_html_(self) -> str:
        """Return the HTML that notebooks show: overlay, mask, and the share of each class."""
        image, mask = thumbnails(self.picture, self.mask)
        small = Segmentation(mask, self.labels, image)
        return segmentation_html(
            small.overlay(),
            small.index_image() if self._has_palette else small.colour_image(),
            size=self.size,
            areas=self.areas,
            colours=self.labels.colours,
        )

    @property
    def _has_palette(self) -> bool:
        return len(self.labels.classes) <= 256 and not self.labels.overlapping

    @property
    def areas(self) -> dict[str, int]:
        """Number of pixels of each class, by name."""
        classes = self.labels.classes
        if self.labels.overlapping:
            return {name: int(np.count_nonzero(one)) for name, one in zip(classes, self.mask, strict=True)}
        if len(classes) <= _FEW:
            # A comparison processes at least eight bytes at a time, a histogram one.
            return {name: int(np.count_nonzero(self.mask == index)) for index, name in enumerate(classes)}
        counts = np.bincount(self.mask.ravel(), minlength=len(classes))
        return {name: int(count) for name, count in zip(classes, counts, strict=False)}

    @property
    def shares(self) -> dict[str, float]:
        """Share of the image that each class covers, by name; shares add up to 1 unless classes overlap."""
        pixels = self.size[0] * self.size[1]
        return {name: count / pixels for name, count in self.areas.items()}

    def index_image(self) -> Image.Image:
        """Return the mask as a palette image: values are class indices, colours those of the labels.

        For more than 256 classes, which a palette does not allow, it is an image of 16-bit grey.

        Raises:
            OptionError: classes overlap.
        """
        if self.labels.overlapping:
            raise OptionError(
                "classes overlap, so a pixel has no single index: use of_class(NAME).index_image(), or "
                "colour_image()"
            )
        colours = self.labels.colours
        if len(colours) > 256:
            return Image.fromarray(self.mask.astype(np.uint16))
        image = Image.fromarray(self.mask.astype(np.uint8, copy=False))
        image.putpalette([value for colour in colours for value in colour])
        return image

    def colour_image(self) -> Image.Image:
        """Return the colour of each pixel's class as an RGB image; the mean if classes overlap."""
        return Image.fromarray(paint_classes(self.mask, self.labels))

    def overlay(self, opacity: float = 0.35, *, line_width: int = 1) -> Image.Image:
        """Return the image with every class except background tinted and outlined in its colour.

        If touching objects are split, each of them is outlined.

        Args:
            opacity: overlay opacity, 0 to 1.
            line_width: width in pixels of the outlines, inside the objects; 0 draws none.
        """
        return Image.fromarray(
            paint_overlay(
                self.picture,
                self.mask,
                self.labels,
                opacity=opacity,
                line_width=line_width,
                objects=self.instances().numbers if self.split_touching else None,
            )
        )

    def contours(self, line_width: int | None = None) -> Image.Image:
        """Return the image with every class except background outlined in its colour.

        If touching objects are split, each of them is outlined.

        Args:
            line_width: width in pixels; by default 1, plus 1 for every 640 pixels of the longer side.
        """
        return self.overlay(0, line_width=1 + max(self.size) // 640 if line_width is None else line_width)

    def cutout(self, background: tuple[int, int, int] | None = None) -> Image.Image:
        """Return the foreground of the image, on a colour, or transparent elsewhere."""
        return Image.fromarray(cut_out(self.picture, foreground(self.mask, self.labels), background))

    def sheet(self, opacity: float = 0.35, *, line_width: int = 1) -> Image.Image:
        """Return the image, the colours of its classes and the overlay next to each other.

        Args:
            opacity: overlay opacity, 0 to 1.
            line_width: width in pixels of the overlay's outlines; 0 draws none.
        """
        overlay = self.overlay(opacity, line_width=line_width)
        colours = paint_classes(self.mask, self.labels)
        return Image.fromarray(side_by_side(self.picture, colours, np.asarray(overlay)))

    def uncertainty(self) -> NDArray[np.float32]:
        """Return the entropy of each pixel's probabilities, from 0 (certain) to 1 (all classes equal).

        Returns:
            ``(H, W)``; if classes overlap, ``(K, H, W)`` for each class separately.

        Raises:
            OptionError: the probabilities were not kept.

        Example:
            >>> found = predictor("cells.png", probabilities=True)
            >>> doubtful = found.uncertainty() > 0.5
        """
        if self.probabilities is None:
            raise OptionError("probabilities were not kept: predict with probabilities=True")
        return entropy(self.probabilities, overlapping=self.labels.overlapping)

    def instances(self, connectivity: int = 8, *, split_touching: bool | None = None) -> Instances:
        """Return the objects of every class except background: connected components, or split objects.

        Args:
            connectivity: 4, or 8 to connect pixels that share only a corner too.
            split_touching: whether touching objects are separated, by the separation or by their shape;
                ``None`` uses the segmentation's own setting.

        Raises:
            OptionError: connectivity is neither 4 nor 8.
        """
        splits = self.split_touching if split_touching is None else split_touching
        if (connectivity, splits) not in self._instances:
            self._instances[connectivity, splits] = (
                split_instances(
                    self.mask,
                    self.labels,
                    connectivity,
                    separation=self.separation if self.separator else None,
                    separator=self.separator if self.separation is not None else None,
                    smallest_object=self.smallest_object,
                )
                if splits
                else find_instances(self.mask, self.labels, connectivity)
            )
        return self._instances[connectivity, splits]

    def polygons(self, connectivity: int = 8) -> list[tuple[int, list[NDArray[np.int64]]]]:
        """Return class index and rings of each object: the outer ring, then those of its holes.

        A ring is ``(corners, 2)`` of x and y in pixels, along the edges of pixels, from the top left corner
        of the image; its last corner joins the first.
        """
        objects = self.instances(connectivity)
        rings = [ring for layer in objects.layers for ring in trace_polygons(layer, connectivity)]
        return list(zip(objects.classes.tolist(), rings, strict=True))
