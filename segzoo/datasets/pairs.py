"""Image and mask files as a dataset: the form of most datasets, once their files are found.

A plug-in's dataset finds its files, describes them with `Pair`, and returns `Pairs`::

    def mine(root, split="train", *, scale=1.0):
        files = sorted(Path(root).glob("*.jpg"))
        return Pairs([Pair(file.stem, file, file.with_suffix(".png")) for file in files], LABELS, scale=scale)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets.splits import groups_of
from segzoo.errors import FailureError, ImageError, MaskError, MissingExtraError, OptionError
from segzoo.images import chosen_pages, count_pages, may_have_pages, read_with_info
from segzoo.interfaces import Sample
from segzoo.labels import counted, read_layers, read_mask, read_planes, to_classes
from segzoo.options import is_number, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets.numbered import NumberedObjects
    from segzoo.images import Pages
    from segzoo.interfaces import ImageInfo, Remark
    from segzoo.labels import Colour
    from segzoo.specs import Labels


@dataclass(frozen=True)
class Pair:
    """An image file and its mask.

    Attributes:
        name: unique within the dataset.
        image: the image's file.
        mask: the mask's file; or several of them, each with the class of its pixels that are not 0. Later
            ones cover earlier ones, unless classes overlap. If they overlap, one file is a stack of masks,
            see `segzoo.labels.read_planes`.
        field_of_view: a file whose pixels are 0 outside the field of view.
        page: page of both files, from 0, if they are stacks.
        mask_pages: the class of each page of the mask, if each page is one class.
        channels: further files of the image, whose bands follow its own.
        bands: names of all bands, if the files do not contain them.
    """

    name: str
    image: Path
    mask: Path | tuple[tuple[int, Path], ...]
    field_of_view: Path | None = None
    page: int | None = None
    mask_pages: tuple[int, ...] = ()
    channels: tuple[Path, ...] = ()
    bands: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the sample."""
        masks = tuple(path for _, path in self.mask) if isinstance(self.mask, tuple) else (self.mask,)
        return (self.image, *self.channels, *masks, *([self.field_of_view] if self.field_of_view else []))


class Pairs:
    """A dataset of `Pair`; files are opened only when a sample is requested.

    Args:
        pairs: the files.
        labels: the classes, and their values in masks.
        scale: factor of both sides of images and masks, truncated, applied while they are decoded.
        ignore_colour: the colour of ignored pixels in masks.
        objects: conversion of the numbers in masks to classes and objects, if they count objects.
        decode: called with the values of a mask, ``(H, W)`` or colours ``(H, W, 3)``, and with its file's
            name; returns class indices. For files that `segzoo.labels.to_classes` cannot read by the labels,
            such as several values of one class. It must be picklable.
        remarks: notes on the files for `segzoo data check`.

    Raises:
        OptionError: ``scale`` is not above 0 and at most 1.
        FailureError: two pairs have the same name.
    """

    def __init__(
        self,
        pairs: Iterable[Pair],
        labels: Labels,
        *,
        scale: float = 1.0,
        ignore_colour: Colour | None = None,
        objects: NumberedObjects | None = None,
        decode: Callable[[NDArray[Any], str], NDArray[Any]] | None = None,
        remarks: Sequence[Remark] = (),
    ) -> None:
        if not is_number(scale) or not 0 < scale <= 1:
            raise OptionError(f"scale must be above 0 and at most 1, got {scale}")
        self.labels, self.scale = labels, scale
        self.pairs, self.remarks = list(pairs), tuple(remarks)
        self._ignore_colour, self._objects, self._decode = ignore_colour, objects, decode
        _check_names(self.pairs)

    @property
    def names(self) -> list[str]:
        """The name of each sample."""
        return [pair.name for pair in self.pairs]

    @property
    def groups(self) -> list[str]:
        """The group that each sample stays together with: pages with their stack, pieces with their whole."""
        return groups_of_pairs(self.pairs)

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files of a sample."""
        return self.pairs[index].files

    @property
    def table(self) -> Path | None:
        """The file with the classes of object numbers, if there is one."""
        return self._objects.source if self._objects else None

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Decode one pair.

        Raises:
            ImageError: a file cannot be read, or is gone.
            MaskError: the mask has a value without a class, or another size than the image.
        """
        pair = self.pairs[index]
        try:
            return self._sample(pair)
        except ImageError as error:
            gone = next((path for path in pair.files if not os.path.lexists(path)), None)
            if gone is None:
                raise
            raise ImageError(
                f"{gone} is gone: it existed when the dataset was opened. Put it back, or"
                " open the dataset again"
            ) from error

    def _sample(self, pair: Pair) -> Sample:
        image, info = self._image(pair)
        shape = image.shape[:2]
        mask, objects = self._mask(pair, shape)
        sample = Sample(image=image, mask=mask, name=pair.name, instances=objects, info=info)
        if pair.field_of_view is None:
            return sample
        seen = read_mask(pair.field_of_view, scale=self.scale) > 0
        _check_size(pair.field_of_view, seen.shape, pair.image, shape)
        sample = replace(sample, field_of_view=seen)
        return replace(sample, mask=counted(sample, self.labels))

    def _image(self, pair: Pair) -> tuple[NDArray[Any], ImageInfo]:
        """Return an image with the bands of all of its files."""
        image, info = read_with_info(pair.image, scale=self.scale, page=pair.page)
        if not pair.channels and not pair.bands:
            return image, info
        parts = [np.atleast_3d(image)]
        for path in pair.channels:
            part, _ = read_with_info(path, scale=self.scale, page=pair.page)
            if part.shape[:2] != image.shape[:2]:
                raise ImageError(
                    f"{path} is {part.shape[:2]} (height, width), but {pair.image}, another band of the same "
                    f"image, is {image.shape[:2]}: they must have the same size"
                )
            parts.append(np.atleast_3d(part))
        whole = np.concatenate(parts, axis=2)
        bands = pair.bands or tuple(f"band {number}" for number in range(1, whole.shape[2] + 1))
        if len(bands) != whole.shape[2]:
            raise ImageError(
                f"{pair.image} and its other files have {whole.shape[2]} bands, but {len(bands)} names are "
                f"given: {listed(bands)}"
            )
        return whole, replace(info, bands=bands, dtype=str(whole.dtype), alpha=None, palette=())

    def _mask(self, pair: Pair, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the class of each pixel, and its object if masks number them."""
        if self.labels.overlapping:
            return self._planes(pair, shape), None
        if isinstance(pair.mask, tuple):
            return self._layered(pair.mask, pair.image, shape), None
        if pair.mask_pages:
            layers = [(index, pair.mask) for index in pair.mask_pages]
            return self._layered(layers, pair.image, shape, True), None
        colours = bool(self.labels.palette or self._objects or self._decode)
        ignored = (self._ignore_colour,) if self._ignore_colour else ()
        palette = (*self.labels.palette, *ignored) if self.labels.palette else ()
        values = read_mask(pair.mask, scale=self.scale, page=pair.page, colours=colours, palette=palette)
        _check_size(pair.mask, values.shape[:2], pair.image, shape)
        if self._decode:
            return self._decode(values, str(pair.mask)), None
        if self._objects:
            return self._objects.split(values, _called(pair), str(pair.mask))
        return to_classes(values, self.labels, str(pair.mask), ignore_colour=self._ignore_colour), None

    def _planes(self, pair: Pair, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return the mask of each class, ``(K, H, W)``; several files of one class are combined."""
        mask, pages = pair.mask, pair.mask_pages
        if isinstance(mask, Path) and not pages:
            planes = read_planes(mask, self.labels, scale=self.scale)
        else:
            layers = mask if isinstance(mask, tuple) else [(index, mask) for index in pages]
            planes = read_layers(layers, self.labels, scale=self.scale, pages=bool(pages))
        _check_size(mask if isinstance(mask, Path) else mask[0][1], planes.shape[1:], pair.image, shape)
        return planes

    def _layered(
        self,
        layers: Sequence[tuple[int, Path]],
        image: Path,
        shape: tuple[int, ...],
        pages: bool = False,
    ) -> NDArray[Any]:
        """Combine the masks of single classes; pixels outside all of them are background, or ignored."""
        labels = self.labels
        rest = labels.ignore_index if labels.background is None else labels.background
        mask = np.full(shape, rest or 0, labels.index_type)
        covered = np.zeros(shape, np.bool_)
        for number, (index, path) in enumerate(layers):
            layer = read_mask(path, scale=self.scale, page=number if pages else None)
            _check_size(path, layer.shape, image, shape)
            if index != labels.background:
                covered |= layer > 0
                mask[layer > 0] = index
        if rest is None and not covered.all():
            raise MaskError(
                f"{image}: {1 - covered.mean():.2%} of its pixels are in no class's mask, and no class is "
                "background: set ignore_index=255 to ignore them, or set the background class"
            )
        return mask


def slices(pair: Pair, chosen: Pages = ()) -> list[Pair]:
    """Return one pair for each page if image and mask are stacks, else the pair itself.

    Args:
        pair: pair of two files.
        chosen: pages to use (`segzoo.images.parse_pages`); all if empty.

    Raises:
        FailureError: the two have different numbers of pages.
        ImageError: they lack one of the chosen pages.
    """
    if isinstance(pair.mask, tuple) or not may_have_pages(pair.image):
        return [pair]
    try:
        pages = count_pages(pair.image)
        others = pages if pages == 1 else count_pages(pair.mask)
    except (ImageError, MissingExtraError):
        return [pair]  # one bad file must not prevent opening the others; reading it reports the problem
    if pages == 1:
        return [pair]
    if pages != others:
        raise FailureError(
            f"{pair.image} has {pages} pages, its mask {pair.mask} has {others}: pages are paired by number, "
            "so both need the same number. If the pages of the image are its bands, save them as such: "
            "tifffile.imwrite(..., metadata={'axes': 'CYX'})"
        )
    taken = chosen_pages(chosen, pages, pair.image)
    return [replace(pair, name=f"{pair.name}/{page:04}", page=page) for page in taken]


def groups_of_pairs(pairs: Sequence[Pair]) -> list[str]:
    """Return the group of each pair: pages of a stack stay with their stack, see `groups_of`."""
    return groups_of(pair.name if pair.page is None else pair.name.rpartition("/")[0] for pair in pairs)


def _called(pair: Pair) -> tuple[str, ...]:
    """Return the possible names of an image in a table: by its own file or by that of its mask."""
    files = (pair.image, pair.mask) if isinstance(pair.mask, Path) else (pair.image,)
    return tuple(dict.fromkeys((pair.name, *(name for file in files for name in (file.name, file.stem)))))


def _check_size(path: Path, shape: Sequence[int], image: Path, wanted: Sequence[int]) -> None:
    if tuple(shape) == tuple(wanted):
        return
    turned = tuple(shape) == tuple(wanted)[::-1]
    advice = (
        "the image's EXIF data may rotate it, but the mask was drawn on the unrotated one: rotate the mask"
        if turned
        else "resize the mask to the image's size with nearest-neighbour interpolation, or find the right one"
    )
    raise MaskError(f"{path} is {tuple(shape)}, its image {image} is {tuple(wanted)}: {advice}")


def _check_names(pairs: Sequence[Pair]) -> None:
    seen: dict[str, Pair] = {}
    for pair in pairs:
        if pair.name in seen:
            first = seen[pair.name]
            raise FailureError(
                f"{first.image} and {pair.image} have the same name, {pair.name!r}: rename one"
            )
        seen[pair.name] = pair


def find_root(root: Path, *marks: str) -> Path | None:
    """Return ``root``, or the folder up to two levels below it, that contains one of ``marks``.

    Archives often unpack to one more folder than their documentation mentions.
    """
    folders = [root]
    for _ in range(3):
        found = next((one for one in folders if any((one / mark).exists() for mark in marks)), None)
        if found is not None:
            return found
        folders = [
            inner for one in folders if one.is_dir() for inner in sorted(one.iterdir()) if inner.is_dir()
        ]
        # A folder with thousands of folders is data, not an additional level.
        folders = folders[:64]
    return None
