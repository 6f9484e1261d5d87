"""Decoders: the U-Net's widths and steps. Their contract is in test_contracts.py."""

from __future__ import annotations

import pytest
import torch

from segzoo.decoders.unet import UNetDecoder
from segzoo.errors import OptionError, PluginError
from segzoo.specs import DecoderSpec
from segzoo.testing import check_decoder


def test_steps_without_a_skip_lead_to_the_size_of_the_image():
    decoder = UNetDecoder((8, 16), (4, 8))
    assert decoder.stride == 1
    assert [step.convs.second.conv.out_channels for step in decoder.steps] == [8, 32, 16]
    assert decoder([torch.rand(1, 8, 6, 4), torch.rand(1, 16, 3, 2)]).shape == (1, 16, 24, 16)


def test_fewer_widths_stop_at_a_coarser_stride():
    decoder = UNetDecoder((4, 8, 16), (1, 2, 4), widths=(6,))
    assert (decoder.out_channels, decoder.stride) == (6, 2)


@pytest.mark.parametrize("widths", [(), 64, "64", (8, 0), (8, 2.5), (8, True), (8,) * 9])
def test_widths_that_make_no_sense_are_refused(widths):
    with pytest.raises(OptionError, match="widths"):
        UNetDecoder((4, 8, 16), (1, 2, 4), widths=widths)


def test_valid_convolutions_need_cropped_skips():
    with pytest.raises(OptionError, match='pass join="crop"'):
        UNetDecoder((4, 8), (1, 2), padding="valid")


def test_a_decoder_that_lies_about_its_stride_breaks_the_contract():
    spec = DecoderSpec(name="liar", factory=f"{__name__}:Liar")
    with pytest.raises(PluginError, match="decoder 'liar' declares 3 channels at stride 1"):
        check_decoder(spec)


class Liar(torch.nn.Module):
    def __init__(self, channels, strides):
        super().__init__()
        self.out_channels, self.stride = 3, 1
        self.conv = torch.nn.Conv2d(channels[-1], 3, 1)

    def forward(self, features):
        return self.conv(features[-1])
