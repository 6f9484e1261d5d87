"""`segzoo.list_models` and relatives answer as timm's users expect, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import segzoo
from segzoo import zoo
from segzoo.errors import OptionError


@pytest.mark.parametrize("kind", [kind for kind in zoo.KINDS if f"list_{kind}" in segzoo.__all__])
def test_every_kind_that_people_ask_for_has_a_function(kind):
    assert getattr(segzoo, f"list_{kind}")() == zoo.registry(kind).names()


def test_patterns_are_parts_of_names_or_shell_patterns():
    # UNet++ is called nested; its alias matches.
    assert segzoo.list_models("unet*") == ["nested", "unet", "unet-resnet50", "unet-vgg"]
    assert segzoo.list_models("vgg") == ["unet-vgg"]
    assert segzoo.list_models(["nest*", "residual"]) == ["nested", "residual"]
    assert segzoo.list_models("unet*", exclude=["*vgg", "resnet"]) == ["nested", "unet"]
    assert segzoo.list_models("no-such-model") == []


def test_pretrained_models_are_the_weights():
    found = segzoo.list_models("unet*", pretrained=True)
    assert "unet-nuclei" in found
    assert found == segzoo.list_weights("unet*")


def test_timms_backbones_are_listed_when_asked_for():
    assert "convnext_tiny" not in segzoo.list_encoders("convnext_tiny*")
    assert "convnext_tiny" in segzoo.list_encoders("convnext_tiny*", timm=True, exclude="*_hnf")
    assert "convnext_tiny_hnf" not in segzoo.list_encoders("convnext_tiny*", timm=True, exclude="*_hnf")


def test_a_pattern_that_is_no_text_is_an_error():
    with pytest.raises(OptionError, match="pattern takes names"):
        segzoo.list_models([3])


@pytest.mark.medium
def test_listing_imports_no_torch():
    code = (
        "import segzoo, sys; segzoo.list_models('unet*', pretrained=True); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
