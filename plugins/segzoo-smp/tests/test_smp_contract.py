"""What segzoo-smp brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check

NARROW = {
    f"model/smp-{name}": {"encoder_name": "resnet18"}
    for name in (
        *("deeplabv3", "deeplabv3plus", "fpn", "linknet", "manet", "pan", "pspnet"),
        *("unet-original", "unetplusplus", "upernet"),
    )
}
CHECKS = every_check(
    "segzoo-smp",
    arguments={
        **NARROW,
        "model/smp-segformer": {"encoder_name": "mit_b0"},
        "model/smp-dpt": {
            "encoder_name": "tu-vit_tiny_patch16_224",
            "decoder_intermediate_channels": [16, 24, 32, 32],
            "decoder_fusion_channels": 16,
        },
    },
)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(c, id=c.id, marks=[pytest.mark.slow] * (c.kind in ("model", "plugin", "weights")))
        for c in CHECKS
    ],
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()
