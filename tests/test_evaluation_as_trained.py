"""A model is scored on masks that are read as its training read them, and on classes of the same names."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.config import config_of
from segzoo.errors import OptionError
from segzoo.evaluation import for_model, score_model
from segzoo.interfaces import Sample
from segzoo.specs import Labels
from segzoo.training.data.trained import open_scored, training_of

if TYPE_CHECKING:
    from pathlib import Path

PALETTE = ((0, 0, 0), (255, 0, 0), (0, 255, 0))
SMALL = ["model.width=2", "model.depth=2", "crop=16", "epochs=1", "precision=no"]


def write(
    folder: Path, *, count: int = 10, seed: int = 0, images: str = "photos", masks: str = "truth"
) -> Path:
    """Write images with masks in colours, whose names end in ``_seg``."""
    random = np.random.default_rng(seed)
    for part in (images, masks):
        (folder / part).mkdir(parents=True)
    for number in range(10):
        mask = random.integers(0, 3, (16, 16))
        Image.fromarray(np.array(PALETTE, np.uint8)[mask]).save(folder / masks / f"{number}_seg.png")
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(
            folder / images / f"{number}.png"
        )
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Train on masks whose reading takes five options; return the folder that holds data and run."""
    folder = tmp_path_factory.mktemp("trained with blanks")
    data = write(folder / "my data")
    options = [
        "data.images=photos",
        "data.masks=truth",
        "data.mask_suffix=_seg",
        "data.classes=none,cell,rim",
    ]
    palette = f"data.palette={json.dumps(PALETTE)}"
    words = ["train", "--data", str(data), "--out", str(folder / "run"), "--no-progress", *SMALL]
    assert run([*words, *options, "data.classes=none,cell,rim", palette]) == 0
    return folder


def evaluated(capsys, *words: str) -> tuple[dict, str]:
    """Return what a command prints as JSON, and what it tells beside it."""
    capsys.readouterr()
    code = run(["evaluate", *words, "--json", "--resamples", "0", "--device", "cpu"])
    told = capsys.readouterr()
    assert code == 0, told.err
    return json.loads(told.out), told.err


@pytest.mark.slow
def test_masks_of_another_folder_are_read_as_the_training_read_its_own(trained, tmp_path, capsys):
    other = write(tmp_path / "other", seed=1)
    found, told = evaluated(capsys, str(trained / "run"), "--data", str(other), "--split", "all")
    assert found["images"]
    assert len(found["images"]) == 10
    assert [one["name"] for one in found["classes"]["scores"]] == ["none", "cell", "rim"]
    assert told.count("\n") == 1
    assert "masks are read as" in told
    assert found["about"]["data"] == told.strip()
    assert all(word in told for word in ("images=photos", "masks=truth", "mask_suffix=_seg", "palette=[[0"))


@pytest.mark.medium
def test_options_of_the_command_line_win_over_those_of_the_training(trained, tmp_path, capsys):
    other = write(tmp_path / "other", seed=1, masks="masks")
    words = [str(trained / "run"), "--data", str(other), "--split", "all"]
    assert run(["evaluate", *words, "--device", "cpu"]) == 1  # the training's masks lay in truth
    for option in ("masks=masks", "masks=null"):
        found, _ = evaluated(capsys, *words, "--data-option", option)
        assert len(found["images"]) == 10
    renamed = ["--data-option", "masks=masks", "--classes", "a,b,c"]
    assert run(["evaluate", *words, *renamed]) == 2
    assert "no class has the same name in both" in capsys.readouterr().err


def test_of_other_data_that_nobody_divided_a_tenth_is_scored_and_that_is_told(trained, tmp_path, capsys):
    other = write(tmp_path / "other", seed=1)
    found, told = evaluated(capsys, str(trained / "run"), "--data", str(other))
    assert (found["split"], len(found["images"])) == ("test", 1)
    assert "has no parts: scored on a tenth of it" in told
    assert "--split all" in told


def test_without_data_a_run_is_scored_on_the_test_part_of_its_own(trained, capsys):
    found, told = evaluated(capsys, str(trained / "run"))
    assert (found["data"], found["split"]) == (str(trained / "my data"), "test")
    assert "too good" not in told
    other, _ = evaluated(capsys, str(trained / "run"), "--data", str(trained / "my data"), "--split", "test")
    assert found["scores"] == other["scores"]


@pytest.mark.slow
def test_without_a_test_part_a_run_is_scored_on_what_chose_its_weights(trained, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", str(trained / "run"), "--out", str(out), "--no-progress", "split.share=0.3"]
    assert run(words) == 0
    # Dividing the whole folder leaves nothing for a test.
    found, told = evaluated(capsys, str(out))
    assert found["split"] == "val"
    assert len(found["images"]) == 3
    assert "contains training images: scored on 'val', which also chose the weights" in told
    # The same part of the same data is what the training validated with, however it is named.
    again, _ = evaluated(capsys, str(out), "--data", str(trained / "my data"), "--split", "val")
    assert [one["name"] for one in again["images"]] == [one["name"] for one in found["images"]]


@pytest.mark.medium
def test_the_best_epochs_of_a_run_know_its_data_too(trained, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(["train", str(trained / "run"), "--out", str(out), "--no-progress", "keep_best=2"]) == 0
    found, _ = evaluated(capsys, str(out / "best" / "epoch-001"))
    assert found["split"] == "test"


def test_weights_that_left_their_folder_know_how_masks_were_read(trained, tmp_path, capsys):
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / "run" / name, moved / name)
    other = write(tmp_path / "other", seed=1)
    found, told = evaluated(capsys, str(moved), "--data", str(other), "--split", "all")
    assert len(found["images"]) == 10
    assert f"masks are read as in the config of {moved}" in told
    assert json.loads((moved / "config.json").read_text())["provenance"]["dataset"] == "folder"
    assert run(["evaluate", str(moved)]) == 2
    assert "no data to score: use --data; the model was trained on 'my data'" in capsys.readouterr().err


def test_data_that_is_gone_is_named(trained, tmp_path, capsys):
    run_folder = shutil.copytree(trained / "run", tmp_path / "run")
    recipe = run_folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("my data", "gone"))
    assert run(["evaluate", str(run_folder)]) == 2
    told = capsys.readouterr().err
    assert "no data to score: use --data" in told
    assert "gone" in told


def test_weights_that_were_never_trained_here_need_data(tmp_path, capsys):
    segzoo.save(segzoo.create("unet", num_classes=2, width=2, depth=2), tmp_path / "weights")
    assert run(["evaluate", str(tmp_path / "weights")]) == 2
    assert (
        "no data to score: use --data; it is not known what the model was trained on"
        in capsys.readouterr().err
    )


def test_a_recipe_of_another_version_is_an_error_that_names_its_key(trained, tmp_path, capsys):
    run_folder = shutil.copytree(trained / "run", tmp_path / "run")
    recipe = run_folder / "recipe.toml"
    recipe.write_text("colour = 3\n" + recipe.read_text())
    assert run(["evaluate", str(run_folder)]) == 2
    assert "line 1: no recipe has a key 'colour'" in capsys.readouterr().err


class Made:
    """One sample a class, each a mask of that class alone with a row of what is ignored."""

    def __init__(self, *classes: str, **labels) -> None:
        self.labels = Labels(classes=classes, **labels)
        self.names = [f"{index}" for index in range(len(classes))]

    def __len__(self) -> int:
        return len(self.labels.classes)

    def __getitem__(self, index: int) -> Sample:
        if self.labels.overlapping:
            mask = np.zeros((len(self), 8, 8), np.uint8)
            mask[index] = 1
            mask[:, 0] = 255
        else:
            mask = np.full((8, 8), index, np.uint8)
            if self.labels.ignore_index is not None:
                mask[0] = self.labels.ignore_index
        return Sample(np.zeros((8, 8, 3), np.uint8), mask, self.names[index])


OURS = Labels(classes=("background", "cat", "dog", "bird"))


def test_classes_of_equal_names_have_the_models_indices_whatever_their_order():
    told: list[str] = []
    data = Made("dog", "bird", "_background_", "Cat", background=2, ignore_index=255)
    found = for_model(data, OURS, on_message=told.append)
    assert [int(found[index].mask[1, 1]) for index in range(4)] == [2, 3, 0, 1]
    assert all((found[index].mask[0] == found.labels.ignore_index).all() for index in range(4))
    assert found.labels.classes == OURS.classes
    assert found.labels.background == 0
    assert (found.names, len(found)) == (["0", "1", "2", "3"], 4)
    assert told == ["classes are matched by name"]


def test_the_same_classes_are_the_data_set_itself():
    data = Made(*OURS.classes, ignore_index=255)
    assert for_model(data, OURS) is data


def test_a_class_that_the_model_does_not_know_is_named_or_left_out_where_that_is_asked():
    data = Made("background", "dog", "horse", "cow")
    with pytest.raises(OptionError, match=r"does not know horse, cow, which the dataset has; .*bird"):
        for_model(data, OURS)
    told: list[str] = []
    found = for_model(data, OURS, ignore_unknown=True, on_message=told.append)
    ignored = found.labels.ignore_index
    assert [int(found[index].mask[1, 1]) for index in range(4)] == [0, 2, ignored, ignored]
    assert told == [
        "classes are matched by name; not scored, because the model does not know them: horse, cow"
    ]


def test_classes_none_of_which_the_model_knows_are_refused_even_then():
    with pytest.raises(OptionError, match="no class has the same name"):
        for_model(Made("background", "horse", "cow"), OURS, ignore_unknown=True)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("background", "class 1", "class 2"), ("void", "cell", "rim")),
        (("none", "cell", "rim"), ("background", "class 1", "class 2")),
        (("background", "nucleus"), ("background", "cell")),
    ],
)
def test_classes_without_names_and_single_ones_are_matched_by_their_order_and_that_is_told(ours, theirs):
    told: list[str] = []
    data = Made(*theirs)
    assert for_model(data, Labels(classes=ours), on_message=told.append) is data
    assert "matched by their order" in told[0]


def test_numbered_classes_of_another_number_are_refused():
    with pytest.raises(OptionError, match=r"the model has 4 classes .* the dataset has 3"):
        for_model(Made("background", "class 1", "class 2"), OURS)


def test_a_class_that_a_file_lists_in_two_cases_is_never_merged():
    with pytest.raises(OptionError, match="does not know Dog"):
        for_model(Made("background", "dog", "Dog"), OURS)
    with pytest.raises(OptionError, match="does not know DOG, dOg"):
        for_model(Made("background", "cat", "DOG", "dOg"), OURS)


def test_a_class_that_the_model_ignored_in_training_is_not_scored():
    ours = Labels(classes=("other", "road", "house"), ignore_index=0, background=None)
    found = for_model(Made("house", "other", "road", background=None), ours)
    ignored = found.labels.ignore_index
    assert [int(found[index].mask[1, 1]) for index in range(3)] == [2, ignored, 1]


def test_classes_that_overlap_are_matched_plane_by_plane():
    ours = Labels(classes=("vessel", "disc", "cup"), overlapping=True)
    found = for_model(Made("disc", "vessel", overlapping=True), ours)
    assert [found[index].mask[:, 1, 1].tolist() for index in range(2)] == [[0, 1, 0], [1, 0, 0]]
    assert (found[0].mask[:, 0] == 255).all()
    with pytest.raises(OptionError, match="classes overlap in the model"):
        for_model(Made("disc", "vessel"), ours)


def test_a_model_is_scored_on_data_that_lists_its_classes_in_another_order():
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=3, width=2, depth=2).eval()
    labels = Labels(classes=("background", "cat", "dog"))
    model.segzoo_config = replace(config_of(model), labels=labels)
    straight = score_model(model, Made("background", "cat", "dog"), resamples=0)
    turned = score_model(model, Made("background", "dog", "cat"), resamples=0)
    assert [one.iou for one in straight.classes] == pytest.approx([one.iou for one in turned.classes])
    assert turned.labels.classes == labels.classes


def test_data_of_another_kind_takes_no_options_of_masks(trained, tmp_path):
    """A COCO file has classes of its own: neither palette nor suffix of a folder is meant for it."""
    pytest.importorskip("segzoo_formats")
    file = coco(tmp_path / "coco", {7: "rim", 3: "cell"})
    labels = Labels(classes=("none", "cell", "rim"))
    training = training_of(str(trained / "run"), {})
    found = open_scored(labels, training, data="coco", root=str(file.parent), part="all")
    assert not found.told
    matched = for_model(found.dataset, labels)
    assert {int(one) for index in range(len(matched)) for one in np.unique(matched[index].mask)} == {0, 1, 2}


def coco(folder: Path, categories: dict[int, str]) -> Path:
    """Write a COCO file of three images, on each a square of each category."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(3):
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 16, "width": 16})
        for place, category in enumerate(categories):
            x = 8 * place
            ring = [x, 2, x + 6, 2, x + 6, 8, x, 8]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "segmentation": [ring],
                    "bbox": [x, 2, 6, 6],
                    "area": 36,
                    "iscrowd": 0,
                }
            )
    told = [{"id": key, "name": name} for key, name in categories.items()]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": told}))
    return file
