"""Configurations of MMSegmentation are read as data, and decide what a checkpoint becomes."""

from __future__ import annotations

import pytest
import timm
import torch

import segzoo
from segzoo.errors import OptionError, WeightsError
from segzoo.weights.layouts import Checkpoint
from segzoo_mmseg.configuration import Code, read_configuration
from segzoo_mmseg.convnext import ConvNeXtEncoder
from segzoo_mmseg.layout import mmsegmentation
from segzoo_mmseg.resnet import ResNetEncoder
from segzoo_mmseg.swin import SwinEncoder

NORM = "norm_cfg=dict(type='SyncBN', requires_grad=True)"


def head(**more):
    extra = "".join(f", {key}={value!r}" for key, value in more.items() if value is not None)
    kind = "" if "type" in more else ", type='FCNHead'"
    return (
        f"dict(in_channels=4, in_index=4, channels=4, num_convs=1, concat_input=False, {NORM}{kind}{extra})"
    )


def backbone(**more):
    extra = "".join(f", {key}={value!r}" for key, value in more.items())
    kind = "" if "type" in more else ", type='UNet'"
    return f"dict(base_channels=4, {NORM}{kind}{extra})"


def text(backbone=None, decode_head=None, before="", after=""):
    made = decode_head or head(num_classes=2)
    inside = f"type='EncoderDecoder', backbone={backbone or globals()['backbone']()}, decode_head={made}"
    return f"{before}\nmodel = dict({inside})\n{after}"


@pytest.fixture(scope="module")
def tensors():
    """The tensors of a narrow U-Net, under MMSegmentation's names."""
    model = segzoo.create(
        "fcn/mmseg-unet",
        num_classes=2,
        encoder={"base_channels": 4, "out_indices": [0]},
        decoder={"width": 4},
    )
    named = {}
    for name, tensor in model.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "encoder":
            named[f"backbone.{rest.replace('upsample.', 'upsample.interp_upsample.1.')}"] = tensor
        elif part == "decoder":
            named[f"decode_head.{rest.replace('.norm.', '.bn.')}"] = tensor
        else:
            named[f"decode_head.conv_seg.{rest}"] = tensor
    return named


@pytest.fixture
def conversion(tensors):
    def convert(cfg=None, *, config=None, more=None, logits=2, **meta):
        made = {**tensors, **(more or {})}
        made |= {
            f"decode_head.conv_seg.{part}": made[f"decode_head.conv_seg.{part}"][:logits]
            for part in ("weight", "bias")
        }
        extras = {"meta": {**({} if cfg is None else {"cfg": cfg}), **meta}}
        return mmsegmentation(Checkpoint(tensors=made, extras=extras, file="model.pth"), config=config)

    return convert


def refused(conversion, *args, **options):
    with pytest.raises(WeightsError) as caught:
        conversion(*args, **options)
    return str(caught.value)


def test_a_configuration_is_assignments_of_data():
    read = read_configuration(
        "norm = dict(type='BN', eps=-1e-3)\n_base_ = ['a.py']\na, b = 1, 2\n"
        "model: dict = dict(backbone=dict(norm_cfg=norm, **norm), sizes=(1, [2, None]), text='x')",
        "model.pth",
    )
    norm = {"type": "BN", "eps": -1e-3}
    assert read["model"] == {"backbone": {"norm_cfg": norm, **norm}, "sizes": [1, [2, None]], "text": "x"}


def test_code_in_a_configuration_is_passed_over_and_never_runs(tmp_path):
    bait = tmp_path / "bait"
    read = read_configuration(
        f"import os\nopen({str(bait)!r}, 'w')\nx = os.system('touch {bait}')\ny = [1, __import__('os')]\n"
        f"def f(): pass\nclass A: pass\nfor i in range(9): z = i\nw = dict([('a', 1)])\nv = 2 ** 99999999\n"
        "u = f'{x}'\nt = lambda: 0\ns = [i for i in range(9)]",
        "model.pth",
    )
    assert not bait.exists()
    assert isinstance(read["x"], Code)
    assert read["y"] == [1, Code("__import__('os')")]
    assert all(isinstance(read[name], Code) for name in "wvuts")
    assert "z" not in read


def test_whoever_needs_a_value_that_is_code_is_told_so(conversion):
    cfg = text(
        before="import os",
        decode_head=head(num_classes=2).replace("channels=4, num", "channels=int('4'), num"),
    )
    assert "model.decode_head.channels is code, int('4'), which is not run" in refused(conversion, cfg)


@pytest.mark.parametrize(
    "bomb",
    [
        "(" * 5000 + ")" * 5000,
        "x = " + "[" * 900 + "]" * 900,
        "x = " + "-" * 20000 + "1",
        "x = 'a' * 10 ** 12",
        "\x00",
        "model = dict(",
        "a = [0] * 9\n"
        + "x0 = [1, 1]\n"
        + "".join(f"x{i + 1} = [x{i}, x{i}, x{i}, x{i}]\n" for i in range(30)),
        "x = 1\n" * 1_000_000,
    ],
    ids=["parentheses", "lists", "signs", "product", "zero byte", "cut", "laughs", "long"],
)
def test_a_bomb_is_refused_or_passed_over(conversion, bomb):
    assert "model.pth" in refused(conversion, bomb)


def test_a_file_of_version_0_names_classes_and_configuration_otherwise(conversion):
    before = "img_norm_cfg = dict(mean=[127.5, 0, 0], std=[51.0, 255.0, 255.0], to_rgb=True)"
    made = conversion(
        config=None,
        more=None,
        CLASSES=("background", "disc"),
        PALETTE=[[0, 0, 0], [9, 8, 7]],
        mmseg_version="0.30.0",
        cfg=text(before=before),
    )
    assert made.labels.classes == ("background", "disc")
    assert made.labels.palette == ((0, 0, 0), (9, 8, 7))
    assert made.labels.background == 0
    assert made.preprocessing.channels == "rgb"
    assert made.preprocessing.mean == (0.5, 0, 0)
    assert made.preprocessing.std == (0.2, 1, 1)


def test_the_text_of_version_0_is_called_config(tensors):
    extras = {"meta": {"config": text(), "CLASSES": ("a", "b")}}
    made = mmsegmentation(Checkpoint(tensors=tensors, extras=extras, file="model.pth"))
    assert made.labels.classes == ("a", "b")


def test_without_a_configuration_one_is_asked_for_and_taken_from_a_file(conversion, tmp_path):
    assert "strides and dilations are not in its tensors; pass config=FILE.py" in refused(conversion)
    file = tmp_path / "unet.py"
    file.write_text(text())
    assert conversion(config=str(file)).architecture.num_classes == 2
    with pytest.raises(OptionError, match="cannot be read"):
        conversion(config=str(tmp_path / "none.py"))
    file.write_text(
        "_base_ = ['../_base_/models/fcn_unet_s5-d16.py']\nmodel = dict(decode_head=dict(num_classes=2))"
    )
    assert "does not say model.type" in refused(conversion, config=str(file))
    file.write_text("_base_ = ['../_base_/models/fcn_unet_s5-d16.py']")
    assert "no model but a base" in refused(conversion, config=str(file))


def test_a_folder_says_which_configuration_it_was_made_with_and_not_where_that_lay(tensors, tmp_path):
    torch.save(tensors, tmp_path / "stripped.pth")
    (tmp_path / "unet.py").write_text(text())
    out = segzoo.convert(tmp_path / "stripped.pth", tmp_path / "out", config=str(tmp_path / "unet.py"))
    config = segzoo.load(out).segzoo_config
    assert config.provenance["layout_options"] == {"config": "unet.py"}
    assert str(tmp_path) not in (out / "config.json").read_text()


@pytest.mark.parametrize(
    ("cfg", "told"),
    [
        (
            text(decode_head=head(num_classes=2, type="PointHead")),
            "the head PointHead: not read; read are FCNHead",
        ),
        (text(backbone=backbone(type="MobileNetV2")), "the backbone MobileNetV2: not read"),
        (
            text(backbone=backbone(type="mmpretrain.VisionTransformer")),
            "the backbone VisionTransformer of MMPretrain: not read",
        ),
        (text(backbone=backbone(type="mmpretrain.ResNet")), "the backbone ResNet of MMPretrain: not read"),
        (
            text(decode_head=head(num_classes=19)),
            "its configuration says 19 classes, decode_head.conv_seg.weight",
        ),
        (text(decode_head=head(num_classes=2, act_cfg={"type": "GELU"})), "decode_head.act_cfg is a GELU"),
        (
            text(decode_head=head(num_classes=2, strange=1)),
            "model.decode_head has strange=1, which is not read",
        ),
        (text(decode_head=head(num_classes="two")), "model.decode_head.num_classes must be a whole number"),
        (text(decode_head=head(num_classes=2).replace("SyncBN", "GN")), "norm_cfg is a GN; read are BN"),
        (text(decode_head=head(num_classes=2).replace(f"{NORM},", "")), "has no norm_cfg"),
        (text(decode_head="None"), "does not say model.decode_head.type"),
        (text(backbone="[1]"), "model.backbone is not a dictionary"),
        (text().replace("EncoderDecoder", "DepthEstimator"), "the network DepthEstimator: not read"),
        (
            "model = dict(neck=dict(type='JPU'), " + text().split("dict(", 1)[1],
            "the neck JPU: not read",
        ),
        (text().replace("in_index=4", "in_index=9"), "in_index is [9], and the UNet gives 5 maps"),
        ("model = 3", "model is not a dictionary"),
    ],
)
def test_what_is_not_read_is_named(conversion, cfg, told):
    assert told in refused(conversion, cfg)


def test_a_head_of_one_logit_has_a_threshold(conversion):
    made = conversion(text(decode_head=head(num_classes=2, out_channels=1)), logits=1)
    assert made.threshold == 0.3
    assert made.architecture.num_classes == 1
    made = conversion(text(decode_head=head(num_classes=2, out_channels=1, threshold=0.4)), logits=1)
    assert made.threshold == 0.4


def test_auxiliary_heads_and_the_twins_of_a_moving_average_are_left_out_and_told(conversion):
    made = conversion(
        text(),
        more={"auxiliary_head.conv_seg.weight": torch.ones(2, 4, 1, 1), "ema_backbone_x": torch.ones(1)},
    )
    assert made.transfer.left_out == ["auxiliary_head.conv_seg.weight", "ema_backbone_x"]
    assert any("auxiliary" in note for note in made.notes)


def test_a_moving_average_is_told(tensors):
    extras = {"meta": {"cfg": text()}}
    file = Checkpoint(tensors=tensors, extras=extras, left_out=("ema_state_dict",), file="model.pth")
    assert any("moving average" in note for note in mmsegmentation(file).notes)


def test_an_ocr_head_needs_the_head_before_it(conversion):
    alone = head(num_classes=2).replace("num_convs=1, concat_input=False", "ocr_channels=4")
    alone = alone.replace("FCNHead", "OCRHead")
    assert "the head OCRHead with no head before it" in refused(conversion, text(decode_head=alone))
    behind = f"[{head(num_classes=2, type='PSPHead')}, {alone}]"
    assert "the head OCRHead behind PSPHead: not read" in refused(conversion, text(decode_head=behind))
    three = f"[{alone}, {alone}, {alone}]"
    assert "a cascade of 3 heads: not read" in refused(conversion, text(decode_head=three))


def test_an_epsilon_of_the_configuration_is_kept(conversion, tensors):
    cfg = text(decode_head=head(num_classes=2).replace("requires_grad=True", "eps=1e-3"))
    name = "convs.0.norm.running_var"
    expected = tensors["decode_head.convs.0.bn.running_var"] + 1e-3 - 1e-5
    assert torch.allclose(conversion(cfg).transfer.tensors[f"decoder.{name}"], expected)


@pytest.mark.parametrize(
    ("pipeline", "told"),
    [
        (
            "test_pipeline = [dict(type='LoadImageFromFile'), "
            "dict(type='Resize', scale=(2048, 512), keep_ratio=True)]",
            ("bounds", 512, 2048, 0, 0),
        ),
        (
            "data = dict(test=dict(pipeline=[dict(type='MultiScaleFlipAug', img_scale=(2048, 512), "
            "flip=False, transforms=[dict(type='Resize', keep_ratio=True), dict(type='RandomFlip')])]))",
            ("bounds", 512, 2048, 0, 0),
        ),
        (
            "test_pipeline = [dict(type='Resize', scale=(640, 480), keep_ratio=False)]",
            ("stretch", 0, 0, 480, 640),
        ),
    ],
    ids=["1.x", "0.x", "without aspect"],
)
def test_the_test_pipeline_says_how_images_are_resized(conversion, pipeline, told):
    resize = conversion(text(after=pipeline)).preprocessing.resize
    assert (resize.mode, resize.short, resize.long, resize.height, resize.width) == told
    assert (resize.interpolation, resize.antialias) == ("bilinear", False)


def test_values_are_bgr_and_of_0_to_255_where_nothing_is_said(conversion):
    made = conversion(text())
    assert made.preprocessing.channels == "bgr"
    assert made.preprocessing.std == (1 / 255,)
    assert any("does not say how values are normalised" in note for note in made.notes)


@pytest.mark.parametrize(
    "about",
    [
        {"classes": ["a"], "palette": [[0, 0, 0]]},
        {"classes": ["a", 3]},
        {"classes": ["a", "b", "c"]},
    ],
)
def test_classes_that_contradict_the_head_are_numbered_and_told(conversion, about):
    made = conversion(text(), dataset_meta=about)
    assert made.labels is None
    assert any("its head has 2" in note for note in made.notes)


def test_a_palette_that_is_none_is_made_up_and_told(conversion):
    made = conversion(text(), dataset_meta={"classes": ["a", "a"], "palette": [[0, 0, 999], [0, 0]]})
    assert made.labels.classes == ("a 0", "a 1")
    assert made.labels.palette == ()
    assert any("segzoo chose the colours" in note for note in made.notes)


def test_reduced_labels_and_windows_are_told(conversion):
    cfg = text().replace(
        "type='EncoderDecoder'",
        "type='EncoderDecoder', test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(42, 42))",
    )
    made = conversion(cfg, dataset_meta={"classes": ["a", "b"], "reduce_zero_label": True})
    assert any("reduce_zero_label" in note for note in made.notes)
    assert any("windows of [64, 64] with stride [42, 42]" in note for note in made.notes)


@pytest.mark.slow
def test_a_resnet_d_computes_what_timms_does():
    theirs = timm.create_model("resnet26d", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    ours = ResNetEncoder(depth=50, avg_down=True).eval()
    # ResNet-26 has two blocks a stage.
    for stage in range(4):
        layer = getattr(ours, f"layer{stage + 1}")
        del layer[2:]
    state = {}
    for name, tensor in theirs.state_dict().items():
        renamed = (
            name.replace("conv1.0.", "stem.0.").replace("conv1.1.", "stem.1.").replace("conv1.3.", "stem.3.")
        )
        renamed = (
            renamed.replace("conv1.4.", "stem.4.").replace("conv1.6.", "stem.6.")
            if name.startswith("conv1")
            else name
        )
        state[renamed.replace("bn1.", "stem.7.") if name.startswith("bn1.") else renamed] = tensor
    ours.load_state_dict(state)
    images = torch.rand(1, 3, 65, 77)
    with torch.no_grad():
        for one, other in zip(ours(images), theirs(images), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_a_convnext_computes_the_normed_maps_of_timms():
    from timm.models.convnext import ConvNeXt

    torch.manual_seed(0)
    theirs = ConvNeXt(depths=(1, 2, 1, 1), dims=(4, 8, 12, 16), ls_init_value=0.5).eval()
    ours = ConvNeXtEncoder(depths=(1, 2, 1, 1), widths=(4, 8, 12, 16)).eval()
    state = ours.state_dict()
    parts = {
        "depthwise_conv": "conv_dw",
        "norm": "norm",
        "pointwise_conv1": "mlp.fc1",
        "pointwise_conv2": "mlp.fc2",
    }
    source = theirs.state_dict()
    for name in state:
        if name.startswith("norms."):
            continue
        _, stage, block, rest = name.split(".", 3)
        if block == "0":
            index = {"conv": 0, "norm": 1} if stage == "0" else {"norm": 0, "conv": 1}
            part, kind = rest.split(".")
            there = (
                f"stem.{index[part]}.{kind}"
                if stage == "0"
                else f"stages.{stage}.downsample.{index[part]}.{kind}"
            )
        else:
            part, _, kind = rest.partition(".")
            there = f"stages.{stage}.blocks.{int(block) - 1}." + (f"{parts[part]}.{kind}" if kind else part)
        state[name] = source[there]
    ours.load_state_dict(state)
    images = torch.rand(1, 3, 64, 70)
    with torch.no_grad():
        x, features = theirs.stem(images), ours(images)
        for stage, feature in zip(theirs.stages, features, strict=True):
            x = stage(x)
            normed = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], eps=1e-6)
            assert torch.allclose(feature, normed.permute(0, 3, 1, 2), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        (ResNetEncoder, {"depth": 51}, "depth must be one of 18, 34, 50"),
        (ResNetEncoder, {"stage_strides": [1, 2, 2], "dilations": [1]}, "dilations needs 3 numbers"),
        (ResNetEncoder, {"multi_grid": [1, 2]}, "multi_grid needs 3 dilations"),
        (ResNetEncoder, {"out_indices": [3, 1]}, "out_indices must be some of 0 to 3"),
        (SwinEncoder, {"num_heads": [5, 6, 12, 24]}, r"num_heads\[0\] must divide 96"),
        (ConvNeXtEncoder, {"widths": [1, 2]}, "widths needs 4 numbers"),
    ],
)
def test_options_of_encoders_say_what_they_take(kind, options, told):
    with pytest.raises(OptionError, match=told):
        kind(**options)
