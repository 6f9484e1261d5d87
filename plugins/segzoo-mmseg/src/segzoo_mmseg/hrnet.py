"""HRNet: branches at strides 4 to 32 side by side, which exchange their maps again and again.

Paper: Wang et al., 2020, arXiv:1908.07919. Coarse maps are upsampled bilinearly here (nearest there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

from segzoo.blocks import check_choice, check_positive, check_widths, resize
from segzoo.errors import OptionError
from segzoo_mmseg.resnet import Block
from segzoo_mmseg.units import check_stages

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal

    from torch import Tensor

_STEM = 64


class HRNetEncoder(nn.Module):
    """The maps of HRNet's four branches.

    Args:
        in_channels: channels of the images.
        widths: channels of the branches, finest first; W18 has 18, 36, 72, 144.
        modules: how often maps are exchanged in the stages of two, three and four branches.
        blocks: blocks of each branch in a module, for each of these stages.
        stem_blocks: bottlenecks of the first stage.
        stem_width: width of these bottlenecks, which give four times as many channels.
        block: ``basic`` blocks or ``bottleneck`` ones in the branches; these widen fourfold.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        widths: Sequence[int] = (18, 36, 72, 144),
        modules: Sequence[int] = (1, 4, 3),
        blocks: Sequence[int] = (4, 4, 4),
        stem_blocks: int = 4,
        stem_width: int = 64,
        block: Literal["basic", "bottleneck"] = "basic",
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, stem_blocks=stem_blocks, stem_width=stem_width)
        check_stages(modules=modules, blocks=blocks)
        check_choice("block", block, ("basic", "bottleneck"))
        if len(check_widths(widths)) != 4 or len(modules) != 3:
            raise OptionError(f"widths needs 4 numbers and modules 3, got {widths!r} and {modules!r}")
        deep = block == "bottleneck"
        self.channels = tuple(width * (4 if deep else 1) for width in widths)
        self.strides = (4, 8, 16, 32)
        self.conv1 = nn.Conv2d(in_channels, _STEM, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.conv2 = nn.Conv2d(_STEM, _STEM, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _row(_STEM, stem_width, stem_blocks, bottleneck=True)
        before: tuple[int, ...] = (4 * stem_width,)
        for stage in (2, 3, 4):
            channels = self.channels[:stage]
            self.add_module(f"transition{stage - 1}", _transition(before, channels))
            made = (
                _Exchange(channels, widths[:stage], blocks[stage - 2], bottleneck=deep)
                for _ in range(modules[stage - 2])
            )
            self.add_module(f"stage{stage}", nn.Sequential(*made))
            before = channels

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded up."""
        x = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(images))))))
        maps = [self.layer1(x)]
        for stage in (2, 3, 4):
            steps = cast("nn.ModuleList", self.get_submodule(f"transition{stage - 1}"))
            maps = [step(maps[min(index, len(maps) - 1)]) for index, step in enumerate(steps)]
            maps = self.get_submodule(f"stage{stage}")(maps)
        return maps


class _Exchange(nn.Module):
    """Blocks in every branch; then each branch gets the sum of all, resized."""

    def __init__(
        self, channels: Sequence[int], widths: Sequence[int], blocks: int, *, bottleneck: bool
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            _row(channel, width, blocks, bottleneck=bottleneck)
            for channel, width in zip(channels, widths, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )
        self.relu = nn.ReLU(inplace=False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return [
            self.relu(self._sum(cast("Iterable[nn.Module]", row), maps, target))
            for target, row in enumerate(self.fuse_layers)
        ]

    def _sum(self, row: Iterable[nn.Module], maps: Sequence[Tensor], target: int) -> Tensor:
        total = None
        for source, (fuse, x) in enumerate(zip(row, maps, strict=True)):
            x = fuse(x)
            if source > target:  # twice as large once too often where a size was rounded up
                x = resize(x, maps[target])
            total = x if total is None else total + x
        assert total is not None
        return total


def _row(in_channels: int, width: int, count: int, *, bottleneck: bool) -> nn.Sequential:
    first = Block(in_channels, width, bottleneck=bottleneck)
    more = (Block(first.out_channels, width, bottleneck=bottleneck) for _ in range(count - 1))
    return nn.Sequential(first, *more)


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Return what begins each branch of a stage; a new one halves the coarsest map that there is."""
    steps: list[nn.Module] = []
    for index, width in enumerate(after):
        if index < len(before):
            same = before[index] == width
            steps.append(nn.Identity() if same else _unit(before[index], width, stride=1))
        else:
            steps.append(nn.Sequential(_unit(before[-1], width, stride=2)))
    return nn.ModuleList(steps)


def _fuse(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """Return what brings the map of one branch to the channels, and about the size, of another."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(channels[source], channels[target], 1, bias=False),
            nn.BatchNorm2d(channels[target]),
            nn.Upsample(scale_factor=float(1 << (source - target)), mode="bilinear", align_corners=False),
        )
    steps = target - source
    return nn.Sequential(
        *(
            _unit(
                channels[source],
                channels[target if step == steps - 1 else source],
                stride=2,
                relu=step < steps - 1,
            )
            for step in range(steps)
        )
    )


def _unit(in_channels: int, out_channels: int, *, stride: int, relu: bool = True) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), *([nn.ReLU(inplace=True)] if relu else []))
