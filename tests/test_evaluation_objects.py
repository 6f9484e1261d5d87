"""Objects that masks number are what is scored, in evaluation, in validation and of predictions in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.datasets.folder import FolderDataset
from segzoo.errors import OptionError
from segzoo.evaluation import score_predictions
from segzoo.training.data.splits import open_splits
from segzoo.training.recipe.reading import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

#: Two nuclei that touch, and one alone: as pixels, the first two are one.
NUMBERS = np.kron([[0, 0, 0, 0, 0], [0, 1, 4, 0, 9], [0, 1, 4, 0, 9], [0, 0, 0, 0, 0]], np.ones((8, 8), int))


def folder(root: Path) -> Path:
    for number in range(12):
        for part, mask in (("images", (NUMBERS > 0) * 200), ("masks", NUMBERS)):
            (root / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8)).save(root / part / f"{number:02}.png")
    return root


@pytest.mark.parametrize(("told", "objects"), [({"instances": True}, 3), ({"instances": {"1-9": 1}}, 3)])
def test_a_model_is_scored_by_the_objects_of_the_data_set(tmp_path: Path, told: dict, objects: int) -> None:
    model = segzoo.create("unet", width=4, num_classes=2)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([1.0, -1.0]))  # it finds nothing
    dataset = open_dataset(str(folder(tmp_path)), split="all", **told)
    scores = segzoo.evaluate(model, dataset, metrics=["count-error"])
    assert scores[0].values == {"per_image": objects, "pooled": 1.0}


@pytest.mark.parametrize("metric", ["pq", "dice"])
def test_validation_keeps_the_objects_in_memory_where_a_metric_asks_for_them(
    tmp_path: Path, metric: str
) -> None:
    settings = ["data.instances=true", f"metrics={metric}"]
    recipe = read_recipe(None, settings, data=str(folder(tmp_path)))
    _, validation = open_splits(recipe.source, recipe.split, metrics=recipe.metrics)
    for _ in range(2):
        assert (validation[0].instances is not None) == (metric == "pq")


@pytest.mark.medium
def test_numbered_predictions_are_scored_object_by_object(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    joined = np.where(NUMBERS == 4, 1, NUMBERS)
    for name, mask in (("right", NUMBERS * 3), ("joined", joined)):
        (tmp_path / name).mkdir()
        for number in range(12):
            Image.fromarray(mask.astype(np.uint16)).save(tmp_path / name / f"{number:02}.png")
    for truth in (data / "masks", FolderDataset(data, "all", instances=True)):
        told = {"metrics": ["pq", "aji", "count-error"], "instances": True, "resamples": 0}
        right = score_predictions(tmp_path / "right", truth, **told)
        assert [score.values["pooled"] for score in right.scores] == [1, 1, 0]
        merged = score_predictions(tmp_path / "joined", truth, **told)
        assert merged.scores[2].values == {"per_image": 1, "pooled": 1 / 3}
        assert merged.scores[0].values["pooled/recognition"] == 1 / (1 + 1 / 2 + 2 / 2)


def test_numbered_predictions_are_of_one_class(tmp_path: Path) -> None:
    data = folder(tmp_path)
    labels = segzoo.specs.numbered_labels(3)
    with pytest.raises(OptionError, match="for one class and a background"):
        score_predictions(data / "masks", data / "masks", labels=labels, instances=True)


@pytest.mark.slow
def test_weights_whose_validation_found_no_object_can_be_loaded(tmp_path: Path) -> None:
    """Of objects that nothing met, some scores are no number, which a config cannot hold."""
    settings = ["data.instances=true", "model.width=2", "metrics=pq", "epochs=1", "crop=32", "average=0.5"]
    recipe = read_recipe(None, settings, data=str(folder(tmp_path / "data")), out=str(tmp_path / "run"))
    segzoo.train(recipe)
    assert segzoo.load(str(tmp_path / "run")) is not None
