"""UNet++ is built as its paper says, on any encoder, for images of any size."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import segzoo
from segzoo import zoo
from segzoo.errors import OptionError


def small(**options):
    return segzoo.create("nested", num_classes=1, width=4, depth=4, **options)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


# The original has 9,163,329 (with deep supervision 9,163,428), of which 3,648 are biases of convolutions
# that a batch norm follows: two per node, as many as its channels. They fold into the running means.
FOLDED_BIASES = 2 * sum(n * w for n, w in zip((5, 4, 3, 2, 1), (32, 64, 128, 256, 512), strict=True))


@pytest.mark.parametrize(("deep", "original"), [(False, 9_163_329), (True, 9_163_428)])
def test_the_original_has_as_many_parameters_but_for_the_folded_biases(deep, original):
    with torch.device("meta"):
        model = segzoo.create("nested", num_classes=1, deep_supervision=deep)
    assert FOLDED_BIASES == 3648
    assert parameters(model) == original - FOLDED_BIASES


def test_every_name_of_it_means_the_same_network():
    assert zoo.find_model("nested") == zoo.find_model("unet++") == zoo.find_model("nested-unet")
    assert zoo.registry("decoders").get("unetplusplus").name == "nested"


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 50), (64, 64)])
def test_logits_have_the_size_of_the_image(size):
    model = small().eval()
    assert model(torch.rand(1, 3, *size)).shape == (1, 1, *size)


def test_one_image_is_enough_to_train_on():
    model = small().train()
    model(torch.rand(1, 3, 5, 5)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("upsample", ["bilinear", "transpose"])
@pytest.mark.parametrize("norm", ["batch", "group", "instance", None])
def test_upsampling_and_norm_are_options(upsample, norm):
    model = small(upsample=upsample, norm=norm, activation="none").eval()
    assert model(torch.rand(2, 3, 16, 24)).shape == (2, 1, 16, 24)


def test_widths_may_be_chosen_for_each_level():
    model = small(decoder={"widths": [3, 5, 7]}).eval()
    assert model.decoder.out_channels == 3
    assert model(torch.rand(1, 3, 16, 16)).shape == (1, 1, 16, 16)


def test_a_wrong_number_of_widths_says_how_many_are_needed():
    with pytest.raises(OptionError, match="2 levels; an encoder of 4 features needs 3"):
        small(decoder={"widths": [3, 5]})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nested-vgg11", "unet++/resnet18", "nested/mobilevit_xxs"])
def test_it_decodes_the_features_of_other_encoders(name):
    model = segzoo.create(name, num_classes=2, widths=[8] * 4).eval()
    assert model(torch.rand(1, 3, 45, 70)).shape == (1, 2, 45, 70)


def test_on_a_backbone_without_stride_1_the_logits_are_resized():
    model = segzoo.create("nested/resnet18", num_classes=2, widths=[8] * 4)
    assert model.decoder.stride == 2


def test_deep_supervision_gives_every_head_and_forward_the_last():
    model = small(deep_supervision=True).eval()
    images = torch.rand(1, 3, 21, 34)
    sides = model.side_logits(images)
    assert [side.shape for side in sides] == [(1, 1, 21, 34)] * 3
    assert torch.equal(sides[-1], model(images))
    assert not torch.equal(sides[0], sides[-1])


def test_without_deep_supervision_the_only_side_output_is_the_output():
    model = small().eval()
    images = torch.rand(1, 3, 16, 16)
    (only,) = model.side_logits(images)
    assert torch.equal(only, model(images))


def test_a_copy_and_a_pickle_compute_the_same():
    model = small(deep_supervision=True).eval()
    images = torch.rand(1, 3, 16, 16)
    expected = model(images)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(images), expected)


@pytest.mark.slow
def test_it_exports_with_dynamic_sizes():
    model = small().eval()
    sizes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(model, (torch.rand(1, 3, 40, 56),), dynamic_shapes=(sizes,)).module()
    for size in ((33, 47), (40, 56), (64, 33)):
        images = torch.rand(1, 3, *size)
        assert torch.allclose(program(images), model(images), atol=1e-5)
