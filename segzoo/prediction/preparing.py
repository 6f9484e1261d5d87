"""From an image to the network's input, as the weights' config defines."""

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
    """Return ``(1, C, H, W)`` float32 in channels-last layout, and the position of the image within it.

    Args:
        image: ``(H, W, C)`` of any type, with all its bands.
        config: config of the network.
        size: height and width of the full image, if a smaller version was read
            (`segzoo.images.read_reduced`).
        exact: whether Pillow resizes it, exact to the last bit; otherwise torch does it several times as
            fast, and a few values differ by 1 of 255.
        info: metadata of the image's file.
        look: called with the scaling, and with pixels before and after it.

    Raises:
        ImageError: the image's bands do not fit the network, or its values cannot be scaled.
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
    """Resize ``(H, W, C)`` with torch, whose filters are those of Pillow with less precise weights."""
    if image.shape[:2] == (height, width):
        return image
    planes = torch.from_numpy(_owned(image)).permute(2, 0, 1)[None]
    small = F.interpolate(
        planes, (height, width), mode=resize.interpolation, antialias=resize.antialias, align_corners=False
    )
    return small[0].permute(1, 2, 0).numpy()


def _owned(image: NDArray[Any]) -> NDArray[Any]:
    """Return an array that torch can share: Pillow's are read-only, and BGR has negative strides."""
    backwards = any(stride < 0 for stride in image.strides)
    return image.copy() if backwards or not image.flags.writeable else image


def normalised_tensor(image: NDArray[np.uint8] | NDArray[np.float32], preprocessing: Preprocessing) -> Tensor:
    """Return the result of `segzoo.images.normalised` as a tensor ``(1, C, H, W)`` with channels last.

    Raises:
        ImageError: mean and std are for another number of channels.
    """
    count = image.shape[2]
    if len(preprocessing.mean) not in (1, count):
        raise ImageError(
            f"the image has {count} channels, but the network's mean has {len(preprocessing.mean)}"
        )
    # Only the order of the axes changes, without moving bytes; each further step works in place.
    values = torch.from_numpy(_owned(image)).permute(2, 0, 1)[None]
    # Floats are copied too, because the caller may still use them.
    values = values.to(torch.float32).div_(255) if image.dtype == np.uint8 else values.clone()
    if any(preprocessing.mean):
        values.sub_(torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
    if any(value != 1 for value in preprocessing.std):
        values.div_(torch.tensor(preprocessing.std).view(1, -1, 1, 1))
    return values
