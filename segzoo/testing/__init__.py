"""The contracts of parts as checks, for the tests of segzoo and of plug-ins alike.

Each check builds the part for real, on the CPU and without pretrained weights, and raises
`segzoo.errors.PluginError` with the promise that it breaks::

    import pytest
    from segzoo.testing import check_decoder, check_model

    def test_my_decoder_keeps_the_contract():
        check_decoder("mine")

    def test_my_model_keeps_the_contract():
        check_model("mine/resnet18")
"""

from __future__ import annotations

from segzoo.testing.datasets import check_dataset
from segzoo.testing.export import check_export
from segzoo.testing.models import check_model, check_round_trips
from segzoo.testing.parts import check_decoder, check_encoder

__all__ = [
    "check_dataset",
    "check_decoder",
    "check_encoder",
    "check_export",
    "check_model",
    "check_round_trips",
]
