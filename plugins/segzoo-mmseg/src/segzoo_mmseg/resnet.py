"""ResNet as segmentation programs use it: a deep stem, and dilation in place of the last strides.

Papers: He et al., 2016, arXiv:1512.03385; dilation: Yu et al., 2017, arXiv:1705.09914; the stem of three 3x3
convolutions (ResNet-C) and pooling before the shortcut's convolution (ResNet-D): He et al., 2019,
arXiv:1812.01187; the dilations of a multi-grid: Chen et al., 2017, arXiv:1706.05587.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from segzoo.blocks import check_choice, check_flags, check_positive
from segzoo.errors import OptionError
from segzoo_mmseg.units import check_indices, check_stages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

#: Blocks of each stage by the number of layers, and whether a block is a bottleneck.
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class ResNetEncoder(nn.Module):
    """The outputs of a ResNet's stages.

    Args:
        in_channels: channels of the images.
        depth: number of layers: 18, 34, 50, 101 or 152.
        base_channels: width of the first stage, which doubles from stage to stage; the channels of a
            feature are four times that where blocks are bottlenecks.
        stem_channels: channels of the map that the stem gives, at stride 4.
        deep_stem: whether the stem has three 3x3 convolutions instead of one 7x7.
        avg_down: whether the shortcut pools where it reduces the size.
        style: which convolution of a bottleneck has the stride: the 3x3 (``pytorch``), or the first
            (``caffe``).
        stage_strides: stride of each stage; the stem has stride 4.
        dilations: dilation of each stage's 3x3 convolutions.
        contract_dilation: whether the first block of a dilated stage has half of its dilation.
        multi_grid: dilations of the last stage's blocks, instead of one for all.
        out_indices: stages whose maps become features; later ones are not made.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        depth: int = 50,
        base_channels: int = 64,
        stem_channels: int = 64,
        deep_stem: bool = True,
        avg_down: bool = False,
        style: Literal["pytorch", "caffe"] = "pytorch",
        stage_strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        contract_dilation: bool = False,
        multi_grid: Sequence[int] | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3),
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, base_channels=base_channels, stem_channels=stem_channels)
        check_flags(deep_stem=deep_stem, avg_down=avg_down, contract_dilation=contract_dilation)
        check_choice("style", style, ("pytorch", "caffe"))
        check_stages(stage_strides=stage_strides, dilations=dilations)
        if depth not in DEPTHS:
            raise OptionError(f"depth must be one of {', '.join(map(str, DEPTHS))}, got {depth!r}")
        counts, bottleneck = DEPTHS[depth]
        if len(stage_strides) > len(counts):
            raise OptionError(
                f"stage_strides must be {len(counts)} at most, one for each stage, got {stage_strides!r}"
            )
        self.out_indices = check_indices(out_indices, len(stage_strides))
        if multi_grid is not None:
            check_stages(multi_grid=multi_grid)
            if len(multi_grid) != counts[len(stage_strides) - 1]:
                raise OptionError(
                    f"multi_grid needs {counts[len(stage_strides) - 1]} dilations, one for each block of the "
                    f"last stage, got {multi_grid!r}"
                )
        self._stem(in_channels, stem_channels, deep=deep_stem)
        channels, widths, steps, step = stem_channels, [], [], 4
        for stage in range(self.out_indices[-1] + 1):
            last = stage == len(stage_strides) - 1
            layers = []
            grid = _grid(counts[stage], dilations[stage], contract_dilation, multi_grid if last else None)
            for index, dilation in enumerate(grid):
                block = Block(
                    channels,
                    base_channels << stage,
                    bottleneck=bottleneck,
                    stride=1 if index else stage_strides[stage],
                    dilation=dilation,
                    avg_down=avg_down,
                    caffe=style == "caffe",
                )
                layers.append(block)
                channels = block.out_channels
            step *= stage_strides[stage]
            widths.append(channels)
            steps.append(step)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.channels = tuple(widths[index] for index in self.out_indices)
        self.strides = tuple(steps[index] for index in self.out_indices)

    @staticmethod
    def granted(wishes: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        """Return the options that reach a decoder's ``output_stride``, dilating what no longer strides."""
        match wishes.get("output_stride"):
            case 8:
                return {"stage_strides": [1, 2, 1, 1], "dilations": [1, 1, 2, 4], "contract_dilation": True}
            case 16:
                return {"stage_strides": [1, 2, 2, 1], "dilations": [1, 1, 1, 2], "contract_dilation": True}
        return {}

    def _stem(self, in_channels: int, channels: int, *, deep: bool) -> None:
        self.deep_stem = deep
        if deep:
            half = channels // 2
            layers: list[nn.Module] = []
            for before, after in ((in_channels, half), (half, half), (half, channels)):
                stride = 1 if layers else 2
                layers.append(nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False))
                layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            self.stem = nn.Sequential(*layers)
        else:
            self.conv1 = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded up."""
        x = self.maxpool(self.stem(images) if self.deep_stem else self.relu(self.bn1(self.conv1(images))))
        features = []
        for stage in range(self.out_indices[-1] + 1):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            if stage in self.out_indices:
                features.append(x)
        return features


class Block(nn.Module):
    """A residual block; only the first 3x3 convolution of a basic one is dilated.

    Args:
        in_channels: channels of the input.
        width: channels of its convolutions; a bottleneck gives four times as many.
        bottleneck: whether a 3x3 convolution stands between two 1x1, or there are two 3x3.
        stride: stride of its first 3x3 convolution; with ``caffe``, of the 1x1 before it.
        dilation: dilation of its first 3x3 convolution.
        avg_down: whether the shortcut pools where it reduces the size.
        caffe: whether a bottleneck's first convolution has the stride.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        bottleneck: bool = False,
        stride: int = 1,
        dilation: int = 1,
        avg_down: bool = False,
        caffe: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = 4 * width if bottleneck else width
        dilated = {"padding": dilation, "dilation": dilation, "bias": False}
        if bottleneck:
            before, inside = (stride, 1) if caffe else (1, stride)
            self.conv1 = nn.Conv2d(in_channels, width, 1, stride=before, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride=inside, **dilated)
            self.conv3 = nn.Conv2d(width, self.out_channels, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(self.out_channels)
        else:
            self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, **dilated)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.bottleneck, self.downsample = bottleneck, None
        if stride != 1 or in_channels != self.out_channels:
            self.downsample = _shortcut(in_channels, self.out_channels, stride, avg_down=avg_down)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H / stride, W / stride)``, rounded up."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(in_channels: int, out_channels: int, stride: int, *, avg_down: bool) -> nn.Sequential:
    pooling = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)] if avg_down else []
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=1 if avg_down else stride, bias=False)
    return nn.Sequential(*pooling, conv, nn.BatchNorm2d(out_channels))


def _grid(count: int, dilation: int, contract: bool, multi_grid: Sequence[int] | None) -> list[int]:
    """Return the dilation of each block of a stage."""
    if multi_grid is not None:
        return list(multi_grid)
    first = dilation // 2 if contract and dilation > 1 else dilation
    return [first, *[dilation] * (count - 1)]
