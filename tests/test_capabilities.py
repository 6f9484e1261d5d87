"""What a model can do is declared by its specs, and holds."""

from __future__ import annotations

import pytest

from segzoo import zoo
from segzoo.cli import facts
from segzoo.errors import PluginError, UsageError
from segzoo.specs import CAPABILITIES, DecoderSpec, ModelSpec
from segzoo.testing import capabilities

QUICK = ("odd-sizes", "one-pixel", "bands", "one-image", "pickle")


def test_a_small_unet_can_do_all_that_is_quick_to_try():
    assert set(capabilities.check_capabilities("unet", only=QUICK, width=4).values()) == {""}


@pytest.mark.slow
def test_a_small_unet_can_do_everything():
    found = capabilities.check_capabilities("unet", backend="aot_eager", width=4, depth=3)
    assert found == dict.fromkeys(CAPABILITIES, "")


def test_a_limit_that_is_missing_or_is_none_is_found(monkeypatch):
    with pytest.raises(PluginError, match="fails at any number of bands"):
        capabilities.check_capabilities("unet", only=("bands",), width=-1)
    monkeypatch.setattr(zoo, "limits_of", lambda found: {"bands": "because"})
    with pytest.raises(PluginError, match="can do any number of bands: take 'bands' out"):
        capabilities.check_capabilities("unet", only=("bands",), width=4)


def test_a_limit_names_a_capability_and_a_reason():
    with pytest.raises(UsageError, match="no capability is named 'eport'; did you mean 'export'"):
        ModelSpec(name="mine", factory="a.b:c", limits={"eport": "it branches on the size"})
    with pytest.raises(UsageError, match="must say why not"):
        DecoderSpec(name="mine", factory="a.b:c", limits={"export": " "})


def test_a_pair_has_the_limits_of_its_parts(monkeypatch):
    found = zoo.find_model("unet-vgg")
    assert zoo.limits_of(found) == {}
    decoder = zoo.find_model("unet/plain").decoder.spec
    monkeypatch.setitem(vars(decoder), "limits", {"onnx": "why"})
    assert zoo.limits_of(zoo.find_model("unet/plain")) == {"onnx": "why"}
    assert zoo.limits_of(found) == {"onnx": "why"}
    told = facts.facts(found)
    assert told["cannot"] == {CAPABILITIES["onnx"]: "why"}
    assert "one pixel" in told["can"]
    assert "onnx" not in told["can"]
