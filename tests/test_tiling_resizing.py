"""Networks whose images are resized, in tiles: the rows that they see, and the masks that they give."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import segzoo
from segzoo.config import config_of
from segzoo.errors import OptionError
from segzoo.images import resized
from segzoo.prediction.decision import Decision
from segzoo.prediction.preparing import network_input
from segzoo.prediction.tiling import (
    ArrayProbabilities,
    ArrayRows,
    ArraySink,
    NetworkProfile,
    measure,
    plan_tiles,
    segment_large,
)
from segzoo.prediction.tiling.resizing import ResizedRows
from segzoo.specs import Resize

HALF = Resize(mode="scale", scale=0.5)
BOXED = Resize(mode="letterbox", height=48, width=64, interpolation="bilinear", restore="probabilities")
UNET = NetworkProfile(in_channels=3, num_classes=2, grid=16, radius=96, bytes_per_pixel=2389)


class Eager:
    device = torch.device("cpu")

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(self, images: Tensor) -> Tensor:
        return self._network(images)


def picture(height: int, width: int) -> np.ndarray:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (-(-height // 16), -(-width // 16), 3))
    patches = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    return (patches // 2 + random.integers(0, 128, patches.shape)).astype(np.uint8)


def lively(classes: int, seen: Tensor | None = None) -> nn.Module:
    """A small U-Net whose masks are neither empty nor full."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=classes, width=4, depth=2).eval()
    with torch.no_grad():
        model.head.weight.mul_(50)
        logits = model(torch.rand(1, 3, 64, 64) if seen is None else seen)[0]
        model.head.bias.sub_(logits.flatten(1).median(dim=1).values)
    return model


def config_with(model: nn.Module, resize: Resize):
    config = config_of(model)
    return replace(config, preprocessing=replace(config.preprocessing, resize=resize))


SIZES = [(1, 1), (1, 7), (7, 1), (150, 37)]
SHAPES = [
    *({"mode": "scale", "scale": scale} for scale in (0.5, 0.31, 0.9, 1.0, 1.7)),
    {"mode": "stretch", "height": 19, "width": 31},
    {"mode": "letterbox", "height": 40, "width": 64},
    {"mode": "short", "short": 23},
    {"mode": "short", "short": 23, "long": 60, "multiple": 16},
    {"mode": "bounds", "short": 40, "long": 64},
]


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_rows_of_a_resized_image_are_those_of_the_whole_to_the_last_bit(interpolation, antialias) -> None:
    for size, shape in product(SIZES, SHAPES):
        resize, image = Resize(interpolation=interpolation, antialias=antialias, **shape), picture(*size)
        whole = resized(image, resize)[0]
        rows = ResizedRows(ArrayRows(image), resize)
        assert (rows.height, rows.width) == whole.shape[:2]
        for top in range(0, rows.height, 23):
            bottom = min(top + 23, rows.height)
            assert np.array_equal(rows.read(top, bottom), whole[top:bottom])
        assert np.array_equal(rows.read(0, 1), whole[:1])  # going back is possible


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_rows_of_resized_floats_are_those_of_the_whole(interpolation, antialias) -> None:
    for size, shape in product(SIZES, SHAPES):
        resize = Resize(interpolation=interpolation, antialias=antialias, **shape)
        image = (picture(*size) / np.float32(255)) - np.float32(0.3)
        whole = resized(image, resize)[0]
        rows = ResizedRows(ArrayRows(image), resize)
        assert rows.dtype == whole.dtype == np.float32
        found = np.concatenate(
            [rows.read(top, min(top + 23, rows.height)) for top in range(0, rows.height, 23)]
        )
        assert np.allclose(found, whole, rtol=0, atol=1e-6)
        if antialias and interpolation != "nearest":
            assert np.array_equal(found, whole)


@pytest.mark.parametrize(
    "resize",
    [HALF, BOXED, pytest.param(Resize(mode="scale", scale=1.5), marks=pytest.mark.slow)],
    ids=["half", "boxed", "up"],
)
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_the_mask_of_a_resized_image_does_not_depend_on_the_tiles(classes: int, resize: Resize) -> None:
    image = picture(133, 91)
    config = config_with(lively(classes), resize)
    tensor, place = network_input(image, config)
    model = lively(classes, tensor)
    traits = measure(model)
    with torch.inference_mode():
        logits = model(tensor)[0]
        whole = Decision(config).whole(logits, place, image.shape[:2])[0].numpy()
        keeping = Decision(config, keeps=torch.float32).whole(logits, place, image.shape[:2])
        other, chances = (found.numpy() for found in keeping)
    assert 0.02 < (whole > 0).mean() < 0.98
    for tile in (24, 48, 4096):
        plan = plan_tiles(traits, 133, 91, memory="1GB", resize=resize, tile=tile, overlap="exact")
        sink, kept = ArraySink(133, 91), ArrayProbabilities(classes, 133, 91)
        segment_large(Eager(model), ArrayRows(image), sink, config=config, plan=plan)
        # Logits of tiles differ from those of the whole by rounding: a pixel in a thousand may.
        assert (sink.mask != whole).mean() <= 1e-3
        sink = ArraySink(133, 91)
        segment_large(Eager(model), ArrayRows(image), sink, config=config, plan=plan, probabilities=kept)
        assert np.abs(kept.probabilities - chances).max() < 1e-3  # of which half are those of 16 bits
        assert (sink.mask != other).mean() <= 1e-3


def test_thresholds_by_class_hold_in_tiles_of_a_resized_image() -> None:
    model, image = lively(4), picture(133, 91)
    config = config_with(model, HALF)
    predictor = segzoo.Predictor(model, thresholds={2: 0.2})
    predictor.config = config
    whole = predictor(image).mask
    plan = plan_tiles(
        measure(model), 133, 91, memory="1GB", resize=HALF, probabilities=True, tile=32, overlap="exact"
    )
    sink = ArraySink(133, 91)
    segment_large(Eager(model), ArrayRows(image), sink, config=config, plan=plan, thresholds={2: 0.2})
    assert (sink.mask != whole).mean() <= 1e-3


def test_tiles_of_a_resized_image_are_cut_from_what_the_network_sees() -> None:
    plan = plan_tiles(UNET, 8001, 8000, memory="300MB", resize=HALF)
    assert plan.seen == (4000, 4000)
    assert plan.rows[-1].stop == plan.columns[-1].stop == 4000
    assert "8001x8000, resized to 4000x4000, in" in str(plan)
    assert plan.peak <= 300_000_000
    plan = plan_tiles(UNET, 80000, 8000, memory="300MB", resize=BOXED)
    assert plan.seen == (48, 64)
    assert plan.single


def test_a_plan_for_another_resizing_is_refused() -> None:
    model = lively(2)
    plan = plan_tiles(measure(model), 9, 9, memory="1GB")
    with pytest.raises(OptionError, match="resized differently"):
        segment_large(
            Eager(model),
            ArrayRows(picture(9, 9)),
            ArraySink(9, 9),
            config=config_with(model, HALF),
            plan=plan,
        )
