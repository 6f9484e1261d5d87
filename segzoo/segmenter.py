"""Segmenter: encoder, decoder, head; images of any size in, logits of that size out.

An image whose size the network cannot take is continued by mirroring and the logits are cropped
back: to a multiple of the coarsest stride, or, for a network of valid convolutions, by the border
that it consumes (the overlap-tile strategy of Ronneberger et al., 2015, arXiv:1505.04597). A network
that handles odd sizes by itself is left to do so.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks.pooling import pool_any_size
from segzoo.blocks.sizes import crop, is_symbolic, larger, mirror
from segzoo.errors import UsageError
from segzoo.options import check_flags, check_positive

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.config import ModelConfig


class AnySize(nn.Module):
    """A network that takes images of every size, around one that does not: it pads, resizes and crops."""

    #: How the model was made and how it predicts; `segzoo.create` and `segzoo.load` set it.
    segzoo_config: ModelConfig

    mirror = True

    #: Whether logits become float32 before they are resized, which engines ask of networks of fewer bits:
    #: they want float32 in the end, and small logits are converted sooner than large ones.
    float32_logits = False

    def _takes(
        self,
        *,
        multiple: int,
        coarsest: int,
        borders: tuple[int, ...] = (0, 0),
        resized: bool,
        align_corners: bool = False,
    ) -> None:
        """Set what the network takes, once its parts are there.

        Args:
            multiple: what the sides of the images must be multiples of; 1 where every size is taken.
            coarsest: stride of its coarsest map, of which there must be two pixels to learn from.
            borders: pixels of height (and width) that valid convolutions of encoder and decoder consume.
            resized: whether its logits may have another size than its images, to which they are then resized.
            align_corners: whether corners are aligned when logits are resized.
        """
        self._multiple, self._coarsest, self._borders = multiple, coarsest, borders
        self._resized, self._align_corners = resized, align_corners
        self._lone_value_fails = any(map(_norms_alone, self.modules()))

    @property
    def num_logits(self) -> int:
        """Channels of the logits."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return what ``repr`` says of the whole network before it lists its parts."""
        config: ModelConfig | None = getattr(self, "segzoo_config", None)
        name = f"{config.architecture.name}, " if config else ""
        count = sum(parameter.numel() for parameter in self.parameters())
        logits = self.num_logits
        return f"{name}{logits} logit{'s' if logits != 1 else ''}, {count:,} parameters"

    def _repr_html_(self) -> str:
        """Return what notebooks show: what the model is, what it expects, and what it reaches."""
        from segzoo.notebooks import model_html

        first = next(self.parameters())
        return model_html(
            type(self).__name__,
            parameters=sum(parameter.numel() for parameter in self.parameters()),
            logits=self.num_logits,
            stride=self._coarsest,
            where=f"{str(first.dtype).removeprefix('torch.')} on {first.device}",
            config=getattr(self, "segzoo_config", None),
        )

    def _pad(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if not self.mirror and any(self._borders):
            self._check_bare(height, width)
            return images
        wanted = self._wanted_sides(height, width)
        if not is_symbolic(height, width) and wanted == (height, width):
            return images
        # What valid convolutions eat goes before the first pixel, so that the logits begin there.
        before = sum(self._borders) // 2
        return mirror(images, *wanted, before, before)

    def _wanted_sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the least sides of an image that the network can take and give as many logits for."""
        return self._wanted(height), self._wanted(width)

    def _wanted(self, size: int) -> int:
        """Return the least size of an image that the network can take and give ``size`` logits for."""
        wanted: Any = size + sum(self._borders)
        # A batch norm cannot learn from a single value, nor a group norm normalise it, nor may a size
        # be 1 in an exported graph, where 1 would be another graph (a traced one takes it).
        exported = isinstance(size, torch.SymInt)
        pixels = 2 if self.training or self._lone_value_fails or exported else 1
        least = max(pixels * self._coarsest, self._multiple) + self._borders[0]
        if least > sum(self._borders) + 1:
            wanted = larger(wanted, least)
        # Beside the encoder's border, whole multiples are left; rounded up so that tracing sees the bounds.
        steps = (wanted - self._borders[0] + self._multiple - 1) // self._multiple
        return self._borders[0] + steps * self._multiple

    def _check_bare(self, height: int, width: int) -> None:
        if is_symbolic(height, width):
            return
        first, border = self._borders[0], sum(self._borders)
        least = border + 1 + (first - border - 1) % self._multiple
        if min(height, width) < least:
            raise UsageError(
                f"without mirroring this network needs images of {least}x{least} or larger, "
                f"got {height}x{width}: make it with mirror=True"
            )

    def _restore(self, logits: Tensor, images: Tensor, padded: Tensor) -> Tensor:
        if self._resized:
            logits = logits.float() if self.float32_logits else logits
            logits = F.interpolate(
                logits, padded.shape[-2:], mode="bilinear", align_corners=self._align_corners
            )
        return logits if padded is images else crop(logits, images.shape[-2], images.shape[-1], 0, 0)


def _norms_alone(module: nn.Module) -> bool:
    """Whether a layer normalises each channel by itself, which needs more than one pixel."""
    grouped = isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels
    return grouped or isinstance(module, nn.InstanceNorm2d)


class Adapted(AnySize):
    """A network of another library: images ``(N, C, H, W)`` of every size to logits of that size.

    Subclasses say in `logits` how the network is called.

    Args:
        network: the library's own module.
        num_classes: channels of its logits.
        multiple: what the sides of its images must be multiples of; 1 where it takes every size.
        coarsest: stride of its coarsest map; ``multiple`` where 0.
        align_corners: whether corners are aligned when logits are resized to the image.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        multiple: int = 1,
        coarsest: int = 0,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, multiple=multiple)
        pool_any_size(network)
        self.network, self._classes = network, num_classes
        self._takes(
            multiple=multiple, coarsest=coarsest or multiple, resized=True, align_corners=align_corners
        )

    @property
    def num_logits(self) -> int:
        """Channels of the logits."""
        return self._classes

    @property
    def backbone(self) -> nn.Module | None:
        """The part from images to features, which trainings freeze or give a rate of its own.

        ``None`` where the network has none that is called ``encoder``, ``backbone`` or ``base_model``.
        """
        found = (getattr(self.network, name, None) for name in ("encoder", "backbone", "base_model"))
        modules = (part for part in found if isinstance(part, nn.Module) and part is not self.network)
        return next(modules, None)

    def logits(self, images: Tensor) -> Tensor:
        """Return what the network makes of images of a size that it takes, ``(N, num_classes, h, w)``."""
        return self.network(images)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``."""
        padded = self._pad(images)
        return self._restore(self.logits(padded), images, padded)


class Segmenter(AnySize):
    """An encoder, a decoder and a 1x1 head.

    Args:
        encoder: a module as `segzoo.interfaces.Encoder` describes.
        decoder: a module as `segzoo.interfaces.Decoder` describes, built for that encoder.
        num_classes: channels of the logits; 1 means two classes told apart by a sigmoid.
        mirror: whether a network of valid convolutions mirrors its image to give logits of the
            image's size; without, it is the bare network (572 in, 388 out).
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, num_classes: int, mirror: bool = True
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes)
        parts = cast("Any", (encoder, decoder))
        self.encoder, self.decoder = encoder, decoder
        self.head = nn.Conv2d(parts[1].out_channels, num_classes, 1)
        self.side_heads = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 1) if channels else nn.Identity()
            for channels in getattr(decoder, "side_channels", ())
        )
        check_flags(mirror=mirror)
        self.mirror = mirror
        borders = tuple(map(border_of, parts))
        coarsest: int = getattr(encoder, "coarsest", parts[0].strides[-1])
        flexible = all(getattr(part, "any_size", False) for part in parts) and not any(borders)
        self._takes(
            multiple=1 if flexible else int(getattr(encoder, "multiple", coarsest)),
            coarsest=max(coarsest, getattr(decoder, "coarsest", 1)),
            borders=borders,
            # Without a skip at stride 1, a map of an odd image comes out a pixel too large or too small.
            resized=parts[1].stride > 1 or (flexible and parts[0].strides[0] > 1),
            align_corners=getattr(decoder, "align_corners", False),
        )

    @property
    def num_logits(self) -> int:
        """Channels of the logits."""
        return self.head.out_channels

    @property
    def side_weight(self) -> float | None:
        """Weight of each side head's loss where the head's is 1; ``None`` where the mean is taken."""
        return getattr(self.decoder, "side_weight", None)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``."""
        padded = self._pad(images)
        return self._restore(self.head(self.decoder(self.encoder(padded))), images, padded)

    def side_logits(self, images: Tensor) -> list[Tensor]:
        """Return the logits of every head, as deep supervision trains them; `forward`'s come last.

        A model without deep supervision returns the one that `forward` does.
        """
        if not len(self.side_heads):
            return [self(images)]
        padded = self._pad(images)
        maps = cast("Any", self.decoder).side_features(self.encoder(padded))
        heads = (*self.side_heads, self.head)
        return [self._restore(head(one), images, padded) for head, one in zip(heads, maps, strict=True)]


def border_of(part: object) -> int:
    """Return the pixels of height and width that a part's valid convolutions consume, 0 where it has none."""
    old = getattr(part, "eats", None)
    if old is not None and not hasattr(part, "border"):
        warnings.warn(f"{type(part).__name__}.eats is called border now", DeprecationWarning, stacklevel=2)
        return int(old)
    return int(getattr(part, "border", 0))
