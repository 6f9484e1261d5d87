"""DPT of transformers becomes a network of segzoo with the library's own logits."""

from __future__ import annotations

import pytest
import torch
from goldens.libraries import LibraryGolden

import segzoo
from segzoo.errors import WeightsError
from segzoo.weights.checkpoints import Checkpoint
from segzoo.weights.conversion import convert
from segzoo_decoders.layouts import dpt

NAME = "transformers_dpt"


def test_the_logits_are_the_library_s(tmp_path):
    golden = LibraryGolden(NAME)
    model = segzoo.load(convert(golden.write(tmp_path), tmp_path / "out", layout="transformers-dpt")).eval()
    with torch.no_grad():
        assert golden.error(model(golden.images)) <= golden.tolerance
        assert model(torch.rand(1, 3, 33, 70)).shape == (1, 6, 33, 70)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"is_hybrid": True}, "is_hybrid True"),
        ({"readout_type": "add"}, "'project' or 'ignore' alone"),
        ({"neck_ignore_stages": [0, 1]}, "neck_ignore_stages"),
        ({"backbone_out_indices": "last"}, "must be numbers"),
        (
            {"reassemble_factors": [2, 1, 0.5, 0.25]},
            r"has \[4.0, 2.0, 1.0, 0.5\] alone",
        ),
        ({"image_size": "large"}, "image_size must be a number"),
        ({"architectures": ["DPTForDepthEstimation"]}, "names DPTForDepthEstimation .* for DPTForSemantic"),
        ({"id2label": {"0": "sky"}}, "names 1 classes .* its head has 6"),
    ],
    ids=str,
)
def test_a_config_of_another_network_is_refused(config, told):
    golden = LibraryGolden(NAME)
    extras = {"config": {**golden.about["files"]["config.json"], **config}}
    with pytest.raises(WeightsError, match=told):
        dpt.segmentation(Checkpoint(tensors=golden.tensors, extras=extras, file="made-up"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"use_batch_norm_in_fusion_residual": True}, {"readout_type": "ignore"}], ids=str
)
def test_other_variants_have_the_library_s_logits(changes, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.DPTConfig(**{**LibraryGolden(NAME).about["files"]["config.json"], **changes})
    theirs = transformers.DPTForSemanticSegmentation(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = segzoo.load(convert(tmp_path / "theirs", tmp_path / "out")).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs(images).logits
        assert (ours(images) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
