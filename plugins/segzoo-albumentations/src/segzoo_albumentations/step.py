"""Transforms of Albumentations, built from a recipe and seeded anew for every image.

Paper: Buslaev et al., 2020, doi:10.3390/info11020125, arXiv:1809.06839. Nothing that a recipe says is
imported or evaluated: a name is looked up among the library's own classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import as_names
from segzoo.errors import MissingExtraError, OptionError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[Any]

_KEY = "augment.albumentations"
#: Key of a transform's class in the library's own files.
_CLASS = "__class_fullname__"
#: Transforms that change the type of images or mix the classes of masks, or need files or other images.
_REFUSED = {
    "Normalize": "the network's preprocessing does that",
    "ToFloat": "the network's preprocessing does that",
    "FromFloat": "images keep their type",
    "ToRGB": "images keep their bands",
    "ToTensorV2": "segzoo makes tensors itself",
    "ToTensor3D": "segzoo makes tensors itself",
    "Morphological": "it mixes classes in masks",
    "MaskDropout": "it deletes objects of masks by their pixel values",
    "Mosaic": "it needs other images; see cutmix and copy_paste",
    "OverlayElements": "it needs other images; see copy_paste",
    "HistogramMatching": "it needs other images",
    "FDA": "it needs other images",
    "PixelDistributionAdaptation": "it needs other images",
    "TextImage": "it needs text with every image",
    "Lambda": "a recipe cannot hold functions",
    "ReplayCompose": "use Compose",
}
#: Modules and classes whose results differ in size.
_RESIZING = ("crops.", "geometric.resize", "geometric.pad")
_TURNING = ("Transpose", "D4", "SquareSymmetry", "RandomRotate90")


class Albumentations:
    """Transforms of Albumentations, one after the other.

    Args:
        transforms: names, or tables with a ``name`` and options; compositions such as ``OneOf`` have
            ``transforms`` of their own. The output of ``albumentations.to_dict`` works too.
        only_colours: whether the transforms get the red, green and blue bands alone; not for transforms that
            move pixels.

    Raises:
        OptionError: there is no such transform or option, or it cannot be a step.
        MissingExtraError: Albumentations is not installed.
    """

    def __init__(self, transforms: Any = None, only_colours: bool = False) -> None:
        self.of_colours = only_colours
        self._filled: list[Any] = []
        self._transforms = [self._made(one) for one in _listed(transforms)]
        if not self._transforms:
            raise OptionError(f'{_KEY}.transforms must name transforms, such as ["RandomFog", "CLAHE"]')
        leaves = [leaf for one in self._transforms for leaf in _leaves(one)]
        self._moves = [leaf for leaf in leaves if not isinstance(leaf, _library().ImageOnlyTransform)]
        if only_colours and self._moves:
            name = type(self._moves[0]).__name__
            raise OptionError(
                f"{_KEY}.only_colours goes with transforms that move no pixels, and {name} does"
            )

    def __call__(
        self, image: Image, mask: Image, random: np.random.Generator, ignore: int | None
    ) -> tuple[Image, Image]:
        """Return image ``(H, W, C)`` and mask ``(H, W)`` after the transforms.

        Pixels from outside the image have the mask's value ``ignore``, or class 0 where there is none, unless
        ``fill_mask`` says otherwise.

        Raises:
            OptionError: a transform does not take such images.
        """
        for leaf in self._filled:
            leaf.fill_mask = 0 if ignore is None else ignore
        kind = image.dtype
        for transform in self._transforms:
            # A seed for each: how much one draws must not change the next.
            transform.set_random_seed(int(random.integers(1 << 32)))
            name = type(transform).__name__
            try:
                made = transform(image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask))
            except Exception as error:
                told = " ".join(str(error).split())
                raise OptionError(
                    f"{_KEY}: {name} does not take images of {image.shape[2]} bands of {image.dtype}: {told}"
                ) from error
            image, mask = made["image"], made["mask"]
            # Some leave out the axis of a single band.
            image = image[..., None] if image.ndim == 2 else image
            if image.dtype != kind:
                raise OptionError(f"{_KEY}: {name} makes {image.dtype} of {kind}: leave it out")
        return image, mask

    def size_after(self, before: tuple[int, int] | None) -> tuple[int, int] | None:
        """Return the height and width that come out; ``None`` where that is not certain."""
        changing = [leaf for leaf in self._moves if _resizes(leaf)]
        if changing or (before is None):
            return None
        turned = any(type(leaf).__name__ in _TURNING for leaf in self._moves)
        return None if turned and before[0] != before[1] else before

    def _made(self, said: Any) -> Any:
        """Return the transform of a name or a table."""
        options = dict(said) if isinstance(said, Mapping) else {"name": said}
        if isinstance(options.get("transform"), Mapping):  # a whole file of the library
            return self._made(options["transform"])
        name = options.pop("name", None) or options.pop(_CLASS, None)
        options.pop(_CLASS, None)
        if not isinstance(name, str):
            raise OptionError(
                f"{_KEY}.transforms: a transform is a name or a table with a name, got {said!r}"
            )
        name = name.rpartition(".")[2]
        kind = _kind(name)
        inner = options.pop("transforms", None)
        if inner is not None:
            options["transforms"] = [self._made(one) for one in _listed(inner)]
        options = {key: _tuples(value) for key, value in options.items() if value is not None}
        if options.get("mask_interpolation", 0) != 0:
            raise OptionError(
                f"{_KEY}: {name}: mask_interpolation must be 0, the nearest pixel, as classes have no mean"
            )
        made = _built(kind, name, options)
        if "fill_mask" not in options and getattr(made, "fill_mask", None) is not None:
            self._filled.append(made)
        return made


def _library() -> Any:
    # Importing it would ask a server for a newer version.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        import albumentations
    except ImportError as error:
        raise MissingExtraError(
            f"{_KEY} needs Albumentations: `pip install 'albumentations<=2.0.8'` ({error})"
        ) from error
    return albumentations


def _kind(name: str) -> type[Any]:
    """Return the library's class of a name."""
    library = _library()
    from albumentations.core.serialization import SERIALIZABLE_REGISTRY

    own = {
        known: kind
        for known, kind in SERIALIZABLE_REGISTRY.items()
        if kind.__module__.startswith("albumentations.") and getattr(library, known, None) is kind
    }
    if name in _REFUSED:
        raise OptionError(f"{_KEY}: {name} cannot be a step: {_REFUSED[name]}")
    kind = own.get(name)
    usable = (library.ImageOnlyTransform, library.DualTransform, library.BaseCompose)
    if kind is None or not issubclass(kind, usable) or kind in usable or "3d" in kind.__module__:
        close = did_you_mean(name, [known for known in own if known not in _REFUSED])
        raise OptionError(f"{_KEY}: Albumentations has no transform {name!r} for images with masks{close}")
    return kind


def _built(kind: type[Any], name: str, options: dict[str, Any]) -> Any:
    import inspect
    import warnings

    takes = inspect.signature(kind.__init__).parameters
    for option in options:
        if option not in takes:
            known = [one for one in takes if one != "self"]
            told = f"it takes {', '.join(known)}"
            raise OptionError(f"{_KEY}: {name} has no option {option!r}{did_you_mean(option, known, told)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return kind(**options)
    except Exception as error:
        told = " ".join(str(error).split())
        raise OptionError(f"{_KEY}: {name} cannot be made of {options}: {told}") from error


def _leaves(transform: Any) -> Iterator[Any]:
    """Yield the transforms within compositions."""
    inner = getattr(transform, "transforms", None)
    if inner is None:
        yield transform
        return
    for one in inner:
        yield from _leaves(one)


def _resizes(leaf: Any) -> bool:
    module = type(leaf).__module__.removeprefix("albumentations.augmentations.")
    return (
        module.startswith(_RESIZING)
        or bool(getattr(leaf, "fit_output", False))
        or bool(getattr(leaf, "crop_border", False))
        or getattr(leaf, "keep_size", True) is False
    )


def _listed(value: Any) -> list[Any]:
    """Return transforms as a list; a word may name several, with commas between them."""
    if value is None:
        return []
    if isinstance(value, str):
        return as_names(value)
    return list(value) if isinstance(value, Sequence) else [value]


def _tuples(value: Any) -> Any:
    """Return a value whose lists are tuples, as the library's options take them."""
    if isinstance(value, Mapping):
        return {key: _tuples(one) for key, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
