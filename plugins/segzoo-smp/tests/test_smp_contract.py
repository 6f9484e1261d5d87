"""What segzoo-smp brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest
import timm
from segmentation_models_pytorch.encoders import encoders

from segzoo import zoo
from segzoo.testing import every_check

NARROW = {
    f"model/smp-{name}": {"encoder_name": "resnet18"}
    for name in (
        *("deeplabv3", "deeplabv3plus", "fpn", "linknet", "manet", "pan", "pspnet"),
        *("unet-original", "unetplusplus", "upernet"),
    )
}
#: Networks of which every promise is checked. Of the others, sizes, gradients and export are; the rest is
#: up to the module around the library's network, which is the same for all.
WHOLE = ("smp-fpn", "smp-segformer", "smp-dpt")
#: Weights whose network is built: the smallest of each kind of encoder.
BUILT = (
    "segformer-b0-ade20k",
    "segformer-b2-cityscapes",
    "upernet-convnext-tiny",
    "upernet-swin-tiny",
    "dpt-large",
)
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


def is_run(check) -> bool:
    """Whether no other check shows the same."""
    if check.kind == "model":
        return check.name in WHOLE or check.promise in ("sizes", "gradients", "export")
    return check.promise != "network" or check.name.startswith(tuple(f"smp-{name}" for name in BUILT))


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            c, id=c.id, marks=[pytest.mark.slow] * (c.kind in ("model", "plugin") or c.promise == "network")
        )
        for c in CHECKS
        if is_run(c)
    ],
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


@pytest.mark.parametrize("name", [n for n, entry in zoo.weights.items() if entry.owner == "segzoo-smp"])
def test_the_encoder_that_weights_name_is_one_that_the_library_has(name):
    encoder = zoo.weights.get(name).options["encoder_name"]
    assert encoder in encoders if encoder.startswith("mit_") else timm.is_model(encoder.removeprefix("tu-"))
