"""From an image to a mask: read, preprocess, run, undo.

What happens to the pixels is what the weights' config says; see `segzoo.specs.Preprocessing`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from segzoo.config import ModelConfig
from segzoo.errors import OptionError, UsageError
from segzoo.images import as_image, normalised, read, resized, to_channels
from segzoo.prediction.segmentation import Segmentation
from segzoo.weights.folder import load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

    from segzoo.images import Placement


def predict(
    image: str | os.PathLike[str] | NDArray[Any] | Image.Image,
    *,
    model: str | nn.Module,
    device: str | torch.device | None = None,
    probabilities: bool = False,
) -> Segmentation:
    """Segment one image.

    Args:
        image: a file, a Pillow image, or an array ``(H, W)`` or ``(H, W, C)``, channels in RGB order.
        model: weights by name or ``local-dir:path``, or a model that segzoo made.
        device: where to compute; the model's own device unless told.
        probabilities: whether to keep them too, 4 bytes a pixel and class.

    Raises:
        ImageError: the image cannot be read.
        UnknownNameError: there are no such weights.

    Example:
        >>> result = segzoo.predict("cells.png", model="unet-nuclei")
        >>> result.overlay().save("cells_overlay.png")
    """
    network = load(model) if isinstance(model, str) else model
    if device is not None:
        network.to(device)
    pixels = read(image) if isinstance(image, str | os.PathLike) else as_image(image)
    return segment(network, pixels, probabilities=probabilities)


def segment(model: nn.Module, image: NDArray[np.uint8], *, probabilities: bool = False) -> Segmentation:
    """Segment an array ``(H, W, C)`` uint8 with a model that carries its config."""
    config = config_of(model)
    scores = _scores(model, image, config)
    chances = scores if _restores_probabilities(config) else _chances(scores)
    mask = chances[0] > config.threshold if len(scores) == 1 else scores.argmax(dim=0)
    return Segmentation(
        mask=mask.to(torch.uint8).cpu().numpy(),
        labels=config.labels,
        image=image,
        probabilities=chances.cpu().numpy() if probabilities else None,
    )


def config_of(model: nn.Module) -> ModelConfig:
    """Return how a model predicts.

    Raises:
        UsageError: segzoo did not make it.
    """
    config = getattr(model, "segzoo_config", None)
    if not isinstance(config, ModelConfig):
        raise UsageError(
            f"{type(model).__name__} carries no segzoo_config, which says how to preprocess: make it with "
            "segzoo.create or segzoo.load"
        )
    return config


@torch.inference_mode()
def _scores(model: nn.Module, image: NDArray[np.uint8], config: ModelConfig) -> Tensor:
    """Return ``(num_classes, H, W)`` float32 at the image's own size: logits, or what is restored instead."""
    network_input, placement = _network_input(image, config)
    parameter = next(model.parameters(), torch.empty(0))
    was_training = model.training
    logits = model.eval()(network_input.to(parameter.device)).float()
    model.train(was_training)
    resize = config.preprocessing.resize
    if resize is None:
        return logits[0]
    scores = _chances(logits[0]) if _restores_probabilities(config) else logits[0]
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    scores = scores[None, :, rows, columns]
    return F.interpolate(scores, image.shape[:2], mode="bilinear", align_corners=False)[0]


def _network_input(image: NDArray[np.uint8], config: ModelConfig) -> tuple[Tensor, Placement]:
    preprocessing = config.preprocessing
    channels = to_channels(image, preprocessing)
    if channels.shape[2] != config.architecture.in_channels:
        raise OptionError(
            f"the network takes {config.architecture.in_channels} channels, the image has {channels.shape[2]}"
        )
    small, placement = resized(channels, preprocessing.resize)
    return torch.from_numpy(normalised(small, preprocessing))[None], placement


def _restores_probabilities(config: ModelConfig) -> bool:
    resize = config.preprocessing.resize
    return resize is not None and resize.restore == "probabilities"


def _chances(logits: Tensor) -> Tensor:
    return logits.sigmoid() if logits.shape[0] == 1 else logits.softmax(dim=0)
