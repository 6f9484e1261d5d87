"""The convolutional decoders compute what their papers say, and what other libraries' heads do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.segmentation import deeplabv3, fcn, lraspp

import segzoo
from segzoo import zoo
from segzoo.blocks import averages
from segzoo.errors import OptionError
from segzoo.prediction.engines import make_engine
from segzoo_decoders.units import first_level, skip_level

SNAPSHOT = Path(__file__).parent / "state_dicts.json"
#: What is stored of every family: the network on the encoder that comes with it.
VARIANTS = {
    "fcn": {"auxiliary": True},
    "fcn, twice and joined": {"num_convs": 2, "concat_input": True, "width": 512},
    "fcn, gathered": {"gather": True, "kernel": 1},
    "pspnet": {"auxiliary": True},
    "deeplabv3": {"project": [1, 3]},
    "deeplabv3plus": {"auxiliary": True},
    "fpn": {},
    "upernet": {"auxiliary": True},
    "lraspp": {},
    "ocr": {},
    "segformer": {},
    "segformer, normed levels": {"level_norm": True},
    "dpt": {"deep_supervision": True},
    "dpt, without norms": {"norm": None, "width": 64},
    "linear": {},
}


def made(variant: str) -> torch.nn.Module:
    name = variant.partition(",")[0]
    with torch.device("meta"):
        return segzoo.create(name, num_classes=5, decoder=VARIANTS[variant])


def tensors(variant: str) -> dict[str, str]:
    state = made(variant).state_dict()
    return {name: "x".join(map(str, t.shape)) for name, t in state.items() if not name.startswith("encoder.")}


@pytest.mark.medium
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tensors_of_every_variant_keep_their_names_and_shapes(variant):
    """Renaming one breaks people's weights; running this file as a program adds a new variant."""
    assert tensors(variant) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))[variant]


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Give every tensor a value of its own: norms are no identities."""
    torch.manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and tensor.dim() < 2:
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
        elif tensor.dim() >= 2:
            torch.nn.init.normal_(tensor, std=tensor[0].numel() ** -0.5)
        assert name
    return module.eval()


def network(name: str, **decoder) -> torch.nn.Module:
    """Return a network on a narrow encoder; what counts is its decoder and head."""
    encoder = {"width": 6, "depth": 4}
    return segzoo.create(f"{name}/plain", num_classes=5, encoder=encoder, decoder=decoder).eval()


def features(model: torch.nn.Module) -> list[torch.Tensor]:
    encoder = model.encoder
    return [
        torch.rand(2, c, 64 // s, 96 // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)
    ]


@torch.no_grad()
def same_logits(model: torch.nn.Module, head: torch.nn.Module, values: list[torch.Tensor], given) -> float:
    """Return the difference of the logits, relative to the largest, once the model has the values."""
    own = {**model.decoder.state_dict(), **{f"head.{k}": v for k, v in model.head.state_dict().items()}}
    assert [tuple(v.shape) for v in own.values()] == [tuple(v.shape) for v in values]
    for tensor, value in zip(own.values(), values, strict=True):
        tensor.copy_(value)
    maps = features(model)
    expected, found = head(given(maps)), model.head(model.decoder(maps))
    return float((expected - found).abs().max() / expected.abs().max())


def test_fcn_is_torchvisions():
    model = network("fcn")
    head = shaken(fcn.FCNHead(model.encoder.channels[-1], 5))
    assert same_logits(model, head, [*head.state_dict().values()], lambda maps: maps[-1]) < 1e-5


def test_deeplabv3_is_torchvisions():
    model = network("deeplabv3", project=[1, 3], rates=[12, 24, 36])
    head = shaken(deeplabv3.DeepLabHead(model.encoder.channels[-1], 5))
    assert same_logits(model, head, [*head.state_dict().values()], lambda maps: maps[-1]) < 1e-5


def test_the_two_classifiers_of_lraspp_are_one_head_on_both_maps():
    model = network("lraspp", width=16)
    low, high = model.encoder.channels[-2:]
    assert model.decoder.out_channels == low + 16
    head = shaken(lraspp.LRASPPHead(low, high, 5, 16))
    *others, low_weight, low_bias, high_weight, high_bias = head.state_dict().values()
    values = [*others, torch.cat((low_weight, high_weight), dim=1), low_bias + high_bias]
    # Its strides are 1, 2, 4, 8: of those but the last, 4 is the nearest to 8.
    given = {"given": lambda maps: {"low": maps[-2], "high": maps[-1]}}
    assert same_logits(model, head, values, **given) < 1e-5


@pytest.mark.parametrize("separable", [True, False])
def test_deeplabv3plus_is_that_of_segmentation_models_pytorch(separable):
    theirs = pytest.importorskip("segmentation_models_pytorch.decoders.deeplabv3.decoder")
    options = {"separable": separable, "separable_norm": False, "project": [1, 3], "num_convs": 1}
    model = network("deeplabv3plus", width=16, rates=[2, 3, 4], align_corners=True, **options)
    channels = (3, *model.encoder.channels[1:])  # of strides 2, 4 and 8, and theirs begin with the image
    decoder = theirs.DeepLabV3PlusDecoder(channels, 3, 16, (2, 3, 4), 8, separable, 0.5)
    head = shaken(torch.nn.Sequential(decoder, torch.nn.Conv2d(16, 5, 1)))
    assert same_logits(model, head, [*head.state_dict().values()], lambda maps: maps) < 1e-5


def test_fpn_is_that_of_segmentation_models_pytorch():
    theirs = pytest.importorskip("segmentation_models_pytorch.decoders.fpn.decoder")
    options = {"width": 32, "pyramid_width": 16, "output_convs": False, "align_corners": True}
    encoder = {"width": 6, "depth": 6}
    model = segzoo.create("fpn/plain", num_classes=5, encoder=encoder, decoder=options).eval()
    decoder = theirs.FPNDecoder(model.encoder.channels, 5, 16, 32)
    head = shaken(torch.nn.Sequential(decoder, torch.nn.Conv2d(32, 5, 1)))
    state = head.state_dict()
    places = ["0.p2.skip_conv", "0.p3.skip_conv", "0.p4.skip_conv", "0.p5"]
    places += [f"0.seg_blocks.{level}." for level in (3, 2, 1, 0)] + ["1."]
    values = [value for place in places for name, value in state.items() if name.startswith(place)]
    assert same_logits(model, head, values, lambda maps: maps) < 1e-5


@pytest.mark.slow
def test_a_model_has_the_logits_of_torchvisions_whole_network():
    from torchvision.models.segmentation import fcn_resnet50

    theirs = shaken(fcn_resnet50(weights=None, weights_backbone=None, num_classes=5, aux_loss=True))
    ours = segzoo.create(
        "fcn-resnet50", num_classes=5, encoder={"any_size": True}, decoder={"auxiliary": True}
    ).eval()
    assert ours.decoder.side_channels == (256,)
    for mine, its in ((ours.encoder.backbone, theirs.backbone),):
        mine.load_state_dict(its.state_dict())
    head, aux = theirs.classifier, theirs.aux_classifier
    with torch.no_grad():
        state = dict(ours.named_parameters()) | dict(ours.named_buffers())
        pairs = [("decoder.convs.0", head), ("decoder.auxiliary", aux)]
        for place, sequence in pairs:
            state[f"{place}.conv.weight"].copy_(sequence[0].weight)
            for name, value in sequence[1].state_dict().items():
                state[f"{place}.norm.{name}"].copy_(value)
        ours.head.load_state_dict(head[4].state_dict())
        ours.side_heads[0].load_state_dict(aux[4].state_dict())
        images = torch.rand(1, 3, 65, 43)
        expected, found = theirs(images), ours.side_logits(images)
    for one, key in zip(found, ("aux", "out"), strict=True):
        assert (one - expected[key]).abs().max() <= 1e-5 * expected[key].abs().max()


@pytest.mark.slow
def test_averages_are_adaptive_pooling_also_where_sizes_are_symbols():
    class Grids(torch.nn.Module):
        def forward(self, x):
            return [averages(x, scale) for scale in (1, 2, 3, 6)]

    sizes = torch.export.Dim("height", min=2, max=99), torch.export.Dim("width", min=2, max=99)
    program = torch.export.export(
        Grids(), (torch.rand(2, 3, 11, 20),), dynamic_shapes=({2: sizes[0], 3: sizes[1]},), strict=False
    ).module()
    for size in ((11, 20), (5, 7), (2, 13), (64, 3)):
        x = torch.rand(2, 3, *size)
        for given, scale in zip(program(x), (1, 2, 3, 6), strict=True):
            assert torch.allclose(given, F.adaptive_avg_pool2d(x, scale), atol=1e-6)
            assert torch.allclose(averages(x, scale), F.adaptive_avg_pool2d(x, scale), atol=1e-6)


@pytest.mark.parametrize(
    ("strides", "first", "skip"),
    [
        ((2, 4, 8, 16, 32), 1, 1),
        ((2, 4, 8, 8, 8), 1, 1),
        ((4, 8, 16, 32), 0, 0),
        ((1, 2, 4, 8, 16), 2, 2),
        ((4, 4, 8), 0, 0),
        ((8, 16), 0, 0),
        ((1, 2), 0, 0),
        ((1, 2, 4), 0, 1),
        ((16,), 0, 0),
    ],
)
def test_pyramids_begin_and_skips_lie_at_stride_4_or_as_near_as_there_is(strides, first, skip):
    assert first_level(strides) == first
    assert skip_level(strides, 4) == skip if len(strides) > 1 else True


@pytest.mark.medium
@pytest.mark.parametrize(("stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))])
def test_atrous_rates_follow_the_stride_of_the_feature(stride, rates):
    encoder = {"output_stride": stride} if stride < 32 else {"output_stride": 32}
    with torch.device("meta"):
        model = segzoo.create("deeplabv3/resnet18", num_classes=2, encoder=encoder)
    assert tuple(unit.conv.dilation[0] for unit in model.decoder.aspp.atrous) == rates


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("deeplabv3plus", 16),
        ("deeplabv3+", 16),
        ("deeplabv3p", 16),
        ("pspnet", 8),
        ("fpn", 32),
        ("ocrnet", 8),
    ],
)
def test_names_as_the_field_types_them_build_on_a_resnet_dilated_as_in_the_paper(name, stride):
    with torch.device("meta"):
        alone = segzoo.create(name, num_classes=2)
        paired = segzoo.create(f"{name}-resnet18", num_classes=2)
    assert alone.segzoo_config.architecture.name.endswith("/timm:resnet50")
    assert alone.encoder.strides[-1] == paired.encoder.strides[-1] == stride


def test_an_encoder_that_cannot_dilate_keeps_its_strides():
    with torch.device("meta"):
        model = segzoo.create("deeplabv3/plain", num_classes=2, encoder={"width": 4})
    assert model.encoder.strides[-1] == model.decoder.stride == 16
    assert zoo.registry("decoders").get("deeplabv3").encoder_options == {"output_stride": 8}


@pytest.mark.parametrize("name", ["fcn", "pspnet", "deeplabv3", "deeplabv3plus", "upernet"])
def test_the_auxiliary_head_trains_with_the_other_and_predicts_nothing(name):
    model = network(name, auxiliary=True, width=4, auxiliary_width=3)
    images = torch.rand(1, 3, 33, 20)
    auxiliary, logits = model.side_logits(images)
    assert auxiliary.shape == logits.shape == (1, 5, 33, 20)
    assert model.side_weight == 0.4
    assert torch.equal(logits, model(images))
    torch.nn.init.zeros_(model.side_heads[0].weight)
    assert torch.equal(logits, model(images))


#: Narrow decoders of all families.
NARROW = {
    "fcn": {"width": 8, "concat_input": True},
    "pspnet": {"width": 8},
    "deeplabv3": {"width": 8},
    "deeplabv3plus": {"width": 8},
    "fpn": {"width": 8, "pyramid_width": 8, "norm": "batch"},
    "upernet": {"width": 8},
    "lraspp": {"width": 8},
    "ocr": {"width": 8, "key_width": 4},
}


@pytest.mark.parametrize("name", NARROW)
@torch.no_grad()
def test_engines_fold_every_batch_norm_of_a_decoder(name):
    model, images = shaken(network(name, **NARROW[name])), torch.rand(1, 3, 45, 70)
    engine, expected = make_engine(model), model(images)
    assert (engine(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
    norms = [kept for kept, module in engine.network.named_modules() if isinstance(module, _BatchNorm)]
    assert norms == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
@torch.no_grad()
def test_onnx_runtime_computes_the_same(name):
    pytest.importorskip("onnxruntime")
    model, images = shaken(network(name, **NARROW[name])), torch.rand(1, 3, 45, 70)
    said: list[str] = []
    engine, expected = make_engine(model, backend="onnxruntime", on_message=said.append), model(images)
    assert (engine(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert said == []


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("fcn", {"auxiliary_width": 8}, "pass auxiliary=True"),
        ("fcn", {"dropout": 1}, "dropout must be a number from 0 to below 1"),
        ("fcn", {"num_convs": 0}, "num_convs must be an integer of at least 1"),
        ("fcn", {"kernel": 4}, "kernel must be odd"),
        ("fcn", {"gather": "yes"}, "gather must be True or False"),
        ("pspnet", {"pool_scales": []}, "pool_scales must be a list such as"),
        ("pspnet", {"pool_scales": 6}, "pool_scales must be a list such as"),
        ("pspnet", {"pool_scales": [1, 0]}, r"pool_scales\[1\] must be an integer"),
        ("deeplabv3", {"rates": "6,12"}, "rates must be a list such as"),
        ("deeplabv3", {"rates": [6, 2.5]}, r"rates\[1\] must be an integer"),
        ("deeplabv3", {"project": 3}, "project must be a list of kernels"),
        ("deeplabv3plus", {"skip_width": 0}, "skip_width must be an integer"),
        ("fpn", {"norm": "layer"}, "norm must be batch, group, instance or None"),
        ("upernet", {"width": -1}, "width must be an integer"),
        ("ocr", {"num_classes": 7}, "no option 'num_classes'"),
        ("lraspp", {"dropout": 0.1}, "no option 'dropout'"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, told):
    with pytest.raises(OptionError, match=told):
        network(name, **options)


if __name__ == "__main__":
    stored = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    added = {variant: tensors(variant) for variant in VARIANTS if variant not in stored}
    SNAPSHOT.write_text(json.dumps({**stored, **added}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
