"""Training on any number of bands and any type of values: what is measured, and what each image must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import segzoo
from segzoo.datasets.cached import Cached
from segzoo.errors import ImageError, OptionError
from segzoo.interfaces import GeoReference, ImageInfo, Sample
from segzoo.labels import counted
from segzoo.specs import Labels, Preprocessing, parse_intensity
from segzoo.training import Recipe
from segzoo.training.data.class_weights import class_pixels
from segzoo.training.data.loader import Augmented, make_loader
from segzoo.training.data.measuring import measure_data
from segzoo.training.network import make_network
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.recipe.writing import settings, to_toml

ANY = Preprocessing(channels="any")
CROP = {"crop": {"size": 16, "scale": 1}}


def info(*bands, alpha=None, nodata=None):
    return ImageInfo(height=20, width=30, dtype="uint16", bands=bands, alpha=alpha, nodata=nodata)


class Images:
    """Samples of given images, all of class 1."""

    labels = Labels(classes=("background", "foreground"))

    def __init__(self, *images, infos=None):
        self.images, self.infos = images, infos or [None] * len(images)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        mask = np.ones(image.shape[:2], np.uint8)
        return Sample(image=image, mask=mask, name=f"image {index}", info=self.infos[index])


def deep(bands, high=1000, count=3, dtype=np.uint16):
    random = np.random.default_rng(0)
    return [random.integers(0, high, (20, 30, bands)).astype(dtype) for _ in range(count)]


def batch_of(dataset, preprocessing, channels, augment=CROP, **options):
    loader, _ = make_loader(dataset, augment, preprocessing, batch_size=1, in_channels=channels, **options)
    return next(iter(loader))[:3]


@pytest.mark.parametrize("bands", [1, 2, 4, 5, 7])
def test_a_batch_has_all_bands_between_0_and_1(bands):
    images, *_ = batch_of(Images(*deep(bands, 1024)), ANY, bands)
    assert images.shape == (1, bands, 16, 16)
    assert 0.8 < images.max() <= 1
    assert images.min() >= 0


def test_a_batch_of_floats_is_not_rounded_to_bytes():
    image = np.linspace(0, 1, 16 * 16, dtype=np.float32).reshape(16, 16, 1)
    ranged = Preprocessing(channels="grey", intensity=parse_intensity("range:0,1"))
    images, *_ = batch_of(Images(image), ranged, 1)
    assert np.array_equal(images.numpy()[0, 0], image[..., 0])


def test_bands_are_chosen_for_training_as_for_predicting():
    image = np.arange(4, dtype=np.uint8) * np.ones((16, 16, 1), np.uint8)
    images, *_ = batch_of(Images(image), Preprocessing(bands=("4", "3", "2")), 3)
    assert (images[0, :, 0, 0] * 255).round().tolist() == [3, 2, 1]


def test_an_intensity_over_the_data_is_measured_once_for_all_images():
    images = [image * 4**power for power, image in enumerate(deep(2, 100))]
    preprocessing = Preprocessing(channels="any", intensity=parse_intensity("percentiles:0,100:data"))
    found = measure_data(Images(*images), preprocessing, 2)
    assert found.preprocessing.intensity.measured == ((0.0, float(max(map(np.max, images)))),)
    assert [one.maximum for one in found.statistics] == pytest.approx([1, 1], abs=0.05)
    assert found == measure_data(Images(*images), preprocessing, 2)
    # As it is measured, another image is scaled alike.
    first, *_ = batch_of(Images(images[0]), found.preprocessing, 2)
    assert first.max() < 0.07


def test_what_was_trained_on_is_told_with_counts():
    images = [*deep(4, 1000), *deep(4, 4000, 2)]
    rgba = info("red", "green", "blue", "alpha", alpha=3)
    found = measure_data(Images(*images, infos=[rgba] * 5), Preprocessing(), 3)
    assert found.told == (
        "3 images: values of 0 to 1023 become 0 to 255",
        "2 images: values of 0 to 4095 become 0 to 255",
        "the alpha channel of 5 images was ignored: the network takes 3 bands",
    )
    assert len(found.statistics) == 3
    bytes_ = measure_data(Images(*deep(3, 256, 1, np.uint8)), Preprocessing(), 3)
    assert bytes_.told == ()
    assert bytes_.statistics[0].mean == pytest.approx(0.5, abs=0.03)


def test_images_of_other_bands_than_the_first_are_told_with_both_names():
    mixed = Images(*deep(4, count=1), *deep(5, count=1))
    with pytest.raises(ImageError, match=r"image 1: the image has 5 bands.*; image 0 has 4 \(band 1"):
        measure_data(mixed, ANY, 4)
    swapped = [info("red", "nir"), info("nir", "red")]
    pair = Images(*deep(2, count=2), infos=swapped)
    with pytest.raises(ImageError, match=r"image 1: its bands would be nir, red; image 0 has 2 \(red, nir\)"):
        measure_data(pair, ANY, 2)
    named = Preprocessing(channels="any", bands=("nir", "red"))
    assert len(measure_data(pair, named, 2).statistics) == 2
    unnamed = Images(*deep(2, count=2), infos=[info("red", "nir"), None])
    assert len(measure_data(unnamed, ANY, 2).statistics) == 2


def test_pixels_without_a_measurement_count_for_nothing():
    image = deep(2, count=1, dtype=np.float32)[0] / 1000
    image[:5, :, 1] = np.nan
    gone = Images(image)
    found = measure_data(gone, ANY, 2)
    assert found.missing == 1
    assert found.told[-1] == "1 image with pixels without a measurement, which are ignored"
    with pytest.raises(OptionError, match=r"image 0 has pixels without a measurement.*ignore_index"):
        counted(gone[0], gone.labels)
    assert class_pixels(gone) == [0, 15 * 30]
    labels = Labels(classes=("background", "foreground"), ignore_index=255)
    images, masks, *_ = batch_of(gone, ANY, 2, {"resize": {"size": [20, 30]}}, labels=labels)
    assert torch.isfinite(images).all()
    assert (masks[0, :5] == 255).all()
    assert (masks[0, 5:] == 1).all()
    declared = Images(*deep(2, count=1), infos=[info("red", "nir", nodata=7)])
    declared.images[0][3, 4] = 7
    assert measure_data(declared, ANY, 2).missing == 1


def test_an_image_without_any_measurement_is_black_and_counts_for_nothing():
    gone = Images(np.full((20, 30, 2), np.nan, np.float32), *deep(2, 1, 1, np.float32))
    labels = Labels(classes=("background", "foreground"), ignore_index=255)
    for text in ("uint8", "percentiles:1,99:band", "standard", "percentiles:1,99:data"):
        preprocessing = Preprocessing(channels="any", intensity=parse_intensity(text))
        found = measure_data(gone, preprocessing, 2)
        assert found.missing == 1
        augmented = Augmented(gone, CROP, found.preprocessing, in_channels=2, labels=labels)
        images, masks, *_ = augmented[0, 0]
        assert (images == 0).all()
        assert (masks == 255).all()


def test_colours_alone_are_augmented_and_that_is_told():
    steps = {"brightness": {"limit": [0.2, 0.2]}, **CROP}
    image = np.full((16, 16, 4), 100, np.uint8)

    def loader(*bands):
        images = Images(image, infos=[info(*bands)])
        return make_loader(images, steps, ANY, batch_size=1, in_channels=4)[0]

    colours = loader("nir", "blue", "green", "red")
    images = next(iter(colours)).images
    assert (images[0, :, 0, 0] * 255).round().tolist() == [100, 151, 151, 151]
    assert (
        colours.dataset.told_colours() == "augmentation changes the colours of red, green, blue, not of nir"
    )
    others = loader("a", "b", "c", "d")
    assert (next(iter(others)).images * 255).round().unique().tolist() == [100]
    assert others.dataset.told_colours().startswith("augmentation changes no colours")


@pytest.mark.parametrize("words", [["data.bands=[4,3,2]"], ["data.bands=4,3,2"], ["bands=4, 3, 2"]])
def test_bands_and_intensity_are_keys_of_a_recipe(tmp_path, words):
    recipe = read_recipe(None, [*words, "data.intensity=window:40,400"], data="photos")
    assert recipe.bands == ("4", "3", "2")
    assert recipe.intensity == "window:40,400"
    assert read_recipe(None, settings(recipe), data="photos") == recipe
    (tmp_path / "a.toml").write_text(to_toml(recipe))
    assert read_recipe(tmp_path / "a.toml") == recipe
    for wrong, told in (
        ("data.bands=0", "data.bands: bands are counted from 1"),
        ("data.bands=[true]", "data.bands: bands are numbers from 1 or names"),
        ("data.intensity=range:5,5", "data.intensity: "),
    ):
        with pytest.raises(OptionError, match=told):
            read_recipe(None, [wrong], data="photos")


def test_a_network_takes_as_many_bands_as_are_chosen():
    options = {"width": 4, "depth": 2}
    recipe = Recipe(data="x", model_options=options, bands=("nir", "2"), intensity="percentiles:1,99")
    network = make_network(recipe, Images(*deep(3), infos=[info("red", "green", "NIR")] * 3))
    config = network.segzoo_config
    assert config.architecture.in_channels == 2
    assert config.preprocessing.bands == ("nir", "2")
    assert config.preprocessing.intensity == parse_intensity("percentiles:1,99")
    with pytest.raises(OptionError, match=r"image 'image 0': no band is called 'nir'"):
        make_network(recipe, Images(*deep(3)))
    fixed = Recipe(data="x", model_options={**options, "in_channels": 4}, bands=("1", "2"))
    with pytest.raises(OptionError, match=r"2 bands are chosen \(1,2\), but the network takes 4"):
        make_network(fixed, Images(*deep(3)))


def test_statistics_are_stored_with_the_weights_and_read_again(tmp_path):
    found = measure_data(Images(*deep(3)), Preprocessing(), 3)
    model = segzoo.create("unet", num_classes=1, width=2, depth=2)
    model.segzoo_config = replace(
        model.segzoo_config, statistics=found.statistics, preprocessing=found.preprocessing
    )
    again = segzoo.load(segzoo.save(model, tmp_path / "w")).segzoo_config
    assert again.statistics == found.statistics
    other = segzoo.create("unet", num_classes=1, in_channels=4, width=2).segzoo_config
    with pytest.raises(OptionError, match="statistics describe 3 bands"):
        replace(other, statistics=found.statistics)


def test_values_without_a_scale_are_told_with_the_file():
    images = Images(deep(1)[0].astype(np.int16) - np.int16(1000))
    images.files = lambda index: [f"scans/{index}.tif"]
    with pytest.raises(ImageError, match=r"^scans/0\.tif: .*negative"):
        measure_data(images, Preprocessing(channels="grey"), 1)


def test_of_many_ways_to_scale_one_is_told_as_an_example():
    images = [image + np.uint16(1000 * number) for number, image in enumerate(deep(1, 100, 5))]
    preprocessing = Preprocessing(channels="grey", intensity=parse_intensity("percentiles:0,100"))
    (told,) = measure_data(Images(*images), preprocessing, 1).told
    assert told.startswith("image 0: values of 0 to 99 become 0 to 1; 4 other images similarly")


def test_a_sample_kept_on_disk_keeps_its_type_its_bands_and_what_its_file_says(tmp_path):
    told = ImageInfo(
        height=20,
        width=30,
        dtype="uint16",
        bands=("red", "nir"),
        nodata=float("nan"),
        pixel_size=(0.5, 0.5),
        unit="m",
        geo=GeoReference(transform=(1, 0, 2, 0, -1, 3), crs="EPSG:32616"),
        extra={"affine": ((1.0, 0.0), (0.0, 1.0))},
    )
    images = Images(*deep(2, count=1), infos=[told])
    for _ in range(2):  # written, then read
        sample = Cached(images, tmp_path)[0]
        assert sample.image.dtype == np.uint16
        assert np.array_equal(sample.image, images.images[0])
        assert np.isnan(sample.info.nodata)
        assert replace(sample.info, nodata=None) == replace(told, nodata=None)
