"""More classes than a byte counts: class 290 of 300 is 290 in what is predicted, written, scored, learnt."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo import zoo
from segzoo.build import make_metric, open_dataset
from segzoo.cli import run
from segzoo.config import Architecture, ModelConfig, from_json, to_json
from segzoo.errors import MaskError, OptionError
from segzoo.evaluation import score_model, score_predictions
from segzoo.labels import found_in_words, read_mask, to_classes
from segzoo.metrics.confusion import MOST_CLASSES, confusion_matrix
from segzoo.prediction.manifest import Manifest
from segzoo.prediction.outputs import output_files, write_outputs
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import Labels, numbered_labels
from segzoo.training.augmentation import make_augmentation
from segzoo.training.data.class_weights import class_pixels

pytestmark = pytest.mark.slow

CLASSES, WANTED = 300, 290
NAME = f"class {WANTED}"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network whose every logit says class 290."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=CLASSES, width=2, depth=2).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.head.bias[WANTED] = 9
    return segzoo.save(model, tmp_path_factory.mktemp("weights") / "many")


@pytest.fixture
def photos(tmp_path):
    """Images with masks of 16 bits that say class 290."""
    random = np.random.default_rng(0)
    for folder in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (tmp_path / "photos" / folder / kind).mkdir(parents=True)
        for number in range(2):
            image = random.integers(0, 256, (24, 32, 3), np.uint8)
            Image.fromarray(image).save(tmp_path / "photos" / folder / "images" / f"{number}.png")
            mask = np.full((24, 32), WANTED, np.uint16)
            mask[:2] = 255
            Image.fromarray(mask).save(tmp_path / "photos" / folder / "masks" / f"{number}.png")
    return tmp_path / "photos"


def is_wanted(mask):
    return mask.dtype == np.uint16 and (mask == WANTED).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"memory": "150MB"},
        {"thresholds": {WANTED: 0.1}},
        {"smallest_object": 3, "smallest_hole": 3},
        {"flips": ("horizontal",)},
    ],
    ids=str,
)
def test_a_predictor_finds_the_class_whole_and_by_tiles(weights, options):
    image = np.zeros((2000, 600, 3) if "memory" in options else (24, 32, 3), np.uint8)
    found = segzoo.Predictor(weights, **options)(image)
    assert is_wanted(found.mask)
    assert found.areas[NAME] == found.mask.size
    assert set(np.unique(found.instances().classes)) == {WANTED}
    assert "class 290 100.0 %" in repr(found)
    assert "class 290" in found._repr_html_()


def test_plain_predictions_and_probabilities_find_the_class(weights):
    image = np.zeros((24, 32, 3), np.uint8)
    assert is_wanted(segzoo.predict(image, model=weights).mask)
    found = segzoo.predict(image, model=weights, probabilities=True)
    assert is_wanted(found.mask)
    assert found.probabilities is not None
    assert (found.probabilities.argmax(axis=0) == WANTED).all()


@pytest.mark.parametrize("resize", ["logits", "probabilities"])
def test_a_network_that_sees_the_image_smaller_finds_the_class(weights, resize):
    from dataclasses import replace

    from segzoo.specs import Resize

    model = segzoo.load(weights)
    preprocessing = replace(
        model.segzoo_config.preprocessing, resize=Resize(mode="scale", scale=0.5, restore=resize)
    )
    model.segzoo_config = replace(model.segzoo_config, preprocessing=preprocessing)
    assert is_wanted(segzoo.predict(np.zeros((24, 32, 3), np.uint8), model=model).mask)
    tiled = segzoo.Predictor(model, memory="150MB")(np.zeros((2000, 600, 3), np.uint8))
    assert is_wanted(tiled.mask)


def _check_outputs(folder, size):
    pixels = size[0] * size[1]
    for name in ("mask", "values"):
        mask = np.asarray(Image.open(folder / f"a{zoo.outputs.get(name).suffix}"))
        assert is_wanted(mask.astype(np.uint16)), name
    assert np.asarray(Image.open(folder / "a_binary.png")).all()
    colour = numbered_labels(CLASSES).colours[WANTED]
    for name in ("colour", "cutout", "contours", "sheet", "overlay"):
        assert Image.open(folder / f"a{zoo.outputs.get(name).suffix}").size[1] == size[0]
    assert (np.asarray(Image.open(folder / "a_colour.png")) == colour).all()
    rows = list(csv.DictReader((folder / "a_areas.csv").read_text().splitlines()))
    assert {row["class"]: int(row["pixels"]) for row in rows if int(row["pixels"])} == {NAME: pixels}
    assert np.load(folder / "a_probabilities.npy").shape == (CLASSES, *size)


def test_every_output_holds_the_class(weights, tmp_path):
    Image.fromarray(np.full((24, 32, 3), 9, np.uint8)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    words = ["predict", str(tmp_path / "a.png"), "--model", str(weights), "--out", str(out)]
    assert run([*words, "--device", "cpu", "--outputs", ",".join(zoo.outputs.names())]) == 0
    _check_outputs(out, (24, 32))
    coco = json.loads((out / "a_coco.json").read_text())
    assert {one["category_id"] for one in coco["annotations"]} == {WANTED}
    places = json.loads((out / "a_objects.geojson").read_text())
    assert {one["properties"]["class"] for one in places["features"]} == {NAME}


@pytest.mark.slow
def test_every_output_that_goes_by_rows_holds_the_class(weights, tmp_path):
    size = 1500, 1100
    Image.fromarray(np.full((*size, 3), 9, np.uint8)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    words = ["predict", str(tmp_path / "a.png"), "--model", str(weights), "--out", str(out)]
    names = "mask,values,binary,colour,overlay,contours,cutout,sheet,areas,probabilities"
    assert run([*words, "--device", "cpu", "--outputs", names, "--memory", "300MB"]) == 0
    _check_outputs(out, size)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_masks_written_by_rows_have_16_bits(tmp_path, suffix):
    path = tmp_path / f"mask{suffix}"
    mask = np.arange(CLASSES, dtype=np.uint16).repeat(40).reshape(100, 120)
    with output_files({"mask": path}, numbered_labels(CLASSES), (100, 120)) as sink:
        for top in range(0, 100, 7):
            sink.write(mask[top : top + 7])
    read = np.load(path) if suffix == ".npy" else np.asarray(Image.open(path))
    assert (read == mask).all()


def test_masks_of_16_bits_are_read_scored_and_drawn(weights, photos, tmp_path):
    dataset = open_dataset(str(photos), split="test", classes=CLASSES)
    assert dataset[0].mask.dtype == np.uint16
    found = score_model(weights, dataset, metrics=["dice", "iou", "miou"], worst=1)
    scores = {one.name: one for one in found.classes}
    assert scores[NAME].recall == 1
    assert scores["class 255"].truth == 2 * 2 * 32
    assert scores["class 34"].predicted == 0
    assert found.confusion[WANTED, WANTED] == 2 * 22 * 32
    assert found.confusion[255, WANTED] == 2 * 2 * 32
    folder = tmp_path / "predictions"
    words = ["evaluate", str(weights), "--data", str(photos), "--classes", str(CLASSES)]
    assert run([*words, "--save-predictions", str(folder), "--report", str(tmp_path / "report")]) == 0
    masks = sorted(folder.rglob("*.png"))
    assert masks
    assert all(is_wanted(np.asarray(Image.open(path)).astype(np.uint16)) for path in masks)
    again = score_predictions(folder, dataset, metrics=["dice"])
    assert {one.name: one.recall for one in again.classes}[NAME] == 1


def test_a_class_255_is_not_what_is_ignored(photos):
    dataset = open_dataset(str(photos), split="train", classes=CLASSES, ignore_index=65535)
    assert class_pixels(dataset)[255] == 2 * 2 * 32
    assert class_pixels(dataset)[WANTED] == 2 * 22 * 32
    ignoring = Labels(classes=numbered_labels(CLASSES).classes, ignore_index=255)
    assert to_classes(np.array([[255, 290]], np.uint16), ignoring, "x").tolist() == [[255, 290]]


@pytest.mark.parametrize("step", ["rotate", "crop", "letterbox", "flip", "elastic", "place", "resize"])
def test_augmentation_keeps_indices_of_16_bits(step):
    mask = np.full((24, 32), WANTED, np.uint16)
    try:
        augment = make_augmentation({step: {}}, ignore_index=65535)
    except OptionError as error:
        pytest.skip(str(error))
    _, moved = augment(np.zeros((24, 32, 3), np.uint8), mask, np.random.default_rng(0))
    assert moved.dtype == np.uint16
    assert set(np.unique(moved)) <= {0, WANTED, 65535}
    assert WANTED in moved


@pytest.mark.slow
def test_a_training_learns_a_class_beyond_255_and_draws_it(photos, tmp_path):
    out = tmp_path / "run"
    words = ["train", "--data", str(photos), "--out", str(out), f"data.classes={CLASSES}", "model=unet"]
    words += ["model.width=2", "model.depth=2", "epochs=40", "batch_size=2", "augment.crop.size=24", "lr=0.1"]
    assert run([*words, "device=cpu", "workers=0", "best=dice"]) == 0
    found = segzoo.predict(photos / "test/images/0.png", model=out)
    assert found.mask.dtype == np.uint16
    assert (found.mask == WANTED).mean() > 0.5
    assert "class 290" in (out / "report.html").read_text()


def test_masks_of_256_classes_stay_bytes_and_tell_what_is_ignored(tmp_path):
    labels = numbered_labels(256)
    assert (labels.index_type, labels.unused_index) == ("uint8", 65535)
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert to_classes(values, labels, "x").dtype == np.uint8
    ignoring = Labels(classes=labels.classes, ignore_index=65535)
    assert to_classes(values, ignoring, "x").dtype == np.uint16
    with pytest.raises(MaskError, match=r"the values 300, which stand for none of the 256 classes"):
        to_classes(np.array([[300]], np.uint16), labels, "x")


def test_as_many_classes_as_16_bits_count_are_read_and_no_more(tmp_path):
    labels = numbered_labels(65_535)
    mask = np.array([[0, 65_534, 255, 256]], np.uint16)
    np.save(tmp_path / "mask.npy", mask)
    assert to_classes(read_mask(tmp_path / "mask.npy"), labels, "x").tolist() == mask.tolist()
    with pytest.raises(OptionError, match="num_classes must be an integer from 1 to 65,535"):
        segzoo.create("unet", num_classes=65_536, width=1, depth=2)


def test_more_classes_than_a_confusion_matrix_may_have_are_refused_before_it_is_made():
    mask = np.zeros((2, 2), np.uint16)
    with pytest.raises(OptionError, match="at most 4,096 classes can be scored"):
        confusion_matrix(mask, mask, MOST_CLASSES + 1)
    for name in ("iou", "dice"):
        with pytest.raises(OptionError, match="at most 4,096 classes can be scored"):
            make_metric(name, numbered_labels(65_535))


MANY = 40_000


@pytest.mark.parametrize("background", [0, None])
def test_40000_classes_are_kept_in_configs_masks_and_outputs(tmp_path, background):
    names = tuple(f"taxon {index}" for index in range(MANY))
    labels = Labels(classes=names, background=background)
    config = ModelConfig(architecture=Architecture(name="segzoo:unet", num_classes=MANY), labels=labels)
    assert from_json(json.loads(json.dumps(to_json(config))), "config.json") == config
    mask = np.arange(MANY, dtype=np.uint16).reshape(200, 200)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert np.array_equal(to_classes(read_mask(tmp_path / "mask.png"), labels, "mask.png"), mask)
    found = Segmentation(mask, labels, np.zeros((200, 200, 3), np.uint8))
    assert set(found.areas.values()) == {1}
    assert len(found.instances().areas) == MANY - (background == 0)
    kinds = ["mask", "values", "areas", "overlay", "coco"]
    written = dict(zip(kinds, write_outputs(found, tmp_path / "a", kinds), strict=True))
    for kind in ("mask", "values"):
        assert np.array_equal(read_mask(written[kind]), mask)
    assert len(written["areas"].read_text().splitlines()) == MANY + 1
    assert len(json.loads(written["coco"].read_text())["categories"]) == len(labels.foreground)
    assert found_in_words(found.shares, labels).endswith(f", and {len(labels.foreground) - 24:,} more")


def test_a_run_with_as_many_classes_as_there_may_be_is_gone_on_with(tmp_path):
    shares = {f"class {index}": float(index == 7) for index in range(65_535)}
    Manifest(tmp_path).add("a.png", state="as it was", size=(4, 4), areas=shares)
    assert Manifest(tmp_path).has("a.png", "as it was")
    assert json.loads((tmp_path / "manifest.jsonl").read_text())["areas"] == {"class 7": 1.0}
