"""Encoders: a breadth of timm backbones, pretrained stems. Their contract is in test_contracts.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import timm
import torch
from safetensors.torch import save_file

import segzoo
from segzoo import zoo
from segzoo.encoders.timm import SamePadded, TimmEncoder, VGGEncoder
from segzoo.errors import OptionError, PluginError, UnknownNameError, WeightsError
from segzoo.specs import EncoderSpec
from segzoo.testing import check_encoder

if TYPE_CHECKING:
    from pathlib import Path

#: Of ResNets and of what timm builds as EfficientNets, test_contracts checks a small one.
SLOW_BACKBONES = (
    "densenet121",
    "hrnet_w18",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "maxvit_tiny_tf_224",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_BACKBONES)
def test_larger_and_windowed_timm_backbones_are_encoders_too(name):
    check_encoder(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_BACKBONES)
def test_larger_backbones_segment_one_pixel_and_odd_sizes_cut_short_and_whole(name):
    for depth in (2, len(zoo.find_encoder(name).spec.strides)):
        model = segzoo.create(f"unet/{name}", num_classes=2, encoder={"depth": depth}).eval()
        for height, width in ((1, 1), (33, 47)):
            with torch.no_grad():
                assert model(torch.rand(1, 3, height, width)).shape == (1, 2, height, width)


@pytest.mark.parametrize("depth", range(2, 6))
def test_features_are_as_deep_as_asked(depth):
    encoder = TimmEncoder(backbone="resnet18", depth=depth)
    assert encoder.strides == (2, 4, 8, 16, 32)[:depth]
    assert len(encoder(torch.rand(1, 3, 64, 64))) == depth


def test_more_features_than_a_backbone_has_are_refused_by_number():
    with pytest.raises(OptionError, match=r"'resnet18' has 5 features, not depth=6"):
        TimmEncoder(backbone="resnet18", depth=6)


@pytest.mark.parametrize(
    ("stride", "strides"), [(8, (2, 4, 8, 8, 8)), (16, (2, 4, 8, 16, 16)), (32, (2, 4, 8, 16, 32))]
)
def test_a_dilated_backbone_gives_no_coarser_feature_than_asked(stride, strides):
    encoder = TimmEncoder(backbone="test_resnet", output_stride=stride)
    assert (encoder.strides, encoder.multiple) == (strides, stride)
    assert [feature.shape[-1] for feature in encoder(torch.rand(1, 3, 64, 64))] == [64 // s for s in strides]


def test_a_dilated_backbone_has_the_tensors_of_the_plain_one():
    plain, dilated = (TimmEncoder(backbone="test_resnet", output_stride=stride) for stride in (None, 8))
    assert {name: t.shape for name, t in plain.state_dict().items()} == {
        name: t.shape for name, t in dilated.state_dict().items()
    }


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_depth_counts_dilated_features_too(depth):
    encoder = TimmEncoder(backbone="test_resnet", output_stride=8, depth=depth)
    assert encoder.strides == (2, 4, 8, 8)[:depth]


@pytest.mark.slow
def test_dilated_backbones_keep_the_contract_of_encoders():
    for options in ({"output_stride": 8}, {"output_stride": 16, "any_size": True}):
        check_encoder("test_resnet", **options)
        check_encoder("mobilenetv3_small_050", **options)


@pytest.mark.parametrize("name", ["vgg11", "swin_tiny_patch4_window7_224", "densenet121"])
def test_a_backbone_that_cannot_dilate_says_so_and_grants_no_wish(name):
    with pytest.raises(OptionError, match=rf"'{name}' cannot be dilated to output_stride=8: .*resnet50"):
        TimmEncoder(backbone=name, output_stride=8)
    assert TimmEncoder.granted({"output_stride": 8}, backbone=name) == {}


def test_a_backbone_that_dilates_grants_the_wish():
    wishes = {"output_stride": 8, "features": "layers"}
    assert TimmEncoder.granted(wishes, backbone="test_resnet") == {"output_stride": 8}
    assert VGGEncoder.granted(wishes, backbone="vgg11") == {}


@pytest.mark.parametrize("stride", [4, "8", 8.0, True, [8]])
def test_strides_that_no_backbone_is_dilated_to_are_refused(stride):
    with pytest.raises(OptionError, match="output_stride must be 8, 16, 32 or None, got"):
        TimmEncoder(backbone="test_resnet", output_stride=stride)


@pytest.mark.slow
def test_a_backbone_that_computes_deeper_stages_than_asked_is_padded_for_those():
    assert TimmEncoder(backbone="resnet18", depth=2).multiple == 4
    with torch.device("meta"):
        assert TimmEncoder(backbone="hrnet_w18_small", depth=2).multiple == 32


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cait_xxs24_224", "accepts images of 224x224 only, because its position codes or its layers"),
        ("mixer_s32_224", "accepts images of 224x224 only"),
        ("inception_v3", "does not accept images of every size"),
        ("coatnet_0_rw_224", "does not accept images of every size"),
        ("resnet18.no_such_tag", "Invalid pretrained tag"),
    ],
)
def test_a_backbone_that_cannot_be_an_encoder_says_why(name, reason):
    with pytest.raises(OptionError, match=rf"timm's '{name}'.*{reason}"):
        segzoo.create(f"unet/{name}", num_classes=2)


def test_a_timm_location_is_no_encoder_name():
    with pytest.raises(UnknownNameError):
        segzoo.create("unet/hf-hub:someone/something", num_classes=2)


def test_an_encoder_whose_spec_lies_about_its_channels_breaks_the_contract():
    spec = EncoderSpec(
        name="liar", factory="segzoo.encoders.plain:PlainEncoder", channels=(1, 2), strides=(1, 2)
    )
    with pytest.raises(PluginError, match="encoder 'liar': its spec declares"):
        check_encoder(spec)


PRETRAINED = "test_resnet.r160_in1k"


def _hub_cache(home: Path) -> dict[str, torch.Tensor]:
    """Lay out a Hugging Face cache that holds pretrained weights of timm's smallest ResNet."""
    state = timm.create_model(PRETRAINED).state_dict()
    repository = home / "hub" / f"models--timm--{PRETRAINED}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    save_file(state, snapshot / "model.safetensors", metadata={"format": "pt"})
    return state


def _offline(home: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


CREATE = f"""
import json, sys, segzoo
found = {{}}
for channels in (1, 3, 4):
    model = segzoo.create("unet/{PRETRAINED}", num_classes=2, in_channels=channels, pretrained=True)
    weight = next(p for n, p in model.encoder.named_parameters() if p.dim() == 4)
    found[channels] = weight.detach().sum(1).flatten().tolist()
segzoo.save(model, sys.argv[1] if len(sys.argv) > 1 else "model")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def created(tmp_path_factory):
    """Return a folder with a saved pretrained network, the tensors of its cache, and what was printed."""
    folder = tmp_path_factory.mktemp("pretrained")
    state = _hub_cache(folder / "full")
    done = _offline(folder / "full", f"import os; os.chdir({str(folder)!r})\n{CREATE}")
    assert done.returncode == 0, done.stderr
    return folder, state, done.stdout


@pytest.mark.slow
def test_a_pretrained_stem_of_three_channels_becomes_one_of_one_and_of_four(created):
    _, state, printed = created
    stem = next(tensor for tensor in state.values() if tensor.dim() == 4)
    found = {int(key): torch.tensor(value) for key, value in json.loads(printed).items()}
    wanted = stem.sum(1).flatten()
    # A grey image fed to all three channels gives the same: the sum over channels is what remains.
    assert torch.allclose(found[1], wanted, atol=1e-5)
    assert torch.allclose(found[3], wanted, atol=1e-5)
    repeated = 3 / 4 * torch.cat([stem, stem[:, :1]], 1).sum(1).flatten()
    assert torch.allclose(found[4], repeated, atol=1e-5)


@pytest.mark.slow
def test_a_folder_of_a_pretrained_network_loads_where_nothing_can_be_fetched(created, tmp_path):
    load = f"import segzoo; segzoo.load({str(created[0] / 'model')!r}); print('loaded')"
    done = _offline(tmp_path / "empty", load)
    assert done.stdout == "loaded\n", done.stderr


@pytest.mark.slow
def test_pretrained_weights_that_cannot_be_fetched_are_one_sentence(tmp_path):
    code = f"""
import segzoo
from segzoo.errors import WeightsError
try:
    segzoo.create("unet/{PRETRAINED}", num_classes=2, pretrained=True)
except WeightsError as error:
    print(error)
"""
    done = _offline(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert f"'{PRETRAINED}' could not be read from the caches" in done.stdout
    assert "HF_HUB_OFFLINE" in done.stdout


def test_a_backbone_that_was_never_trained_says_so(monkeypatch):
    bare = timm.get_pretrained_cfg("resnet18")
    assert bare is not None
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: None)
    with pytest.raises(OptionError, match="no pretrained weights for 'resnet18'"):
        TimmEncoder(backbone="resnet18", pretrained=True)
    assert issubclass(WeightsError, RuntimeError)


@pytest.mark.medium
@pytest.mark.parametrize("stride", [None, 8])
def test_tensorflow_s_padding_is_the_same_where_it_does_not_depend_on_the_size(stride):
    images = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    ours, timms = (
        TimmEncoder(backbone="tf_efficientnet_lite0", output_stride=stride, any_size=any_size).eval()
        for any_size in (False, True)
    )
    assert any(isinstance(module, SamePadded) for module in ours.modules())
    timms.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert all(torch.equal(one, other) for one, other in zip(ours(images), timms(images), strict=True))
