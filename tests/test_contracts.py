"""segzoo's own parts keep the promises that plug-ins are held to, by the very checks that plug-ins run."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
import zarr
from conftest import PLUGINS
from metric_oracles import ORACLES
from PIL import Image

from segzoo import zoo
from segzoo.errors import MissingExtraError
from segzoo.plugins import resolve
from segzoo.testing import check_decoder, check_encoder, every_check

if TYPE_CHECKING:
    from pathlib import Path


def _pillow(folder: Path) -> Path:
    Image.fromarray(_DEEP[..., 0]).save(folder / "a.png")
    return folder / "a.png"


def _tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", _DEEP.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})
    return folder / "a.tif"


def _numpy(folder: Path) -> Path:
    np.save(folder / "a.npy", _DEEP)
    return folder / "a.npy"


def _torch(folder: Path) -> Path:
    torch.save(torch.from_numpy(_DEEP.astype(np.float32)), folder / "a.pt")
    return folder / "a.pt"


def _zarr(folder: Path) -> Path:
    zarr.create_array(store=str(folder / "a.zarr"), data=_DEEP, dimension_names=("y", "x", "c"))
    return folder / "a.zarr"


_DEEP = np.random.default_rng(0).integers(0, 4096, (24, 20, 5), np.uint16)

#: What writes an example for each reader.
EXAMPLES = (_pillow, _tiff, _numpy, _torch, _zarr)
#: Where segzoo promises more of its own parts than of others', and what makes networks narrow.
ARGUMENTS: dict[str, dict[str, Any]] = {
    **{f"loss/{name}": {"extremes": (1e4, math.inf), "least": 0.0} for name in zoo.losses.names()},
    **{
        f"metric/{name}": {"best": 1.0 if entry.spec.higher_is_better else 0.0, "oracle": ORACLES[name]}
        for name, entry in zoo.metrics.items()
        if entry.owner == "segzoo"
    },
    "model/unet": {"width": 4},
    **{f"reader/{write.__name__[1:]}": {"example": write} for write in EXAMPLES},
    "schedule/multistep": {"milestones": (3, 7)},
    **{f"model/{name}": {"in_channels": (4,)} for name in ("unet-vgg", "unet-resnet50", "smp-unet")},
}
EXPECTED = {
    "metric/nested-iou/nothing-counted": "the program that it repeats counts a batch without pixels as 1",
}
#: Encoders that differ from a smaller one only in depth: only what their specs declare is checked.
LARGER = [name for name in zoo.encoders.names() if re.match(r"vgg1[369]|mit_b[1-5]", name)]
CHECKS = every_check("segzoo", arguments=ARGUMENTS, expected_failures=EXPECTED)


def is_slow(check) -> bool:
    """Whether it builds a network of full size, or exports one."""
    if check.kind == "engine":
        return check.name not in ("torch", "eager")
    quick = {"encoder/plain/features", "weights/vgg16-imagenet/network"}
    large = check.kind == "encoder" or check.id.endswith("-imagenet/network")
    exported = check.kind == "model" and (check.name != "unet" or check.promise == "export")
    logs = check.id.startswith("tracker/wandb/")
    return logs or exported or check.kind == "export" or (large and check.id not in quick)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=check.id, marks=[pytest.mark.slow] * is_slow(check))
        for check in CHECKS
        if not (check.kind == "encoder" and check.name in LARGER)
    ],
)
def test_every_part_of_segzoo_keeps_its_promises(check):
    try:
        check.run()
    except MissingExtraError as error:  # a tracker that nobody needs
        pytest.skip(str(error))


@pytest.mark.parametrize("name", LARGER)
def test_a_larger_encoder_has_the_channels_and_strides_that_its_spec_declares(name):
    spec = zoo.encoders.get(name)
    with torch.device("meta"):
        made = resolve(spec.factory)(**spec.options, in_channels=3)
    assert (made.channels, made.strides) == (spec.channels, spec.strides)


def test_every_kind_of_part_is_checked():
    # The core brings no cluster: the plug-in segzoo-ray does.
    kinds = {zoo.registry(k).kind for k in zoo.KINDS} - {"cluster"}
    assert {check.kind for check in CHECKS} == {"plugin", *kinds}


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_every_plugin_of_ours_runs_all_checks_of_what_it_brings(folder):
    tests = "".join(file.read_text(encoding="utf-8") for file in (folder / "tests").glob("test_*.py"))
    assert re.search(rf'every_check\(\s*"{folder.name}"', tests)


def test_a_narrow_plain_encoder_keeps_its_promises():
    check_encoder("plain", width=8)


@pytest.mark.parametrize(
    "options",
    [
        {"upsample": "transpose", "upsample_relu": True},
        {"middle": "half", "activation": "none"},
        {"norm": None},
        {"norm": "group"},
        {"norm": "instance"},
        {"join": "crop"},
        {"join": "crop", "padding": "valid"},
        {"widths": [5]},
    ],
    ids=str,
)
def test_the_unet_decoder_keeps_its_promises_with_every_option(options):
    check_decoder("unet", **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenetv3_small_050", "regnety_002", "convnext_atto", "pvt_v2_b0", "dla34"]
)
def test_a_timm_backbone_is_an_encoder_by_its_name_alone(name):
    check_encoder(name)
