"""From an image to what a network eats, as the weights' config says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from segzoo.errors import ImageError, OptionError
from segzoo.images import resized, to_channels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.images import Placement
    from segzoo.specs import Preprocessing


def network_input(image: NDArray[np.uint8], config: ModelConfig) -> tuple[Tensor, Placement]:
    """Return ``(1, C, H, W)`` float32, laid out with channels last, and where the image lies in it.

    Args:
        image: ``(H, W, C)`` uint8, channels in RGB order.
        config: of the network.

    Raises:
        ImageError: the image's channels cannot become the network's.
        OptionError: the network takes another number of channels.
    """
    preprocessing = config.preprocessing
    channels = to_channels(image, preprocessing)
    if channels.shape[2] != config.architecture.in_channels:
        raise OptionError(
            f"the network takes {config.architecture.in_channels} channels, the image has {channels.shape[2]}"
        )
    small, placement = resized(channels, preprocessing.resize)
    return normalised_tensor(small, preprocessing), placement


def normalised_tensor(image: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Return what `segzoo.images.normalised` does, as a tensor ``(1, C, H, W)`` with channels last.

    Raises:
        ImageError: mean and std are for another number of channels.
    """
    count = image.shape[2]
    if len(preprocessing.mean) not in (1, count):
        raise ImageError(f"the image has {count} channels, the network's mean has {len(preprocessing.mean)}")
    if any(stride < 0 for stride in image.strides) or not image.flags.writeable:
        image = image.copy()
    # Only the order of the axes changes, so that no byte is moved; each step then works in place.
    values = torch.from_numpy(image).permute(2, 0, 1)[None].to(torch.float32).div_(255)
    if any(preprocessing.mean):
        values.sub_(torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
    if any(value != 1 for value in preprocessing.std):
        values.div_(torch.tensor(preprocessing.std).view(1, -1, 1, 1))
    return values
