"""Plain timm vision transformers as encoders: a simple feature pyramid, or outputs of several layers.

A vision transformer keeps one resolution from its patches to its last block. Decoders for pyramids get one
made from its last map (ViTDet: Li et al., 2022, arXiv:2203.16527); decoders for transformers get the maps
of several blocks unchanged (Ranftl et al., 2021, arXiv:2103.13413). Position codes are resampled to the image
size, and tokens that are not patches (class, registers) are dropped. Library: Wightman,
https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import timm
import torch
import torch.nn.functional as F
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3
from timm.models._features import FeatureGetterNet
from timm.models.beit import Beit
from torch import nn

from segzoo.blocks.sizes import is_symbolic
from segzoo.encoders.timm import NOT_MADE, lies_at_strides, made
from segzoo.errors import OptionError
from segzoo.options import check_choice, check_flags, check_number, check_positive, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

#: Features of a pyramid: at strides of a quarter of a patch, half, one and two patches.
_LEVELS = 4


class ViTEncoder(nn.Module):
    """A timm vision transformer, for images of every size that its patches divide.

    With ``features="pyramid"``, a patch of 16 pixels gives features at strides 4, 8, 16 and 32, and one of 32
    pixels at 8 to 64. Patches of 14 pixels would give strides of 3.5: the image is first resized by 14/16,
    so that a patch covers 16 pixels of the original and the strides are 4 to 32.

    Args:
        in_channels: number of channels of the images; a pretrained stem is adapted.
        backbone: its name in timm, with or without the tag of a set of weights.
        features: ``pyramid``, or ``layers``: the maps of several blocks, each at the stride of a patch.
        layers: blocks whose outputs are used: their numbers, from 0, or how many, evenly spaced and including
            the last one. By default 4 for ``layers`` and, for a pyramid, the last one; a pyramid may also be
            made from 4 blocks, one for each of its levels, finest first.
        width: number of channels of a pyramid's features.
        norm: whether the outputs pass the transformer's last layer norm.
        drop_path: probability with which training skips the last block of a sample; growing from 0.
        pretrained: whether to fetch its pretrained weights.

    Raises:
        OptionError: it cannot be an encoder, has fewer blocks, or has no pretrained weights.
        WeightsError: pretrained weights could not be fetched or read.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        backbone: str,
        features: Literal["pyramid", "layers"] = "pyramid",
        layers: int | Sequence[int] | None = None,
        width: int = 256,
        norm: bool = False,
        drop_path: float = 0.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, width=width)
        check_flags(norm=norm, pretrained=pretrained)
        check_number("drop_path", drop_path, 0, 0.99)
        facts = facts_of(backbone)
        pyramid = check_choice("features", features, ("pyramid", "layers")) == "pyramid"
        taps = _taps(backbone, facts.blocks, layers, pyramid=pyramid)
        options = {**facts.options, **({"drop_path_rate": drop_path} if drop_path else {})}
        model = made(backbone, {**options, "in_chans": in_channels}, pretrained=pretrained)
        self.backbone = _tapped(model, taps, norm=norm)
        info = cast("Any", self.backbone).feature_info
        self._patch: int = facts.stride
        self._stride = power_of_two(facts.stride) if pyramid else facts.stride
        if pyramid:
            self.pyramid = SimplePyramid(tuple(info.channels()), width)
            self.channels: tuple[int, ...] = (width,) * _LEVELS
            self.strides: tuple[int, ...] = pyramid_strides(facts.stride)
        else:
            self.pyramid = None
            self.channels = tuple(info.channels())
            self.strides = tuple(info.reduction())
        self.multiple = max(self.strides)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)``, sides multiples of ``multiple``, to features, finest first."""
        if self._stride != self._patch:
            height, width = (size // self._stride * self._patch for size in images.shape[-2:])
            images = F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
        maps = self.backbone(images)
        return list(maps) if self.pyramid is None else self.pyramid(maps)

    @classmethod
    def granted(cls, wishes: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Return the decoder's requests that are supported: ``features`` and ``layers``.

        Args:
            wishes: options that the decoder requests, by name.
            **options: options of the encoder.
        """
        return {name: wishes[name] for name in ("features", "layers") if name in wishes}


class SimplePyramid(nn.Module):
    """Four features made from one map, or each from its own: at 4, 2, 1 and 1/2 times its resolution.

    Paper: Li et al., 2022, arXiv:2203.16527.

    Args:
        channels: number of channels of the map, or of four maps, finest feature first.
        width: number of channels of every feature.
    """

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        finest, fine, same, coarse = channels if len(channels) == _LEVELS else channels * _LEVELS
        self.rescale = nn.ModuleList(
            (
                nn.Sequential(
                    nn.ConvTranspose2d(finest, finest // 2, 2, 2),
                    _ChannelNorm(finest // 2),
                    nn.GELU(),
                    nn.ConvTranspose2d(finest // 2, finest // 4, 2, 2),
                ),
                nn.ConvTranspose2d(fine, fine // 2, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2),
            )
        )
        self.smooth = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, 1, bias=False),
                _ChannelNorm(width),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                _ChannelNorm(width),
            )
            for before in (finest // 4, fine // 2, same, coarse)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map one ``(N, C, H, W)``, or four, to ``(N, width, 4 H, 4 W)`` .. ``(N, width, H / 2, W / 2)``."""
        sources = list(maps) * (_LEVELS // len(maps))
        steps = zip(self.rescale, self.smooth, sources, strict=True)
        return [smooth(rescale(source)) for rescale, smooth, source in steps]


class _ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        # torch.export would guard the strides of a permuted map.
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class _FreeBeit(nn.Module):
    """BEiT's blocks with relative position biases that adapt to the image size.

    timm's tables fit one size. Biases for larger distances than in training, or for another scale,
    are interpolated (Bao et al., 2022, arXiv:2106.08254, do so for fine-tuning).
    """

    def __init__(self, getter: FeatureGetterNet) -> None:
        super().__init__()
        typed = cast("Any", getter)
        self.model, self.feature_info = typed.model, typed.feature_info
        self._taps, self._norm = tuple(typed.out_indices), typed.norm
        self._grid: tuple[int, int] = tuple(typed.model.patch_embed.grid_size)
        self.tables = nn.ParameterList(
            block.attn.relative_position_bias_table for block in typed.model.blocks
        )
        for block in typed.model.blocks:
            # The block then uses the given bias.
            block.attn.relative_position_bias_table = None
            block.attn.relative_position_index = None
            block.attn.window_size = None

    def forward(self, images: Tensor) -> list[Tensor]:
        patches = self.model.patch_embed.proj(images)
        height, width = patches.shape[-2:]
        x = patches.flatten(2).transpose(1, 2)
        x = torch.cat((self.model.cls_token.expand(len(x), -1, -1), x), dim=1)
        if self.model.pos_embed is not None:
            x = x + resample_abs_pos_embed(self.model.pos_embed, [height, width], list(self._grid))
        index, maps = _offsets(height, width, x.device), []
        for number, (block, table) in enumerate(zip(self.model.blocks, self.tables, strict=True)):
            x = block(x, shared_rel_pos_bias=self._bias(table, index, height, width))
            if number in self._taps:
                tap = self.model.norm(x) if self._norm else x
                maps.append(tap[:, 1:].transpose(1, 2).unflatten(2, (height, width)).contiguous())
        return maps

    def _bias(self, table: Tensor, index: Tensor, height: int, width: int) -> Tensor:
        """Return ``(1, heads, tokens, tokens)``: the bias for the offset of each pair of tokens."""
        rows, columns = (2 * side - 1 for side in self._grid)
        offsets = table[:-3].transpose(0, 1).reshape(1, -1, rows, columns)
        if is_symbolic(height, width) or (height, width) != self._grid:
            size = (2 * height - 1, 2 * width - 1)
            offsets = F.interpolate(offsets, size, mode="bilinear", align_corners=False)
        values = torch.cat((offsets.flatten(2)[0], table[-3:].transpose(0, 1)), dim=1)
        return values[:, index].unsqueeze(0)


def _offsets(height: int, width: int, device: torch.device) -> Tensor:
    """Return the table entry for each pair of tokens; the class token is the first token."""
    position = torch.arange(height * width, device=device)
    rows, columns = position // width, position % width
    between = (rows[:, None] - rows + height - 1) * (2 * width - 1) + columns[:, None] - columns + width - 1
    # The entries after the offsets are: from the class token, to it, and from it to itself.
    class_row = (2 * height - 1) * (2 * width - 1) + torch.zeros_like(position)
    top = torch.cat((class_row[:1] + 2, class_row))
    return torch.cat((top[None], torch.cat((class_row[:, None] + 1, between), dim=1)))


class _FreeRotary(nn.Module):
    """DINOv3's rotary position codes, for symbolic sizes too: timm turns them into Python numbers."""

    def __init__(self, rotary: RotaryEmbeddingDinoV3) -> None:
        super().__init__()
        self.rotary = rotary

    def get_embed(self, shape: Sequence[int] | None = None, dtype: torch.dtype | None = None) -> Tensor:
        typed = cast("Any", self.rotary)
        if shape is None or not is_symbolic(*shape):
            return typed.get_embed(shape, dtype)
        sides = [
            2 * (torch.arange(size, device=typed.periods.device) + 0.5 + typed.grid_offset) / size - 1
            for size in shape
        ]
        grid = torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1)
        codes = torch.cat(typed._get_pos_embed_from_coords(grid.flatten(0, 1)), dim=-1)
        return codes if dtype is None else codes.to(dtype)


class Facts(NamedTuple):
    """Facts about a vision transformer, found by building it on the meta device.

    Attributes:
        options: timm's options that make it accept images of every size.
        blocks: number of blocks.
        stride: stride of its last map, in pixels.
        channels: channels of its last map.
    """

    options: dict[str, Any]
    blocks: int
    stride: int
    channels: int


@lru_cache(maxsize=256)
def facts_of(backbone: str) -> Facts:
    """Return the facts about a vision transformer that are needed to make it an encoder.

    Raises:
        OptionError: it accepts images of one size only, or returns no maps.
    """
    model, options = _made_free(backbone)
    info = cast("Any", model).feature_info
    facts = Facts(options, len(info.info), info.reduction()[-1], info.channels()[-1])
    stride = facts.stride
    if not all(
        lies_at_strides(model, (stride,), stride * rows, stride * columns)
        for rows, columns in ((2, 2), (4, 6))
    ):
        config = timm.get_pretrained_cfg(backbone)
        size = "x".join(map(str, config.input_size[1:])) if config is not None else "one size"
        raise OptionError(
            f"timm's {backbone!r} accepts images of {size} only, because its position codes or its layers "
            "fit only that size: use another backbone, such as vit_base_patch16_224"
        )
    return facts


def _made_free(backbone: str) -> tuple[nn.Module, dict[str, Any]]:
    """Return a transformer's last map on the meta device, and timm's options for every size."""
    options: dict[str, Any] = {}
    for options in ({"dynamic_img_size": True}, {}):
        try:
            with torch.device("meta"):
                model = made(backbone, options, pretrained=False)
                return _tapped(model, (len(cast("Any", model).feature_info) - 1,), norm=False).eval(), options
        except NOT_MADE as error:
            told = f"{type(error).__name__}: {error}".splitlines()[0]
    raise OptionError(f"timm's {backbone!r} returns no maps of its blocks ({told})")


def _tapped(model: nn.Module, taps: tuple[int, ...], *, norm: bool) -> nn.Module:
    """Return a module from images to the maps of some blocks, without the blocks after them."""
    rotary = getattr(model, "rope", None)
    if isinstance(rotary, RotaryEmbeddingDinoV3) and rotary.normalize_coords == "separate":
        model.rope = _FreeRotary(rotary)
    getter = FeatureGetterNet(model, out_indices=cast("Any", list(taps)), norm=norm)
    return _FreeBeit(getter) if isinstance(model, Beit) else getter


def _taps(
    backbone: str, blocks: int, layers: int | Sequence[int] | None, *, pyramid: bool
) -> tuple[int, ...]:
    """Return the numbers of the selected blocks.

    Raises:
        OptionError: there are no such blocks, or not the number that a pyramid needs.
    """
    wanted = (1 if pyramid else 4) if layers is None else layers
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        if not 1 <= wanted <= blocks:
            raise OptionError(f"timm's {backbone!r} has {blocks} blocks, not layers={wanted}")
        taps = tuple(blocks * number // wanted - 1 for number in range(1, wanted + 1))
    else:
        taps = _numbers(backbone, blocks, wanted)
    if pyramid and len(taps) not in (1, _LEVELS):
        raise OptionError(f"a pyramid is made of 1 or {_LEVELS} layers, not of {len(taps)}")
    return taps


def _numbers(backbone: str, blocks: int, layers: object) -> tuple[int, ...]:
    whole = isinstance(layers, list | tuple) and all(type(number) is int for number in layers)
    numbers: tuple[int, ...] = tuple(cast("Any", layers)) if whole else ()
    if not numbers or list(numbers) != sorted(set(numbers)) or not 0 <= numbers[0] <= numbers[-1] < blocks:
        raise OptionError(
            f"layers must be the number of blocks, or their indices in order, from 0 to {blocks - 1} "
            f"for timm's {backbone!r}; got {shown(layers)}"
        )
    return numbers


def power_of_two(patch: int) -> int:
    """Return the power of two that is nearest to a patch's side."""
    return min((1 << power for power in range(1, 10)), key=lambda side: abs(side - patch))


def pyramid_strides(patch: int) -> tuple[int, ...]:
    """Return the strides of the pyramid of a transformer with patches of a size."""
    finest = power_of_two(patch) // _LEVELS
    return tuple(finest << level for level in range(_LEVELS))
