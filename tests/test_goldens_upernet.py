"""UPerNet of transformers, on ConvNeXt and Swin, becomes networks of segzoo with the library's own logits."""

from __future__ import annotations

import pytest
import torch
from goldens.libraries import LibraryGolden, names

import segzoo
from segzoo.errors import WeightsError
from segzoo.weights.checkpoints import Checkpoint
from segzoo.weights.conversion import convert
from segzoo_decoders.layouts import upernet


def checkpoint(name, **backbone):
    """The folder as a layout is given it; `backbone` replaces keys of the backbone's config."""
    golden = LibraryGolden(name)
    config = dict(golden.about["files"]["config.json"])
    config["backbone_config"] = {**config["backbone_config"], **backbone}
    return Checkpoint(tensors=golden.tensors, extras={"config": config}, file=f"{name}/model.safetensors")


@pytest.mark.parametrize("name", names("transformers_upernet"))
def test_the_logits_are_the_library_s(name, tmp_path):
    golden = LibraryGolden(name)
    model = segzoo.load(
        convert(golden.write(tmp_path), tmp_path / "out", layout="transformers-upernet")
    ).eval()
    with torch.no_grad():
        assert golden.error(model(golden.images)) <= golden.tolerance


def test_only_what_no_logit_needs_is_left_out():
    for name in names("transformers_upernet"):
        left_out = upernet.upernet(checkpoint(name)).transfer.left_out
        assert all(one.startswith(("auxiliary_head.", "backbone.swin.layernorm.")) for one in left_out)


def test_a_folder_that_names_another_class_is_refused():
    one = checkpoint("transformers_upernet_swin")
    one.extras["config"]["architectures"] = ["UperNetForNothing"]
    with pytest.raises(WeightsError, match=r"names UperNetForNothing .* for UperNetForSemantic"):
        upernet.upernet(one)


@pytest.mark.parametrize(
    ("name", "backbone", "told"),
    [
        (
            "transformers_upernet_convnext",
            {"model_type": "dinov2"},
            "convnext and swin",
        ),
        ("transformers_upernet_convnext", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("transformers_upernet_convnext", {"out_features": ["stage9"]}, "known are stage1"),
        ("transformers_upernet_convnext", {"depths": "abc"}, "depths .* must be a list of whole numbers"),
        ("transformers_upernet_swin", {"use_absolute_embeddings": True}, "absolute position"),
        ("transformers_upernet_swin", {"layer_norm_eps": 0.001}, "layer_norm_eps is 0.001"),
    ],
    ids=str,
)
def test_a_backbone_that_is_not_known_is_refused(name, backbone, told):
    with pytest.raises(WeightsError, match=told):
        upernet.upernet(checkpoint(name, **backbone))
