"""Blocks: norms, sizes and mirroring, held against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from segzoo.blocks.convolution import ConvUnit, DoubleConv, PooledBatchNorm, make_norm
from segzoo.blocks.sizes import centre_crop, crop, fit, mirror, resize
from segzoo.blocks.upsampling import make_upsample
from segzoo.errors import OptionError
from segzoo.options import check_positive
from segzoo.segmenter import Adapted
from segzoo.testing.export import check_onnx

side = st.integers(1, 9)


@given(height=side, width=side, top=st.integers(0, 20), left=st.integers(0, 20), more=st.integers(0, 20))
def test_mirroring_is_numpys_reflection_for_any_border(height, width, top, left, more):
    image = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    result = mirror(image, top + height + more, left + width, top, left)[0, 0].numpy()
    wanted = np.pad(image[0, 0].numpy(), ((top, more), (left, 0)), mode="reflect")
    assert np.array_equal(result, wanted)


def test_fit_pads_left_and_top_with_the_smaller_half():
    x = torch.ones(1, 1, 1, 2)
    assert fit(x, 2, 5)[0, 0].tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]
    ramp = torch.arange(1.0, 6).reshape(1, 1, 1, 5)
    assert fit(ramp, 1, 4)[0, 0].tolist() == [[2, 3, 4, 5]]
    assert fit(ramp, 1, 2)[0, 0].tolist() == [[3, 4]]


def test_a_centre_crop_loses_the_smaller_half_on_the_left_and_top():
    x = torch.arange(5.0).reshape(1, 1, 1, 5)
    assert centre_crop(x, 1, 2).flatten().tolist() == [1, 2]
    assert crop(x, 1, 2, 0, 3).flatten().tolist() == [3, 4]


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (48, 24), (7, 7), (1, 1), (37, 1)])
def test_group_norm_takes_the_largest_count_up_to_32_that_divides(channels, groups):
    assert make_norm("group", channels).num_groups == groups


def test_convolutions_have_a_bias_only_where_no_norm_follows():
    assert DoubleConv(1, 2, norm="batch").first.conv.bias is None
    assert DoubleConv(1, 2, norm=None).first.conv.bias is not None


def test_valid_double_convolutions_eat_four_pixels():
    assert DoubleConv(1, 2, padding="valid")(torch.rand(1, 1, 9, 12)).shape == (1, 2, 5, 8)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 6), (5, 2), (1, 3)])
def test_a_unit_keeps_the_size_of_a_map_whatever_its_kernel_and_dilation(kernel, dilation):
    unit = ConvUnit(4, 4, kernel=kernel, dilation=dilation, groups=4)
    assert unit(torch.rand(2, 4, 5, 7)).shape == (2, 4, 5, 7)
    assert list(unit.state_dict())[:2] == ["conv.weight", "norm.weight"]


@pytest.mark.parametrize("kernel", [0, 2, 4.0, True])
def test_a_kernel_is_an_odd_number(kernel):
    with pytest.raises(OptionError, match="kernel must be"):
        ConvUnit(1, 1, kernel=kernel)


def test_a_lone_value_is_normalised_by_running_statistics_in_training_too():
    norm, plain = PooledBatchNorm(3), torch.nn.BatchNorm2d(3)
    many = torch.rand(2, 3, 4, 4)
    assert torch.equal(norm(many), plain(many))
    lone = torch.rand(1, 3, 1, 1, requires_grad=True)
    assert torch.equal(norm(lone), plain.eval()(lone))
    assert torch.equal(norm.running_mean, plain.running_mean)
    norm(lone).sum().backward()
    assert lone.grad is not None
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        plain.train()(lone)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (5, 6), (3, 9)])
def test_a_map_is_resized_to_another_ones_size(size, align_corners):
    x, like = torch.rand(1, 2, *size), torch.rand(1, 1, 5, 6)
    wanted = torch.nn.functional.interpolate(x, (5, 6), mode="bilinear", align_corners=align_corners)
    assert torch.allclose(resize(x, like, align_corners=align_corners), wanted)


@pytest.mark.parametrize("upsample", ["bilinear", "transpose"])
def test_upsampling_doubles_both_sides(upsample):
    layer, channels = make_upsample(upsample, 4, 2)
    assert layer(torch.rand(1, 4, 3, 5)).shape == (1, channels, 6, 10)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None])
def test_only_integers_of_at_least_one_are_counts(value):
    with pytest.raises(OptionError, match="count must be an integer of at least 1"):
        check_positive(count=value)


@pytest.mark.slow
@pytest.mark.parametrize("grid", [3, (2, 2)])
def test_networks_of_other_libraries_pool_alike_in_an_onnx_model_of_every_size(grid):
    class Pooling(nn.Sequential):
        def forward(self, images):
            return super().forward(images).amax((2, 3), keepdim=True).expand(-1, -1, *images.shape[2:])

    network = Pooling(nn.AdaptiveAvgPool2d(grid), nn.ReLU())
    check_onnx(Adapted(network, num_classes=3))
