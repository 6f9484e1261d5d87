"""Single objects in what is written, counted and scored."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from torch import nn

import segzoo
from segzoo.cli import run
from segzoo.config import ModelConfig
from segzoo.errors import OptionError
from segzoo.evaluation import score_model
from segzoo.interfaces import Sample
from segzoo.prediction import Predictor
from segzoo.prediction.outputs import OutputOptions, write_outputs
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.tiling.file_job import RowJob
from segzoo.specs import Labels, Separator

LABELS = Labels(classes=("background", "cell"))
SIZE = (40, 70)


def discs(*columns: int, row: int = 20, radius: int = 14) -> np.ndarray:
    rows, places = np.mgrid[: SIZE[0], : SIZE[1]]
    numbers = np.zeros(SIZE, np.int32)
    for number, column in enumerate(columns, start=1):
        numbers[(rows - row) ** 2 + (places - column) ** 2 <= radius**2] = number
    return numbers


PAIR = discs(20, 46)


class Colours(nn.Module):
    """Red is the logit of the one class; green, where there is a separator, that of a boundary."""

    def __init__(self, **config):
        super().__init__()
        self.several = config.get("separator") is not None
        architecture = segzoo.create("unet", num_classes=1 + self.several, width=1).segzoo_config.architecture
        self.segzoo_config = ModelConfig(architecture=architecture, labels=LABELS, **config)

    def forward(self, images):
        return 20 * (images[:, : 1 + self.several] - 0.5)


def picture(numbers: np.ndarray, green: np.ndarray | None = None) -> np.ndarray:
    image = np.zeros((*numbers.shape, 3), np.uint8)
    image[..., 0] = (numbers > 0) * 255
    if green is not None:
        image[..., 1] = green * 255
    return image


def segmentation(mask: np.ndarray, **more) -> Segmentation:
    size = mask.shape[-2:]
    given = {"labels": LABELS, "image": np.zeros((*size, 3), np.uint8), "split_touching": True, **more}
    return Segmentation(mask=mask, **given)


# Predictors.


@pytest.mark.parametrize("backend", ["eager", "torch"])
def test_a_predictor_splits_by_shape_where_it_is_asked_and_keeps_its_mask(backend):
    given = {"backend": backend, "device": "cpu"}
    one = Predictor(Colours(), **given)(picture(PAIR))
    two = Predictor(Colours(), split_touching=True, **given)(picture(PAIR))
    assert len(one.instances().areas) == 1
    assert len(two.instances().areas) == 2
    assert (one.mask == two.mask).all()


def test_weights_with_a_separator_split_by_it_unless_they_are_told_not_to():
    bar = np.zeros(SIZE, np.int32)
    bar[5:30, 5:65] = 1
    wall = np.zeros(SIZE)
    wall[:, [25, 45]] = 1
    model = Colours(separator=Separator(kind="boundary"))
    found = Predictor(model, backend="eager")(picture(bar, wall))
    assert found.instances().areas.tolist() == pytest.approx([500] * 3, abs=50)
    assert found.instances().areas.sum() == (bar > 0).sum()
    apart = Predictor(model, backend="eager", split_touching=False)(picture(bar, wall))
    assert len(apart.instances().areas) == 1
    # What is cleaned or chosen afterwards is split by the same map.
    cleaned = Predictor(model, backend="eager", smallest_object=3)(picture(bar, wall))
    assert (cleaned.instances().numbers == found.instances().numbers).all()


def test_tiles_are_split_like_the_whole_image():
    wall = np.zeros((300, 280))
    wall[:, 100::60] = 1
    bar = np.zeros((300, 280), np.int32)
    bar[10:290, 10:270] = 1
    model = Colours(separator=Separator(kind="boundary"))
    whole = Predictor(model, backend="eager")(picture(bar, wall))
    tiled = Predictor(model, backend="eager", memory="20MB")(picture(bar, wall))
    assert len(whole.instances().areas) == 4
    assert (tiled.instances().numbers == whole.instances().numbers).all()


def test_the_smallest_object_of_the_weights_holds_unless_another_is_told():
    model, speck = Colours(smallest_object=30), discs(20)
    speck[2:5, 60:63] = 2
    areas = {
        told: len(Predictor(model, backend="eager", smallest_object=told)(picture(speck)).instances().areas)
        for told in (None, 0, 5, 10_000)
    }
    assert areas == {None: 1, 0: 2, 5: 2, 10_000: 0}
    assert Predictor(model, backend="eager").about["smallest object"] == "30"


def test_a_predictor_that_splits_has_settings_of_its_own_and_says_so():
    one, two = (Predictor(Colours(), backend="eager", split_touching=told) for told in (None, True))
    assert one.settings != two.settings
    assert "touching objects" not in one.about
    assert two.about["touching objects"] == "split by shape"
    # Else --resume would mix objects that grew from other seeds.
    seeds = [Colours(separator=Separator(kind="boundary", seed=seed)) for seed in (0.4, 0.5)]
    three, four = (Predictor(model, backend="eager") for model in seeds)
    assert three.settings != four.settings


# Files.


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_a_label_image_has_the_numbers_of_coco_and_the_counts_of_areas(tmp_path, suffix):
    found = segmentation((discs(20, 46) > 0).astype(np.uint8))
    options = OutputOptions(suffixes={"objects": f"_objects{suffix}"})
    paths = write_outputs(found, tmp_path / "a", ["objects", "coco", "areas"], options)
    numbers = np.load(paths[0]) if suffix == ".npy" else np.asarray(Image.open(paths[0]))
    assert numbers.dtype == np.uint16
    assert (numbers == found.instances().numbers).all()
    annotations = json.loads(paths[1].read_text(encoding="utf-8"))["annotations"]
    assert [(one["id"], one["area"]) for one in annotations] == [
        (number, int((numbers == number).sum())) for number in (1, 2)
    ]
    table = list(csv.DictReader(paths[2].open(encoding="utf-8")))
    assert [row["objects"] for row in table] == ["0", "2"]
    assert int(table[1]["pixels"]) == (found.mask == 1).sum()


def test_objects_that_are_not_split_are_components_in_a_label_image_too(tmp_path):
    found = segmentation((discs(20, 46) > 0).astype(np.uint8), split_touching=False)
    (path,) = write_outputs(found, tmp_path / "a", ["objects"])
    assert np.asarray(Image.open(path)).max() == 1


def test_more_objects_than_16_bits_can_number_are_a_tiff_of_32(tmp_path):
    mask = np.zeros((520, 520), np.uint8)
    mask[::2, ::2] = 1
    found = segmentation(mask, split_touching=False)
    with pytest.raises(OptionError, match=r"there are 67,600 objects, .* write objects:tif or objects:npy"):
        write_outputs(found, tmp_path / "a", ["objects"])
    assert not list(tmp_path.iterdir())
    (path,) = write_outputs(found, tmp_path / "a", ["objects"], OutputOptions(suffixes={"objects": ".tif"}))
    with Image.open(path) as image:
        assert image.mode == "I"
        assert (np.asarray(image) == found.instances().numbers).all()
    tifffile = pytest.importorskip("tifffile")
    assert tifffile.imread(path).dtype == np.int32
    assert (tifffile.imread(path) == found.instances().numbers).all()


def test_an_image_without_objects_has_a_black_label_image(tmp_path):
    (path,) = write_outputs(segmentation(np.zeros((5, 7), np.uint8)), tmp_path / "a", ["objects"])
    assert np.asarray(Image.open(path)).tolist() == np.zeros((5, 7)).tolist()


def test_classes_that_overlap_have_a_page_or_a_file_each(tmp_path):
    labels = Labels(classes=("a", "b"), overlapping=True)
    planes = np.stack([discs(20, 46) > 0, discs(33) > 0]).astype(np.uint8)
    found = segmentation(planes, labels=labels)
    stack = write_outputs(found, tmp_path / "a", ["objects"], OutputOptions(suffixes={"objects": ".npy"}))
    assert [sorted(np.unique(plane)) for plane in np.load(stack[0])] == [[0, 1, 2], [0, 3]]
    files = write_outputs(found, tmp_path / "b", ["objects", "areas", "overlay"])
    assert [path.name for path in files[:2]] == ["b_a_objects.png", "b_b_objects.png"]
    assert [int(np.asarray(Image.open(path)).max()) for path in files[:2]] == [2, 1]
    table = list(csv.DictReader(files[2].open(encoding="utf-8")))
    assert [row["objects"] for row in table] == ["2", "1"]


def test_only_wanted_classes_have_objects(tmp_path):
    labels = Labels(classes=("background", "a", "b"))
    mask = np.choose(discs(20, 46), [0, 1, 2]).astype(np.uint8)
    found = segmentation(mask, labels=labels)
    (path,) = write_outputs(found, tmp_path / "a", ["objects"], OutputOptions(classes=("b",)))
    numbers = np.asarray(Image.open(path))
    assert ((numbers > 0) == (mask == 2)).all()
    assert numbers.max() == 1


def test_an_image_by_rows_has_no_single_objects_and_says_what_to_do(tmp_path):
    Image.fromarray(np.zeros((900, 1100, 3), np.uint8)).save(tmp_path / "large.png")
    predictor = Predictor(Colours(), backend="eager", memory="4MB", split_touching=True)
    told = {"options": OutputOptions(), "splits": True}
    with pytest.raises(OptionError, match=r"areas has single objects.*--no-split-touching.*more memory"):
        RowJob.find(predictor.tiler, tmp_path / "large.png", {"areas": tmp_path / "x.csv"}, **told)
    with pytest.raises(OptionError, match="too large for objects"):
        RowJob.find(predictor.tiler, tmp_path / "large.png", {"objects": tmp_path / "x.png"}, **told)


def test_the_command_writes_and_counts_single_objects(tmp_path, monkeypatch, capsys):
    Image.fromarray(picture(PAIR)).save(tmp_path / "a.png")
    monkeypatch.setattr("segzoo.weights.load", lambda name, **_: Colours())
    counts = {}
    for word in ("--split-touching", "--no-split-touching", "--flips"):
        out = tmp_path / word
        words = ["predict", str(tmp_path / "a.png"), "-m", "any", "--out", str(out), "--backend", "eager"]
        assert run([*words, word, "--outputs", "objects,areas,geojson"]) == 0, capsys.readouterr().err
        features = json.loads((out / "a_objects.geojson").read_text(encoding="utf-8"))["features"]
        counts[word] = int(np.asarray(Image.open(out / "a_objects.png")).max())
        assert len(features) == counts[word]
    assert counts == {"--split-touching": 2, "--no-split-touching": 1, "--flips": 1}


# Scores.


class Pair:
    """One image of two cells that touch."""

    labels = LABELS
    names = ("pair",)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        mask = (PAIR > 0).astype(np.uint8)
        return Sample(image=picture(PAIR), mask=mask, name="pair", instances=PAIR)


def test_scores_of_objects_are_those_of_split_ones():
    told = {"metrics": ["ap", "pq", "aji", "count-error", "dice"], "resamples": 0}
    scores = {}
    for splits in (False, True):
        predictor = Predictor(Colours(), backend="eager", split_touching=splits)
        found = score_model(predictor, Pair(), **told)
        scores[splits] = [score.values["pooled"] for score in found.scores]
    assert scores[True] == pytest.approx([1, 1, 1, 0, 1], abs=0.02)
    assert max(scores[False][:3]) < 0.6
    assert scores[False][3:] == [0.5, 1]
