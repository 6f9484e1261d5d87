"""Swin Transformer as MMSegmentation has it: windows of one size everywhere, shifted in every second block.

Paper: Liu et al., 2021, arXiv:2103.14030. Maps are continued with zeros to whole windows; unlike timm's, a
map smaller than a window still has windows of full size, and shifts. Each stage's map is normed at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks import check_flags, check_positive, is_symbolic, larger
from segzoo.errors import OptionError
from segzoo_mmseg.units import check_indices, check_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

#: Added to the attention between positions that are neighbours only in a shifted window.
_APART = -100.0


class SwinEncoder(nn.Module):
    """The normed maps of Swin's stages.

    Args:
        in_channels: channels of the images.
        embed_dims: channels of the first stage; each stage doubles them.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window_size: sides of a window, in places.
        mlp_ratio: how many times wider the hidden layer of a block is.
        patch_size: sides of a patch, in pixels: the stride of the first stage.
        qkv_bias: whether queries, keys and values have a bias.
        patch_norm: whether patches are normed, and what becomes of four places where a map is halved.
        eps: added to the variance by every norm.
        out_indices: stages whose maps become features; later ones are not made.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        embed_dims: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        mlp_ratio: float = 4,
        patch_size: int = 4,
        qkv_bias: bool = True,
        patch_norm: bool = True,
        eps: float = 1e-5,
        out_indices: Sequence[int] = (0, 1, 2, 3),
    ) -> None:
        super().__init__()
        check_positive(
            in_channels=in_channels, embed_dims=embed_dims, window_size=window_size, patch_size=patch_size
        )
        check_flags(qkv_bias=qkv_bias, patch_norm=patch_norm)
        check_stages(depths=depths, num_heads=num_heads)
        self.out_indices = check_indices(out_indices, len(depths))
        widths = [embed_dims << stage for stage in range(len(depths))]
        self.channels = tuple(widths[index] for index in self.out_indices)
        self.strides = tuple(patch_size << index for index in self.out_indices)
        self.patch_size = patch_size
        self.patch_embed = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size)
        self.patch_norm = nn.LayerNorm(embed_dims, eps=eps) if patch_norm else nn.Identity()
        self.stages, self.norms = nn.ModuleList(), nn.ModuleDict()
        for stage in range(self.out_indices[-1] + 1):
            width, heads = widths[stage], num_heads[stage]
            if width % heads:
                raise OptionError(f"num_heads[{stage}] must divide {width} channels, got {heads}")
            blocks = (
                _Block(
                    width,
                    heads,
                    window_size,
                    hidden=int(mlp_ratio * width),
                    shift=window_size // 2 if index % 2 else 0,
                    qkv_bias=qkv_bias,
                    eps=eps,
                )
                for index in range(depths[stage])
            )
            self.stages.append(
                nn.Sequential(*([_Merge(width // 2, norm=patch_norm, eps=eps)] if stage else []), *blocks)
            )
            if stage in self.out_indices:
                self.norms[str(stage)] = nn.LayerNorm(width, eps=eps)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded up."""
        x = self.patch_embed(_whole(images, self.patch_size))
        x = self.patch_norm(x.permute(0, 2, 3, 1))
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                features.append(self.norms[str(index)](x).permute(0, 3, 1, 2).contiguous())
        return features


class _Merge(nn.Module):
    """Join squares of 2x2 places, channel by channel, and halve the channels that come of it."""

    def __init__(self, width: int, *, norm: bool, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width, eps=eps) if norm else nn.Identity()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to ``(N, H / 2, W / 2, 2 C)``."""
        x = F.pixel_unshuffle(_whole(x.permute(0, 3, 1, 2), 2), 2)
        return self.reduction(self.norm(x.permute(0, 2, 3, 1)))


class _Block(nn.Module):
    """Attention within windows, and two layers for each place; both are added to what came in."""

    def __init__(
        self,
        width: int,
        heads: int,
        window: int,
        *,
        hidden: int,
        shift: int,
        qkv_bias: bool,
        eps: float,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn = _WindowAttention(width, heads, window, shift=shift, qkv_bias=qkv_bias)
        self.ffn = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class _WindowAttention(nn.Module):
    def __init__(self, width: int, heads: int, window: int, *, shift: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape."""
        batch, height, width, channels = x.shape
        side, shift = self.window, self.shift
        rows: Any = (height + side - 1) // side
        columns: Any = (width + side - 1) // side
        needed = rows, columns
        if is_symbolic(height, width):
            # A window more than needed changes nothing, and no size may be 1 in a traced program.
            rows, columns = larger(rows, 2), larger(columns, 2)
        x = F.pad(x, (0, 0, 0, columns * side - width, 0, rows * side - height))
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
        # (N, rows, columns, places in a window, channels)
        x = x.view(batch, rows, side, columns, side, channels).transpose(2, 3).flatten(3, 4)
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, channels // self.heads))
        query, key, value = qkv.transpose(3, 5).unbind(4)
        # Heads come before places.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1) + self._bias()
        if shift:
            down = self._ends(rows, needed[0], x.device)
            across = self._ends(columns, needed[1], x.device)
            scores = scores + _apart(down, across).to(scores.dtype)
        x = (scores.softmax(-1) @ value).transpose(3, 4).flatten(4)
        x = self.proj(x).flatten(1, 3).index_select(1, self._places(height, width, rows, columns, x.device))
        return x.view(batch, height, width, channels)

    def _places(self, height: int, width: int, rows: int, columns: int, device: torch.device) -> Tensor:
        """Return where each place of the map lies among those of all windows, ``(height * width)``."""
        side = self.window
        down = (torch.arange(height, device=device) - self.shift).remainder(rows * side)
        across = (torch.arange(width, device=device) - self.shift).remainder(columns * side)
        first = (down // side * columns * side + down % side) * side
        return (first[:, None] + across // side * side * side + across % side).flatten()

    def _bias(self) -> Tensor:
        """Return what is added for each head and pair of places, ``(heads, places, places)``."""
        table = self.relative_position_bias_table
        return table[_pairs(self.window, table.device)].permute(2, 0, 1)

    def _ends(self, count: int, needed: int, device: torch.device) -> Tensor:
        """Return, for the places of a row (or column) of windows, whether they came from its ends.

        Args:
            count: windows.
            needed: how many of them the map reaches into.
            device: device of the result.

        Returns:
            ``(count, window)``: 1 from the first end, 2 from beyond the other one, 0 between.
        """
        side = self.window
        came_from = (torch.arange(count * side, device=device) + self.shift).remainder(count * side)
        ends = (came_from < self.shift).long() + 2 * (came_from >= needed * side).long()
        return ends.view(count, side)


def _apart(down: Tensor, across: Tensor) -> Tensor:
    """Return `_APART` for pairs of places of which one came from another end.

    Args:
        down: ``(rows, window)``.
        across: ``(columns, window)``.

    Returns:
        ``(rows, columns, 1, places, places)``.
    """
    parts = (3 * down[:, None, :, None] + across[None, :, None, :]).flatten(2)
    return _APART * (parts[:, :, None, :, None] != parts[:, :, None, None, :])


def _whole(x: Tensor, step: int) -> Tensor:
    """Continue ``(N, C, H, W)`` with zeros, right and below, to multiples of ``step``."""
    height, width = x.shape[-2:]
    return F.pad(
        x, (0, (width + step - 1) // step * step - width, 0, (height + step - 1) // step * step - height)
    )


def _pairs(side: int, device: torch.device) -> Tensor:
    """Return the row of the table for each pair of places of a window, ``(side * side, side * side)``."""
    places = torch.arange(side, device=device)
    steps = places[:, None] - places[None, :] + side - 1
    rows = steps[:, None, :, None] * (2 * side - 1) + steps[None, :, None, :]
    return rows.reshape(side * side, side * side)
