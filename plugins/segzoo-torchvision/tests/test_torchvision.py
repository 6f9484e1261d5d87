"""torchvision's checkpoints become networks of segzoo; missing and surplus parts are reported."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model_weights, list_models, segmentation
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import segzoo
from segzoo import zoo
from segzoo.errors import OptionError, WeightsError
from segzoo.specs import Preprocessing


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4).eval().state_dict()


@pytest.mark.medium
def test_what_the_reference_training_saves_is_read_with_what_lies_around(state, tmp_path):
    saved = {"model": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3}
    torch.save(saved, tmp_path / "model_3.pth")
    model = segzoo.load(segzoo.convert(tmp_path / "model_3.pth", tmp_path / "out"))
    assert model.num_logits == 4
    assert model.segzoo_config.preprocessing == Preprocessing(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    assert model(torch.rand(1, 3, 1, 1)).shape == (1, 4, 1, 1)


@pytest.mark.medium
def test_a_tensor_that_is_missing_is_named(state, tmp_path):
    torch.save({k: t for k, t in state.items() if k != "classifier.high_classifier.bias"}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"missing: classifier\.high_classifier\.bias"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


@pytest.mark.medium
def test_heads_of_two_numbers_of_classes_are_refused(state, tmp_path):
    torch.save({**state, "classifier.high_classifier.weight": torch.zeros(5, 128, 1, 1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"classifier\.low_classifier\.weight is \(1, 4, 40, 1, 1\)"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


@pytest.mark.slow
def test_a_resnet_that_torchvision_does_not_use_is_refused(tmp_path):
    from torchvision.models import resnet18
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.fcn import FCN, FCNHead

    backbone = IntermediateLayerGetter(resnet18(), {"layer4": "out"})
    torch.save(FCN(backbone, FCNHead(512, 3)).state_dict(), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="2 blocks in its third stage"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


#: The weights that the installed library publishes for segmentation.
PUBLISHED = {
    f"{model.replace('_', '-')}-coco-voc": weights.DEFAULT
    for model in list_models(segmentation)
    for weights in (get_model_weights(model),)
}


def test_the_catalogue_has_all_that_the_library_publishes():
    ours = {name for name, entry in zoo.registry("weights").items() if entry.owner == "segzoo-torchvision"}
    assert ours == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_entry_says_what_the_library_says(name):
    spec, published = zoo.registry("weights").get(name), PUBLISHED[name]
    assert spec.url == published.url
    assert published.url.endswith(f"-{spec.sha256}.pth")
    assert spec.bytes == round(published.meta["_file_size"] * 2**20)
    assert spec.classes == ("background", *published.meta["categories"][1:])
    (scores,) = published.meta["_metrics"].values()
    assert f"mIoU {scores['miou']} %, pixel accuracy {scores['pixel_acc']} %" in spec.claimed
    preset, ours = published.transforms(), spec.preprocessing
    assert ([ours.resize.short], ours.resize.interpolation) == (
        preset.resize_size,
        preset.interpolation.value,
    )
    assert (list(ours.mean), list(ours.std)) == (preset.mean, preset.std)


def test_an_output_stride_that_the_encoder_has_not_is_refused():
    with pytest.raises(OptionError, match="16 or 32"):
        segzoo.create("lraspp_mobilenet_v3_large", num_classes=2, output_stride=8)


@torch.no_grad()
def test_a_pretrained_stem_takes_other_bands():
    model = segzoo.create("lraspp_mobilenet_v3_large", num_classes=2, in_channels=5).eval()
    assert model(torch.rand(1, 5, 40, 33)).shape == (1, 2, 40, 33)
