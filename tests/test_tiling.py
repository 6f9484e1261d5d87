"""Large images in tiles: the plan, and that its masks are those of the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import segzoo
from segzoo.config import config_of
from segzoo.errors import OptionError
from segzoo.prediction.tiling import (
    ArrayRows,
    ArraySink,
    NetworkProfile,
    measure,
    plan_tiles,
    segment_large,
)
from segzoo.prediction.tiling.layout import cut, foresee, weights
from segzoo.prediction.tiling.profile import USUAL_GRID
from segzoo.resources import parse_memory, told_bytes

#: As the U-Net of 31 million weights was measured.
UNET = NetworkProfile(in_channels=3, num_classes=2, grid=16, radius=96, bytes_per_pixel=2389)
#: Logits of tiles may differ from those of the whole image by this share of the largest.
TOLERANCE = 1e-5


class Eager:
    device = torch.device("cpu")

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(self, images: Tensor) -> Tensor:
        self.shapes.add(tuple(images.shape))
        return self._network(images)


def lively(classes: int, **options: object) -> nn.Module:
    """A small U-Net whose masks are neither empty nor full."""
    torch.manual_seed(0)
    options = {"width": 2, "depth": 2, **options}
    model = segzoo.create("unet", num_classes=classes, **options).eval()
    with torch.no_grad():
        model.head.weight.mul_(20)
        logits = model(torch.rand(1, 3, 64, 64))[0]
        model.head.bias.sub_(logits.flatten(1).mean(dim=1))
    return model


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def by_tiles(model: nn.Module, image: np.ndarray, **options: object) -> np.ndarray:
    traits = measure(model)
    plan = plan_tiles(traits, *image.shape[:2], memory="1GB", **options)
    sink = ArraySink(*image.shape[:2])
    segment_large(Eager(model), ArrayRows(image), sink, config=config_of(model), plan=plan)
    return sink.mask


def whole_logits(model: nn.Module, image: np.ndarray) -> Tensor:
    with torch.inference_mode():
        return model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0]


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "0 kB"), (1, "1 kB"), (41_000, "41 kB"), (309_000_001, "310 MB"), (1_231_000_000, "1.24 GB")],
)
def test_a_number_of_bytes_is_told_rounded_up(size, told):
    assert told_bytes(size) == told


def test_memory_is_read_as_people_write_it() -> None:
    assert parse_memory("4GB") == 4 * 10**9
    assert parse_memory(" 1.5 gib ") == 3 * 2**29
    assert parse_memory("512MB") == 512_000_000
    assert parse_memory(4096) == parse_memory("4096") == 4096


@pytest.mark.parametrize("wrong", ["", "four", "4XB", "-1GB", "0", 0, True])
def test_what_is_no_size_of_memory_is_refused(wrong: str | int) -> None:
    with pytest.raises(OptionError, match="memory"):
        parse_memory(wrong)


@pytest.mark.parametrize("smooth", [False, True])
def test_tiles_cover_each_pixel_with_weights_that_add_up_to_one(smooth: bool) -> None:
    for size in (*range(1, 40), 43, 77, 128, 201):
        for tile, overlap in ((16, 0), (16, 8), (32, 8), (32, 24), (48, 40)):
            spans = cut(size, tile, overlap, 8, smooth=smooth)
            total = np.zeros(size)
            for span in spans:
                total[span.start : span.stop] += weights(span)
            assert np.abs(total - 1).max() < 1e-6
            assert all(span.start % 8 == 0 and span.length <= tile for span in spans)
            told = foresee(size, tile, overlap, 8)
            assert (told.count, told.together) == (len(spans), sum(span.length for span in spans))


def test_tiles_that_are_cut_are_cut_where_both_see_as_far_as_they_must() -> None:
    spans = cut(1000, 96, 64, 16, smooth=False)
    assert all(span.core[0] - span.start >= 32 for span in spans[1:])
    assert all(span.stop - span.core[1] >= 32 for span in spans[:-1])


def test_how_far_a_network_sees_is_found() -> None:
    three = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)))
    dilated = nn.Conv2d(3, 1, 3, padding=40, dilation=40)
    found = [measure(network).radius for network in (three, dilated, nn.Conv2d(3, 2, 1))]
    assert found == [USUAL_GRID, 2 * USUAL_GRID, 0]


def test_a_network_that_looks_at_the_whole_image_is_known_and_told_of() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(1, 4))
    traits = measure(network)
    assert traits.radius is None
    plan = plan_tiles(traits, 4000, 4000, memory="200MB")
    assert not plan.exact
    assert "whole image" in str(plan)
    with pytest.raises(OptionError, match="no overlap gives the exact result"):
        plan_tiles(traits, 4000, 4000, memory="200MB", overlap="exact", tile=512)


@pytest.mark.medium
@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 131), (67, 93), (96, 33)])
def test_the_mask_does_not_depend_on_the_tiles_where_the_overlap_is_exact(
    classes: int, size: tuple[int, int]
) -> None:
    model, image = lively(classes), picture(*size)
    logits = whole_logits(model, image)
    best = (logits[0] > 0) if classes == 1 else logits.argmax(dim=0)
    # Where two classes are as good as equal, rounding may decide.
    ordered = logits.abs()[None, 0] if classes == 1 else logits.sort(dim=0).values.diff(dim=0)[-1:]
    sure = (ordered[0] > TOLERANCE * logits.abs().max()).numpy()
    assert sure.mean() > 0.99
    for tile in (24, 48, 64):
        mask = by_tiles(model, image, tile=tile, overlap="exact")
        assert np.array_equal(mask[sure], best.numpy()[sure])


def test_a_network_of_valid_convolutions_is_as_exact() -> None:
    model, image = lively(2, padding="valid", width=4), picture(150, 101)
    whole = whole_logits(model, image).argmax(dim=0).numpy()
    mask = by_tiles(model, image, tile=64, overlap="exact")
    assert 0 < whole.mean() < 1
    assert (mask != whole).mean() < 1e-3


def test_where_the_overlap_is_less_the_mask_is_mixed_and_nearly_the_same() -> None:
    model, image = lively(4), picture(120, 140)
    whole = whole_logits(model, image).argmax(dim=0).numpy()
    mask = by_tiles(model, image, tile=48, overlap=8)
    assert (mask != whole).mean() < 0.02


def test_tiles_in_batches_give_the_same_mask() -> None:
    model, image = lively(2), picture(70, 260)
    single = by_tiles(model, image, tile=48, overlap="exact")
    assert np.array_equal(by_tiles(model, image, tile=48, overlap="exact", batch=3), single)


def test_a_plan_says_what_it_does_and_stays_below_the_budget() -> None:
    for memory in ("300MB", "1GB", "4GB"):
        plan = plan_tiles(UNET, 8000, 8000, memory=memory)
        assert plan.peak <= parse_memory(memory)
    assert plan.exact
    assert f"tiles of {plan.tile[0]}x{plan.tile[1]}, overlap 192" in str(plan)
    assert f"{plan.tile[0]} rows in memory" in str(plan)
    assert "GB of additional memory" in str(plan)


def test_memory_grows_with_the_width_and_never_with_the_height() -> None:
    low, high = (plan_tiles(UNET, height, 8000, memory="1GB", tile=512) for height in (8000, 80000))
    assert high.peak <= low.peak * 1.1


def test_a_budget_that_is_too_small_is_told_the_least_one_and_that_one_is_enough() -> None:
    with pytest.raises(OptionError, match=r"needs at least \d+ MB \(tile \d+x\d+, overlap \d+\)") as caught:
        plan_tiles(UNET, 8000, 8000, memory="10MB")
    least = str(caught.value).split("at least ")[1].split(" (")[0]
    assert plan_tiles(UNET, 8000, 8000, memory=least).peak <= parse_memory(least)


def test_a_budget_too_small_for_a_file_that_is_decoded_whole_says_so() -> None:
    with pytest.raises(OptionError, match="640 MB is for decoding the image"):
        plan_tiles(UNET, 8000, 8000, memory="200MB", resident=640_000_000)


def test_a_tile_no_larger_than_what_the_network_sees_is_told_of() -> None:
    with pytest.raises(OptionError, match="an exact result needs an overlap of 192"):
        plan_tiles(UNET, 1000, 1000, memory="4GB", tile=128, overlap="exact")
    plan = plan_tiles(UNET, 1000, 1000, memory="4GB", tile=128, overlap=64)
    assert "less than the 192" in str(plan)


def test_an_image_without_a_pixel_is_refused() -> None:
    with pytest.raises(OptionError, match="no pixel"):
        plan_tiles(UNET, 0, 10, memory="1GB")


def test_a_plan_for_another_image_is_refused() -> None:
    model = lively(2)
    plan = plan_tiles(measure(model), 10, 10, memory="1GB")
    with pytest.raises(OptionError, match="plan is for 10x10"):
        segment_large(
            Eager(model), ArrayRows(picture(9, 9)), ArraySink(9, 9), config=config_of(model), plan=plan
        )


def test_an_engine_sees_few_shapes() -> None:
    model, image = lively(2), picture(200, 200)
    plan = plan_tiles(measure(model), 200, 200, memory="1GB", tile=64, overlap="exact")
    engine = Eager(model)
    segment_large(engine, ArrayRows(image), ArraySink(200, 200), config=config_of(model), plan=plan)
    assert len(engine.shapes) == 1
