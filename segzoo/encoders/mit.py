"""Mix Transformer, SegFormer's encoder: overlapping patches, attention on a reduced map, no position codes.

Paper: Xie et al., 2021, arXiv:2105.15203. Its variants B0 to B5 differ in widths and depths. Overlapping
patches round odd sides up. Inside a stage, maps are channels-last, ``(N, H, W, C)``: linear layers
and norms then need no copies.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import nn

from segzoo.errors import OptionError
from segzoo.options import check_number, check_positive, check_widths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor


class MixTransformer(nn.Module):
    """Features at strides 4, 8, 16 and 32 of a Mix Transformer; the defaults are those of B0.

    Args:
        in_channels: number of channels of the images.
        widths: number of channels of every stage's map, finest first.
        depths: number of blocks of every stage.
        heads: number of attention heads of every stage; each must divide its width.
        reductions: for each stage, the side of the squares that share one key and value; 1 uses every pixel.
        expansions: channels inside every stage's feed-forward layers, as a multiple of its width.
        eps: epsilon of the layer norms in and after the blocks.
        embed_eps: epsilon of the layer norms after patch embeddings and reductions. The paper's code has
            1e-6 and 1e-5, transformers 1e-5 for both, MMSegmentation 1e-6 for both.
        drop_path: probability with which training skips the last layer of a sample; it grows evenly from 0
            at the first block (0.1 in the paper).

    Raises:
        OptionError: the stages' lists differ in length, or heads do not divide a width.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        widths: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (1, 2, 5, 8),
        reductions: Sequence[int] = (8, 4, 2, 1),
        expansions: Sequence[int] = (4, 4, 4, 4),
        eps: float = 1e-6,
        embed_eps: float = 1e-5,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels)
        check_number("eps", eps, 0)
        check_number("embed_eps", embed_eps, 0)
        check_number("drop_path", drop_path, 0, 0.99)
        self.channels = check_widths(widths)
        lists = {"depths": depths, "heads": heads, "reductions": reductions, "expansions": expansions}
        for name, values in lists.items():
            if len(check_widths(values, name)) != len(self.channels):
                raise OptionError(
                    f"{name} has {len(values)} numbers for {len(self.channels)} widths; pass one each"
                )
        for width, count in zip(self.channels, heads, strict=True):
            if width % count:
                raise OptionError(f"heads={count} do not divide the width {width} of their stage")
        self.strides = tuple(4 << level for level in range(len(self.channels)))
        blocks = sum(depths)
        rates = (drop_path * block / max(blocks - 1, 1) for block in range(blocks))
        self.stages = nn.ModuleList(
            _Stage(
                before,
                width,
                drops=islice(rates, depths[level]),
                heads=heads[level],
                reduction=reductions[level],
                expansion=expansions[level],
                first=level == 0,
                eps=eps,
                embed_eps=embed_eps,
            )
            for level, (before, width) in enumerate(
                zip((in_channels, *self.channels), self.channels, strict=False)
            )
        )
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to four features, finest first; odd sizes are rounded up.

        Images below 32x32 are too small for the reductions of the first stage.
        """
        features = [images]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class _Stage(nn.Module):
    """Patches of the previous map, and transformer blocks on them."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        drops: Iterable[float],
        heads: int,
        reduction: int,
        expansion: int,
        first: bool,
        eps: float,
        embed_eps: float,
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, width, 7 if first else 3, 4 if first else 2, 3 if first else 1)
        self.embed_norm = nn.LayerNorm(width, eps=embed_eps)
        self.blocks = nn.ModuleList(
            _Block(width, heads, reduction, expansion, drop, eps, embed_eps) for drop in drops
        )
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed_norm(self.embed(x).permute(0, 2, 3, 1))
        for block in self.blocks:
            x = block(x)
        return self.norm(x).permute(0, 3, 1, 2).contiguous()


class _Block(nn.Module):
    def __init__(
        self,
        width: int,
        heads: int,
        reduction: int,
        expansion: int,
        drop: float,
        eps: float,
        reduce_eps: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attention = _Attention(width, heads, reduction, reduce_eps)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = _MixFeedForward(width, expansion * width)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._dropped(self.attention(self.norm1(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, x: Tensor) -> Tensor:
        """Skip whole samples in training, and scale the others (Huang et al., 2016, arXiv:1603.09382)."""
        if not self.training or not self.drop:
            return x
        keep = 1 - self.drop
        return x * (x.new_empty(len(x), 1, 1, 1).bernoulli_(keep) / keep)


class _Attention(nn.Module):
    """Every pixel attends to means of squares, which a strided convolution learns."""

    def __init__(self, width: int, heads: int, reduction: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.reduce = nn.Conv2d(width, width, reduction, reduction) if reduction > 1 else None
        self.reduce_norm = nn.LayerNorm(width, eps=eps) if reduction > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        context = x
        if self.reduce is not None and self.reduce_norm is not None:
            context = self.reduce_norm(self.reduce(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(x)), self._split(self.key(context)), self._split(self.value(context))
        )
        return self.out(mixed.transpose(1, 2).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        """Return ``(N, heads, H * W, C / heads)``."""
        return x.flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)


class _MixFeedForward(nn.Module):
    """Two linear layers; the 3x3 convolution between them encodes positions."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.project = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.expand(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.project(F.gelu(x))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
