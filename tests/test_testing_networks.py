"""The checks of encoders and decoders catch those that break a promise, and say which."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segzoo.errors import PluginError
from segzoo.specs import DecoderSpec, EncoderSpec
from segzoo.testing import check_decoder, check_encoder

HERE = __name__


class GoodEncoder(nn.Module):
    channels, strides = (3, 4), (1, 2)

    def __init__(self, in_channels=3):
        super().__init__()
        self.first, self.second = nn.Conv2d(in_channels, 3, 3, padding=1), nn.Conv2d(3, 4, 2, 2)

    def forward(self, images):
        fine = self.first(images)
        return [fine, self.second(fine)]


class ThreeChannelsOnly(GoodEncoder):
    def __init__(self, in_channels=3):
        super().__init__(3)


class WrongStride(GoodEncoder):
    strides = (1, 4)


class Idle(GoodEncoder):
    def __init__(self, in_channels=3):
        super().__init__(in_channels)
        self.spare = nn.Linear(2, 2)


class Noisy(GoodEncoder):
    def forward(self, images):
        return [feature + torch.rand(()) for feature in super().forward(images)]


class Statistical(GoodEncoder):
    """Normalises over the batch, in evaluation mode too."""

    def forward(self, images):
        return super().forward(images / images.mean(0))


class Hooked(GoodEncoder):
    def __init__(self, in_channels=3):
        super().__init__(in_channels)
        self.activation = lambda value: value


def encoder(factory, strides=(1, 2)):
    return EncoderSpec(name="mine", factory=f"{HERE}:{factory}", channels=(3, 4), strides=strides)


def test_an_encoder_that_keeps_its_promises_passes():
    check_encoder(encoder("GoodEncoder"))


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("ThreeChannelsOnly", r"encoder 'mine', promise 'features': it raised RuntimeError: .*channels"),
        ("WrongStride", r"its spec declares \(\(3, 4\), \(1, 2\)\), the module has .*make them agree"),
        ("Idle", r"no gradient reaches 2 of its parameters: spare\.weight, spare\.bias"),
        ("Noisy", "an image alone must give what it gives in a batch|two calls with the same input"),
        ("Statistical", "an image alone must give what it gives in a batch of two"),
        ("Hooked", "promise 'copies': it raised .*lambda"),
        ("missing", r"encoder 'mine', promise 'features': factory .* has no callable 'missing'"),
        ("encoder", "promise 'features': it raised TypeError"),
    ],
)
def test_an_encoder_that_breaks_a_promise_is_told_which(factory, told):
    with pytest.raises(PluginError, match=told):
        check_encoder(encoder(factory))


def test_strides_that_spec_and_module_agree_on_are_measured():
    with pytest.raises(PluginError, match=r"at stride 4 images .* declare the strides"):
        check_encoder(encoder("WrongStride", strides=(1, 4)))


class Forgetful(nn.Module):
    """A decoder that adds something to the first image of a batch alone."""

    out_channels, stride = 4, 1

    def __init__(self, channels, strides):
        super().__init__()
        self.stride = strides[0]
        self.conv = nn.Conv2d(channels[0], 4, 1)

    def forward(self, features):
        found = self.conv(features[0])
        return found if len(found) == 1 else torch.cat([found[:1] + 1, found[1:]])


def test_a_decoder_that_treats_images_by_their_place_is_told():
    with pytest.raises(PluginError, match="an image alone"):
        check_decoder(DecoderSpec(name="mine", factory=f"{HERE}:Forgetful"))
