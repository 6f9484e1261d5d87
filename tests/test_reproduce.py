"""Weights say how they were made, and whether that still holds can be asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError, UsageError
from segzoo.interfaces import Sample
from segzoo.printing import command_line
from segzoo.publishing.provenance import data_checksum, provenance_of
from segzoo.publishing.release import release
from segzoo.publishing.reproduce import check, origin_of, rerun
from segzoo.specs import Labels
from segzoo.training import Recipe
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.recipe.writing import settings, train_command
from segzoo.weights.folder import read_config, save

if TYPE_CHECKING:
    from pathlib import Path


class Listed:
    """Samples in a list."""

    labels = Labels(classes=("background", "thing"))

    def __init__(self, *samples: Sample) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def sample(name: str, value: int = 0, kind: Any = np.uint8) -> Sample:
    return Sample(image=np.full((2, 3), value, kind), mask=np.zeros((2, 3), np.uint8), name=name)


def test_the_checksum_of_data_is_the_one_that_other_machines_find() -> None:
    one = data_checksum(Listed(sample("a", 1), sample("b", 2)))
    assert one == "sha256:ab9768391a27b7953a210a42e3c169310df9776b5608ebc6d4177d8c9f307d89"
    assert data_checksum(Listed(sample("b", 2), sample("a", 1))) == one, "the order of files is the disk's"
    assert data_checksum(Listed(sample("a", 1, np.dtype(">u1")), sample("b", 2))) == one


@pytest.mark.parametrize(
    "other",
    [
        Listed(sample("a", 1), sample("b", 3)),
        Listed(sample("a", 1), sample("c", 2)),
        Listed(sample("a", 1)),
        Listed(sample("a", 1), sample("b", 2, np.uint16)),
        Listed(sample("a", 1), replace(sample("b", 2), mask=np.ones((2, 3), np.uint8))),
        Listed(sample("a", 1), replace(sample("b", 2), field_of_view=np.ones((2, 3), np.bool_))),
        Listed(sample("a", 1), replace(sample("b", 2), image=np.full((3, 2), 2, np.uint8))),
    ],
)
def test_the_checksum_tells_other_pixels_names_and_shapes(other: Listed) -> None:
    assert data_checksum(other) != data_checksum(Listed(sample("a", 1), sample("b", 2)))


def test_big_and_little_endian_samples_have_one_checksum() -> None:
    little, big = (Listed(sample("a", 300, np.dtype(kind))) for kind in ("<u2", ">u2"))
    assert data_checksum(little) == data_checksum(big)


RECIPES: list[dict[str, Any]] = [
    {},
    {"model": "nested", "model_options": {"width": 8, "norm": None}, "epochs": 3, "learning_rate": 1e-4},
    {"split": {"folds": 5, "fold": 2, "group": "^(.*)_ x"}, "licence": "for tests, only"},
    {"data": "isbi2012", "data_options": {"fold": 1, "folds": "shuffled"}},
    {"augment": {"flip": {}, "crop": {"size": 64, "scale": (0.5, 2.0)}}},
    {"augment": {}, "schedule": "step", "schedule_options": {}, "optimizer": "sgd"},
    {"loss_options": {"weights": (1.0, 2.0)}, "mean": (0.5,), "std": (0.25,), "metrics": ("iou", "dice")},
    {"best": "dice.pooled", "compile": True, "steps": 10, "optimizer_options": {"weight_decay": 0.01}},
    {"data": "folder", "data_options": {"mask_suffix": "1", "images": "true"}, "weights": "unet-nuclei"},
]


@pytest.mark.parametrize("changes", RECIPES)
def test_a_command_says_the_recipe_word_by_word(changes: dict[str, Any]) -> None:
    recipe = Recipe(**{"data": "dsb2018", **changes})
    again = read_recipe(None, settings(recipe), data=recipe.data, out=recipe.out)
    assert again == recipe
    assert list(again.augment) == list(recipe.augment)


def test_a_command_is_safe_in_a_shell() -> None:
    recipe = Recipe(data="my photos", licence="it's mine; rm x", split={"group": "^(.*)_$"})
    told = command_line(*train_command(recipe, out="runs/a b"))
    assert told == (
        "segzoo train --data 'my photos' --out 'runs/a b' 'split.group=\"^(.*)_$\"'"
        " 'licence=it'\"'\"'s mine; rm x'"
    )


def test_the_command_for_all_folds_names_none() -> None:
    recipe = Recipe(data="isbi2012", data_options={"fold": 3, "folds": "contiguous"})
    assert command_line(*train_command(recipe, folds=True)) == (
        "segzoo train --data isbi2012 --folds data.folds=contiguous"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a folder of images with bright squares, and that of a training on them."""
    folder = tmp_path_factory.mktemp("reproduce")
    data = folder / "squares"
    random = np.random.default_rng(0)
    for number in range(12):
        part = data / ("train" if number < 6 else "val" if number < 8 else "test")
        mask = np.zeros((16, 16), np.uint8)
        y, x = random.integers(0, 8, 2)
        mask[y : y + 8, x : x + 8] = 255
        noise = random.integers(0, 60, (16, 16, 3), np.uint8)
        for kind, pixels in (("images", noise + (mask // 2)[..., None]), ("masks", mask)):
            (part / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(part / kind / f"{number}.png")
    recipe = Recipe(
        data=str(data),
        model_options={"width": 2, "depth": 2, "upsample": "bilinear"},
        augment={"crop": {"size": 16}},
        out=str(folder / "run"),
        epochs=2,
        batch_size=2,
        learning_rate=1e-2,
        precision="no",
        device="cpu",
    )
    segzoo.train(recipe, progress=False)
    return data, folder / "run"


@pytest.fixture(scope="module")
def once(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights that were released, to copy."""
    data, run_folder = trained
    folder = tmp_path_factory.mktemp("released") / "weights"
    words = ["--data", str(data), "--machine", "a test", "--device", "cpu", "--note", "Not for others."]
    assert run(["release", str(run_folder), str(folder), *words]) == 0
    return folder


@pytest.fixture
def released(trained: tuple[Path, Path], once: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return the images, and weights that were released."""
    return trained[0], shutil.copytree(once, tmp_path / "weights")


@pytest.mark.slow
def test_a_release_is_scored_as_it_ships_and_says_all_about_itself(released: tuple[Path, Path]) -> None:
    data, weights = released
    told = read_config(weights).provenance
    assert told["machine"] == "a test"
    assert set(told["checksums"]) == {"train", "val", "test"}
    test = open_dataset(str(data), split="test")
    assert told["checksums"]["test"] == data_checksum(test)
    (score,) = segzoo.evaluate(str(weights), test, metrics=["iou"])
    assert told["test"]["iou"]["per_image"] == pytest.approx(score.values["per_image"])
    low, high = told["test"]["iou"]["intervals"]["per_image"]
    assert low <= told["test"]["iou"]["per_image"] <= high
    assert told["test"]["images"] == 4
    stored = segzoo.weights.folder.load_file(weights / "model.safetensors").values()
    assert {tensor.dtype for tensor in stored if tensor.is_floating_point()} == {torch.float16}
    card = (weights / "README.md").read_text()
    assert "test iou per image" in card
    assert "test classes foreground dice" in card
    assert "a test" in card
    assert "- Not for others." in card
    assert str(data.parent) not in card + (weights / "config.json").read_text()


def test_released_weights_can_be_released_again_where_they_lie(released: tuple[Path, Path]) -> None:
    data, weights = released
    before = read_config(weights).provenance
    tensors = (weights / "model.safetensors").read_bytes()
    found = release(weights, weights, data=str(data), device="cpu", metrics=["dice"], by=["."], resamples=0)
    after = read_config(weights).provenance
    assert (weights / "model.safetensors").read_bytes() == tensors
    assert after["machine"] == before["machine"] == "a test"
    assert set(after["test"]) == {"images", "dice", "classes", "groups", "intervals by"}
    groups = after["test"]["groups"]
    assert [one["name"] for one in groups] == [one.name for one in found.groups]
    assert sum(one["images"] for one in groups) == after["test"]["images"]
    assert f"| {groups[0]['name']} | {groups[0]['images']} |" in (weights / "README.md").read_text()


def test_the_scores_of_all_folds_go_along_with_one_of_them(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run_folder = trained
    save(segzoo.load(run_folder), tmp_path / "folds/fold-1")
    told = {"mean": {"dice_per_image": 0.75, "contract": "of two folds"}, "folds": []}
    (tmp_path / "folds/folds.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match="holds folds: name one of them"):
        release(tmp_path / "folds", tmp_path / "weights", data=str(data))
    release(tmp_path / "folds/fold-1", tmp_path / "weights", data=str(data), device="cpu", resamples=0)
    assert read_config(tmp_path / "weights").provenance["cross_validation"] == told
    assert "| cross validation mean dice per image | 0.7500 | of two folds |" in (
        tmp_path / "weights/README.md"
    ).read_text().replace("_", " ")
    commands = origin_of(str(tmp_path / "weights"), data=str(data)).commands
    assert "--folds" in commands[-1]


def test_a_run_without_its_data_leaves_the_target_as_it_was(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises((FailureError, UsageError)):
        release(trained[1], tmp_path / "weights", data=str(tmp_path / "nowhere"))
    assert not (tmp_path / "weights").exists()
    with pytest.raises(UsageError, match="holds no weights"):
        release(tmp_path, tmp_path / "weights")


def test_weights_that_do_what_they_say_are_reproduced(released: tuple[Path, Path]) -> None:
    data, weights = released
    found = check(origin_of(str(weights), data=str(data)), device="cpu")
    assert found.reproduced
    assert {one.stated.name for one in found.scores} == {
        f"{metric} {value}" for metric in ("iou", "dice") for value in ("per_image", "pooled")
    }
    assert all(one.found == pytest.approx(one.stated.score) for one in found.scores)


def test_other_data_and_other_scores_are_told(
    released: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = released
    assert run(["reproduce", str(weights), "--data", str(data), "--check", "--device", "cpu"]) == 0
    assert "reproduced" in capsys.readouterr().out.splitlines()
    _change(
        weights, lambda told: told["test"]["iou"].update(per_image=0.1, intervals={"per_image": [0.05, 0.15]})
    )
    assert run(["reproduce", str(weights), "--data", str(data), "--check", "--device", "cpu"]) == 1
    told = capsys.readouterr().out
    assert "OUTSIDE [0.0500, 0.1500]" in told
    assert told.splitlines()[-1] == "NOT reproduced"


def test_a_pixel_that_differs_is_other_data(
    released: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = released
    other = tmp_path / "squares"
    shutil.copytree(data, other)
    path = other / "test/images/8.png"
    pixels = np.array(Image.open(path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    assert run(["reproduce", str(weights), "--data", str(other), "--check", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["reproduced"] is False
    assert told["data"][0]["same"] is False
    assert all(one["within"] for one in told["scores"])
    with pytest.raises(UsageError, match="its parts test have another checksum"):
        rerun(origin_of(str(weights), data=str(other)))


@pytest.mark.slow
def test_a_training_that_is_run_again_finds_the_same_scores(
    released: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = released
    out = str(tmp_path / "again")
    words = [
        "reproduce",
        str(weights),
        "--data",
        str(data),
        "--run",
        "--out",
        out,
        "--device",
        "cpu",
        "--json",
    ]
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["subject"] == out
    assert [one["part"] for one in told["data"]] == ["train", "val", "test"]
    assert run(words) == 2, "the folder holds a training now"


def test_weights_print_the_commands_that_made_them(
    released: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = released
    assert run(["reproduce", str(weights), "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"segzoo train --data {data} --out runs/weights model.width=2")
    assert "epochs=2" in lines[0]
    assert lines[1] == (f"segzoo evaluate runs/weights --data {data} --split test --metric iou --metric dice")


def test_weights_of_other_programs_say_what_is_known_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", "unet-isbi-mindspore"]) == 2
    told = capsys.readouterr().err
    assert "has no recipe" in told
    assert "paper: arXiv:1505.04597" in told
    assert "claimed by its authors: Dice 0.91" in told
    assert "gitee.com/mindspore" in told


def test_a_recipe_of_another_version_is_told_by_its_key(released: tuple[Path, Path]) -> None:
    data, weights = released
    _change(weights, lambda told: told["recipe"].update(sharpness=3))
    with pytest.raises(
        OptionError, match=r"trained with segzoo .*, and this version does not support its recipe.*sharpness"
    ):
        origin_of(str(weights), data=str(data))


def test_weights_that_were_not_released_have_nothing_to_compare_with(trained: tuple[Path, Path]) -> None:
    data, run_folder = trained
    origin = origin_of(str(run_folder), data=str(data))
    assert len(origin.commands) == 1
    with pytest.raises(UsageError, match="states no scores"):
        check(origin)


def test_options_that_exclude_one_another_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", "unet-nuclei", "--check", "--run"]) == 2
    assert run(["reproduce", "unet-nuclei", "--resume"]) == 2
    assert "need --run" in capsys.readouterr().err


def test_what_ships_with_the_project_holds_its_record() -> None:
    told = provenance_of("unet-nuclei")
    assert set(told["checksums"]) == {"train", "val", "test"}
    origin = origin_of("unet-nuclei")
    assert origin.recipe.model == "unet/tf_efficientnet_lite0"
    assert origin.recipe.separator["kind"] == "distance"
    assert all(one.low is not None and one.low < one.score for one in origin.scores)


def _change(weights: Path, change: Any) -> None:
    path = weights / "config.json"
    config = json.loads(path.read_text())
    change(config["provenance"])
    path.write_text(json.dumps(config))
