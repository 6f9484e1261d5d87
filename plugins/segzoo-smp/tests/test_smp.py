"""smp's networks are made by name; checkpoints that do not fit are refused with what is wrong."""

from __future__ import annotations

import json
import sys

import pytest
import segmentation_models_pytorch as library
import torch
from safetensors.torch import save_file

import segzoo
from segzoo.errors import MissingExtraError, OptionError, WeightsError
from segzoo.weights.layouts import UnsaidError
from segzoo_smp.layout import statistics
from segzoo_smp.networks import FACTORIES


def made(**options):
    torch.manual_seed(0)
    given = {"encoder_name": "resnet18", "encoder_weights": None, "classes": 3, **options}
    return library.PSPNet(psp_out_channels=16, **given).eval()


@pytest.fixture(scope="module")
def network():
    return made()


def folder_of(network, path, tensors=None, **config):
    path.mkdir()
    told = {**network.config, "_model_class": type(network).__name__, **config}
    (path / "config.json").write_text(json.dumps({key: one for key, one in told.items() if one != "drop"}))
    save_file(network.state_dict() if tensors is None else tensors, path / "model.safetensors")
    return path


def converted(network, tmp_path, tensors=None, **config):
    return segzoo.convert(folder_of(network, tmp_path / "in", tensors, **config), tmp_path / "out")


@pytest.mark.medium
@torch.no_grad()
def test_where_the_library_takes_a_size_its_logits_come_out(network, tmp_path):
    model = segzoo.load(converted(network, tmp_path))
    images = torch.rand(1, 3, 64, 40)
    assert torch.allclose(model(images), network(images), atol=1e-6)
    assert model(torch.rand(1, 3, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 5])
@torch.no_grad()
def test_images_of_other_bands_are_converted_too(channels, tmp_path):
    network = made(in_channels=channels)
    model = segzoo.load(converted(network, tmp_path))
    images = torch.rand(1, channels, 64, 64)
    assert torch.allclose(model(images), network(images), atol=1e-6)
    assert model.segzoo_config.preprocessing.channels == ("grey" if channels == 1 else "any")


@pytest.mark.slow
def test_layers_that_never_run_are_left_out_and_told(network, tmp_path):
    model = segzoo.load(converted(network, tmp_path))
    assert not any("layer4" in name for name in model.state_dict())
    told = model.segzoo_config.provenance
    assert any(name.startswith("encoder.layer4.") for name in told["left_out"])
    assert any("never runs" in note for note in told["notes"])


@pytest.mark.slow
def test_a_network_is_trained_on_one_image():
    model = segzoo.create("smp-deeplabv3plus", num_classes=2, encoder_name="resnet18").train()
    model(torch.rand(1, 3, 33, 20)).sum().backward()
    assert all(one.grad is not None for one in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "overlapping"), [("sigmoid", True), ("softmax2d", False), (None, False)]
)
def test_an_activation_is_left_out_and_decides_how_classes_are(network, activation, overlapping, tmp_path):
    config = segzoo.load(converted(network, tmp_path, activation=activation)).segzoo_config
    assert config.labels.overlapping is overlapping
    assert any("stay logits" in note for note in config.provenance["notes"]) is bool(activation)


@pytest.mark.slow
def test_a_classification_head_is_left_out_and_told(tmp_path):
    network = made(aux_params={"classes": 4})
    told = segzoo.load(converted(network, tmp_path)).segzoo_config.provenance
    assert "classification_head.3.weight" in told["left_out"]
    assert any("classification head" in note for note in told["notes"])


@pytest.mark.slow
def test_attention_is_converted_and_that_of_the_last_skip_which_there_is_not_is_left_out(tmp_path):
    network = library.Unet(
        "resnet18",
        encoder_weights=None,
        encoder_depth=3,
        decoder_channels=[32, 16, 16],
        decoder_attention_type="scse",
    ).eval()
    model = segzoo.load(converted(network, tmp_path))
    images = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        assert torch.allclose(model(images), network(images), atol=1e-6)
    assert not any("blocks.2.attention1" in name for name in model.state_dict())


@pytest.mark.medium
def test_attention_of_no_channels_which_the_library_cannot_run_is_refused(tmp_path):
    arguments = {"encoder_depth": 3, "decoder_channels": [24, 16, 8], "decoder_attention_type": "scse"}
    network = library.Unet("resnet18", encoder_weights=None, **arguments)
    with pytest.raises(WeightsError, match="cannot be built"):
        converted(network, tmp_path)


@pytest.mark.slow
def test_weights_of_imagenet_say_mean_and_std(network, tmp_path):
    prepared = segzoo.load(
        converted(network, tmp_path, encoder_weights="imagenet")
    ).segzoo_config.preprocessing
    assert prepared.mean == (0.485, 0.456, 0.406)
    assert statistics("xception", "imagenet") == ((0.5,) * 3, (0.5,) * 3)
    assert statistics("tu-vit_tiny_patch16_224", True) == ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"_model_class": "Foo"}, "has no network 'Foo'"),
        ({"_model_class": "FPN"}, "FPN has no argument"),
        ({"encoder_name": "resnet34"}, "does not fit"),
        ({"encoder_name": "rsnet18"}, "no encoder 'rsnet18'; did you mean"),
        ({"encoder_name": "tu-hf-hub:org/name"}, "timm has no such model"),
        ({"classes": 9}, "says 9 classes, and its head has 3"),
        ({"in_channels": 4}, "does not fit"),
        ({"in_channels": "three"}, "in_channels is 'three'"),
        ({"psp_out_channels": "big"}, "psp_out_channels must be a whole number above 0"),
        ({"encoder_depth": 9}, "depth should be in range"),
        ({"banana": 1}, "has no argument 'banana'"),
        ({"encoder_name": "tu-resnet18", "checkpoint_path": "/etc/passwd"}, "takes numbers, flags"),
        ({"encoder_name": "tu-resnet18", "pretrained": True}, "takes numbers, flags"),
    ],
)
def test_a_config_that_the_tensors_contradict_is_refused_with_what_is_wrong(network, config, told, tmp_path):
    with pytest.raises(WeightsError, match=told):
        converted(network, tmp_path, **config)


@pytest.mark.medium
def test_a_tensor_that_is_missing_is_named(network, tmp_path):
    tensors = {name: one for name, one in network.state_dict().items() if name != "decoder.conv.0.weight"}
    with pytest.raises(WeightsError, match=r"network\.decoder\.conv\.0\.weight"):
        converted(network, tmp_path, tensors)


@pytest.mark.medium
def test_which_encoder_of_timm_a_bare_file_has_is_asked(tmp_path):
    network = library.FPN("tu-resnet18", encoder_weights=None)
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(UnsaidError, match="begin with 'tu-'"):
        segzoo.convert(tmp_path / "bare.pth", tmp_path / "out")


@pytest.mark.slow
def test_what_tensors_do_not_tell_is_noted(tmp_path):
    network = library.DeepLabV3Plus("resnet18", encoder_weights=None, decoder_channels=16)
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    notes = segzoo.load(segzoo.convert(tmp_path / "bare.pth", tmp_path / "out")).segzoo_config.provenance[
        "notes"
    ]
    assert any("encoder_output_stride=16" in note for note in notes)
    assert "the encoder is resnet18, by the shapes of its tensors" in notes


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("smp-fpn", {"encoder_name": "rsnet34"}, "did you mean 'resnet34'"),
        ("smp-dpt", {"encoder_name": "resnet18"}, "takes timm's vision transformers"),
        ("smp-fpn", {"activation": "sigmoid"}, "no option 'activation'"),
        ("smp-fpn", {"encoder_options": {"drop_path_rate": 0.1}}, "'resnet34' takes none"),
        ("smp-fpn", {"pretrained": True, "encoder_weights": "ssl"}, "no weights 'ssl': it has imagenet"),
        ("smp-linknet", {"encoder_name": "mit_b0"}, "not supported for Linknet"),
    ],
)
def test_an_option_that_no_network_has_is_refused_with_those_that_it_has(name, options, told):
    with pytest.raises(OptionError, match=told):
        segzoo.create(name, num_classes=2, **options)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        FACTORIES["FPN"](num_classes=2)


@pytest.mark.slow
@torch.no_grad()
def test_encoders_of_fixed_windows_take_any_size():
    name = "tu-swin_tiny_patch4_window7_224"
    model = segzoo.create("smp-upernet", num_classes=2, encoder_name=name, decoder_channels=16).eval()
    assert model(torch.rand(1, 3, 50, 75)).shape == (1, 2, 50, 75)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tu-vit_tiny_r_s16_p8_224", "tu-sam2_hiera_tiny"])
def test_dpt_on_encoders_of_stride_32_takes_every_multiple_of_it(encoder, tmp_path):
    torch.manual_seed(0)
    widths = {"decoder_intermediate_channels": [8, 8, 16, 16], "decoder_fusion_channels": 8}
    whole = library.DPT(encoder, encoder_weights=None, classes=3, **widths).eval()
    folder = folder_of(whole, tmp_path / "in", {k: v.contiguous() for k, v in whole.state_dict().items()})
    model = segzoo.load(segzoo.convert(folder, tmp_path / "out"))
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(model(images), whole(images), atol=1e-5)
