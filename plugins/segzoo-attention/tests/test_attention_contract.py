"""What segzoo-attention brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

import segzoo
from segzoo.testing import check_decoder, check_encoder, check_onnx, check_trace, every_check

# The encoder is checked at its default width: its channels are declared only for that width.
NARROW = {"model/attention": {"width": 4}, "model/residual": {"width": 4}}
CHECKS = every_check("segzoo-attention", arguments=NARROW)


def is_slow(check) -> bool:
    """Whether it exports a network, starts a process, or runs an encoder of full width."""
    quick = {"decoder/", "plugin/segzoo-attention/loads", "encoder/residual/features"}
    return not check.id.startswith(tuple(quick))


@pytest.mark.parametrize(
    "check", [pytest.param(c, id=c.id, marks=[pytest.mark.slow] * is_slow(c)) for c in CHECKS]
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


@pytest.mark.parametrize(
    "options",
    [{"gate_finest": True, "upsample": "transpose"}, {"norm": None, "activation": "none"}, {"widths": [5]}],
    ids=str,
)
def test_the_attention_decoder_keeps_its_promises_with_every_option(options):
    check_decoder("attention", **options)


@pytest.mark.parametrize("options", [{"upsample": "transpose", "norm": "group"}, {"norm": None}], ids=str)
def test_the_residual_halves_keep_their_promises_with_every_option(options):
    check_decoder("residual", **options)
    check_encoder("residual", width=4, norm=options["norm"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attention", "residual"])
def test_traces_and_onnx_hold_for_sizes_at_which_maps_come_out_larger_than_their_skips(name):
    model = segzoo.create(name, num_classes=2, encoder={"width": 2, "depth": 3})
    check_trace(model)
    check_onnx(model)
    check_onnx(model, dynamo=False)
