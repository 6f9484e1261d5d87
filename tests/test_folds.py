"""Cross-validation: every fold is trained and scored, and a training that stopped goes on."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.errors import OptionError
from segzoo.training import Recipe, folds
from segzoo.training.folds import CrossValidation, Fold, cross_validate, own_folds
from segzoo.training.recipe.schema import DataSource


def squares(root: Path, count: int = 6) -> Path:
    """Return a folder of dark images with a bright square each."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros((16, 16), np.uint8)
        y, x = random.integers(0, 8, 2)
        mask[y : y + 8, x : x + 8] = 255
        noise = random.integers(0, 60, (16, 16, 3), np.uint8)
        Image.fromarray(noise + (mask // 2)[..., None]).save(root / f"images/{number}.png")
        Image.fromarray(mask).save(root / f"masks/{number}.png")
    return root


def recipe(folder: Path, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "data": str(folder),
        "split": {"folds": 3},
        "model_options": {"width": 2, "depth": 2, "upsample": "bilinear"},
        "augment": {"crop": {"size": 16}},
        "out": str(folder.parent / "run"),
        "epochs": 1,
        "batch_size": 2,
        "precision": "no",
        "device": "cpu",
    }
    return Recipe(**{**values, **changes})


def fold(number: int, dice: float, cell: float = 0.9, part: str = "val") -> Fold:
    return Fold(
        number=number,
        folder=Path(f"fold-{number}"),
        epoch=3,
        seconds=1.5,
        part=part,
        images=6,
        scores={"dice": {"per_image": dice, "contract": "dice of cell"}},
        classes={"cell": {"dice": cell, "iou": cell - 0.1}},
    )


def test_mean_and_deviation_are_those_of_the_sample() -> None:
    found = CrossValidation(Path("run"), (fold(0, 0.8), fold(1, 0.9), fold(2, 0.7)))
    assert found.mean["dice_per_image"] == pytest.approx(0.8)
    assert found.deviation["dice_per_image"] == pytest.approx(0.1)
    assert found.mean["dice of cell"] == pytest.approx(0.9)
    assert found.deviation["iou of cell"] == pytest.approx(0, abs=1e-12)


def test_a_fold_without_a_score_is_left_out_of_the_mean() -> None:
    found = CrossValidation(Path("run"), (fold(0, 0.8), fold(1, math.nan), fold(2, 0.6)))
    assert found.mean["dice_per_image"] == pytest.approx(0.7)
    told = found.to_json()
    assert told["folds"][1]["scores"]["dice"]["per_image"] is None
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert math.isnan(CrossValidation(Path("run"), (fold(0, 0.8),)).deviation["dice_per_image"])


def test_what_is_told_says_what_scored_it() -> None:
    chose = CrossValidation(Path("run"), (fold(0, 0.8), fold(1, 0.9)))
    assert "val part, which also chose the epoch" in chose.to_json()["mean"]["contract"]
    unseen = CrossValidation(Path("run"), (fold(0, 0.8, part="test"), fold(1, 0.9, part="test")))
    assert "test part, unseen" in unseen.to_json()["mean"]["contract"]


def test_the_table_has_a_row_for_each_score() -> None:
    header, rows = CrossValidation(Path("run"), (fold(0, 0.8), fold(1, 0.9))).table()
    assert header == ["SCORE", "MEAN", "DEVIATION", "FOLD 0", "FOLD 1"]
    assert rows[0] == ["dice_per_image", "0.8500", "0.0707", "0.8000", "0.9000"]
    assert [row[0] for row in rows] == ["dice_per_image", "dice of cell", "iou of cell"]


@pytest.mark.slow
def test_every_fold_is_trained_and_scored_on_what_it_left_out(tmp_path: Path) -> None:
    found = cross_validate(recipe(squares(tmp_path / "squares")), progress=False)
    assert [one.number for one in found.folds] == [0, 1, 2]
    assert all(one.images == 2 and one.part == "val" for one in found.folds)
    assert {"dice_per_image", "dice_pooled", "dice of background", "iou of foreground"} <= {*found.columns}
    told = json.loads((tmp_path / "run/folds.json").read_text())
    assert told["mean"]["dice_per_image"] == pytest.approx(found.mean["dice_per_image"])
    with (tmp_path / "run/folds.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["fold"] for line in lines] == ["0", "1", "2", "mean", "deviation"]
    for one in found.folds:
        assert segzoo.load(one.folder) is not None
        training = segzoo.load(one.folder).segzoo_config.provenance["recipe"]
        assert training["split"] == {"folds": 3, "fold": one.number}


@pytest.mark.slow
def test_one_that_stopped_goes_on_and_trains_no_fold_twice(tmp_path: Path, monkeypatch: Any) -> None:
    wanted = recipe(squares(tmp_path / "squares"))
    real, trained = folds.train, []

    def stopping(one: Recipe, **options: Any) -> Any:
        if one.split["fold"] == 2 and len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(one.split["fold"])
        return real(one, **options)

    monkeypatch.setattr(folds, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(wanted, progress=False)
    assert trained == [0, 1]
    with pytest.raises(OptionError, match="already holds a run"):
        cross_validate(wanted, progress=False)
    trained.append(-1)
    found = cross_validate(wanted, progress=False, resume=True)
    assert trained == [0, 1, -1, 2]
    assert len(found.folds) == 3
    other = recipe(tmp_path / "squares", epochs=2)
    with pytest.raises(OptionError, match=r"another recipe: epochs: 1 there, 2 here"):
        cross_validate(other, progress=False, resume=True)


def test_a_recipe_without_folds_says_how_to_have_some(tmp_path: Path) -> None:
    data = squares(tmp_path / "squares", count=3)
    with pytest.raises(OptionError, match=r"defines no folds: set how many, such as split\.folds=5"):
        cross_validate(recipe(data, split={}), progress=False)
    with pytest.raises(OptionError, match=r"divides the data by split\.share: use split\.folds=5 instead"):
        cross_validate(recipe(data, split={"share": 0.5}), progress=False)
    with pytest.raises(OptionError, match=r"split\.folds=4 is too many"):
        cross_validate(recipe(data, split={"folds": 4}), progress=False)


def slices(root: Path) -> Path:
    """Return a folder with ten slices of ISBI 2012's form."""
    root.mkdir()
    random = np.random.default_rng(0)
    for name in ("train-volume", "train-labels"):
        pages = [Image.fromarray(random.integers(0, 2, (16, 16), np.uint8) * 255) for _ in range(10)]
        pages[0].save(root / f"{name}.tif", save_all=True, append_images=pages[1:])
    return root


def test_a_data_set_with_folds_of_its_own_is_asked_how_many(tmp_path: Path) -> None:
    assert own_folds(DataSource("isbi2012", str(slices(tmp_path / "isbi")))) == 5
    assert own_folds(DataSource("dsb2018", str(tmp_path))) == 0


@pytest.mark.slow
def test_a_data_set_with_folds_of_its_own_is_scored_on_its_test_parts(tmp_path: Path) -> None:
    root = slices(tmp_path / "isbi")
    wanted = recipe(root, data="isbi2012", root=str(root), split={}, model_options={"width": 2, "depth": 2})
    found = cross_validate(wanted, progress=False)
    assert [one.part for one in found.folds] == ["test"] * 5
    assert all(one.images == 2 for one in found.folds)
    assert {"dice of membrane", "dice of cell"} <= {*found.columns}
