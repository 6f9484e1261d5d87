"""A recipe trains a model that predicts; crops depend on nothing but seed, epoch and sample."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError
from segzoo.interfaces import Sample
from segzoo.parts import open_dataset
from segzoo.specs import Labels, Preprocessing
from segzoo.training import Recipe
from segzoo.training.augment import augment
from segzoo.training.data import make_loader
from segzoo.training.loop import warm_cosine
from segzoo.training.recipe import make_recipe
from segzoo.training.settings import read_settings


@pytest.fixture
def squares(tmp_path):
    """Forty dark images with a bright square each, split by hash."""
    random = np.random.default_rng(0)
    root = tmp_path / "squares"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(40):
        mask = np.zeros((40, 48), np.uint8)
        y, x = random.integers(0, 24, 2)
        mask[y : y + 16, x : x + 16] = 255
        noise = random.integers(0, 60, (40, 48, 3), np.uint8)
        Image.fromarray(noise + (mask // 2)[..., None]).save(root / f"images/{number}.png")
        Image.fromarray(mask).save(root / f"masks/{number}.png")
    return root


def small(squares, tmp_path, **changes):
    values = {
        "data": str(squares),
        "model_options": {"width": 4, "depth": 3, "upsample": "bilinear"},
        "out": str(tmp_path / "run"),
        "crop": 32,
        "epochs": 6,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "precision": "no",
    }
    return Recipe(**{**values, **changes})


def test_training_learns_and_leaves_a_folder_that_predicts(squares, tmp_path):
    result = segzoo.train(small(squares, tmp_path), progress=False)
    assert result.best > 0.9
    test = open_dataset(str(squares), split="test")
    (score,) = segzoo.evaluate(str(result.folder), test, metrics=["iou"])
    assert score.values["per_image"] > 0.8
    config = json.loads((result.folder / "config.json").read_text())
    assert config["labels"]["classes"] == ["background", "foreground"]
    assert config["provenance"]["validation"]["contract"].startswith("dice = 2 TP")
    assert str(tmp_path) not in json.dumps(config)
    history = [json.loads(line) for line in (result.folder / "history.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4, 5, 6]
    assert max(entry["dice_per_image"] for entry in history) == result.best


def test_the_same_seed_gives_the_same_weights(squares, tmp_path):
    states = []
    for name in ("one", "two"):
        recipe = small(squares, tmp_path, epochs=1, out=str(tmp_path / name))
        states.append(segzoo.load(segzoo.train(recipe, progress=False).folder).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_trainings_in_one_process_may_differ_in_precision(squares, tmp_path):
    for precision in ("bf16", "no"):
        result = segzoo.train(small(squares, tmp_path, epochs=1, precision=precision), progress=False)
        assert segzoo.load(result.folder).segzoo_config.provenance["recipe"]["precision"] == precision


def test_deep_supervision_trains_every_head(squares, tmp_path):
    options = {"encoder": {"width": 4, "depth": 3}, "decoder": {"deep_supervision": True}}
    recipe = small(squares, tmp_path, model="nested/plain", model_options=options, epochs=1)
    before = segzoo.create("nested/plain", num_classes=1, **options)
    assert len(before.side_heads) == 1
    torch.manual_seed(recipe.seed)
    fresh = segzoo.create("nested/plain", num_classes=1, **options)
    trained = segzoo.load(segzoo.train(recipe, progress=False).folder)
    assert not torch.equal(fresh.side_heads[0].weight, trained.side_heads[0].weight)


class InMemory:
    """Samples that say which they are by their brightness."""

    labels = Labels(classes=("background", "foreground"))

    def __len__(self):
        return 7

    def __getitem__(self, index):
        image = np.random.default_rng(index).integers(0, 256, (20, 30, 3), np.uint8)
        return Sample(image=image, mask=(image[..., 0] > 128).astype(np.uint8), name=str(index))


@pytest.mark.slow
def test_crops_are_the_same_whatever_the_number_of_workers():
    batches = []
    for workers in (0, 2):
        recipe = Recipe(data="x", crop=16, batch_size=2, workers=workers)
        loader, sampler = make_loader(InMemory(), recipe, Preprocessing())
        sampler.epoch = 3
        batches.append(list(loader))
    for (images, masks), (others, their_masks) in zip(*batches, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(masks, their_masks)


def test_each_epoch_shuffles_anew_and_covers_everything():
    loader, sampler = make_loader(InMemory(), Recipe(data="x", batch_size=1), Preprocessing())
    orders = []
    for sampler.epoch in (1, 2):
        orders.append([index for _, index in sampler])
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(7))
    assert len(loader) == 7


@pytest.mark.parametrize("shape", [(20, 30), (3, 200), (1, 1), (64, 64)])
def test_a_crop_has_its_size_and_keeps_image_and_mask_together(shape):
    mask = (np.random.default_rng(0).random(shape) > 0.5).astype(np.uint8)
    image = np.repeat(mask[..., None] * 200, 3, axis=2).astype(np.uint8)
    recipe = Recipe(data="x", crop=16, scale=(1.0, 1.0), jitter=0)
    for seed in range(20):
        cut, classes = augment(image, mask, recipe, np.random.default_rng(seed))
        assert cut.shape == (16, 16, 3)
        assert np.array_equal(cut[..., 0], classes * 200)


def test_augmentation_depends_on_its_generator_alone():
    sample = InMemory()[0]
    recipe = Recipe(data="x", crop=16)
    one, again, other = (
        augment(sample.image, sample.mask, recipe, np.random.default_rng(s))[0] for s in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    share = warm_cosine(100, 0.1)
    rates = [share(step) for step in range(101)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_settings_are_json_or_words_and_go_where_they_belong():
    settings = ["epochs=3", "scale=[0.5,2]", "model.width=8", "data.classes=3", "precision=no", "jitter=0"]
    settings += ["loss.weights=[1,2]"]
    values = read_settings(settings)
    assert values == {
        "epochs": 3,
        "scale": (0.5, 2),
        "model_options": {"width": 8},
        "data_options": {"classes": 3},
        "loss_options": {"weights": [1, 2]},
        "precision": "no",
        "jitter": 0.0,
    }
    assert make_recipe({"data": "x", **values}).epochs == 3


@pytest.mark.parametrize("setting", ["epochs", "epochs=many", "epochs=1.5", "scale=2", "crop=true"])
def test_a_setting_of_another_kind_is_refused_by_name(setting):
    with pytest.raises(OptionError, match=setting.partition("=")[0]):
        read_settings([setting])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"data": "x", "epoch": 3}, "did you mean 'epochs'"),
        ({}, "say what to train on"),
        ({"data": "x", "epochs": 0}, "epochs"),
        ({"data": "x", "scale": (2.0, 1.0)}, "scale"),
        ({"data": "x", "learning_rate": 0.0}, "learning_rate"),
        ({"data": "x", "precision": "fp8"}, "precision"),
        ({"data": "x", "warmup": 1.0}, "warmup"),
        ({"data": "x", "jitter": -1.0}, "jitter"),
    ],
)
def test_a_recipe_with_a_wrong_value_says_which(values, told):
    with pytest.raises(OptionError, match=told):
        make_recipe(values)


def test_a_loss_that_is_no_longer_finite_stops_the_training(squares, tmp_path, monkeypatch):
    recipe = small(squares, tmp_path, learning_rate=1e30, epochs=3)
    with pytest.raises(FailureError, match="lower learning_rate"):
        segzoo.train(recipe, progress=False)


def test_a_mean_and_std_go_into_the_weights_config(squares, tmp_path):
    recipe = small(squares, tmp_path, epochs=1, mean=(0.1,), std=(0.2,))
    preprocessing = segzoo.load(segzoo.train(recipe, progress=False).folder).segzoo_config.preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0.1,), (0.2,))
    with pytest.raises(OptionError, match="go together"):
        small(squares, tmp_path, mean=(0.1,))


def test_options_of_the_loss_reach_it(squares, tmp_path):
    with pytest.raises(OptionError, match="2 classes need as many weights, got 3"):
        segzoo.train(small(squares, tmp_path, loss_options={"weights": [1, 1, 1]}), progress=False)
    with pytest.raises(OptionError, match="wieghts"):
        segzoo.train(small(squares, tmp_path, loss_options={"wieghts": [1, 1]}), progress=False)


def test_an_empty_split_is_named(squares, tmp_path):
    for part in ("images", "masks"):
        for path in (squares / part).glob("*.png"):
            if path.stem != "1":
                path.unlink()
    with pytest.raises(OptionError, match="is empty"):
        segzoo.train(small(squares, tmp_path), progress=False)


def test_outside_a_field_of_view_nothing_is_trained_on():
    class Eye:
        labels = Labels(classes=("background", "vessel"), ignore_index=255)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            view = np.tile([True, False], (8, 4))
            return Sample(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8), "eye", field_of_view=view)

    recipe = Recipe(data="eye", crop=8, batch_size=1, scale=(1.0, 1.0))
    ((_, masks),) = make_loader(Eye(), recipe, Preprocessing())[0]
    assert sorted(masks.unique().tolist()) == [1, 255]
    assert (masks == 255).sum() == 32


def test_weights_trained_at_half_size_say_so_and_a_cache_on_disk_is_used(squares, tmp_path):
    options = {"scale": 0.5, "cache": str(tmp_path / "kept")}
    result = segzoo.train(small(squares, tmp_path, data_options=options, epochs=1), progress=False)
    resize = segzoo.load(result.folder).segzoo_config.preprocessing.resize
    assert (resize.mode, resize.scale) == ("scale", 0.5)
    assert any((tmp_path / "kept").glob("*.npz"))


def test_a_model_of_other_classes_cannot_be_scored_on_the_data(squares):
    model = segzoo.create("unet", num_classes=4, width=2)
    with pytest.raises(OptionError, match=r"4 classes apart.*has 2"):
        segzoo.evaluate(model, open_dataset(str(squares)))


def test_the_commands_train_predict_and_evaluate(squares, tmp_path, capsys):
    out = str(tmp_path / "run")
    settings = ["model.width=4", "model.depth=3", "crop=32", "epochs=1", "precision=no"]
    assert run(["train", "--data", str(squares), "--out", out, *settings]) == 0
    assert f"segzoo predict IMAGES --model {out}" in capsys.readouterr().out
    assert run(["predict", str(squares / "images"), "--model", out, "--out", str(tmp_path / "masks")]) == 0
    assert len(list((tmp_path / "masks").glob("*_mask.png"))) == 40
    capsys.readouterr()
    assert run(["info", out]) == 0
    assert "foreground" in capsys.readouterr().out
    assert run(["evaluate", out, "--data", str(squares), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert [score["metric"] for score in scores] == ["iou", "dice"]
    assert all("background left out" in score["contract"] for score in scores)
    assert run(["train", "--data", str(squares), "epoch=1"]) == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
