"""A plain vision transformer of any size: features are maps of its blocks, optionally with the class token.

Paper: Dosovitskiy et al., 2021, arXiv:2010.11929. timm's transformers are encoders of segzoo, too; this one
is for checkpoints whose decoders read the class token, or whose sizes timm does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks import check_choice, check_flags, check_positive, is_symbolic
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class PlainViT(nn.Module):
    """The maps of some blocks, each at the stride of a patch; defaults are those of ViT-Base.

    Args:
        in_channels: channels of the images.
        width: channels of a token.
        depth: how many blocks; those behind the last one that is tapped are not made.
        heads: attention heads; they divide ``width``.
        hidden: channels between the two layers of a block.
        patch: sides of a patch, in pixels: the stride.
        grid: rows and columns of patches that position codes were learned for; they are resampled for others.
        layers: the blocks that are tapped, from 0; or how many, evenly spaced, the last one among them.
        class_token: ``drop`` returns only the maps; ``concat`` appends the class token to every pixel as
            ``width`` more channels.
        qkv_bias: whether queries, keys and values have a bias.
        eps: epsilon of the layer norms.

    Raises:
        OptionError: ``heads`` does not divide ``width``, or there is no such block.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int = 3072,
        patch: int = 16,
        grid: Sequence[int] = (24, 24),
        layers: int | Sequence[int] = 1,
        class_token: Literal["drop", "concat"] = "drop",
        qkv_bias: bool = True,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        check_positive(
            in_channels=in_channels, width=width, depth=depth, heads=heads, hidden=hidden, patch=patch
        )
        check_choice("class_token", class_token, ("drop", "concat"))
        check_flags(qkv_bias=qkv_bias)
        if width % heads:
            raise OptionError(f"heads must divide the width {width}, got {heads}")
        if isinstance(grid, str) or len(grid) != 2:
            raise OptionError(f"grid must be rows and columns, such as [24, 24], got {grid!r}")
        check_positive(**{"grid[0]": grid[0], "grid[1]": grid[1]})
        self.layers = _taps(layers, depth)
        self._grid, self._concat = (grid[0], grid[1]), class_token == "concat"
        self.channels = (width * (1 + self._concat),) * len(self.layers)
        self.strides = (patch,) * len(self.layers)
        self.multiple = patch
        self.patches = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], width))
        self.blocks = nn.ModuleList(
            _Block(width, heads, hidden, qkv_bias=qkv_bias, eps=eps) for _ in range(self.layers[-1] + 1)
        )
        for codes in (self.class_token, self.position):
            nn.init.trunc_normal_(codes, std=0.02)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)``, sides multiples of a patch, to the maps of blocks, in order."""
        patches = self.patches(images)
        first, codes = self._codes(patches)
        x = (patches + codes).flatten(2).transpose(1, 2)
        x = torch.cat(((self.class_token + first).expand(len(x), -1, -1), x), dim=1)
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.layers:
                one = x[:, 1:].transpose(1, 2).reshape(patches.shape)
                token = x[:, 0, :, None, None].expand_as(one) if self._concat else None
                maps.append(one if token is None else torch.cat((one, token), dim=1))
        return maps

    def _codes(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return the position code of the class token, and those of patches as a map of their size."""
        first, rest = self.position[:, :1], self.position[:, 1:]
        codes = rest.transpose(1, 2).unflatten(2, self._grid)
        size = patches.shape[-2:]
        if not is_symbolic(*size) and tuple(size) == self._grid:
            return first, codes
        return first, F.interpolate(codes, size, mode="bilinear", align_corners=False)

    @classmethod
    def granted(cls, wishes: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Return the wish for the maps of several blocks as an option: four of them.

        Args:
            wishes: options that the decoder would like, by name.
            **options: those of the encoder.
        """
        return {"layers": 4} if wishes.get("features") == "layers" and "layers" not in options else {}


class _Block(nn.Module):
    """Attention, and two layers for each token; both are added to what came in."""

    def __init__(self, width: int, heads: int, hidden: int, *, qkv_bias: bool, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.query = nn.Linear(width, width, bias=qkv_bias)
        self.key = nn.Linear(width, width, bias=qkv_bias)
        self.value = nn.Linear(width, width, bias=qkv_bias)
        self.out = nn.Linear(width, width)
        self.expand, self.project = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, tokens, C)`` to the same shape."""
        y = self.norm1(x)
        query, key, value = (
            layer(y).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        x = x + self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return x + self.project(F.gelu(self.expand(self.norm2(x))))


def _taps(layers: int | Sequence[int], depth: int) -> tuple[int, ...]:
    if isinstance(layers, int):
        check_positive(layers=layers)
        if layers > depth:
            raise OptionError(f"layers={layers} is more than the {depth} blocks that there are")
        return tuple(depth * number // layers - 1 for number in range(1, layers + 1))
    known = isinstance(layers, list | tuple) and layers and all(type(one) is int for one in layers)
    if not known or list(layers) != sorted({*layers}) or not 0 <= layers[0] <= layers[-1] < depth:
        raise OptionError(
            f"layers must be how many, or increasing numbers from 0 to {depth - 1}, got {layers!r}"
        )
    return tuple(layers)
