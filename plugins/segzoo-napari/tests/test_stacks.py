"""Arrays with any axes become images for the network, and results become layers; no napari is needed."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import segzoo
from segzoo.errors import ImageError
from segzoo.specs import Labels
from segzoo_napari.samples import nuclei
from segzoo_napari.stacks import OUTPUTS, Results, Stack

PACKAGE = Path(__file__).parents[1]
VALUES = np.random.default_rng(0).integers(0, 65536, (2, 3, 24, 40), np.uint16)


def predictor(overlapping: bool = False, **options: object) -> segzoo.Predictor:
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, in_channels=3, width=2, depth=2).eval()
    with torch.no_grad():  # each class somewhere
        seen = torch.from_numpy(VALUES.astype(np.float32)) / 65535
        list(model.parameters())[-1].sub_(model(seen).mean((0, 2, 3)))
    labels = Labels(classes=("ground", "roof"), palette=((0, 0, 0), (255, 0, 51)), overlapping=overlapping)
    model.segzoo_config = replace(model.segzoo_config, labels=labels)
    return segzoo.Predictor(model, intensity="dtype", **options)


@pytest.mark.parametrize("bands", [0, 1, 2, 3])
def test_every_axis_can_hold_the_bands(bands: int) -> None:
    pixels = np.moveaxis(VALUES, 1, bands)
    stack = Stack(pixels, bands)
    assert stack.shape == (2,)
    assert stack.size == (24, 40)
    assert str(stack) == "2 slices of 40 x 24 pixels, 3 bands, uint16"
    for found, expected in zip(stack, VALUES, strict=True):
        np.testing.assert_array_equal(found, np.moveaxis(expected, 0, -1))


def test_a_plane_is_a_stack_of_one_and_a_line_is_refused() -> None:
    (plane,) = Stack(VALUES[0, 0])
    np.testing.assert_array_equal(plane, VALUES[0, 0])
    with pytest.raises(ImageError, match="rows and columns"):
        Stack(VALUES[0, 0], 1)


def test_alpha_is_not_a_band_for_the_network() -> None:
    pixels = np.full((24, 40, 4), 255, np.uint8)
    pixels[..., :3] = VALUES[0].transpose(1, 2, 0) >> 8
    (image,) = Stack(pixels, 2, alpha=True)
    assert isinstance(image, Image.Image)
    made = predictor()
    np.testing.assert_array_equal(made(image).mask, made(pixels[..., :3]).mask)


def test_a_stack_is_segmented_slice_by_slice_and_objects_are_numbered_on() -> None:
    made, stack = predictor(), Stack(VALUES, 1)
    found = Results(made.config.labels, stack, OUTPUTS)
    assert list(found.collect(made)) == [1, 2]
    uncertainty, objects, mask = found.layers()
    assert [one[2] for one in (uncertainty, objects, mask)] == ["image", "labels", "labels"]
    expected = [made(np.moveaxis(one, 0, -1), probabilities=True) for one in VALUES]
    np.testing.assert_array_equal(mask[0], [one.mask for one in expected])
    np.testing.assert_allclose(uncertainty[0], [one.uncertainty() for one in expected], atol=1e-6)
    counts = [len(one.instances().areas) for one in expected]
    assert min(counts) > 0
    features = objects[1]["features"]
    np.testing.assert_array_equal(features["index"], np.arange(sum(counts) + 1))
    np.testing.assert_array_equal(np.bincount(objects[0].ravel())[1:], features["area"][1:])
    assert objects[0][1][objects[0][1] > 0].min() == counts[0] + 1
    assert mask[1]["features"]["class"] == ["ground", "roof"]
    assert mask[1]["colormap"][1] == (1.0, 0.0, 0.2, 1.0)
    assert mask[1]["colormap"][0][3] == 0, "the background is transparent"


def test_overlapping_classes_have_a_layer_each() -> None:
    made = predictor(overlapping=True, threshold=0.5)
    found = Results(made.config.labels, Stack(VALUES[0], 0), ("mask",))
    assert list(found.collect(made)) == [1]
    ground, roof = found.layers()
    assert [ground[1]["name"], roof[1]["name"]] == ["mask ground", "mask roof"]
    np.testing.assert_array_equal([ground[0], roof[0]], made(np.moveaxis(VALUES[0], 0, -1)).mask)


def test_an_intensity_of_the_run_is_measured_over_the_stack() -> None:
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, in_channels=1, width=2, depth=2).eval()
    made = segzoo.Predictor(model, intensity="percentiles:1,99:run")
    assert list(Results(made.config.labels, Stack(VALUES[:, 0]), ("mask",)).collect(made)) == [1, 2]
    assert made.config.preprocessing.intensity.measured


def test_the_manifest_names_what_is_there() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (place,) = project["entry-points"]["napari.manifest"].values()
    package, _, file = place.partition(":")
    manifest = yaml.safe_load((PACKAGE / "src" / package / file).read_text(encoding="utf-8"))
    assert manifest["name"] == project["name"]
    for command in manifest["contributions"]["commands"]:
        module, _, name = command["python_name"].partition(":")
        source = (PACKAGE / "src" / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert f"def {name}(" in source or f"class {name}(" in source
    assert not [need for need in project["dependencies"] if "qt" in need.lower() or "side" in need.lower()]


def test_the_sample_is_an_image() -> None:
    ((pixels, attributes, kind),) = nuclei()
    assert (pixels.shape, pixels.dtype, attributes["name"], kind) == ((256, 256), np.uint8, "nuclei", "image")
