"""Images with annotated regions as a dataset: the common form of all annotation files.

A reader of a format lists its images with `AnnotatedImage`, describes their content with `Region`, and
returns `AnnotatedImages`. This module decides how regions cover each other, what is ignored and how objects
are numbered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segzoo.datasets.shapes import Patch, Several, Stencil
from segzoo.errors import FailureError, ImageError, MaskError, OptionError, did_you_mean
from segzoo.images import read_with_info
from segzoo.interfaces import Sample
from segzoo.options import as_names, listed
from segzoo.specs import Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.datasets.shapes import Shape
    from segzoo.interfaces import ImageInfo, Remark

#: Which of two regions covers the other: the later one in the ``file``, or the smaller one by ``area``.
Order = Literal["file", "area"]


@dataclass(frozen=True)
class Region:
    """One annotated region of an image.

    Attributes:
        shape: the pixels that it covers.
        label: index of its class; ``None`` for ignored pixels.
        layer: regions of a lower layer lie below all others, such as crowds (-1).
        number: regions of one class with the same number form one object; with ``None``, the region is an
            object.
        erases: whether it only removes what lies below; its label has no meaning then.
    """

    shape: Shape
    label: int | None
    layer: int = 0
    number: Hashable = None
    erases: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """An image that an annotation file lists.

    Attributes:
        name: unique within the dataset.
        part: ``train``, ``val`` or ``test``.
        image: its image file.
        source: the annotation file.
        regions: function that returns the regions, called only when the sample is drawn. It must be
            picklable: a `functools.partial` of a function in a module.
        size: (height, width) in the annotation file; ``None`` if it does not state the size.
        inside: reads the image from the annotation file, if it is not a separate file.
        others: further files that its regions are read from.
    """

    name: str
    part: str
    image: Path
    source: Path
    regions: Callable[[], Sequence[Region]]
    size: tuple[int, int] | None = None
    inside: Callable[[], tuple[NDArray[Any], ImageInfo]] | None = None
    others: tuple[Path, ...] = ()


class AnnotatedImages:
    """Samples of annotated images, with instances unless classes overlap.

    Args:
        images: the images of one split.
        labels: the classes; their ``ignore_index`` is set if regions may be ignored.
        order: which region covers which.
        remarks: notes on the files for `segzoo data check`; or a function that returns them, called on
            request.

    Raises:
        FailureError: two images have one name, or files are missing; the message lists them.
    """

    def __init__(
        self,
        images: Iterable[AnnotatedImage],
        labels: Labels,
        *,
        order: Order = "file",
        remarks: Sequence[Remark] | Callable[[], Sequence[Remark]] = (),
    ) -> None:
        self.labels, self.images, self.order = labels, list(images), order
        self._remarks = remarks
        self.names = [image.name for image in self.images]
        name, times = Counter(self.names).most_common(1)[0] if self.names else ("", 0)
        if times > 1:
            raise FailureError(f"{self.images[0].source}: {times} images are named {name!r}: rename them")
        gone = [one for one in self.images if one.inside is None and not one.image.is_file()]
        if gone:
            raise FailureError(
                f"{len(gone)} of the {len(self.images)} images in {gone[0].source} are missing: "
                f"{listed([str(one.image.name) for one in gone])}. Add them, or remove them from the file"
            )

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Notes on the files."""
        if callable(self._remarks):
            self._remarks = self._remarks()
        return tuple(self._remarks)

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files of a sample."""
        one = self.images[index]
        return (*(() if one.inside else (one.image,)), one.source, *one.others)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Draw one sample.

        Raises:
            ImageError: the image cannot be read.
            MaskError: a region is damaged, or the image has another size than the annotation file states.
        """
        one = self.images[index]
        image, info = one.inside() if one.inside else _read(one)
        size = image.shape[0], image.shape[1]
        if one.size not in (None, size):
            raise MaskError(
                f"{one.source} says that {one.image.name} is {one.size} (height, width), but it is {size}: "
                "the file may belong to other images, or the image's EXIF data turns it"
            )
        drawn = self._drawn(one, size)
        sample = Sample(image=image, mask=np.empty(0, np.uint8), name=one.name, info=info)
        if self.labels.overlapping:
            return replace(sample, mask=self._planes(drawn, size))
        mask, instances = self._mask(drawn, size)
        return replace(sample, mask=mask, instances=instances)

    def objects(self, index: int, size: tuple[int, int]) -> list[tuple[int | None, Patch]]:
        """Return every object of an image whole, including parts that others cover, lowest objects first.

        Args:
            index: index of the image.
            size: (height, width) of the image.

        Returns:
            The index of its class, or ``None`` for ignored pixels, and its pixels.

        Raises:
            MaskError: a region is damaged.
        """
        found: list[tuple[int | None, Patch]] = []
        places: dict[Hashable, int] = {}
        for place, (region, patch) in enumerate(self._drawn(self.images[index], size)):
            if region.erases or (region.label is not None and region.label == self.labels.background):
                found = [(label, _without(one, patch)) for label, one in found]
                continue
            key = ("alone", place) if region.number is None else (region.label, region.number)
            where = places.setdefault(key, len(found))
            if where < len(found):
                parts = [Stencil(one.inside, one.top, one.left) for one in (found[where][1], patch)]
                found[where] = region.label, Several(parts).draw(size)
            else:
                found.append((region.label, patch))
        return [(label, patch) for label, patch in found if patch.inside.any()]

    def _drawn(self, one: AnnotatedImage, size: tuple[int, int]) -> list[tuple[Region, Patch]]:
        """Return the regions with their pixels, from the lowest to the highest."""
        drawn = [(region, region.shape.draw(size)) for region in one.regions()]
        if self.order == "area":
            drawn.sort(key=lambda pair: -pair[1].area)
        return sorted(drawn, key=lambda pair: pair[0].layer)

    def _mask(
        self, drawn: Sequence[tuple[Region, Patch]], size: tuple[int, int]
    ) -> tuple[NDArray[Any], NDArray[np.int32]]:
        background, ignored = self.labels.background, self.labels.ignore_index
        rest = ignored if background is None else background
        # Shapes that are drawn column by column are painted in that order, which is several times as fast.
        order = "F" if any(one.inside.strides[0] < one.inside.strides[1] for _, one in drawn) else "C"
        mask = np.full(size, rest or 0, self.labels.index_type, order=order)
        instances = np.zeros(size, np.int32, order=order)
        numbers: dict[Hashable, int] = {}
        for place, (region, patch) in enumerate(drawn):
            label = rest or 0 if region.erases else region.label
            key = ("alone", place) if region.number is None else (label, region.number)
            counts = not region.erases and label is not None and label != background
            number = numbers.setdefault(key, len(numbers) + 1) if counts else 0
            np.copyto(mask[patch.place], (ignored if label is None else label) or 0, where=patch.inside)
            np.copyto(instances[patch.place], number, where=patch.inside)
        return np.ascontiguousarray(mask), np.ascontiguousarray(instances)

    def _planes(self, drawn: Sequence[tuple[Region, Patch]], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the mask of each class; ignored pixels are ignored for all classes."""
        planes = np.zeros((len(self.labels.classes), *size), np.uint8)
        for region, patch in drawn:
            if region.label is None or region.erases:
                planes[:, *patch.place][:, patch.inside] = 0 if region.erases else self.labels.unused_index
            else:
                planes[region.label][patch.place][patch.inside] = 1
        return planes


def _without(patch: Patch, gone: Patch) -> Patch:
    """Return the pixels of a patch outside another."""
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(patch.place, gone.place, strict=True)
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return patch
    inside = patch.inside.copy()
    mine = (
        slice(rows.start - patch.top, rows.stop - patch.top),
        slice(columns.start - patch.left, columns.stop - patch.left),
    )
    theirs = (
        slice(rows.start - gone.top, rows.stop - gone.top),
        slice(columns.start - gone.left, columns.stop - gone.left),
    )
    inside[mine] &= ~gone.inside[theirs]
    return Patch(patch.top, patch.left, inside)


def _read(one: AnnotatedImage) -> tuple[NDArray[Any], ImageInfo]:
    try:
        return read_with_info(one.image)
    except ImageError as error:
        if one.image.is_file():
            raise
        raise ImageError(
            f"{one.image} is gone: it existed when the dataset was opened. Put it back, or"
            " open the dataset again"
        ) from error


def class_labels(
    found: Sequence[str], wanted: Sequence[str] | str = (), *, overlapping: bool = False, source: object = ""
) -> Labels:
    """Return the labels of annotated classes, after a background class unless they overlap; void is ignored.

    Args:
        found: names of all classes in the files, in their order.
        wanted: the classes to use, in this order; all of them if empty. Regions of other classes are
            background, which may be one of them.
        overlapping: whether a pixel may have several classes.
        source: the file or folder, for error messages.

    Raises:
        OptionError: a wanted class does not exist.
    """
    wanted = as_names(wanted)
    for name in wanted:
        if name not in found and name != "background":
            raise OptionError(f"{source} has no class {name!r}{did_you_mean(name, found)}")
    names = tuple(name for name in tuple(wanted) or tuple(found) if name != "background")
    labels = Labels(classes=names if overlapping else ("background", *names), overlapping=overlapping)
    return replace(labels, ignore_index=labels.unused_index)
