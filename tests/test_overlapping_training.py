"""Training on classes that overlap: planes move together, and commands lead to masks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from test_augmentation import ALL

import segzoo
from segzoo import cli
from segzoo.datasets.folder import FolderDataset
from segzoo.interfaces import Sample
from segzoo.labels import read_mask
from segzoo.specs import Labels
from segzoo.training import Recipe
from segzoo.training.augmentation import augmentation_for, make_augmentation
from segzoo.training.data.class_weights import balanced_weights, count_classes
from segzoo.training.data.loader import Augmented
from segzoo.training.network import make_network

pytestmark = pytest.mark.slow

LABELS = Labels(classes=("a", "b", "c"), overlapping=True)
TINY = [
    "model=unet/plain",
    "model.encoder.width=8",
    "model.encoder.depth=3",
    "model.decoder.widths=[16,8]",
    "batch_size=4",
    "device=cpu",
    "precision=no",
    "workers=0",
    "optimizer=adamw",
    "mean=[0.3]",
    "std=[0.05]",
    "augment.crop.size=64",
    "augment.color.probability=0",
]


class Samples:
    """Two images of one mask each, of classes that overlap."""

    labels = LABELS

    def __init__(self, mask):
        self.mask = mask

    def __len__(self):
        return 2

    def __getitem__(self, index):
        image = np.random.default_rng(range(2)[index]).integers(0, 256, (*self.mask.shape[1:], 3), np.uint8)
        return Sample(image, self.mask, f"image {index}")


def planes(size=(70, 90)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    discs = [(rows - 35) ** 2 + (columns - x) ** 2 < 500 for x in (30, 50)]
    mask = np.stack([*discs, discs[0] & discs[1]]).astype(np.uint8)
    mask[:, :3], mask[1, -5:] = 255, 255
    return mask


# -- augmentation and batches


@pytest.mark.parametrize("name", ALL)
def test_every_step_moves_all_planes_as_it_moves_the_mask_of_one_class(name):
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    mask = planes()
    steps = {name: ALL[name]}
    for seed in range(3):
        random = [np.random.default_rng(seed) for _ in range(4)]
        moved, together = augmentation_for(steps, LABELS)(image, mask, random[0])
        assert (together.dtype, together.shape) == (np.uint8, (3, *moved.shape[:2]))
        assert set(np.unique(together)) <= {0, 1, 255}
        inside = (together != 255).all(axis=0)
        np.testing.assert_array_equal((together[0] & together[1])[inside], together[2][inside])
        for index in range(2):
            alone = make_augmentation(steps, ignore_index=255)(image, mask[index], random[1 + index])
            if name not in ("crop", "crop_2"):  # which look for a pixel that counts
                np.testing.assert_array_equal(alone[0], moved)
                np.testing.assert_array_equal(alone[1], together[index])


def test_pixels_from_outside_count_for_nothing_or_have_no_class():
    mask = np.ones((2, 20, 20), np.uint8)
    labels = Labels(classes=("a", "b"), overlapping=True)
    for outside, value in (("ignore", 255), ("background", 0)):
        steps = {"letterbox": {"size": [40, 20], "outside": outside}}
        _, moved = augmentation_for(steps, labels)(
            np.zeros((20, 20, 3), np.uint8), mask, np.random.default_rng(0)
        )
        assert (moved[:, 10:30] == 1).all()
        assert (moved[:, :10] == value).all()


def test_a_batch_has_a_plane_a_class():
    data = Samples(planes())
    batch = Augmented(data, {"crop": {"size": 32}}, segzoo.specs.Preprocessing())[(0, 1)]
    assert (batch.masks.dtype, tuple(batch.masks.shape)) == (torch.uint8, (3, 32, 32))


def test_classes_are_counted_each_by_itself():
    mask = planes()
    counts = count_classes(Samples(mask))
    assert counts.pixels == tuple(2 * int((plane == 1).sum()) for plane in mask)
    assert counts.areas == tuple(2 * int((plane != 255).sum()) for plane in mask)
    weights = balanced_weights(Samples(mask))
    assert weights[2] > weights[0]
    assert np.mean(weights) == pytest.approx(1)


@pytest.mark.parametrize("classes", [("cell",), ("cell", "nucleus"), ("a", "b", "c")])
def test_a_network_has_a_logit_for_each_class(classes):
    data = Samples(planes()[: len(classes)])
    data.labels = Labels(classes=classes, overlapping=True)
    model = make_network(Recipe(data="x", model="unet/plain"), data)
    assert model.segzoo_config.architecture.num_classes == len(classes)
    assert model.segzoo_config.labels == data.labels


# -- the commands


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Two discs on grey images, each in a folder of masks of its own; where they overlap it is brightest."""
    root = tmp_path_factory.mktemp("data") / "discs"
    rows, columns = np.mgrid[:72, :80]
    for number in range(12):
        random = np.random.default_rng(number)
        x, y = random.integers(20, 50, 2)
        masks = [(rows - y) ** 2 + (columns - one) ** 2 < 190 for one in (x, x + 14)]
        image = (40 + 80 * masks[0] + 60 * masks[1]).astype(np.uint8)
        for folder, picture in (("images", image), ("masks/left", masks[0]), ("masks/right", masks[1])):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8) * (1 if folder == "images" else 255)).save(
                root / folder / f"{number:02}.png"
            )
    return root


@pytest.fixture(scope="module")
def run(discs, tmp_path_factory):
    """The folder of a training by the command."""
    out = tmp_path_factory.mktemp("runs") / "discs"
    words = ["train", "--data", str(discs), "data.overlapping=true", *TINY, f"out={out}"]
    assert cli.run([*words, "epochs=80", "lr=0.01", "validate_every=20", "keep=3"]) == 0
    return out


def test_the_doctor_proposes_what_trains_and_shows_it(discs, tmp_path, capsys):
    assert cli.run(["data", "check", str(discs)]) == 0
    told = capsys.readouterr().out
    assert "they overlap in 12 of 12 images" in told
    assert """data.overlapping=true 'data.classes=["left","right"]'""" in told
    assert cli.run(["data", "stats", str(discs)]) == 0
    sheet = ["data", "preview", str(discs), "--augment", "augment.crop.size=64"]
    assert cli.run([*sheet, "--out", str(tmp_path / "sheet.png")]) == 0
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 600


def test_a_training_learns_both_classes_where_they_overlap(discs, run, capsys):
    config = json.loads((run / "config.json").read_text())
    assert config["labels"]["classes"] == ["left", "right"]
    assert config["labels"]["overlapping"] is True
    assert config["labels"]["background"] is None
    assert "left" in (run / "report.html").read_text()
    assert cli.run(["evaluate", str(run), "--data", str(discs), "--split", "all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["confusion"] is None
    assert min(one["iou"] for one in told["classes"]["scores"]) > 0.85
    data = FolderDataset(discs, "all", overlapping=True)
    common = either = 0
    for number in range(len(data)):
        sample = data[number]
        found = segzoo.predict(np.repeat(np.atleast_3d(sample.image), 3, axis=2)[..., :3], model=run).mask
        both = sample.mask.all(axis=0)
        common += (found.all(axis=0) & both).sum()
        either += (found.all(axis=0) | both).sum()
    assert common / either > 0.8


def test_what_is_learnt_is_written_as_documented_and_read_again(discs, run, tmp_path, capsys):
    out = tmp_path / "masks"
    assert cli.run(["predict", str(discs / "images"), "-m", str(run), "--out", str(out)]) == 0
    names = sorted(path.name for path in out.glob("00_*"))
    assert names == ["00_left_mask.png", "00_overlay.png", "00_right_mask.png"]
    assert set(np.unique(read_mask(out / "00_left_mask.png"))) == {0, 1}
    scored = ["evaluate", "--predictions", str(out), "--data", str(discs), "--split", "all", "--json"]
    capsys.readouterr()
    assert cli.run([*scored, "--data-option", "overlapping=true"]) == 0
    assert min(one["iou"] for one in json.loads(capsys.readouterr().out)["classes"]["scores"]) > 0.85
    # What was predicted is the truth of another training, as it lies.
    shutil.copytree(discs / "images", tmp_path / "again/images")
    (tmp_path / "again/masks").mkdir()
    for path in out.glob("*_mask.png"):
        shutil.copy(path, tmp_path / "again/masks")
    data = FolderDataset(tmp_path / "again", "all", classes=("left", "right"), overlapping=True)
    np.testing.assert_array_equal(data[0].mask[0], read_mask(out / "00_left_mask.png"))


def test_thresholds_are_those_of_each_class(discs, run, tmp_path):
    image = discs / "images/00.png"
    shares = {}
    for threshold in ("0.1", "0.9"):
        found = segzoo.Predictor(run, thresholds={"left": float(threshold)})(image)
        shares[threshold] = found.shares
    assert shares["0.1"]["left"] > shares["0.9"]["left"]
    assert shares["0.1"]["right"] == shares["0.9"]["right"]
    asked = [
        "predict",
        str(image),
        "-m",
        str(run),
        "--out",
        str(tmp_path / "out"),
        "--class-threshold",
        "left=0.1",
    ]
    assert cli.run([*asked, "--outputs", "mask"]) == 0
    mask = read_mask(tmp_path / "out/00_left_mask.png")
    assert mask.mean() == pytest.approx(shares["0.1"]["left"])


def test_weights_travel_and_a_training_goes_on_with_the_same_result(discs, run, tmp_path):
    model = segzoo.load(run)
    segzoo.save(model, tmp_path / "copy")
    again = segzoo.load(tmp_path / "copy")
    assert again.segzoo_config.labels == model.segzoo_config.labels
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    last = max((cut / "checkpoints").glob("step-*"))
    shutil.rmtree(last) if last.is_dir() else last.unlink()
    assert cli.run(["train", "--resume", str(cut)]) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (run, cut))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_card_and_a_score_that_is_made_again_say_how_classes_are_decided(discs, run, tmp_path, capsys):
    out = tmp_path / "released"
    assert cli.run(["release", str(run), str(out), "--full", "--data", str(discs)]) == 0
    card = (out / "README.md").read_text()
    assert "masks of 2 classes that overlap out" in card
    assert "Each class has a sigmoid, and includes the pixels where it exceeds 0.5" in card
    again = ["reproduce", str(out), "--check", "--device", "cpu", "--data", str(discs)]
    assert cli.run(again) == 0
    assert "reproduced" in capsys.readouterr().out
    assert "a sigmoid for each class" in segzoo.load(out)._repr_html_()


def test_folds_are_scored_by_the_rules_of_classes_that_overlap(discs, tmp_path):
    words = ["train", "--folds", "--data", str(discs), "data.overlapping=true", *TINY, "split.folds=2"]
    assert cli.run([*words, "epochs=1", f"out={tmp_path / 'folds'}"]) == 0
    told = json.loads((tmp_path / "folds/folds.json").read_text())
    assert "each class by itself" in told["contracts"]["classes"]


def test_training_begins_with_weights_of_other_classes(discs, run, tmp_path, capsys):
    words = ["train", "--data", str(discs), "data.overlapping=true", *TINY, f"out={tmp_path / 'out'}"]
    assert (
        cli.run([*words, "epochs=1", f"weights={run}", "loss=cross-entropy", 'loss.weights="balanced"']) == 0
    )
    assert "took" in capsys.readouterr().err


@pytest.mark.parametrize("loss", ["focal", "tversky", "lovasz-hinge", "nested-bce-dice"])
def test_deep_supervision_and_a_frozen_encoder_train_on_planes(discs, tmp_path, loss):
    tiny = [one for one in TINY if not one.startswith("model")]
    network = [
        "model=nested/plain",
        "model.encoder.width=8",
        "model.encoder.depth=3",
        "model.decoder.widths=[8,16]",
    ]
    words = ["train", "--data", str(discs), "data.overlapping=true", *tiny, *network, "freeze=1", "epochs=2"]
    more = ["model.decoder.deep_supervision=true", f"loss={loss}", 'metrics=["iou","nested-iou","roc-auc"]']
    assert cli.run([*words, *more, f"out={tmp_path / 'out'}"]) == 0


def test_what_needs_one_class_a_pixel_is_refused_before_anything_is_written(discs, tmp_path, capsys):
    words = ["train", "--data", str(discs), "data.overlapping=true", *TINY, f"out={tmp_path / 'out'}"]
    for setting, told in (
        ("loss=lovasz-softmax", "loss 'lovasz-softmax' has one class a pixel, and these classes overlap"),
        ('metrics=["mcc"]', "metric 'mcc' has one class a pixel, and these classes overlap"),
    ):
        assert cli.run([*words, setting]) == 2
        assert told in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
