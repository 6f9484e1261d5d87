"""Checkpoints that nothing here reads are called what they are, and never taken for something else."""

from __future__ import annotations

import json
import pickle
import re
import sys
import zipfile
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import segzoo
from segzoo import zoo
from segzoo.errors import WeightsError
from segzoo.testing import isolated_zoo
from segzoo.weights.conversion import convert
from segzoo.weights.strangers import STRANGERS, find

pytestmark = pytest.mark.usefixtures("home")


def states(*names, **more):
    return {**{name: torch.ones(2, 2, 1, 1) for name in names}, **more}


def nnunet():
    weights = states("encoder.stages.0.0.convs.0.conv.weight", "decoder.seg_layers.0.weight")
    return {
        "network_weights": weights,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(1)}}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float32(0.5)]},
        "_best_ema": np.float32(0.5),
        "current_epoch": 9,
        "init_args": {"configuration": "2d", "fold": 0, "plans": {}},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }


SAM = ("image_encoder.pos_embed", "prompt_encoder.no_mask_embed.weight", "mask_decoder.iou_token.weight")
FILES = {
    "nnU-Net": (nnunet(), "is an nnU-Net checkpoint: not supported. segzoo-formats reads its datasets"),
    "nnU-Net's first": (
        {"state_dict": states("a"), "plot_stuff": ([],), "best_stuff": (1, 2)},
        "nnU-Net's first version",
    ),
    "Segment Anything": (
        states(*SAM),
        "Segment Anything checkpoint: not supported. It needs points or boxes",
    ),
    "its second": ({"model": states("image_encoder.trunk.a", "sam_mask_decoder.b")}, "Segment Anything"),
    "medical one": (
        {"model": states(*(f"module.{name}" for name in SAM)), "optimizer": {}, "epoch": 1},
        "Segment Anything",
    ),
    "Mask2Former": (
        {"model": states("backbone.stem.a", "sem_seg_head.pixel_decoder.a", "sem_seg_head.predictor.b")},
        "a Mask2Former checkpoint from the original repository: not supported. transformers has",
    ),
    "detectron2": ({"model": states("backbone.bottom_up.res2.0.conv1.weight", "roi_heads.a")}, "detectron2"),
    "MMDetection": (
        {"meta": {"mmdet_version": "3"}, "state_dict": states("backbone.conv1.weight", "bbox_head.a.weight")},
        "OpenMMLab checkpoint for detection",
    ),
    "SOLO": (
        {"state_dict": states("backbone.conv1.weight", "neck.a.weight", "mask_head.a.weight")},
        "OpenMMLab checkpoint for detection",
    ),
    "MMDetection3D": (
        {"meta": {}, "state_dict": states("voxel_encoder.a", "backbone.blocks.a")},
        "OpenMMLab checkpoint for point clouds",
    ),
    "Cellpose": (states("downsample.down.res_down_0.a", diameter_mean=torch.ones(1)), "a Cellpose model"),
    "MONAI's U-Net": (
        states("model.0.conv.unit0.conv.weight", "model.1.submodule.0.conv.a"),
        "a MONAI U-Net",
    ),
    "MONAI's SwinUNETR": ({"state_dict": states("swinViT.patch_embed.proj.weight")}, "a MONAI network"),
    "MONAI's SegResNet": (states("convInit.conv.weight"), "a MONAI network"),
    "MONAI's BasicUNet": (states("conv_0.conv_0.conv.weight"), "a MONAI network"),
    "MONAI's DynUNet": (states("input_block.conv1.conv.weight", "upsamples.0.a"), "a MONAI network"),
    "timm's classifier": (
        states("conv_stem.weight", **{"fc.weight": torch.ones(5, 2)}),
        "is an image classifier",
    ),
    "timm's ViT": (
        states("blocks.0.a", **{"head.weight": torch.ones(5, 2)}),
        "segzoo.create.*pretrained=True",
    ),
    "CLIP": (states("visual.conv1.weight", "transformer.resblocks.0.a"), "a CLIP model"),
    "diffusers": (states("time_embedding.linear_1.weight"), "a diffusers network"),
    "PEFT": (states("base_model.model.q.lora_A.weight"), "a PEFT adapter"),
    "an optimizer": ({"state": {}, "param_groups": []}, "the state of an optimizer"),
}


@pytest.mark.parametrize(("contents", "told"), FILES.values(), ids=FILES)
def test_a_checkpoint_of_another_kind_is_called_what_it_is(contents, told, tmp_path):
    torch.save(contents, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=told) as caught:
        convert(tmp_path / "model.pth", tmp_path / "out")
    assert "closest" not in str(caught.value)
    assert "layout" not in str(caught.value)
    with pytest.raises(WeightsError, match=told):
        segzoo.load(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("module", "name", "told"),
    [
        ("ultralytics.nn.tasks", "DetectionModel", "is a YOLO model of ultralytics: not supported"),
        ("models.yolo", "Model", "is a YOLO model: not supported"),
        ("fastai.learner", "Learner", "is an exported learner of fastai"),
        (
            "somebody.network",
            "UNet",
            "is a pickle of objects, not of tensors: it asks for 'somebody.network.UNet'",
        ),
    ],
)
@pytest.mark.parametrize("bare", [True, False])
def test_a_pickled_network_is_called_by_its_class(module, name, told, bare, tmp_path):
    kind = type(name, (), {"__module__": module})
    made, parent = ModuleType(module), module.rpartition(".")[0]
    setattr(made, name, kind)
    network = kind()
    with pytest.MonkeyPatch.context() as patch:
        for outer in (parent.partition(".")[0], parent):
            patch.setitem(sys.modules, outer, ModuleType(outer))
        patch.setitem(sys.modules, module, made)
        torch.save(network if bare else {"epoch": -1, "model": network, "ema": None}, tmp_path / "best.pt")
    with pytest.raises(WeightsError, match=re.escape(told)):
        segzoo.load(tmp_path / "best.pt")


CONTENTS = {
    "model.ort": (b"\x08\x08\x12\x07pytorch", "is an ONNX model: not supported. Exported models"),
    "model.gguf": (b"GGUF\x03\x00\x00\x00", "is a GGUF file"),
    "model.tflite": (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
    "model.h5": (b"\x89HDF\r\n\x1a\n", "HDF5 file, as Keras, TensorFlow and StarDist"),
    "model.pdparams": (pickle.dumps({"conv.weight": np.ones(3)}, 2), "PaddlePaddle checkpoint"),
    "model.pb": (b"\x08\x01\x12", "a TensorFlow graph"),
    "model.engine": (b"ftrt", "TensorRT"),
    "R-50.pkl": (pickle.dumps({"model": {"a": np.ones(3)}}, 2), "a pickle of NumPy arrays"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_is_none_of_torch_is_called_what_it_is(name, tmp_path):
    contents, told = CONTENTS[name]
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(WeightsError, match=told):
        segzoo.load(tmp_path / name)


@pytest.mark.parametrize(
    ("member", "told"),
    [("model.weights.h5", "a Keras model"), ("unet/archive_format", "torch.export wrote")],
)
def test_an_archive_is_called_by_what_it_holds(member, told, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, b"")
    with pytest.raises(WeightsError, match=told):
        segzoo.load(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["saved_model.pb"], "a TensorFlow SavedModel"),
        (["model_index.json"], "a diffusers pipeline"),
        (["plans.json", "dataset.json"], "an nnU-Net model folder"),
        (["configs/metadata.json", "models/model.pt"], "a MONAI bundle"),
        (["config.json", "tf_model.h5"], "a TensorFlow or Flax checkpoint"),
        (["adapter_config.json"], "a PEFT adapter"),
    ],
)
def test_a_folder_is_called_by_its_files(files, told, tmp_path):
    for name in files:
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text("{}")
    for word in (tmp_path / "model", f"local-dir:{tmp_path / 'model'}"):
        with pytest.raises(WeightsError, match=told):
            segzoo.load(word)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.30"}, "a part of diffusers"),
        ({"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": {}}, "a timm network"),
    ],
)
@pytest.mark.parametrize("form", ["model.safetensors", "diffusion_pytorch_model.safetensors"])
def test_a_folder_is_called_by_its_config(config, told, form, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"a.weight": torch.ones(2)}, tmp_path / form)
    with pytest.raises(WeightsError, match=told):
        segzoo.load(tmp_path)


def test_a_kind_without_any_mark_would_be_everything():
    for stranger in STRANGERS:
        marks = (stranger.tensors, stranger.matrix, stranger.keys, stranger.asked, stranger.files)
        assert any((*marks, stranger.endings, stranger.heads)), stranger.what


PLUGINS = {
    "segzoo-transformers": ({"config": {"model_type": "segformer"}}, ("segformer.a", "decode_head.b")),
    "segzoo-smp": ({"config": {"_model_class": "Unet"}}, ("encoder.a", "decoder.b")),
    "segzoo-torchvision": ({}, ("backbone.layer1.0.conv1.weight", "classifier.4.weight")),
    "segzoo-mmseg": ({"meta": {}}, ("backbone.conv1.weight", "decode_head.conv_seg.weight")),
}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_takes_a_plugin_names_it(plugin, tmp_path):
    extras, names = PLUGINS[plugin]
    tensors = states(*names)
    if "config" in extras:
        (tmp_path / "config.json").write_text(json.dumps(extras["config"]))
        save_file(tensors, tmp_path / "model.safetensors")
        path = tmp_path
    else:
        path = tmp_path / "a.pth"
        torch.save({**extras, "state_dict": tensors}, path)
    told = f"reading it requires the plug-in {plugin}, which is not installed: `pip install {plugin}`"
    with isolated_zoo(), pytest.raises(WeightsError, match=told):
        convert(path, tmp_path / "out")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_takes_a_plugin_that_is_switched_off_names_it(plugin, tmp_path, monkeypatch):
    extras, names = PLUGINS[plugin]
    with monkeypatch.context() as patch:
        patch.setenv("SEGZOO_PLUGINS", "segzoo-medical")
        zoo.refresh()
        found = find(tensors=states(*names), beside=extras)
        told = f"the plug-in {plugin}, which did not load (blocked: not named by SEGZOO_PLUGINS)"
        assert found is not None
        assert found.sentence().endswith(told)
    zoo.refresh()
