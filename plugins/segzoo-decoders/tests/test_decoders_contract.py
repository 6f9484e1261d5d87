"""What segzoo-decoders brings to segzoo keeps its promises: every check of every part, at every option."""

from __future__ import annotations

import pytest
import torch

import segzoo
from segzoo.testing import check_decoder, check_model, every_check
from segzoo.testing.export import check_export

#: Few channels where the default is not a share of the encoder's.
NARROW = {
    "deeplabv3": {"width": 8},
    "deeplabv3plus": {"width": 8},
    "dpt": {"width": 8},
    "fpn": {"width": 8, "pyramid_width": 8},
    "linear": {"levels": 3},
    "ocr": {"width": 8, "key_width": 4},
    "segformer": {"width": 8},
    "upernet": {"width": 8},
}
#: Of networks that differ in size alone, the smallest shows what all do.
LARGER = tuple(f"model/segformer-b{level}/" for level in range(1, 6))
#: Weights whose network is built: one for each width of head (b0 and b1 share one, b2 to b5 another).
BUILT = ("segformer-b0-ade20k", "segformer-b2-cityscapes", "dpt-large-ade20k")
CHECKS = [
    check
    for check in every_check(
        "segzoo-decoders", arguments={f"decoder/{name}": options for name, options in NARROW.items()}
    )
    if not check.id.startswith(LARGER) and (check.promise != "network" or check.name in BUILT)
]
VARIANTS = [
    ("fcn", {"num_convs": 2, "concat_input": True, "separable": True, "dilation": 2}),
    ("fcn", {"gather": True, "kernel": 1, "align_corners": True}),
    ("fcn", {"auxiliary": True, "width": 5, "dropout": 0}),
    ("pspnet", {"pool_scales": [1, 4], "auxiliary": True, "auxiliary_width": 3}),
    ("deeplabv3", {"width": 4, "separable": True, "project": [1, 3], "auxiliary": True}),
    ("deeplabv3", {"width": 4, "pool_first": True, "project": [3], "rates": [2, 3]}),
    ("deeplabv3plus", {"width": 4, "skip_width": 2, "auxiliary": True}),
    ("deeplabv3plus", {"width": 4, "separable_norm": False, "project": [1, 3], "num_convs": 1}),
    ("deeplabv3plus", {"width": 4, "separable": False, "project": [3], "pool_first": True}),
    ("fpn", {"width": 4, "pyramid_width": 5, "norm": "batch"}),
    ("fpn", {"width": 4, "pyramid_width": 5, "output_convs": False, "align_corners": True}),
    ("ocr", {"width": 4, "key_width": 3, "coarse_width": 5, "coarse_kernel": 1}),
    ("ocr", {"width": 4, "key_width": 3, "gather": True, "align_corners": True}),
    ("upernet", {"width": 4, "align_corners": True, "auxiliary": True, "pool_scales": [2]}),
]


def is_slow(check) -> bool:
    """Whether it exports a network, starts a process or fetches an encoder of full width."""
    quick = check.id.startswith(("decoder/", "plugin/segzoo-decoders/loads"))
    return not (quick or (check.kind in ("weights", "layout", "recipe") and check.promise != "network"))


@pytest.mark.parametrize(
    "check", [pytest.param(c, id=c.id, marks=[pytest.mark.slow] * is_slow(c)) for c in CHECKS]
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


@pytest.mark.medium
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_decoders_keep_their_promises_with_every_option(name, options):
    check_decoder(name, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in ("fcn", "pspnet", "lraspp")), *VARIANTS], ids=str
)
def test_their_networks_keep_theirs_and_can_be_exported_for_all_sizes(name, options):
    halves = {"encoder": {"width": 4, "depth": 4}, "decoder": options}
    check_model(f"{name}/plain", **halves)
    check_export(segzoo.create(f"{name}/plain", num_classes=3, **halves))


def test_object_attention_learns_from_one_image_of_one_class():
    """There is one region then, whose batch norms see a single value."""
    model = segzoo.create(
        "ocr/plain", num_classes=1, encoder={"width": 4, "depth": 3}, decoder=NARROW["ocr"]
    ).train()
    coarse, logits = model.side_logits(torch.rand(1, 3, 1, 1))
    assert coarse.shape == logits.shape == (1, 1, 1, 1)
    (coarse + logits).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
