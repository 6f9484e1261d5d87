"""The decoders that transformers are known by: SegFormer's, DPT's, and a linear probe."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import segzoo
from segzoo.errors import OptionError
from segzoo.prediction.engines import make_engine
from segzoo.testing import check_decoder
from segzoo.testing.export import check_export

#: Options that make narrow networks, on the U-Net's own encoder.
NARROW = {"segformer": {"width": 8}, "dpt": {"width": 8}, "linear": {"levels": 3}}


def network(name, **decoder):
    torch.manual_seed(0)
    encoder = {"width": 4, "depth": 3}
    return segzoo.create(
        f"{name}/plain", num_classes=3, in_channels=4, encoder=encoder, decoder={**NARROW[name], **decoder}
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("segformer", {"level_norm": True, "align_corners": True, "align_logits": False}),
        ("segformer", {"width": 5, "dropout": 0.0}),
        ("dpt", {"width": 8, "widths": [4, 5, 6], "norm": None}),
        ("dpt", {"width": 8, "deep_supervision": True}),
        ("linear", {"levels": 3}),
    ],
    ids=str,
)
def test_a_decoder_keeps_its_promises_with_every_option(name, options):
    check_decoder(name, **options)


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (33, 50)], ids=str)
def test_images_of_any_size_and_number_of_bands_give_logits_of_that_size(name, size):
    model = network(name).eval()
    with torch.no_grad():
        logits = model(torch.rand(1, 4, *size))
    assert logits.shape == (1, 3, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NARROW)
def test_a_batch_of_one_tiny_image_can_be_trained_on(name):
    model = network(name).train()
    model(torch.rand(1, 4, 1, 1)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_a_network_can_be_exported_for_all_sizes(name):
    check_export(network(name), in_channels=4)


@pytest.mark.parametrize("options", [{}, {"level_norm": True}], ids=str)
def test_segformer_is_the_paper_s_convolution_of_joined_features(options):
    decoder = network("segformer", **options).decoder.eval()
    for module in decoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    features = [torch.randn(2, 4 << level, 13 >> level, 18 >> level) for level in range(3)]
    joined = torch.cat(
        [
            F.interpolate(level(x), (13, 18), mode="bilinear", align_corners=False)
            for level, x in zip(decoder.levels, features, strict=True)
        ],
        dim=1,
    )
    weight = torch.cat([fusion.weight for fusion in decoder.fusions], dim=1)
    with torch.no_grad():
        wanted = F.relu(decoder.norm(F.conv2d(joined, weight)))
        torch.testing.assert_close(decoder(features), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"level_norm": True}], ids=str)
def test_the_engine_fuses_segformer_s_linear_layers(options):
    model = network("segformer", **options).eval()
    engine = make_engine(model, device="cpu")
    images = torch.rand(1, 4, 37, 53)
    with torch.no_grad():
        wanted = model(images)
    assert "skips added instead of joined" in engine.description
    assert (engine(images) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_dpt_gives_a_side_map_of_the_last_fusion_but_one():
    model = network("dpt", deep_supervision=True).train()
    side, last = model.side_logits(torch.rand(2, 4, 16, 24))
    assert side.shape == last.shape == (2, 3, 16, 24)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("linear", {"levels": 4}, "levels must be at most 3"),
        ("linear", {"levels": 0}, "at least 1"),
        ("dpt", {"widths": [4, 5]}, "widths must be 3 numbers"),
        ("dpt", {"factors": [3, 0.4, 1]}, "or 1 divided by such"),
        ("dpt", {"factors": [0, 1, 1]}, "whole numbers above 0"),
        ("dpt", {"readout": "cat"}, "ignore or project"),
        ("segformer", {"width": 0}, "at least 1"),
        ("segformer", {"align_corners": "no"}, "True or False"),
        ("segformer", {"dropout": 2}, "dropout"),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused_with_what_it_may_be(name, options, told):
    with pytest.raises(OptionError, match=told):
        network(name, **options)


@pytest.mark.parametrize("name", ["dpt", "linear"])
@pytest.mark.parametrize("size", [(1, 1), (45, 30)], ids=str)
def test_a_plain_transformer_gives_the_maps_of_its_blocks_for_images_of_any_size(name, size):
    small = {"width": 8, "depth": 5, "heads": 2, "hidden": 8, "patch": 8, "grid": [2, 3]}
    decoder = {"width": 8} if name == "dpt" else {"levels": 4}
    model = segzoo.create(f"{name}/plain-vit", num_classes=2, in_channels=2, encoder=small, decoder=decoder)
    assert model.encoder.layers == (0, 1, 2, 4)  # which the decoder asked for
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 2, *size)).shape == (1, 2, *size)
    model.train()(torch.rand(1, 2, *size)).sum().backward()


@pytest.mark.slow
def test_the_class_token_lies_beside_every_pixel():
    encoder = {"width": 8, "depth": 2, "heads": 2, "hidden": 8, "patch": 4, "class_token": "concat"}
    model = segzoo.create(
        "dpt/plain-vit", num_classes=2, encoder={**encoder, "layers": [0, 1]},
        decoder={"width": 4, "readout": "project", "factors": [1, 0.5]},
    )  # fmt: skip
    assert model.encoder.channels == (16, 16)
    one, _ = model.encoder(torch.rand(1, 3, 8, 12))
    assert one[:, 8:].flatten(2).std(-1).max() == 0
    check_export(model)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"heads": 5}, "heads must divide the width 768"),
        ({"layers": 13}, "more than the 12 blocks"),
        ({"layers": [3, 2]}, "increasing numbers from 0 to 11"),
        ({"layers": [12]}, "increasing numbers from 0 to 11"),
        ({"grid": [3]}, "rows and columns"),
        ({"class_token": "add"}, "drop or concat"),
    ],
    ids=str,
)
def test_a_transformer_that_cannot_be_is_refused(options, told):
    with pytest.raises(OptionError, match=told):
        segzoo.create("linear/plain-vit", num_classes=2, encoder=options)
