"""Networks of transformers keep what models promise: every size, any bands, copies, a batch of one."""

from __future__ import annotations

import pytest
import torch

import segzoo
from segzoo.errors import OptionError
from segzoo.testing import check_model
from segzoo.testing.models import check_round_trips
from segzoo.training.optim.freezing import Freezing, encoder_of
from segzoo_transformers.configs import cleaned, described

SWIN = {
    "model_type": "swin",
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
CONVNEXT = {
    "model_type": "convnext",
    "hidden_sizes": [4, 8, 12, 16],
    "depths": [1, 1, 1, 1],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
DINO = {
    "model_type": "dinov2",
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 56,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
    "reshape_hidden_states": True,
}
QUERIES = {
    "decoder_layers": 2,
    "encoder_layers": 1,
    "num_queries": 5,
    "hidden_dim": 32,
    "num_attention_heads": 2,
}
MASK2FORMER = {
    "model_type": "mask2former",
    "backbone_config": SWIN,
    "feature_size": 32,
    "mask_feature_size": 32,
    "encoder_feedforward_dim": 32,
    "dim_feedforward": 32,
    **QUERIES,
}
MASKFORMER = {
    "model_type": "maskformer",
    "backbone_config": SWIN,
    "fpn_feature_size": 32,
    "mask_feature_size": 32,
    "decoder_config": {
        "model_type": "detr",
        "d_model": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
        "num_queries": 5,
    },
}
ONEFORMER = {
    "model_type": "oneformer",
    "backbone_config": SWIN,
    "conv_dim": 32,
    "mask_dim": 32,
    "hidden_dim": 32,
    "encoder_feedforward_dim": 32,
    "dim_feedforward": 32,
    "encoder_layers": 1,
    "decoder_layers": 3,
    "num_queries": 5,
    "num_attention_heads": 2,
    "common_stride": 4,
}
VIT = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 24}
CONFIGS = {
    "segformer": {
        "model_type": "segformer",
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [4, 8, 12, 16],
        "num_attention_heads": [1, 1, 2, 2],
        "decoder_hidden_size": 8,
    },
    "upernet-convnext": {"model_type": "upernet", "backbone_config": CONVNEXT, "hidden_size": 8},
    "upernet-swin": {"model_type": "upernet", "backbone_config": SWIN, "hidden_size": 8},
    "upernet-dinov2": {"model_type": "upernet", "backbone_config": DINO, "hidden_size": 8},
    "beit": {
        "model_type": "beit",
        "image_size": 64,
        "use_relative_position_bias": True,
        "out_indices": [1, 2, 3, 4],
        **VIT,
    },
    "data2vec": {"model_type": "data2vec-vision", "image_size": 64, "out_indices": [1, 2, 3, 4], **VIT},
    "upernet-swin-places": {
        "model_type": "upernet",
        "backbone_config": {**SWIN, "use_absolute_embeddings": True, "image_size": 64},
        "hidden_size": 8,
    },
    "dpt": {
        "model_type": "dpt",
        "image_size": 64,
        "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [4, 8, 8, 8],
        "fusion_hidden_size": 8,
        **VIT,
    },
    "mobilevit": {"model_type": "mobilevit", "hidden_sizes": [8, 12, 16], "neck_hidden_sizes": [4] * 7},
    "mobilenet_v2": {"model_type": "mobilenet_v2", "depth_multiplier": 0.25},
    "eomt": {
        "model_type": "eomt",
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_blocks": 1,
        "num_queries": 5,
        "num_upscale_blocks": 1,
    },
    "mask2former": MASK2FORMER,
    "maskformer": MASKFORMER,
    "oneformer": ONEFORMER,
}


def made(name, **options):
    torch.manual_seed(0)
    return segzoo.create("transformers", config=CONFIGS[name], num_classes=3, **options).eval()


@pytest.mark.slow
def test_a_network_keeps_what_models_promise():
    check_model("transformers", config=CONFIGS["segformer"], sizes=[(1, 1), (33, 47)])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "upernet-convnext")) for name in CONFIGS]
)
def test_every_kind_takes_images_of_every_size_and_any_bands(name):
    bands = 1 + list(CONFIGS).index(name) % 5
    model = made(name, in_channels=bands)
    for size in ((1, 1), (1, 19), (33, 47), (70, 130)):
        for training in (True, False):
            with torch.no_grad():
                logits = model.train(training)(torch.rand(1, bands, *size))
            assert logits.shape == (1, 3, *size)
            assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_survives_pickling_and_a_folder(name):
    check_round_trips(made(name), torch.rand(2, 3, 64, 80))


def test_a_model_type_alone_stands_for_the_settings_of_the_library():
    with torch.device("meta"):
        model = segzoo.create("transformers", config="segformer", num_classes=19)
    assert sum(one.numel() for one in model.parameters()) == 3_719_027  # SegFormer-B0


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("segfomer", "no model_type 'segfomer'; did you mean 'segformer'"),
        ("bert", "makes no semantic segmentation of model_type 'bert'"),
        ("detr", "makes no semantic segmentation of model_type 'detr'"),
        ({}, "no model_type None"),
        ([], "config is a model type or a mapping"),
        ({"model_type": "segformer", "depth": [1, 1, 1, 1]}, "no setting 'depth'; did you mean 'depths'"),
        ({"model_type": "segformer", "auto_map": {"AutoModel": "a.B"}}, "names code of its own"),
        ({"model_type": "upernet", "backbone_config": {"model_type": "swing"}}, "no model_type 'swing'"),
        (
            {"model_type": "upernet", "backbone_config": {"model_type": "swin", "auto_map": {"A": "b.C"}}},
            "backbone_config of the config names code of its own",
        ),
        (
            {
                "model_type": "upernet",
                "backbone_config": {"model_type": "timm_backbone", "backbone": "hf_hub:someone/net"},
            },
            "must be the name of a network of timm",
        ),
        ({"model_type": "dpt", "num_hidden_layers": 10**6}, "num_hidden_layers must be at most 1000"),
        ({"model_type": "segformer", "depths": [2, 2, 2, 10**6]}, "depths must be at most 1000"),
        ({"model_type": "segformer", "attn_implementation": "kernels-community/x"}, "no setting 'attn_imp"),
    ],
)
def test_a_config_that_describes_no_network_is_refused(config, told):
    with pytest.raises(OptionError, match=told):
        described(config, num_classes=2, in_channels=3)


def test_a_value_that_the_library_refuses_is_an_error_of_the_option():
    with pytest.raises(OptionError, match="segformer"):
        segzoo.create("transformers", config={"model_type": "segformer", "depths": "many"}, num_classes=2)


def test_a_config_in_a_file_is_read_for_its_network_alone():
    config = {
        "model_type": "segformer",
        "_name_or_path": "someone/somewhere",
        "dtype": "bfloat16",
        "id2label": {"0": "a"},
        "depths": [1, 1, 1, 1],
        "output_hidden_states": True,
        "_attn_implementation": "kernels-community/flash-attn",
        "from_a_later_version": 1,
    }
    assert cleaned(config) == {"model_type": "segformer", "depths": [1, 1, 1, 1]}


def test_a_backbone_of_timm_by_name_is_built_without_fetching():
    config = {"model_type": "upernet", "backbone": "resnet18", "use_timm_backbone": True}
    config["backbone_kwargs"] = {"out_indices": [1, 2, 3, 4]}
    kept = cleaned({**config, "use_pretrained_backbone": True})
    assert kept["backbone_config"]["backbone"] == "resnet18"
    assert described(kept, num_classes=2, in_channels=4).backbone_config.num_channels == 4
    with pytest.raises(OptionError, match="takes its backbone from 'someone/net', another repository"):
        cleaned({"model_type": "upernet", "backbone": "someone/net"})


def test_one_former_is_told_that_its_task_is_semantic():
    model = made("oneformer")
    tokens = model._task(torch.zeros(2, 3, 8, 8))
    assert tokens.shape == (2, 77)
    assert tokens[1, :8].tolist() == [49406, 518, 10549, 533, 29119, 1550, 49407, 0]


def test_windows_of_a_network_of_one_size_are_averaged_where_they_overlap():
    model, images = made("eomt"), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        logits = model(images)
        left, right = model(images[..., :32]), model(images[..., 16:])
    assert torch.allclose(logits[..., :16], left[..., :16], atol=1e-6)
    assert torch.allclose(logits[..., 32:], right[..., 16:], atol=1e-6)
    middle = (left[..., 16:] + right[..., :16]) / 2
    assert torch.allclose(logits[..., 16:32], middle, atol=1e-6)


@pytest.mark.parametrize("name", ["mask2former", "maskformer", "oneformer"])
def test_what_trainings_freeze_of_a_network_of_queries_is_its_encoder(name):
    model = segzoo.create("transformers", num_classes=3, config=CONFIGS[name])
    assert encoder_of(model) is model.network.model.pixel_level_module.encoder
    Freezing(model, 1).begin(1)
    names = {key for key, one in model.named_parameters() if not one.requires_grad}
    assert names
    assert all(key.startswith("network.model.pixel_level_module.encoder.") for key in names)


def test_eomt_has_no_part_that_trainings_could_freeze():
    model = segzoo.create("transformers", num_classes=3, config=CONFIGS["eomt"])
    with pytest.raises(OptionError, match="freeze=1"):
        Freezing(model, 1)
