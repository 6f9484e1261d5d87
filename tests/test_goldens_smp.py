"""Every network of segmentation_models.pytorch computes what the library computed, from its checkpoint on."""

from __future__ import annotations

import json

import pytest
import torch
from goldens.libraries import FOLDER, LibraryGolden, names

import segzoo
from segzoo.errors import OptionError, WeightsError
from segzoo.weights.layouts import UnsaidError

pytest.importorskip("segmentation_models_pytorch")
LIGHTNING = FOLDER / "lightning_smp_unet.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("name", names("smp_"))
@torch.no_grad()
def test_a_folder_of_smp_computes_what_the_library_computed(name, tmp_path):
    golden = LibraryGolden(name)
    model = segzoo.load(segzoo.convert(golden.write(tmp_path), tmp_path / "out"))
    error = golden.error(model.eval()(golden.images))
    print(f"{name}: {error:.1e}, {model.segzoo_config.architecture.name}")
    assert error <= golden.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("layout", [None, "segzoo-smp:smp"])
@torch.no_grad()
def test_a_lightning_checkpoint_computes_what_its_network_computed(layout, tmp_path):
    golden = LibraryGolden("lightning_smp_unet")
    model = segzoo.load(segzoo.convert(LIGHTNING, tmp_path / "out", layout=layout, input_range=1))
    prepared = model.segzoo_config.preprocessing
    mean, std = (torch.tensor(one)[:, None, None] for one in (prepared.mean, prepared.std))
    error = golden.error(model.eval()((golden.images - mean) / std))
    print(f"lightning_smp_unet: {error:.1e}, {model.segzoo_config.architecture.name}")
    assert error <= golden.tolerance


@pytest.mark.slow
def test_of_which_images_lightning_subtracts_its_mean_is_asked(tmp_path):
    with pytest.raises(UnsaidError, match="input_range=1 or input_range=255"):
        segzoo.convert(LIGHTNING, tmp_path / "out")
    with pytest.raises(OptionError, match="must be 1 or 255, got 3"):
        segzoo.convert(LIGHTNING, tmp_path / "out", input_range=3)


@pytest.mark.medium
def test_a_mean_of_images_of_0_to_255_is_one_of_0_to_1_divided(tmp_path):
    model = segzoo.load(segzoo.convert(LIGHTNING, tmp_path / "out", input_range=255))
    assert model.segzoo_config.preprocessing.mean == pytest.approx([0.485 / 255, 0.456 / 255, 0.406 / 255])


def told_as_older_versions(config):
    """A config of the years before `_model_class` and `decoder_use_norm`."""
    older = {key: value for key, value in config.items() if key not in ("_model_class", "decoder_use_norm")}
    return {**older, "decoder_use_batchnorm": True} if "decoder_use_norm" in config else older


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smp_fpn_resnet18", "smp_manet_resnet18", "smp_deeplabv3_resnet18"])
@torch.no_grad()
def test_a_folder_of_an_older_version_is_told_by_its_tensors(name, tmp_path):
    golden = LibraryGolden(name)
    folder = golden.write(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told_as_older_versions(config)))
    model = segzoo.load(segzoo.convert(folder, tmp_path / "out"))
    assert golden.error(model.eval()(golden.images)) <= golden.tolerance


#: What tensors do not tell: the names of timm's encoders.
UNTOLD = {
    "smp_unet_timm_encoder": {"encoder": "tu-mobilenetv3_small_050"},
    "smp_dpt_vit_tiny": {"encoder": "tu-vit_tiny_patch16_224"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", names("smp_"))
@torch.no_grad()
def test_of_a_bare_state_dict_the_tensors_tell_class_encoder_and_sizes(name, tmp_path):
    golden = LibraryGolden(name)
    torch.save(golden.tensors, tmp_path / "bare.pth")
    model = segzoo.load(segzoo.convert(tmp_path / "bare.pth", tmp_path / "out", **UNTOLD.get(name, {})))
    assert golden.error(model.eval()(golden.images)) <= golden.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("norm", [{"type": "batchnorm", "eps": 0.01}, "inplace"], ids=str)
def test_norms_that_no_tensor_shows_are_left_to_the_library(norm, tmp_path):
    folder = LibraryGolden("smp_unet_resnet34").write(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "decoder_use_norm": norm}))
    with pytest.raises(WeightsError, match="decoder_use_norm is"):
        segzoo.convert(folder, tmp_path / "out", layout="smp-unet")


def test_settings_of_the_encoder_are_left_to_the_library(tmp_path):
    folder = LibraryGolden("smp_unet_timm_encoder").write(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "output_stride": 16}))
    with pytest.raises(WeightsError, match="says output_stride, which is not supported"):
        segzoo.convert(folder, tmp_path / "out", layout="smp-unet")
