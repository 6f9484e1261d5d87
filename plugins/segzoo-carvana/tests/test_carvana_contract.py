"""What segzoo-carvana brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import math
import re

import pytest
import torch

import segzoo
from segzoo.errors import PluginError
from segzoo.testing import check_layout, every_check

# From our names of a block's parts to milesial's.
PARTS = {"first.conv": "0", "first.norm": "1", "second.conv": "3", "second.norm": "4"}


@pytest.mark.parametrize("check", every_check("segzoo-carvana"), ids=str)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


def milesial_name(ours: str) -> str:
    """Return what milesial calls a tensor of a U-Net with transposed convolutions."""
    name = re.sub("(first|second)[.](conv|norm)", lambda part: PARTS[part[0]], ours)
    name = name.replace("encoder.stages.0", "inc.double_conv").replace("head", "outc.conv")
    name = re.sub(r"encoder[.]stages[.](\d)", r"down\1.maxpool_conv.1.double_conv", name)
    name = re.sub(r"decoder[.]steps[.](\d)", lambda step: f"up{int(step[1]) + 1}", name)
    return name.replace("upsample.conv", "up").replace("convs", "conv.double_conv")


@pytest.mark.medium
def test_a_checkpoint_of_milesial_is_recognised_and_converted():
    model = segzoo.create("segzoo:unet", num_classes=2, width=2)
    state = {milesial_name(name): tensor for name, tensor in model.state_dict().items()}
    check_layout("segzoo-carvana:milesial", state=state, scale=1.0)
    with pytest.raises(PluginError, match="NaN or infinity"):
        check_layout("segzoo-carvana:milesial", state={**state, "outc.conv.bias": torch.full((2,), math.nan)})
    del state["outc.conv.weight"]
    with pytest.raises(PluginError, match=r"recognised as nothing; it lacks outc\.conv\.weight"):
        check_layout("segzoo-carvana:milesial", state=state)
