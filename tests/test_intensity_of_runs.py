"""Runs scale images by one intensity, tell once how, and tell which images are far from the data."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn

import segzoo
from segzoo.cli import run
from segzoo.config import Architecture, ModelConfig, config_of, from_json, to_json
from segzoo.errors import ImageError, OptionError
from segzoo.evaluation.models import score_model
from segzoo.images.intensity import measure_bands
from segzoo.interfaces import ImageInfo, Sample
from segzoo.prediction import Predictor
from segzoo.prediction.preparing import network_input
from segzoo.prediction.tiling import ArrayRows, ArraySink, plan_tiles, segment_large
from segzoo.prediction.tiling.profile import NetworkProfile
from segzoo.specs import BandStatistics, Intensity, Preprocessing, Resize, numbered_labels

RULES = ["uint8", "range:300,2500", "percentiles:1,99.8", "percentiles:1,99:band", "dtype", "standard:band"]
HALF = Resize(mode="scale", scale=0.5)
POINTWISE = NetworkProfile(in_channels=3, num_classes=1, grid=1, radius=0, bytes_per_pixel=64)


class Bright(nn.Module):
    """Says yes where the mean of the bands, as the network gets them, is above a half."""

    def __init__(self, bands: int = 1, **preprocessing: object) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))
        channels = {1: "grey", 3: "rgb"}.get(bands, "any")
        self.segzoo_config = ModelConfig(
            architecture=Architecture(name="bright", num_classes=1, in_channels=bands),
            preprocessing=Preprocessing(**{"channels": channels, **preprocessing}),
            labels=numbered_labels(1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return (images.mean(dim=1, keepdim=True) - 0.5) * self.scale


def eager(model: nn.Module, on_message=lambda _: None, **options: object) -> Predictor:
    return Predictor(model, backend="eager", on_message=on_message, **options)


def scene(dtype=np.uint16, low=400, high=3000, bands=1, seed=0):
    """Discs on noise, bright and dark."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:90, :130]
    disc = (rows - 40) ** 2 + (columns - 60) ** 2 < 25**2
    unit = random.uniform(0, 0.3, (90, 130, bands)) + 0.7 * disc[..., None]
    return (low + unit * (high - low)).astype(dtype), disc


def with_config(model: nn.Module, **parts: object) -> nn.Module:
    model.segzoo_config = replace(config_of(model), **parts)
    return model


@pytest.mark.parametrize("resize", [None, HALF])
def test_bytes_reach_the_network_as_they_always_did(resize):
    image = np.random.default_rng(0).integers(0, 256, (61, 47, 3), np.uint8)
    config = config_of(Bright(3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), resize=resize))
    small = image if resize is None else np.asarray(Image.fromarray(image).resize((23, 30), Image.BICUBIC))
    wanted = (torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255).sub_(
        torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)
    )
    wanted.div_(torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
    assert torch.equal(network_input(image, config)[0], wanted)


def test_a_hot_pixel_changes_no_other_pixel_of_the_mask():
    image, _ = scene(low=0, high=1000)
    hot = image.copy()
    hot[3, 4] = 65_535
    predictor = eager(Bright())
    one, other = predictor(image).mask, predictor(hot).mask
    assert one.any()
    assert np.count_nonzero(one != other) <= 1


@pytest.mark.parametrize("resize", [None, HALF])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiles_and_rows_give_the_mask_of_the_whole(rule, resize, dtype):
    if rule == "dtype" and dtype == np.float32:
        pytest.skip("floats have no full range")
    high = {np.uint8: 250, np.uint16: 3000, np.float32: 1}[dtype]
    image, _ = scene(dtype, low=high / 10, high=high, bands=3)
    predictor = eager(Bright(3, resize=resize), intensity=rule)
    whole = predictor(image).mask
    assert rule in ("dtype", "range:300,2500", "standard:band") or 0.05 < whole.mean() < 0.5
    plan = plan_tiles(POINTWISE, *whole.shape, memory="1GB", resize=resize, tile=32)
    sink = ArraySink(*whole.shape)
    segment_large(predictor.engine, ArrayRows(image), sink, config=predictor.config, plan=plan)
    assert np.count_nonzero(sink.mask != whole) <= 2


@pytest.mark.parametrize("rule", ["percentiles:1,99.8", Intensity(mode="percentiles", low=1, high=99.8)])
def test_an_offset_is_found_by_percentiles(rule):
    image, disc = scene(low=33_000, high=33_800)
    assert eager(Bright(), intensity=rule)(image).mask.astype(bool)[disc].all()
    assert np.array_equal(segzoo.predict(image, model=Bright(), intensity=rule).mask, disc)
    with pytest.warns(UserWarning, match=r"1 of 1 image.*uses 2 % of it.*intensity=.percentiles:1,99\.8"):
        segzoo.predict(image, model=Bright())


def test_signed_values_take_a_window_and_are_refused_by_name_without(tmp_path):
    image, disc = scene(np.float32, low=-1000, high=900)
    path = tmp_path / "ct.tif"
    tifffile.imwrite(path, image[..., 0])
    with pytest.raises(ImageError, match=r"ct\.tif: .*negative.*--intensity range:-99"):
        segzoo.predict(path, model=Bright())
    assert np.array_equal(segzoo.predict(path, model=Bright(), intensity="window:0,1000").mask, disc)


def test_a_rule_that_is_none_is_refused_before_anything_is_loaded():
    with pytest.raises(OptionError, match="did you mean 'percentiles'"):
        eager(Bright(), intensity="percentile:1,99")


def test_one_scale_for_a_run_is_measured_over_its_images_once():
    dark, bright = (scene(low=0, high=high)[0] for high in (1000, 4000))
    predictor = eager(Bright(), intensity="percentiles:0,100:run")
    with pytest.raises(OptionError, match=r"call Predictor\.measure"):
        predictor(dark)
    unfit = np.zeros((5, 5, 2), np.uint16)
    predictor.measure([unfit, dark, bright])
    assert not predictor(dark).mask.any()
    assert predictor(bright).mask.any()
    again = pickle.loads(pickle.dumps(predictor))
    assert again.settings == predictor.settings
    assert np.array_equal(again(dark).mask, predictor(dark).mask)
    with pytest.raises(OptionError, match="there is no image"):
        eager(Bright(), intensity="uint8:run").measure([])
    with pytest.raises(ImageError, match="the image has 2 bands"):
        eager(Bright(), intensity="uint8:run").measure([unfit])
    # One image is a run of its own.
    assert segzoo.predict(dark, model=Bright(), intensity="percentiles:0,100:run").mask.any()


def test_the_default_for_deep_images_is_told_once_a_run():
    told = []
    predictor = eager(Bright(), told.append)
    for high in (1000, 4000):
        predictor(scene(low=0, high=high)[0])
    assert len(told) == 1
    assert "values of 0 to 1023 become 0 to 255" in told[0]
    told.clear()
    predictor = eager(Bright(), told.append, intensity="uint8")
    predictor(scene()[0])
    predictor(scene(np.uint8, 0, 255)[0])
    assert not told


def statistics(low: float, high: float) -> tuple[BandStatistics, ...]:
    middle = (low + high) / 2
    return (BandStatistics(minimum=low, low=low, high=high, maximum=high, mean=middle, std=0.1),)


@pytest.mark.parametrize(
    ("values", "told"),
    [((0.0, 0.1), "uses 18 % of it"), ((0.62, 0.98), "is outside of it"), ((0.05, 0.6), "")],
)
def test_images_unlike_the_training_data_are_told_of(values, told):
    image, _ = scene(np.uint8, *(round(255 * value) for value in values))
    predictor = eager(with_config(Bright(), statistics=statistics(0.05, 0.6)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predictor(image)
    lines = [str(one.message) for one in caught]
    assert len(lines) == bool(told)
    assert all(told in line and "the weights were trained on" in line for line in lines)


def test_images_like_the_training_data_are_not_told_of():
    images = [scene(np.uint8, 0, 200, seed=seed)[0] for seed in range(4)]
    predictor = eager(with_config(Bright(), statistics=measure_bands(images)))
    for image in images:
        predictor.prepare_pixels(image)
    assert predictor.watch.report() == []


@pytest.mark.parametrize("rule", ["percentiles:1,99.8", "standard"])
def test_what_spreads_each_image_over_the_range_is_never_told_of(rule):
    predictor = eager(with_config(Bright(), statistics=statistics(0.4, 0.9)), intensity=rule)
    predictor.prepare_pixels(scene(low=33_000, high=33_800)[0])
    assert predictor.watch.report() == []


@pytest.mark.medium
def test_a_run_tells_how_many_images_are_far_off_and_names_the_worst(tmp_path, capsys):
    model = segzoo.create("unet", num_classes=1, in_channels=1, width=2, depth=2)
    weights = segzoo.save(model, tmp_path / "weights")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        low, high = (0, 1000) if number == 4 else (33_000, 33_100 + 100 * number)
        tifffile.imwrite(photos / f"{number}.tif", scene(low=low, high=high)[0][..., 0])
    assert run(["predict", str(photos), "-m", str(weights), "--out", str(tmp_path / "out")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "far from" in line]
    assert "4 of 5 images" in line
    assert line.index("0.tif") < line.index("1.tif") < line.index("2.tif")
    assert "3.tif" not in line
    assert "and 1 more" in line
    words = ["predict", str(photos), "-m", str(weights), "--out", str(tmp_path / "run")]
    assert run([*words, "--intensity", "percentiles:1,99.8:run"]) == 0
    assert run([*words, "--intensity", "range:5,5"]) == 2
    assert "intensity low must be less than high" in capsys.readouterr().err


class Folder:
    """Samples of deep images that declare values without a measurement."""

    labels = numbered_labels(1)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        image, disc = scene(np.float32, low=33_000, high=33_800, seed=index)
        image[:5] = -9999
        info = ImageInfo(height=90, width=130, dtype="float32", bands=("grey",), nodata=-9999)
        return Sample(image=image, mask=disc.astype(np.uint8), name=f"field {index}", info=info)


def test_an_image_that_cannot_be_scored_is_named():
    with pytest.raises(ImageError, match=r"image 'field 0': .*--intensity"):
        score_model(eager(Bright()), Folder(), metrics=["iou"], resamples=0)
    with pytest.raises(ImageError, match="image 'field 0': no band is called 'nir'"):
        score_model(eager(Bright(), bands="nir"), Folder(), metrics=["iou"], resamples=0)


@pytest.mark.parametrize("rule", ["percentiles:1,99.8", "percentiles:1,99.8:run", "range:33000,33800"])
def test_scores_are_made_with_the_same_intensity_and_nodata_counts_for_nothing(rule):
    told = []
    predictor = eager(Bright(), told.append, intensity=rule)
    found = score_model(predictor, Folder(), metrics=["iou"], resamples=0)
    assert found.classes[1].iou > 0.99
    assert found.about["intensity"] == rule.replace(":run", ":data")
    (line,) = [line for line in told if "without a measurement" in line]
    assert "in 3 images: field 0, field 1, field 2" in line


def test_a_config_keeps_what_was_measured_and_older_ones_have_no_new_keys():
    config = config_of(Bright(3))
    assert "statistics" not in to_json(config)
    assert "intensity" not in to_json(config)["preprocessing"]
    measured = Intensity(mode="percentiles", low=1, high=99, over="data", measured=((3.0, 900.0),))
    rich = replace(
        config,
        preprocessing=replace(config.preprocessing, intensity=measured),
        statistics=statistics(0, 1) * 3,
    )
    data = to_json(rich)
    data["preprocessing"]["intensity"]["measured"] = [[3.0, 900.0]]
    data["statistics"] = list(data["statistics"])
    data["labels"]["classes"] = list(data["labels"]["classes"])
    assert to_json(from_json(_listed(data), "config.json")) == to_json(rich)


def _listed(value: object) -> object:
    """What JSON makes of tuples."""
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value
