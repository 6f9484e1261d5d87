"""Vision transformers of timm as encoders: sizes, patches, taps, pyramids, and what is refused."""

from __future__ import annotations

import pickle

import pytest
import timm
import torch
from timm.models._features import FeatureGetterNet
from timm.models.beit import Beit

import segzoo
from segzoo import zoo
from segzoo.encoders.vit import ViTEncoder, _FreeBeit, power_of_two
from segzoo.errors import OptionError
from segzoo.testing import check_encoder, check_export

#: timm's smallest: with a class token; with a register token, and other norms and scales.
SMALL = ("test_vit", "test_vit2", "test_vit3", "test_vit4")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("features", ["pyramid", "layers"])
def test_small_transformers_keep_the_contract_of_encoders(name, features):
    check_encoder(name)
    check_encoder(name, features=features, layers=1, norm=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        "deit_tiny_distilled_patch16_224",
        "eva02_tiny_patch14_224",
        "xcit_nano_12_p8_224",
        "vit_tiny_r_s16_p8_224",
        "vit_wee_patch16_reg1_gap_256",
    ],
)
@pytest.mark.parametrize("features", ["pyramid", "layers"])
def test_every_family_segments_one_pixel_odd_sizes_and_any_bands_in_training_too(name, features):
    decoder = "unet" if features == "pyramid" else "linear"
    model = segzoo.create(f"{decoder}/{name}", num_classes=2, in_channels=5, encoder={"features": features})
    for training in (True, False):
        for height, width in ((1, 1), (33, 47)):
            with torch.no_grad():
                logits = model.train(training)(torch.rand(1, 5, height, width))
            assert logits.shape == (1, 2, height, width)
            assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "deit3_small_patch16_224",
        "beit_base_patch16_224",
        "beitv2_base_patch16_224",
        "eva02_base_patch14_224",
        "vit_small_patch14_dinov2",
        "vit_small_patch14_reg4_dinov2",
        "vit_small_patch16_dinov3",
        "samvit_base_patch16",
        "vit_base_patch32_clip_224",
        "vit_base_patch16_siglip_224",
        "naflexvit_base_patch16_gap",
        "vit_base_patch16_rope_mixed_224",
    ],
)
def test_large_transformers_take_every_size_on_the_meta_device(name):
    with torch.device("meta"):
        model = segzoo.create(f"unet/{name}", num_classes=2).eval()
        for height, width in ((1, 1), (75, 101)):
            assert model(torch.empty(1, 3, height, width)).shape == (1, 2, height, width)


@pytest.mark.parametrize(("patch", "side"), [(7, 8), (8, 8), (14, 16), (16, 16), (32, 32)])
def test_strides_of_a_pyramid_are_powers_of_two_whatever_the_patch(patch, side):
    assert power_of_two(patch) == side


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pyramid", "layers"),
    [
        ("test_vit", (4, 8, 16, 32), (16,) * 4),
        ("eva02_tiny_patch14_224", (4, 8, 16, 32), (14,) * 4),
        ("vit_base_patch32_224", (8, 16, 32, 64), (32,) * 4),
        ("vit_small_patch8_224", (2, 4, 8, 16), (8,) * 4),
    ],
)
def test_features_lie_at_the_declared_strides(name, pyramid, layers):
    with torch.device("meta"):
        for features, strides in (("pyramid", pyramid), ("layers", layers)):
            encoder = ViTEncoder(backbone=name, features=features)
            assert encoder.strides == strides
            height, width = 2 * encoder.multiple, 3 * encoder.multiple
            sizes = [tuple(one.shape[-2:]) for one in encoder.eval()(torch.empty(1, 3, height, width))]
            assert sizes == [(height // stride, width // stride) for stride in strides]


@pytest.mark.medium
def test_taps_are_the_maps_of_timm_s_own_blocks():
    encoder = ViTEncoder(backbone="test_vit", features="layers", layers=(0, 2)).eval()
    whole = timm.create_model("test_vit", dynamic_img_size=True).eval()
    # The encoder has no blocks after its last tap, no last norm and no head.
    kept = {name: whole.state_dict()[name] for name in encoder.backbone.model.state_dict()}
    encoder.backbone.model.load_state_dict(kept)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        wanted = whole.forward_intermediates(images, indices=[0, 2], intermediates_only=True)
        for found, expected in zip(encoder(images), wanted, strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize(("layers", "kept"), [(None, 6), (1, 6), (2, 6), ((1, 3), 4), ([0], 1)], ids=str)
def test_blocks_after_the_last_tap_are_left_out(layers, kept):
    encoder = ViTEncoder(backbone="test_vit", features="layers", layers=layers)
    assert len(encoder.backbone.model.blocks) == kept


def test_a_pyramid_may_be_made_of_one_block_for_each_level():
    encoder = ViTEncoder(backbone="test_vit", layers=4, width=8)
    assert [tuple(one.shape) for one in encoder(torch.rand(1, 3, 32, 64))] == [
        (1, 8, 32 // stride, 64 // stride) for stride in (4, 8, 16, 32)
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"layers": 99}, "'test_vit' has 6 blocks, not layers=99"),
        (
            {"layers": (3, 1)},
            r"layers must be the number of blocks, .* from 0 to 5 .* got \(3, 1\)",
        ),
        ({"layers": (0, 6)}, "from 0 to 5"),
        ({"layers": ()}, "from 0 to 5"),
        ({"layers": "last"}, "from 0 to 5"),
        ({"layers": True}, "from 0 to 5"),
        ({"layers": 2, "features": "pyramid"}, "a pyramid is made of 1 or 4 layers, not of 2"),
        ({"features": "tokens"}, "features must be pyramid or layers"),
        ({"drop_path": 1}, "drop_path must be"),
        ({"width": 0}, "width must be"),
    ],
    ids=str,
)
def test_options_that_make_no_encoder_are_refused(options, reason):
    with pytest.raises(OptionError, match=reason):
        ViTEncoder(backbone="test_vit", **{"features": "layers", **options})


def test_wishes_for_layers_are_granted_and_dilation_is_not():
    wishes = {"features": "layers", "output_stride": 8}
    assert ViTEncoder.granted(wishes, backbone="test_vit") == {"features": "layers"}


def _beit(**options) -> _FreeBeit:
    shape = {
        "img_size": 64,
        "patch_size": 16,
        "embed_dim": 24,
        "depth": 3,
        "num_heads": 2,
        "init_values": 0.1,
    }
    model = Beit(**shape, use_abs_pos_emb=False, use_rel_pos_bias=True, **options)
    for block in model.blocks:
        torch.nn.init.normal_(block.attn.relative_position_bias_table)
    return _FreeBeit(FeatureGetterNet(model, out_indices=[0, 2]))


def test_beit_computes_what_timm_computes_at_the_size_of_its_training():
    torch.manual_seed(0)
    model = Beit(img_size=(48, 64), patch_size=16, embed_dim=24, depth=3, num_heads=2, use_rel_pos_bias=True)
    for block in model.blocks:
        torch.nn.init.normal_(block.attn.relative_position_bias_table)
    images = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        wanted = model.eval().forward_intermediates(images, indices=[0, 2], intermediates_only=True)
        free = _FreeBeit(FeatureGetterNet(model, out_indices=[0, 2])).eval()
        for found, expected in zip(free(images), wanted, strict=True):
            assert torch.allclose(found, expected, atol=1e-6)


def test_beit_takes_other_sizes_and_its_biases_learn_there():
    free = _beit()
    maps = free(torch.rand(1, 3, 32, 96))
    assert [tuple(one.shape) for one in maps] == [(1, 24, 2, 6)] * 2
    sum(one.square().mean() for one in maps).backward()
    assert all(table.grad is not None and table.grad.any() for table in free.tables)
    again = pickle.loads(pickle.dumps(free.eval()))
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(images)[-1], free(images)[-1])


@pytest.mark.slow
def test_the_pyramid_of_a_transformer_is_exported_for_all_sizes():
    check_export(segzoo.create("unet/test_vit3", num_classes=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "test_vit",
        "test_vit3",
        "beit_base_patch16_224",
        "eva02_tiny_patch14_224",
        "vit_small_patch16_dinov3",
        "vit_base_patch16_rope_mixed_224",
    ],
)
def test_taps_of_every_kind_of_position_codes_are_exported_for_all_sizes(name):
    check_export(segzoo.create(f"linear/{name}", num_classes=2, encoder={"layers": [0]}))


@pytest.mark.medium
@pytest.mark.parametrize(
    "name", ["samvit_base_patch16", "xcit_nano_12_p16_224", "naflexvit_base_patch16_gap"]
)
def test_transformers_that_are_exported_for_one_size_only_say_so(name):
    assert "one size" in zoo.find_encoder(name).spec.limits["export"]


@pytest.mark.slow
def test_a_transformer_is_found_by_its_name_alone():
    entry = zoo.find_encoder("vit_tiny_patch16_224")
    assert entry.full_name == "timm:vit_tiny_patch16_224"
    assert entry.spec.strides == (4, 8, 16, 32)
