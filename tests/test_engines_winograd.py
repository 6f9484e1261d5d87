"""Convolutions with fewer products give what direct ones give, at the borders too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import segzoo
from segzoo.prediction.engines import make_engine
from segzoo.prediction.engines.packing import PackedConv
from segzoo.prediction.engines.winograd import CHANNELS, TILES, WinogradConv, for_all_sizes, packed_conv


def conv(given: int = CHANNELS, found: int = CHANNELS, **options: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(given, found, 3, **{"padding": 1, **options})


def maps(channels: int, height: int, width: int, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    found = torch.randn(count, channels, height, width, generator=generator)
    return found.contiguous(memory_format=torch.channels_last)


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 22), (1, 70), (67, 4), (40, 45)])
@pytest.mark.parametrize("relu", [True, False])
@torch.no_grad()
def test_maps_of_any_size_are_those_of_a_direct_convolution(height: int, width: int, relu: bool) -> None:
    plain, x = conv(128, 136), maps(128, height, width, count=2)
    mine = WinogradConv(plain, relu=relu)
    mine.least = 1
    expected = F.relu(plain(x)) if relu else plain(x)
    found = mine(x)
    assert off(found, expected) < 2e-5
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 9), (34, 21), (32, 32)])
@pytest.mark.parametrize("dilation", [2, 4, 5])
@torch.no_grad()
def test_dilated_convolutions_are_plain_ones_of_every_so_many_rows_and_columns(height, width, dilation):
    plain, x = conv(dilation=dilation, padding=dilation), maps(CHANNELS, height, width, count=2)
    mine = WinogradConv(plain, relu=True)
    mine.least = 1
    assert off(mine(x), F.relu(plain(x))) < 2e-5
    total = maps(CHANNELS, height, width, count=2)
    expected = F.relu(total + plain(x))
    assert off(mine.add_to(total, x), expected) < 2e-5


@torch.no_grad()
def test_many_bands_of_tiles_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segzoo.prediction.engines.winograd.TOGETHER", 10)
    plain, x = conv(), maps(CHANNELS, 50, 37)
    assert off(WinogradConv(plain, relu=False)(x), plain(x)) < 2e-5


@torch.no_grad()
def test_what_torch_makes_tensors_of_unless_told_does_not_matter() -> None:
    plain, x = conv(), maps(CHANNELS, 16, 16)
    with torch.device("meta"):
        found = WinogradConv(plain, relu=False)(x)
    assert off(found, plain(x)) < 2e-5


@pytest.mark.parametrize("size", [(32, 24), (33, 26)])
@torch.no_grad()
def test_what_is_added_to_a_map_is_added_in_place(size: tuple[int, int]) -> None:
    plain, x = conv(200), maps(72, *size)
    total = maps(CHANNELS, *size)
    mine = WinogradConv(plain, relu=True, channels=(128, 200), bias=False)
    expected = F.relu(total + F.conv2d(x, plain.weight[:, 128:], padding=1))
    assert mine.add_to(total, x) is total
    assert off(total, expected) < 2e-5


@pytest.mark.parametrize(
    ("given", "options", "kind"),
    [
        (CHANNELS, {}, WinogradConv),
        (CHANNELS - 1, {}, PackedConv),
        (CHANNELS, {"stride": 2}, PackedConv),
        (CHANNELS, {"dilation": 2, "padding": 2}, WinogradConv),
        (CHANNELS, {"dilation": 2}, PackedConv),
        (CHANNELS, {"dilation": (2, 3), "padding": (2, 3)}, PackedConv),
        (CHANNELS, {"padding": 0}, PackedConv),
        (CHANNELS, {"groups": 2}, PackedConv),
    ],
)
def test_it_is_for_plain_3x3_convolutions_of_many_channels(
    given: int, options: dict[str, int], kind: type
) -> None:
    assert type(packed_conv(conv(given, **options), relu=False)) is kind


@torch.no_grad()
def test_small_images_are_convolved_directly_unless_all_sizes_are_compared() -> None:
    mine = WinogradConv(conv(), relu=False)
    bands = 0

    class Counting(WinogradConv):
        def _bands(self, x: Any, result: Any) -> Any:
            nonlocal bands
            bands += 1
            return super()._bands(x, result)

    mine.__class__ = Counting
    small = maps(CHANNELS, 4, 4 * (TILES - 1))
    mine(small)
    assert bands == 0
    with for_all_sizes(nn.Sequential(mine)):
        mine(small)
    assert bands == 1
    mine(maps(CHANNELS, 4, 4 * TILES))
    assert bands == 2


@pytest.mark.slow
def test_an_exact_engine_of_a_wide_network_uses_it_and_stays_exact() -> None:
    torch.manual_seed(0)
    network = segzoo.create("unet", num_classes=2, width=32, depth=3).eval()
    told: list[str] = []
    engine = make_engine(network, on_message=told.append)
    images = torch.randn(1, 3, 90, 107)
    with torch.no_grad():
        assert off(engine(images), network(images)) < 3e-5
    assert told == []
    assert "Winograd" in engine.description
