"""Networks of transformers as models: images of any size in, logits of that size out.

What the library's processors do after the network is part of it here: of the classes and masks that networks
of queries give (Mask2Former, MaskFormer, OneFormer, EoMT) a map of scores is made, the sum over queries of
their classes' softmax without the last, "no object", times their masks' sigmoid.

Sizes are the library's where it takes them. Others are made to fit: images are continued by mirroring to
multiples of a patch (BEiT and other vision transformers), to a square (DPT), to the least size
(SegFormer), or seen through windows of the one size that the network takes (EoMT).
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
import transformers
from torch import nn
from transformers import AutoConfig

from segzoo import Adapted
from segzoo.blocks import PooledBatchNorm, larger
from segzoo_transformers.configs import described, network_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import PretrainedConfig

#: "the task is semantic" in the tokens of CLIP, the text input of OneFormer; zeros follow.
_SEMANTIC_TASK = (49406, 518, 10549, 533, 29119, 1550, 49407)
#: Name of the hooks by which the library collects features, and of its mark that they are there.
_HOOK, _HOOKED = "output_capturing_hook", "_output_capturing_hooks_installed"
#: Networks that take every size down to a pixel, since each of their layers pads.
_ANY_SIZE = ("mobilevit", "mobilevitv2", "mobilenet_v2")
#: Networks and backbones that take images of one size, and those that did before version 5.
_FIXED, _FIXED_BEFORE_5 = ("data2vec-vision", "hiera"), ("beit",)
#: Patches up to this size are a convolutional stem's, whose networks take every size above the least.
_STEM = 4
_COARSEST = 32


class TransformersNetwork(Adapted):
    """A semantic segmentation network of transformers.

    Args:
        network: the library's own module.
        num_classes: channels of its logits.
        multiple: what the sides of its images must be multiples of.
        coarsest: stride of its coarsest map: the least size of an image.
        square: whether its images must be square.
        window: the side of the only images that it takes; 0 where it takes others.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        multiple: int = 1,
        coarsest: int = 1,
        square: bool = False,
        window: int = 0,
    ) -> None:
        super().__init__(network, num_classes=num_classes, multiple=multiple, coarsest=coarsest)
        self._square, self._window = square, window

    @property
    def backbone(self) -> nn.Module | None:
        """The part from images to features, which training can freeze or give a separate learning rate.

        For Mask2Former, MaskFormer and OneFormer it is the encoder below the pixel decoder, without the
        queries' decoder. ``None`` for EoMT, whose queries go through the layers of its encoder.
        """
        try:
            return self.network.get_submodule("model.pixel_level_module.encoder")
        except AttributeError:
            return super().backbone

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: without hooks of the library, which installs them again where they lack."""
        for module in self.network.modules():
            hooks = module._forward_hooks
            for number, hook in list(hooks.items()):
                if getattr(hook, "__name__", "") == _HOOK:
                    del hooks[number]
                    module.__dict__.pop(_HOOKED, None)
            module.__dict__.pop(_HOOKED, None)
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        _register(self.network)

    def _wanted_sides(self, height: int, width: int) -> tuple[int, int]:
        wanted: Any = super()._wanted_sides(height, width)
        if self._square:
            side = larger(*wanted)
            return side, side
        if self._window:
            wanted = larger(height, self._window), larger(width, self._window)
        return wanted

    def logits(self, images: Tensor) -> Tensor:
        """Return what the network makes of images of a size that it takes, ``(N, num_classes, h, w)``."""
        if not self._window or tuple(images.shape[-2:]) == (self._window, self._window):
            return self._scores(images)
        return self._by_windows(images)

    def _scores(self, images: Tensor) -> Tensor:
        network: Any = self.network
        more = {}
        if network.config.model_type == "oneformer":
            more["task_inputs"] = self._task(images)
        found = network(pixel_values=images, **more)
        if "masks_queries_logits" not in found:
            return found.logits
        classes = found.class_queries_logits.softmax(dim=-1)[..., :-1]
        return torch.einsum("bqc,bqhw->bchw", classes, found.masks_queries_logits.sigmoid())

    def _task(self, images: Tensor) -> Tensor:
        network: Any = self.network
        tokens = torch.zeros(len(images), network.config.task_seq_len, dtype=torch.long, device=images.device)
        tokens[:, : len(_SEMANTIC_TASK)] = torch.tensor(_SEMANTIC_TASK, device=images.device)
        return tokens

    def _by_windows(self, images: Tensor) -> Tensor:
        """Return the mean of the scores of overlapping windows, as few as cover the images."""
        side = self._window
        total = images.new_zeros(len(images), self.num_logits, *images.shape[-2:])
        count = images.new_zeros(1, 1, *images.shape[-2:])
        for top in _starts(images.shape[-2], side):
            for left in _starts(images.shape[-1], side):
                where = (..., slice(top, top + side), slice(left, left + side))
                scores = self._scores(images[where])
                total[where] += F.interpolate(scores, (side, side), mode="bilinear", align_corners=False)
                count[where] += 1
        return total / count


def _starts(size: int, side: int) -> list[int]:
    """Return where windows begin that cover a size and overlap alike."""
    windows = -(-size // side)
    overlap = (windows * side - size) / (windows - 1) if windows > 1 else 0
    return [int(index * (side - overlap)) for index in range(windows)]


def transformers_model(
    *, num_classes: int, in_channels: int = 3, config: str | Mapping[str, Any] = "segformer"
) -> TransformersNetwork:
    """Build a network of transformers.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the images.
        config: what ``config.json`` of the library says, as a mapping with ``model_type``; or a model type
            alone, whose settings are then the library's own, such as ``segformer`` (B0) or ``upernet``.

    Raises:
        OptionError: transformers has no such network, or the config says what it does not know.
    """
    made = described(config, num_classes=num_classes, in_channels=in_channels)
    return wrapped(network_class(made.model_type)(made), num_classes)


def wrapped(network: nn.Module, num_classes: int) -> TransformersNetwork:
    """Return a network of the library as a model of segzoo."""
    _take_lone_values(network)
    return TransformersNetwork(network, num_classes=num_classes, **_sizes(network))  # pyright: ignore[reportArgumentType]


def _sizes(network: Any) -> dict[str, int | bool]:
    """Return which sizes a network takes."""
    config: PretrainedConfig = network.config
    kind, patch = config.model_type, _patch(config)
    if kind.startswith("eomt"):
        return {"window": _side(config.image_size), "coarsest": 1}
    if kind in _ANY_SIZE:
        return {}
    configs: tuple[Any, ...] = (config, getattr(config, "backbone_config", None))
    for one in configs:
        if _is_fixed(one):
            return {"window": _side(one.image_size), "coarsest": 1}
    if kind == "segformer":
        strides, step = [], 1
        for stride in config.strides:
            step *= stride
            strides.append(step)
        least = max(stride * ratio for stride, ratio in zip(strides, config.sr_ratios, strict=True))
        return {"coarsest": max(least, strides[-1])}
    multiple = patch if patch > _STEM else 1
    # A vision transformer's coarsest map has half the resolution of its patches.
    coarsest = max(2 * patch, _COARSEST) if multiple > 1 else _COARSEST
    return {"multiple": multiple, "coarsest": coarsest, "square": kind == "dpt"}


def _is_fixed(config: Any) -> bool:
    """Whether a network takes images of its config's size alone."""
    kind = getattr(config, "model_type", "")
    old = int(transformers.__version__.partition(".")[0]) < 5
    fixed = kind in _FIXED or (old and kind in _FIXED_BEFORE_5)
    # Swin's embeddings of places are not resampled, unlike those of vision transformers.
    return fixed or bool(getattr(config, "use_absolute_embeddings", False))


def _patch(config: Any) -> int:
    inner = getattr(config, "backbone_config", None)
    for one in (inner, config):
        patch = getattr(one, "patch_size", None)
        if patch is not None:
            return _side(patch)
    return 1


def _side(size: Any) -> int:
    return size if isinstance(size, int) else max(size)


@cache
def _register_class(kind: type[nn.Module], config: str) -> None:
    # The library learns which features a class gives when the first network of it is made, also of no memory.
    with torch.device("meta"):
        kind(AutoConfig.for_model(**json.loads(config)))


def _register(network: Any) -> None:
    """Make an unpickled network's classes known to the library, as making it would have done."""
    _register_class(type(network), json.dumps(network.config.to_dict(), sort_keys=True))


def _take_lone_values(network: nn.Module) -> None:
    """Let batch norms of maps of one pixel be trained on one image."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = PooledBatchNorm
