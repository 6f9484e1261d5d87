"""Segmenter: encoder, decoder, head; images of any size in, logits of that size out.

An image whose size the network cannot take is continued by mirroring and the logits are cropped
back: to a multiple of the coarsest stride, or, for a network of valid convolutions, by the border
that it eats (the overlap-tile strategy of Ronneberger et al., 2015, arXiv:1505.04597). A network
that handles odd sizes by itself is left to do so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks.convolution import check_positive
from segzoo.blocks.sizes import crop, mirror

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.config import ModelConfig


class Segmenter(nn.Module):
    """An encoder, a decoder and a 1x1 head.

    Args:
        encoder: a module as `segzoo.interfaces.Encoder` describes.
        decoder: a module as `segzoo.interfaces.Decoder` describes, built for that encoder.
        num_classes: channels of the logits; 1 means two classes told apart by a sigmoid.
        mirror: whether a network of valid convolutions mirrors its image to give logits of the
            image's size; without, it is the bare network (572 in, 388 out).
    """

    #: How the model was made and how it predicts; `segzoo.create` and `segzoo.load` set it.
    segzoo_config: ModelConfig

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, num_classes: int, mirror: bool = True
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes)
        parts = cast("Any", (encoder, decoder))
        self.encoder, self.decoder = encoder, decoder
        self.head = nn.Conv2d(parts[1].out_channels, num_classes, 1)
        self.side_heads = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 1) for channels in getattr(decoder, "side_channels", ())
        )
        self.mirror = mirror
        self._stride: int = parts[1].stride
        self._coarsest: int = parts[0].strides[-1]
        self._eaten = tuple(int(getattr(part, "eats", 0)) for part in parts)
        flexible = all(getattr(part, "any_size", False) for part in parts) and not any(self._eaten)
        self._multiple = 1 if flexible else self._coarsest
        # Without a skip at stride 1, a map of an odd image comes out a pixel too large or too small.
        self._resized = self._stride > 1 or (flexible and parts[0].strides[0] > 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``."""
        padded, top, left = self._pad(images)
        features = self.decoder(self.encoder(padded))
        return self._restore(self.head(features), images, padded, top, left)

    def side_logits(self, images: Tensor) -> list[Tensor]:
        """Return the logits of every head, as deep supervision trains them; `forward`'s come last.

        A model without deep supervision returns the one that `forward` does.
        """
        if not len(self.side_heads):
            return [self(images)]
        padded, top, left = self._pad(images)
        maps = cast("Any", self.decoder).side_features(self.encoder(padded))
        heads = (*self.side_heads, self.head)
        return [
            self._restore(head(one), images, padded, top, left) for head, one in zip(heads, maps, strict=True)
        ]

    def _pad(self, images: Tensor) -> tuple[Tensor, int, int]:
        if not self.mirror and any(self._eaten):
            return images, 0, 0
        top, bottom = self._border(images.shape[-2])
        left, right = self._border(images.shape[-1])
        # While tracing, sizes are symbols, and asking whether one is 0 would pin it.
        if not torch.compiler.is_compiling() and not any((top, bottom, left, right)):
            return images, 0, 0
        eaten = sum(self._eaten) // 2
        return mirror(images, top, bottom, left, right), top - eaten, left - eaten

    def _border(self, size: int) -> tuple[int, int]:
        eaten = sum(self._eaten)
        # A batch norm cannot learn from a single value, so training keeps two of the coarsest pixels.
        least = self._coarsest * (2 if self.training else 1)
        wanted = torch.sym_max(size + eaten, least + self._eaten[0])
        wanted = wanted + (self._eaten[0] - wanted) % self._multiple
        return eaten // 2, cast("int", wanted) - size - eaten // 2

    def _restore(self, logits: Tensor, images: Tensor, padded: Tensor, top: int, left: int) -> Tensor:
        if self._resized:
            logits = F.interpolate(logits, padded.shape[-2:], mode="bilinear", align_corners=False)
        if padded is images:
            return logits
        return crop(logits, images.shape[-2], images.shape[-1], top, left)
