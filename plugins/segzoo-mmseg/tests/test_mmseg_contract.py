"""What segzoo-mmseg brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import segzoo
from segzoo.testing import check_decoder, check_encoder, check_export, check_onnx, every_check

SNAPSHOT = Path(__file__).parent / "state_dicts.json"

#: Options that make an encoder narrow, so that it takes little time.
NARROW = {
    "mmseg-resnet": {"depth": 18, "base_channels": 4, "stem_channels": 8},
    "mmseg-swin": {"embed_dims": 8, "depths": [2, 1, 1, 1], "num_heads": [1, 2, 2, 2], "window_size": 3},
    "mmseg-convnext": {"depths": [1, 1, 1, 1], "widths": [4, 8, 12, 16]},
    "mmseg-hrnet": {"widths": [2, 4, 6, 8], "modules": [1, 1, 1], "blocks": [1, 1, 1], "stem_width": 4},
    "mmseg-unet": {"base_channels": 4},
    "mmseg-fast-scnn": {
        "downsample_channels": [4, 4],
        "higher_channels": 4,
        "global_channels": [4, 4, 4],
        "global_out_channels": 8,
        "out_channels": 8,
    },
}
_HRNET = {"encoder": NARROW["mmseg-hrnet"]}
_OCRNET = {**_HRNET, "decoder": {"width": 8, "key_width": 4}}
ARGUMENTS = {
    f"model/{name}-w{width}": options
    for name, options in (("hrnet", _HRNET), ("ocrnet-hrnet", _OCRNET))
    for width in (18, 48)
}
#: Weights whose network is built: the smallest of each family.
BUILT = (
    *("upernet-convnext-tiny-ade20k", "upernet-swin-tiny-ade20k"),
    *("pspnet-r50-cityscapes", "deeplabv3plus-r50-cityscapes"),
)
#: Encoders keep the other promises when they are narrow (below), and so do networks of the smaller width.
CHECKS = [
    check
    for check in every_check("segzoo-mmseg", arguments=ARGUMENTS)
    if not (check.kind == "encoder" and check.promise != "features")
    and "-w48/" not in check.id
    and (check.promise != "network" or check.name in BUILT)
]
#: Forms that no default has.
FORMS = [
    ("mmseg-resnet", {"depth": 50, "style": "caffe", "avg_down": True, "out_indices": [1, 3]}),
    ("mmseg-resnet", {"deep_stem": False, "stage_strides": [1, 2, 1, 1], "dilations": [1, 1, 2, 4]}),
    ("mmseg-resnet", {"depth": 50, "multi_grid": [1, 2, 4], "contract_dilation": True}),
    ("mmseg-swin", {"patch_norm": False, "qkv_bias": False, "out_indices": [2]}),
    ("mmseg-convnext", {"layer_scale": False, "out_indices": [0, 2]}),
    ("mmseg-hrnet", {"block": "bottleneck"}),
    ("mmseg-unet", {"out_indices": [0]}),
    ("mmseg-unet", {"stage_strides": [1, 2, 1, 2, 1], "downsamples": [True, True, False, True]}),
]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            c,
            id=c.id,
            marks=[pytest.mark.slow]
            * (c.kind in ("encoder", "model") or c.promise in ("network", "listing")),
        )
        for c in CHECKS
    ],
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


@pytest.mark.medium
@pytest.mark.parametrize("name", NARROW)
def test_a_narrow_encoder_keeps_its_promises(name):
    check_encoder(name, **NARROW[name])


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_an_encoder_of_another_form_keeps_its_promises(name, options):
    check_encoder(name, **{**NARROW[name], **options})


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "alias", "channels"),
    [("hrnet-w18", "fcn_hr18", 270), ("hrnet-w48", "hrnet", 720), ("ocrnet-hrnet-w48", "hrnet-ocr", 512)],
)
def test_hrnet_and_its_head_are_those_of_the_papers(name, alias, channels):
    with torch.device("meta"):
        model, same = (segzoo.create(one, num_classes=2) for one in (name, alias))
    assert model.segzoo_config == same.segzoo_config
    assert model.decoder.out_channels == channels
    assert model.decoder.stride == 4


def test_the_separable_head_may_join_what_came_in():
    check_decoder("mmseg-separable-fcn", concat_input=True, num_convs=1)


def network(name):
    """An encoder, narrow, with a decoder that takes what it gives."""
    decoder = {"mmseg-unet": "fcn", "mmseg-fast-scnn": "mmseg-separable-fcn"}.get(name, "segformer")
    more = {"out_indices": [0]} if name == "mmseg-unet" else {}
    return segzoo.create(
        f"{decoder}/{name}", num_classes=3, encoder={**NARROW[name], **more}, decoder={"width": 8}
    )


def tensors(name):
    return {key: "x".join(map(str, t.shape)) for key, t in network(name).encoder.state_dict().items()}


@pytest.mark.parametrize("name", NARROW)
def test_the_tensors_of_every_encoder_keep_their_names_and_shapes(name):
    """Renaming one breaks people's weights; running this file as a program adds a new encoder."""
    assert tensors(name) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_a_network_exports_for_free_sizes_and_takes_any_image(name):
    model = network(name)
    check_export(model)
    model.train()(torch.rand(1, 3, 1, 1)).sum().backward()


@pytest.mark.slow
def test_fast_scnn_runs_with_onnx_runtime_at_other_sizes():
    check_onnx(network("mmseg-fast-scnn"))


if __name__ == "__main__":
    stored = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    added = {name: tensors(name) for name in NARROW if name not in stored}
    SNAPSHOT.write_text(json.dumps({**stored, **added}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
