"""Mix Transformer: sizes, options, and the sizes of the paper's variants."""

from __future__ import annotations

import pytest
import torch

import segzoo
from segzoo.encoders.mit import MixTransformer
from segzoo.errors import OptionError
from segzoo.testing import check_encoder, check_export

NARROW = {"widths": (8, 16, 24, 32), "depths": (1, 2, 1, 1), "heads": (1, 2, 3, 4)}


def test_a_narrow_one_keeps_the_contract_of_encoders():
    check_encoder("mit", **NARROW, drop_path=0.2, expansions=(4, 3, 2, 1))


@pytest.mark.parametrize("side", [32, 33, 63, 64, 65])
def test_overlapping_patches_round_odd_sizes_up(side):
    features = MixTransformer(**NARROW)(torch.rand(1, 3, side, 48))
    assert [feature.shape[-2] for feature in features] == [-(-side // stride) for stride in (4, 8, 16, 32)]


@pytest.mark.parametrize(
    ("name", "millions"),
    # Table 6 of the paper.
    [
        ("mit_b0", 3.4),
        ("mit_b1", 13.1),
        ("mit_b2", 24.2),
        ("mit_b3", 44.0),
        ("mit_b4", 60.8),
        ("mit_b5", 81.4),
    ],
)
def test_variants_have_as_many_parameters_as_the_paper_says(name, millions):
    with torch.device("meta"):
        encoder = segzoo.create(f"unet/{name}", num_classes=2).encoder
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (75, 101)])
@pytest.mark.parametrize("training", [True, False])
def test_one_image_of_any_size_and_of_any_bands_is_segmented(size, training):
    model = segzoo.create("unet/mit", num_classes=2, in_channels=5, encoder=NARROW).train(training)
    assert model(torch.rand(1, 5, *size)).shape == (1, 2, *size)


@pytest.mark.slow
def test_it_is_exported_for_all_sizes():
    check_export(segzoo.create("unet/mit", num_classes=2, encoder=NARROW))


def test_drop_path_skips_layers_in_training_only():
    torch.manual_seed(0)
    encoder = MixTransformer(**NARROW, drop_path=0.9)
    images = torch.rand(16, 3, 64, 64)  # layers are dropped for each image by itself
    with torch.no_grad():
        assert not torch.equal(encoder(images)[-1], encoder(images)[-1])
        assert torch.equal(encoder.eval()(images)[-1], encoder(images)[-1])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"heads": (3, 2, 5, 8)}, "heads=3 do not divide the width 32"),
        ({"depths": (2, 2)}, "depths has 2 numbers for 4 widths"),
        ({"drop_path": 1.0}, "drop_path must be"),
        ({"eps": "small"}, "eps must be"),
        ({"reductions": (8, 4, 2, 0)}, r"reductions\[3\] must be an integer of at least 1"),
    ],
)
def test_options_that_make_no_network_are_refused(options, reason):
    with pytest.raises(OptionError, match=reason):
        MixTransformer(**options)
