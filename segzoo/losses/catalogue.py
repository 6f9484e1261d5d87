"""The specs of all losses, and presets with the constants of other programs. Imports none of the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.specs import LossSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOM = "segzoo.losses"


def list_losses() -> Iterable[LossSpec]:
    """Return the specs of all losses in this package."""
    return [
        LossSpec(
            name="ce-dice",
            factory=f"{_ROOM}.sums:cross_entropy_dice",
            overlapping=True,
            summary="cross-entropy plus soft Dice; binary if the network has one logit or classes overlap",
        ),
        LossSpec(
            name="bce-dice",
            factory=f"{_ROOM}.sums:binary_cross_entropy_dice",
            overlapping=True,
            summary="binary cross-entropy plus soft Dice, every logit separately",
        ),
        LossSpec(
            name="cross-entropy",
            factory=f"{_ROOM}.cross_entropy:CrossEntropy",
            overlapping=True,
            aliases=("ce",),
            summary="cross-entropy, optionally with class weights",
        ),
        LossSpec(
            name="bce",
            factory=f"{_ROOM}.binary_cross_entropy:BinaryCrossEntropy",
            overlapping=True,
            summary="binary cross-entropy, every logit separately",
        ),
        LossSpec(
            name="dice",
            factory=f"{_ROOM}.dice:Dice",
            overlapping=True,
            summary="soft Dice, pooled over the batch or per image",
            paper="arXiv:1606.04797",
        ),
        LossSpec(
            name="focal",
            factory=f"{_ROOM}.focal:Focal",
            overlapping=True,
            summary="focal loss: cross-entropy that gives less weight to easy pixels",
            paper="arXiv:1708.02002",
        ),
        LossSpec(
            name="tversky",
            factory=f"{_ROOM}.tversky:Tversky",
            overlapping=True,
            summary="Dice with separate weights for false positives and false negatives",
            paper="arXiv:1706.05721",
        ),
        LossSpec(
            name="lovasz-hinge",
            factory=f"{_ROOM}.lovasz:LovaszHinge",
            overlapping=True,
            summary="the Lovász extension of IoU with hinge errors, for one logit",
            paper="arXiv:1705.08790",
        ),
        LossSpec(
            name="lovasz-softmax",
            factory=f"{_ROOM}.lovasz:LovaszSoftmax",
            summary="the Lovász extension of IoU with softmax errors",
            paper="arXiv:1705.08790",
        ),
        LossSpec(
            name="ohem",
            factory=f"{_ROOM}.ohem:Ohem",
            overlapping=True,
            summary="online hard example mining: cross-entropy of the hardest pixels",
            paper="arXiv:1604.03540",
        ),
        LossSpec(
            name="boundary",
            factory=f"{_ROOM}.boundary:Boundary",
            overlapping=True,
            summary="errors weighted by their distance to the true boundary; combine it with Dice",
            paper="arXiv:1812.07032",
        ),
        LossSpec(
            name="cldice",
            factory=f"{_ROOM}.cldice:ClDice",
            overlapping=True,
            summary="overlap of skeletons, for vessels, roads and membranes; combine it with Dice",
            paper="arXiv:2003.07311",
        ),
        _preset(
            "sum",
            "a weighted sum of losses: loss.terms lists them with their weights and options",
            {"loss": "cross-entropy"},
            {"loss": "dice"},
        ),
        _preset(
            "dice-cldice",
            "half of Dice + half of clDice, for thin structures",
            {"loss": "dice", "weight": 0.5},
            {"loss": "cldice", "weight": 0.5},
        ),
        _preset(
            "ce-dice-cldice",
            "cross-entropy + half of Dice + half of clDice, for thin structures",
            {"loss": "cross-entropy"},
            {"loss": "dice", "weight": 0.5},
            {"loss": "cldice", "weight": 0.5},
        ),
        _preset(
            "dice-boundary",
            "Dice + a hundredth of the boundary loss",
            {"loss": "dice"},
            {"loss": "boundary", "weight": 0.01},
        ),
        *_presets(),
    ]


def _presets() -> Iterable[LossSpec]:
    cross_entropy = {"loss": "cross-entropy"}
    bubbliiiing = {"loss": "dice", "smoothing": 1e-5, "background": True}
    return [
        _preset(
            "milesial",
            "Pytorch-UNet's: cross-entropy (BCE of one logit) + Dice of all classes together",
            cross_entropy,
            {"loss": "dice", "smoothing": 1e-6, "background": True, "together": True},
        ),
        _preset(
            "bubbliiiing-ce-dice",
            "unet-pytorch's: cross-entropy + Dice of every class with background",
            cross_entropy,
            bubbliiiing,
        ),
        _preset(
            "bubbliiiing-focal-dice",
            "unet-pytorch's: focal (alpha 0.5, gamma 2) + Dice of every class with background",
            {"loss": "focal", "alpha": 0.5, "gamma": 2.0},
            bubbliiiing,
        ),
        _preset(
            "nested-bce-dice",
            "4uiiurz1's UNet++: half of BCE + Dice per image",
            {"loss": "bce", "weight": 0.5},
            {
                "loss": "dice",
                "smoothing": 1e-5,
                "background": True,
                "per_image": True,
                "together": True,
                "independent": True,
            },
        ),
        _preset(
            "nested-lovasz",
            "4uiiurz1's and the Ascend UNet++: Lovász hinge per image",
            {"loss": "lovasz-hinge", "per_image": True},
        ),
        _preset(
            "wzmiaomiao",
            "WZMIAOMIAO's: cross-entropy (weights 1, 2 of two classes) + Dice per image and class",
            {"loss": "cross-entropy", "binary_weights": (1.0, 2.0)},
            {"loss": "dice", "smoothing": 1e-6, "background": True, "per_image": True},
        ),
        _preset("mindspore", "MindSpore's U-Net: cross-entropy", cross_entropy),
    ]


def _preset(name: str, summary: str, *terms: dict[str, Any]) -> LossSpec:
    return LossSpec(
        name=name,
        factory=f"{_ROOM}.sums:sum_of",
        options={"terms": terms},
        summary=summary,
        overlapping=True,
    )
