"""Images of many bands and depths, from the command that trains to the masks and scores of what it leaves.

Only the last band tells the classes apart, so that a network that is not given it learns nothing.
"""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.images import displayed, read_with_info

pytestmark = pytest.mark.slow

SIDE = (48, 64)
SMALL = ["model.width=4", "model.depth=2", "batch_size=4", "lr=0.02", "crop=32", "precision=no"]


def scene(seed, bands):
    """Return an image ``(H, W, bands)`` uint8 of noise, whose last band shows a disc, and its mask."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIDE[0], : SIDE[1]]
    y, x = random.integers(14, SIDE[0] - 14), random.integers(14, SIDE[1] - 14)
    mask = ((rows - y) ** 2 + (columns - x) ** 2 < 11**2).astype(np.uint8)
    image = random.integers(20, 80, (*SIDE, bands), np.uint8)
    image[..., -1] = 40 + 150 * mask
    return image, mask


def tiff(path, image, **options):
    tifffile.imwrite(path.with_suffix(".tif"), image, **options)


def planar(path, image):
    tiff(path, np.moveaxis(image, -1, 0), planarconfig="separate", photometric="minisblack")


FORMATS = {
    "npy": lambda path, image: np.save(path.with_suffix(".npy"), image),
    "png": lambda path, image: Image.fromarray(image).save(path.with_suffix(".png")),
    "tiff16": lambda path, image: planar(path, image.astype(np.uint16) * 40),
    "float": lambda path, image: planar(path, image.astype(np.float32) / 255),
    "signed": lambda path, image: planar(path, image.astype(np.int16) * 7 - 1000),
    "five": lambda path, image: planar(path, image),
}


def folder(root, form, bands=4, count=12):
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    forms = (form,) if isinstance(form, str) else form
    for number in range(count):
        image, mask = scene(number, bands)
        FORMATS[forms[number % len(forms)]](root / "images" / f"{number:02}", image)
        Image.fromarray(mask * 255).save(root / "masks" / f"{number:02}.png")
    return root


def iou(capsys, *words):
    capsys.readouterr()
    assert run(["evaluate", *words, "--split", "all", "--resamples", "0", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["scores"][0]["values"]["per_image"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "bands", "settings"),
    [
        ("npy", 4, []),
        ("png", 4, []),
        ("tiff16", 4, []),
        ("tiff16", 4, ["data.intensity=percentiles:1,99.8:band:data"]),
        ("signed", 4, ["data.intensity=range:-1000,785"]),
        ("five", 5, []),
        (("npy", "tiff16", "float"), 4, ["data.intensity=percentiles:0,100:band"]),
    ],
    ids=str,
)
def test_every_band_of_every_format_reaches_the_network(tmp_path, capsys, form, bands, settings):
    data, out = folder(tmp_path / "data", form, bands), tmp_path / "run"
    words = ["--data", str(data), "--out", str(out), f"model.in_channels={bands}", *SMALL, *settings]
    assert run(["train", *words, "epochs=20"]) == 0
    assert iou(capsys, str(out), "--data", str(data)) > 0.8
    config = segzoo.load(out).segzoo_config
    assert config.architecture.in_channels == bands
    assert len(config.statistics) == bands
    assert "mean of each band" in (out / "report.html").read_text()
    masks = tmp_path / "masks"
    images = [str(path) for path in sorted((data / "images").iterdir())]
    assert run(["predict", *images, "--model", str(out), "--out", str(masks)]) == 0
    found = np.asarray(Image.open(masks / "03_mask.png"))
    assert (found == scene(3, bands)[1]).mean() > 0.95
    overlay = np.asarray(Image.open(masks / "03_overlay.png"))
    assert overlay.shape == (*SIDE, 3)


def test_chosen_bands_are_trained_on_stored_and_shown(tmp_path, capsys):
    data, out = folder(tmp_path / "data", "five", 5), tmp_path / "run"
    words = ["--data", str(data), "--out", str(out), "data.bands=[5,2]", *SMALL]
    assert run(["train", *words, "epochs=15"]) == 0
    config = segzoo.load(out).segzoo_config
    assert config.architecture.in_channels == 2
    assert config.preprocessing.bands == ("5", "2")
    assert iou(capsys, str(out), "--data", str(data)) > 0.8
    # Without the band that shows the disc, nothing is found; --bands wins over the weights' own.
    assert iou(capsys, str(out), "--data", str(data), "--bands", "1,2") < 0.5
    assert (
        run(["predict", str(data / "images" / "00.tif"), "-m", str(out), "--out", str(tmp_path / "m")]) == 0
    )
    overlay = np.asarray(Image.open(tmp_path / "m" / "00_overlay.png"))
    pixels, info = read_with_info(data / "images" / "00.tif")
    plain = np.asarray(Image.open(tmp_path / "m" / "00_mask.png")) == 0
    assert np.array_equal(overlay[plain], displayed(pixels, info, bands=("5", "2"))[plain])
    assert run(["data", "preview", str(data), "--bands", "5", "--out", str(tmp_path / "sheet.png")]) == 0


def test_a_resumed_training_goes_on_with_what_was_measured(tmp_path):
    data, out = folder(tmp_path / "data", "tiff16"), tmp_path / "run"
    common = ["--data", str(data), "model.in_channels=4", "data.intensity=percentiles:1,99:data", *SMALL]
    assert run(["train", *common, "--out", str(tmp_path / "whole"), "epochs=4"]) == 0
    whole = segzoo.load(tmp_path / "whole")
    assert whole.segzoo_config.preprocessing.intensity.measured
    # A training that was stopped: its last checkpoint is that of an earlier epoch.
    assert run(["train", *common, "--out", str(out), "epochs=4", "keep=4"]) == 0
    checkpoints = sorted((out / "checkpoints").glob("step-*"))
    for path in checkpoints[2:]:
        shutil.rmtree(path)
    assert run(["train", "--resume", str(out)]) == 0
    again = segzoo.load(out)
    assert again.segzoo_config.preprocessing == whole.segzoo_config.preprocessing
    assert again.segzoo_config.statistics == whole.segzoo_config.statistics
    for name, tensor in whole.state_dict().items():
        assert tensor.equal(again.state_dict()[name])


def test_images_of_other_bands_are_told_by_both_names(tmp_path, capsys):
    data = folder(tmp_path / "data", "five", 5)
    planar(data / "images" / "05.tif", scene(5, 4)[0])
    words = ["train", "--data", str(data), "--out", str(tmp_path / "run"), *SMALL, "epochs=1"]
    assert run([*words, "model.in_channels=5"]) == 1
    told = capsys.readouterr().err
    assert "05.tif: the image has 4 bands" in told
    assert re.search(r"\d\d\.tif has 5 \(band 1, band 2, band 3, band 4, band 5\)", told)
    assert run(words) == 2
    told = capsys.readouterr().err
    assert "the image has 5 bands" in told
    assert "data.bands=[1,2,3]" in told
    assert "model.in_channels=5" in told


def test_pixels_without_a_measurement_are_left_out_and_told(tmp_path, capsys):
    data = folder(tmp_path / "data", "float")
    for number in (1, 4):
        image, _ = scene(number, 4)
        floats = image.astype(np.float32) / 255
        floats[:20] = np.nan
        planar(data / "images" / f"{number:02}.tif", floats)
    out = tmp_path / "run"
    words = ["--data", str(data), "--out", str(out), "model.in_channels=4", *SMALL, "epochs=2"]
    assert run(["train", *words]) == 0
    told = capsys.readouterr()
    assert "with pixels without a measurement, which are ignored" in told.out + told.err
    assert iou(capsys, str(out), "--data", str(data)) >= 0
