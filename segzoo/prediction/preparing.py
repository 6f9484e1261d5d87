"""From an image to what a network takes, as the weights' config says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from segzoo.errors import ImageError
from segzoo.images import averages, resized, select_bands
from segzoo.images.intensity import scaling_for

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.images import Placement
    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.tiling.resizing import Look
    from segzoo.specs import Preprocessing, Resize


def network_input(
    image: NDArray[Any],
    config: ModelConfig,
    *,
    size: tuple[int, int] | None = None,
    exact: bool = True,
    info: ImageInfo | None = None,
    look: Look | None = None,
) -> tuple[Tensor, Placement]:
    """Return ``(1, C, H, W)`` float32, laid out with channels last, and where the image lies in it.

    Args:
        image: ``(H, W, C)`` of any type, with all its bands.
        config: of the network.
        size: height and width of the image, where it was read smaller (`segzoo.images.read_reduced`).
        exact: whether it is resized by Pillow to the last bit, rather than several times as fast with few
            values that differ, by 1 of 255.
        info: the metadata of the image's file.
        look: called with the scaling, and with pixels before and after it.

    Raises:
        ImageError: the image's bands are not those that the network takes, or its values have no scale.
    """
    preprocessing = config.preprocessing
    bands = select_bands(image, info, preprocessing, config.architecture.in_channels)
    scaling = scaling_for(preprocessing.intensity, bands, nodata=None if info is None else info.nodata)
    pixels = scaling.apply(bands)
    if look is not None:
        look(scaling, bands, pixels)
    quick = not exact and averages(preprocessing.resize)
    resample = _resample if quick else None
    small, placement = resized(pixels, preprocessing.resize, size=size, resample=resample)
    return normalised_tensor(small, preprocessing), placement


def _resample(image: NDArray[Any], height: int, width: int, resize: Resize) -> NDArray[Any]:
    """Resize ``(H, W, C)`` with torch, whose filters are Pillow's with weights of fewer bits."""
    if image.shape[:2] == (height, width):
        return image
    planes = torch.from_numpy(_owned(image)).permute(2, 0, 1)[None]
    small = F.interpolate(
        planes, (height, width), mode=resize.interpolation, antialias=resize.antialias, align_corners=False
    )
    return small[0].permute(1, 2, 0).numpy()


def _owned(image: NDArray[Any]) -> NDArray[Any]:
    """Return an array that torch can share: Pillow's may not be written, and BGR goes backwards."""
    backwards = any(stride < 0 for stride in image.strides)
    return image.copy() if backwards or not image.flags.writeable else image


def normalised_tensor(image: NDArray[np.uint8] | NDArray[np.float32], preprocessing: Preprocessing) -> Tensor:
    """Return what `segzoo.images.normalised` does, as a tensor ``(1, C, H, W)`` with channels last.

    Raises:
        ImageError: mean and std are for another number of channels.
    """
    count = image.shape[2]
    if len(preprocessing.mean) not in (1, count):
        raise ImageError(f"the image has {count} channels, the network's mean has {len(preprocessing.mean)}")
    # Only the order of the axes changes, so that no byte is moved; each step then works in place.
    values = torch.from_numpy(_owned(image)).permute(2, 0, 1)[None]
    # Floats are copied as well: they may be somebody's own.
    values = values.to(torch.float32).div_(255) if image.dtype == np.uint8 else values.clone()
    if any(preprocessing.mean):
        values.sub_(torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
    if any(value != 1 for value in preprocessing.std):
        values.div_(torch.tensor(preprocessing.std).view(1, -1, 1, 1))
    return values
