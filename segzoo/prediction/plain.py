"""One image to its mask by the plain network: read, preprocess, run, undo.

What happens to the pixels is what the weights' config says; see `segzoo.specs.Preprocessing`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo.config import ModelConfig
from segzoo.errors import UsageError
from segzoo.images import as_image, read
from segzoo.machine import parse_device
from segzoo.prediction.decision import Decision
from segzoo.prediction.preparing import network_input
from segzoo.prediction.segmentation import Segmentation
from segzoo.weights.loading import load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from segzoo.images import Layout

#: Weights by name, their folder, or a model that segzoo made.
Model = str | os.PathLike[str] | nn.Module


def predict(
    image: str | os.PathLike[str] | NDArray[Any] | Tensor | Image.Image,
    *,
    model: Model,
    device: str | torch.device | None = None,
    layout: Layout = "HWC",
    probabilities: bool = False,
) -> Segmentation:
    """Segment one image.

    Args:
        image: a file, a Pillow image, or an array or a tensor ``(H, W)`` or as ``layout`` says, channels in
            RGB order; values as `segzoo.images.to_uint8` takes them.
        model: weights by name, their folder, or a model that segzoo made.
        device: where to compute; the model's own device unless told.
        layout: of arrays and tensors: ``HWC``, or ``CHW`` for channels first.
        probabilities: whether to keep them too, 4 bytes a pixel and class.

    Raises:
        ImageError: the image cannot be read.
        UnknownNameError: there are no such weights.

    Example:
        >>> result = segzoo.predict("cells.png", model="unet-nuclei")
        >>> result.overlay().save("cells_overlay.png")
    """
    network = loaded(model)
    if device is not None:
        network.to(parse_device(device))
    pixels = read(image) if isinstance(image, str | os.PathLike) else as_image(image, layout=layout)
    return segment(network, pixels, probabilities=probabilities)


@torch.inference_mode()
def segment(model: nn.Module, image: NDArray[np.uint8], *, probabilities: bool = False) -> Segmentation:
    """Segment an array ``(H, W, C)`` uint8 with a model that carries its config."""
    config = config_of(model)
    images, placement = network_input(image, config)
    parameter = next(model.parameters(), torch.empty(0))
    was_training = model.training
    logits = model.eval()(images.to(parameter.device)).float()
    model.train(was_training)
    size = (image.shape[0], image.shape[1])
    decision = Decision(config, keeps=torch.float32 if probabilities else None)
    mask, *kept = (found.cpu().numpy() for found in decision.whole(logits[0], placement, size))
    return Segmentation(mask=mask, labels=config.labels, image=image, probabilities=kept[0] if kept else None)


def loaded(model: Model) -> nn.Module:
    """Return a model, loaded where it is a name or a folder; errors as `segzoo.load`."""
    return model if isinstance(model, nn.Module) else load(model)


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
