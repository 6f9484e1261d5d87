"""What segzoo-transformers brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check

SMALL = {
    "model_type": "segformer",
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 16, 24, 32],
    "num_attention_heads": [1, 2, 3, 4],
    "decoder_hidden_size": 16,
}
#: BEiT Large is BEiT Base with more and wider layers.
CHECKS = [
    check
    for check in every_check("segzoo-transformers", arguments={"model/transformers": {"config": SMALL}})
    if check.id != "weights/beit-large-ade20k/network"
]


def is_slow(check) -> bool:
    """Whether it makes a network, converts a file or starts a process."""
    return check.kind in ("model", "plugin") or check.promise in ("network", "factory", "other-files")


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, id=c.id, marks=[pytest.mark.slow] * is_slow(c)) for c in CHECKS],
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()
