"""Weights made ready for many images: loaded once, made fast, with all that follows the network."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from segzoo.errors import OptionError
from segzoo.images import as_image, read
from segzoo.prediction.combining import Augmented, Ensemble, check_alike
from segzoo.prediction.engines import make_engine
from segzoo.prediction.postprocessing import choose_classes, clean, read_thresholds
from segzoo.prediction.predictor import config_of
from segzoo.prediction.preparing import network_input
from segzoo.prediction.restoring import restored
from segzoo.weights.folder import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.images import Placement
    from segzoo.prediction.engines import Backend, Engine, Precision
    from segzoo.prediction.segmentation import Segmentation

    #: A file, a Pillow image, or an array.
    Picture = str | os.PathLike[str] | NDArray[Any] | Image.Image

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """An image on its way into the network.

    Attributes:
        image: ``(H, W, C)`` uint8, upright.
        tensor: ``(1, C, h, w)`` float32, preprocessed.
        placement: where the image lies in the tensor.
    """

    image: NDArray[np.uint8]
    tensor: Tensor
    placement: Placement


class Predictor:
    """Weights ready for many images.

    Args:
        model: weights by name or ``local-dir:path``, or a model that segzoo made; several are an
            ensemble, whose probabilities are averaged.
        device: where to compute; a GPU if there is one, unless told.
        precision: ``exact`` (logits within 1e-4 of float32, relative to the largest), ``fast`` (half the
            bits, where the machine is faster with them) or ``fastest`` (8-bit integers).
        backend: ``torch``, ``compile``, ``openvino`` or ``onnxruntime``.
        flips: directions in which each image is mirrored too, and the probabilities averaged.
        turns: whether it is turned by right angles too.
        scales: sizes that it is seen at.
        threshold: of a network with one logit, instead of the weights' own.
        thresholds: by class, name or index: a class is taken where its probability exceeds it.
        smallest_object: in pixels, for all classes or by class; smaller ones go.
        smallest_hole: likewise; smaller ones are filled.
        calibration: images like those to come, which ``fastest`` measures.
        tell: hears, a line each, what was chosen and what could not be had.

    Attributes:
        config: of the weights.
        engine: what runs; its ``description`` says how.

    Raises:
        UnknownNameError: there are no such weights.
        OptionError: an option is unknown or out of range, or the models of an ensemble differ in classes or
            preprocessing.

    Example:
        >>> predictor = segzoo.Predictor("unet-nuclei", precision="fast")
        >>> masks = [predictor(path).mask for path in paths]
    """

    def __init__(
        self,
        model: str | nn.Module | Sequence[str | nn.Module],
        *,
        device: str | torch.device | None = None,
        precision: Precision = "exact",
        backend: Backend = "torch",
        flips: Sequence[Literal["horizontal", "vertical"]] = (),
        turns: bool = False,
        scales: Sequence[float] = (1.0,),
        threshold: float | None = None,
        thresholds: Mapping[str | int, float] | None = None,
        smallest_object: int | Mapping[str | int, int] = 0,
        smallest_hole: int | Mapping[str | int, int] = 0,
        calibration: Sequence[Picture] = (),
        tell: Callable[[str], None] = _log.info,
    ) -> None:
        named = [model] if isinstance(model, str | nn.Module) else list(model)
        networks = [load(one) if isinstance(one, str) else one for one in named]
        if not networks:
            raise OptionError("name at least one model")
        check_alike([config_of(network) for network in networks])
        self.config: ModelConfig = config_of(networks[0])
        if threshold is not None:
            self.config = replace(self.config, threshold=threshold)
        self._thresholds = read_thresholds(self.config.labels, thresholds or {})
        self._smallest = {"smallest_object": smallest_object, "smallest_hole": smallest_hole}
        samples = [self.prepare(picture).tensor for picture in calibration]
        engines: list[Engine] = [
            make_engine(
                network,
                device=device,
                precision=precision,
                backend=backend,
                calibration=samples,
                tell=tell,
            )
            for network in networks
        ]
        self.engine: Engine = Ensemble(engines) if len(engines) > 1 else engines[0]
        if flips or turns or tuple(scales) != (1.0,):
            self.engine = Augmented(self.engine, flips=flips, turns=turns, scales=scales)
        tell(self.engine.description)

    def __call__(self, image: Picture, *, probabilities: bool = False) -> Segmentation:
        """Segment one image.

        Args:
            image: a file, a Pillow image, or an array ``(H, W)`` or ``(H, W, C)``, channels in RGB order.
            probabilities: whether to keep them too, 4 bytes a pixel and class.

        Raises:
            ImageError: it cannot be read, or has other channels than the network.
        """
        return self.batch([self.prepare(image)], probabilities=probabilities)[0]

    def prepare(self, image: Picture) -> Prepared:
        """Read and preprocess an image; errors as those of a call."""
        pixels = read(image) if isinstance(image, str | os.PathLike) else as_image(image)
        return Prepared(pixels, *network_input(pixels, self.config))

    @torch.inference_mode()
    def batch(self, prepared: Sequence[Prepared], *, probabilities: bool = False) -> list[Segmentation]:
        """Segment prepared images whose tensors are of one size."""
        logits = self.engine(torch.cat([one.tensor for one in prepared]))
        return [
            self._finished(logits[number], one, probabilities=probabilities)
            for number, one in enumerate(prepared)
        ]

    def _finished(self, logits: Tensor, prepared: Prepared, *, probabilities: bool) -> Segmentation:
        wanted = probabilities or bool(self._thresholds)
        found = restored(logits, prepared.placement, prepared.image, self.config, probabilities=wanted)
        if self._thresholds and found.probabilities is not None:
            mask = choose_classes(found.probabilities, self._thresholds, threshold=self.config.threshold)
            found = replace(found, mask=mask.astype("uint8"))
        if any(self._smallest.values()):
            found = replace(found, mask=clean(found.mask, self.config.labels, **self._smallest))
        return found if probabilities else replace(found, probabilities=None)
