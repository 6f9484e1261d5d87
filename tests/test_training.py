"""A recipe trains a model that predicts; batches depend on nothing but seed, epoch and sample."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError, UsageError
from segzoo.interfaces import Sample
from segzoo.specs import Labels, Preprocessing
from segzoo.training import Recipe
from segzoo.training.data.loader import Batches, make_loader
from segzoo.training.data.splits import open_splits
from segzoo.training.loop.trainer import training_loss
from segzoo.training.network import make_network, start_of
from segzoo.training.transfer import transfer
from segzoo.weights.folder import save

NO_AUGMENT = {"crop": {"size": 16}}


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
        "augment": {"crop": {"size": 32, "scale": (0.8, 1.25)}, "turn": {}, "flip": {}},
        "epochs": 6,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "precision": "no",
    }
    return Recipe(**{**values, **changes})


def weights(folder):
    return segzoo.load(folder).state_dict()


@pytest.mark.slow
def test_training_learns_and_leaves_a_folder_that_predicts(squares, tmp_path):
    result = segzoo.train(small(squares, tmp_path), progress=False)
    assert result.best > 0.9
    assert result.metric == "dice_per_image"
    assert result.scores["dice_per_image"] == result.best
    test = open_dataset(str(squares), split="test")
    (score,) = segzoo.evaluate(str(result.folder), test, metrics=["iou"])
    assert score.values["per_image"] > 0.8
    config = json.loads((result.folder / "config.json").read_text())
    assert config["labels"]["classes"] == ["background", "foreground"]
    assert config["provenance"]["validation"]["dice"]["contract"].startswith("dice = 2 TP")
    assert str(tmp_path) not in json.dumps(config)
    with (result.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert max(float(row["dice_per_image"]) for row in rows) == pytest.approx(result.best, rel=1e-6)
    for name in ("recipe.toml", "curves.png", "report.html"):
        assert (result.folder / name).stat().st_size > 100


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(squares, tmp_path):
    states = []
    for name in ("one", "two"):
        recipe = small(squares, tmp_path, epochs=1, out=str(tmp_path / name))
        states.append(weights(segzoo.train(recipe, progress=False).folder))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
def test_a_training_in_a_used_folder_is_refused_unless_it_may_overwrite(squares, tmp_path):
    recipe = small(squares, tmp_path, epochs=1)
    segzoo.train(recipe, progress=False)
    with pytest.raises(OptionError, match="already holds a run: resume it"):
        segzoo.train(recipe, progress=False)
    again = replace(recipe, precision="bf16")
    result = segzoo.train(again, overwrite=True, progress=False)
    assert segzoo.load(result.folder).segzoo_config.provenance["recipe"]["precision"] == "bf16"


@pytest.mark.slow
def test_a_slip_beside_overwrite_leaves_the_training_before_as_it_is(squares, tmp_path):
    recipe = small(squares, tmp_path, epochs=1)
    before = weights(segzoo.train(recipe, progress=False).folder)
    for slip in ({"data": str(tmp_path / "nothing")}, {"model_options": {"width": 0}}):
        with pytest.raises(UsageError):
            segzoo.train(replace(recipe, **slip), overwrite=True, progress=False)
    assert weights(recipe.out).keys() == before.keys()
    segzoo.train(recipe, resume=True, progress=False)


@pytest.mark.slow
def test_a_training_folder_is_a_model_to_go_on_with_by_its_path(squares, tmp_path, monkeypatch):
    first = segzoo.train(small(squares, tmp_path, epochs=1), progress=False)
    monkeypatch.chdir(tmp_path)
    options = {"epochs": 1, "model": f"./{first.folder.name}", "model_options": {}, "out": "next"}
    second = segzoo.train(small(squares, tmp_path, **options), progress=False)
    assert weights(second.folder).keys() == weights(first.folder).keys()
    assert segzoo.load(second.folder).segzoo_config.provenance["recipe"]["model"] == first.folder.name


def test_weights_for_other_classes_give_their_network_and_what_fits(squares, tmp_path):
    source = tmp_path / "source"
    save(segzoo.create("unet", num_classes=3, width=4, depth=3), source)
    recipe = small(squares, tmp_path, model=str(source), model_options={})
    training, _ = open_splits(recipe.source, recipe.split, metrics=recipe.metrics)
    assert start_of(recipe) == f"local-dir:{source}"
    for same in (recipe, replace(recipe, weights=str(source))):
        network = make_network(same, training)
        report = transfer(network, start_of(same))
        assert [name for name, *_ in report.shape] == ["head.weight", "head.bias"]
        assert not report.missing
    assert start_of(replace(recipe, model="unet")) == ""
    # Who says which weights the network itself is to have gets those, and no others.
    assert start_of(replace(recipe, model_options={"weights": None})) == ""


@pytest.mark.slow
def test_a_training_from_weights_for_other_classes_tells_what_does_not_fit(squares, tmp_path, capfd):
    torch.manual_seed(1)
    source = save(segzoo.create("unet", num_classes=3, width=4, depth=3), tmp_path / "source")
    recipe = small(squares, tmp_path, model=str(source), model_options={}, epochs=1, learning_rate=1e-9)
    result = segzoo.train(recipe)
    told = capfd.readouterr().err
    assert "2 of another shape, which start from scratch: head.weight (3x4x1x1 there, 1x4x1x1 here)" in told
    begun, ended = segzoo.load(source).state_dict(), segzoo.load(result.folder).state_dict()
    stem = next(name for name, one in begun.items() if one.ndim == 4)
    assert torch.allclose(ended[stem], begun[stem], atol=1e-6)


def test_a_network_for_other_channels_than_the_images_have_is_refused(squares, tmp_path):
    recipe = small(squares, tmp_path, model_options={"width": 4, "in_channels": 4})
    with pytest.raises(OptionError, match=r"has 3 bands .* takes 4.* set model.in_channels=3"):
        segzoo.train(recipe, progress=False)


def test_resuming_nothing_is_an_error(squares, tmp_path):
    with pytest.raises(OptionError, match="no run to resume"):
        segzoo.train(small(squares, tmp_path), resume=True, progress=False)


@pytest.mark.slow
def test_deep_supervision_trains_every_head(squares, tmp_path):
    options = {"encoder": {"width": 4, "depth": 3}, "decoder": {"deep_supervision": True}}
    recipe = small(squares, tmp_path, model="nested/plain", model_options=options, epochs=1)
    torch.manual_seed(recipe.seed)
    fresh = segzoo.create("nested/plain", num_classes=1, **options)
    trained = segzoo.load(segzoo.train(recipe, progress=False).folder)
    assert len(fresh.side_heads) == 1
    assert not torch.equal(fresh.side_heads[0].weight, trained.side_heads[0].weight)


@pytest.mark.parametrize(
    ("said", "weight", "parts"),
    [
        ("auto", 0.4, (0.4, 1.0)),
        ("auto", None, (0.5, 0.5)),
        ("mean", 0.4, (0.5, 0.5)),
        ("sum", 0.4, (1.0, 1.0)),
        (0.1, 0.4, (0.1, 1.0)),
    ],
)
def test_side_heads_weigh_what_the_recipe_says_and_else_the_decoder(squares, said, weight, parts):
    data = open_dataset("folder", root=squares, split="all")
    loss = training_loss("ce", {}, data, data.labels, supervision=said, side_weight=weight)
    masks = torch.randint(0, 2, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    outputs = [torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    naive = [F.binary_cross_entropy_with_logits(one[:, 0], masks.float()) for one in outputs]
    assert float(loss(outputs, masks)) == pytest.approx(
        sum(part * float(one) for part, one in zip(parts, naive, strict=True)), rel=1e-5
    )


@pytest.mark.slow
def test_a_batch_taken_in_parts_gives_the_same_weights_without_batch_norm(squares, tmp_path):
    model = {"width": 4, "depth": 3, "upsample": "bilinear", "norm": None}
    states = []
    for parts in (1, 2):
        recipe = small(
            squares, tmp_path, epochs=1, loss="ce", model_options=model, accumulate=parts,
            optimizer="sgd", out=str(tmp_path / str(parts)),
        )  # fmt: skip
        states.append(weights(segzoo.train(recipe, progress=False).folder))
    assert all(torch.allclose(states[0][key], states[1][key], atol=1e-6) for key in states[0])


@pytest.mark.slow
def test_computing_activations_again_changes_no_weight(squares, tmp_path):
    states = []
    for again in (False, True):
        recipe = small(squares, tmp_path, epochs=1, checkpointing=again, out=str(tmp_path / str(again)))
        states.append(weights(segzoo.train(recipe, progress=False).folder))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
def test_the_moving_average_is_what_is_saved(squares, tmp_path):
    plain = segzoo.train(small(squares, tmp_path, epochs=2, out=str(tmp_path / "plain")), progress=False)
    recipe = small(squares, tmp_path, epochs=2, average=0.99, out=str(tmp_path / "average"))
    averaged = segzoo.train(recipe, progress=False)
    one, other = weights(plain.folder), weights(averaged.folder)
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.slow
def test_training_stops_when_nothing_gets_better(squares, tmp_path):
    recipe = small(squares, tmp_path, epochs=30, patience=2, learning_rate=1e-12)
    result = segzoo.train(recipe, progress=False)
    rows = (result.folder / "history.jsonl").read_text().splitlines()
    assert len(rows) == result.epoch + 2


@pytest.mark.slow
def test_a_frozen_encoder_stays_as_it_is(squares, tmp_path):
    recipe = small(squares, tmp_path, epochs=1, freeze=1, model_options={"width": 4, "depth": 3})
    torch.manual_seed(recipe.seed)
    fresh = segzoo.create("unet", num_classes=1, width=4, depth=3).state_dict()
    trained = weights(segzoo.train(recipe, progress=False).folder)
    changed = {key.partition(".")[0] for key in fresh if not torch.equal(fresh[key], trained[key])}
    assert changed == {"decoder", "head"}


@pytest.mark.slow
def test_steps_instead_of_epochs_end_a_training_in_the_middle_of_one(squares, tmp_path):
    result = segzoo.train(small(squares, tmp_path, steps=10), progress=False)
    entries = [json.loads(line) for line in (result.folder / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [8, 10]


class InMemory:
    """Samples that say which they are by their brightness."""

    labels = Labels(classes=("background", "foreground"))

    def __len__(self):
        return 7

    def __getitem__(self, index):
        image = np.random.default_rng(index).integers(0, 256, (20, 30, 3), np.uint8)
        return Sample(image=image, mask=(image[..., 0] > 128).astype(np.uint8), name=str(index))


@pytest.mark.slow
def test_batches_are_the_same_whatever_the_number_of_workers():
    batches = []
    for workers in (0, 2):
        loader, sampler = make_loader(InMemory(), NO_AUGMENT, Preprocessing(), batch_size=2, workers=workers)
        sampler.epoch = 3
        batches.append(list(loader))
    for one, other in zip(*batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))


def test_each_epoch_shuffles_anew_and_covers_everything():
    sampler = Batches(7, 1)
    orders = []
    for sampler.epoch in (1, 2):
        orders.append([index for batch in sampler for _, index in batch])
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(7))


def test_processes_share_every_batch_and_see_together_what_one_alone_sees():
    alone = list(Batches(10, 4, seed=5))
    shared = [list(Batches(10, 4, seed=5, rank=rank, processes=2)) for rank in (0, 1)]
    assert [[*first, *second] for first, second in zip(*shared, strict=True)] == alone


def test_an_epoch_goes_on_with_the_batch_after_the_last_one_seen():
    whole, rest = Batches(10, 3, seed=1), Batches(10, 3, seed=1)
    rest.start = 2
    assert list(rest) == list(whole)[2:]
    assert len(rest) == 1


def test_a_batch_that_processes_cannot_share_is_an_error_that_names_one_they_can():
    with pytest.raises(OptionError, match=r"batch_size=5 cannot be divided among 2 .*: use batch_size=4"):
        Batches(10, 5, processes=2)


class OfSizes(InMemory):
    """Samples of sizes of their own, which files may tell."""

    def __init__(self, folder, *sizes, told=True):
        self.sizes, self.decoded = sizes, []
        self.paths = [folder / f"{number}.png" for number in range(len(sizes))]
        for path, size in zip(self.paths, sizes, strict=True):
            Image.fromarray(np.zeros(size, np.uint8)).save(path)
        if told:
            self.files = lambda index: (self.paths[index],)

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        self.decoded.append(index)
        image = np.zeros((*self.sizes[index], 3), np.uint8)
        return Sample(image=image, mask=image[..., 0], name=str(index))


@pytest.mark.parametrize("steps", [{}, {"flip": {}, "color": {}}])
@pytest.mark.parametrize("told", [True, False])
def test_images_of_one_size_are_one_batch_where_no_step_changes_it(tmp_path, steps, told):
    images = OfSizes(tmp_path, (20, 30), (20, 30), (20, 30), told=told)
    loader, _ = make_loader(images, steps, Preprocessing(), batch_size=3)
    assert images.decoded == ([0] if told else [0, 0, 1, 2])  # where files tell their size, none is decoded
    assert next(iter(loader)).images.shape == (3, 3, 20, 30)


@pytest.mark.parametrize("told", [True, False])
def test_images_of_different_sizes_cannot_be_one_batch(tmp_path, told):
    images = OfSizes(tmp_path, (20, 30), (20, 31), told=told)
    with pytest.raises(OptionError, match="cannot form one batch: end it with crop"):
        make_loader(images, {"flip": {}}, Preprocessing(), batch_size=8)


def test_turns_of_images_that_are_not_square_cannot_be_one_batch():
    with pytest.raises(OptionError, match="cannot form one batch: end it with crop"):
        make_loader(InMemory(), {"turn": {}}, Preprocessing(), batch_size=8)


def test_a_data_set_that_brings_its_files_to_one_size_makes_batches(tmp_path):
    images = OfSizes(tmp_path, (20, 30), (40, 60))
    images.sizes = ((20, 30), (20, 30))
    loader, _ = make_loader(images, {}, Preprocessing(), batch_size=2)
    assert next(iter(loader)).masks.shape == (2, 20, 30)


def test_images_whose_files_tell_another_size_than_they_have_are_named_in_an_error(tmp_path):
    images = OfSizes(tmp_path, (20, 30), (20, 30))
    images.sizes = ((20, 30), (24, 30))
    loader, _ = make_loader(images, {}, Preprocessing(), batch_size=2)
    with pytest.raises(OptionError, match="one batch has images of 20 x 30 and 24 x 30 pixels"):
        next(iter(loader))


@pytest.mark.medium
def test_a_loss_that_is_no_longer_finite_stops_the_training(squares, tmp_path):
    recipe = small(squares, tmp_path, learning_rate=1e30, epochs=3)
    with pytest.raises(FailureError, match="lower the learning rate"):
        segzoo.train(recipe, progress=False)


@pytest.mark.slow
def test_a_mean_and_std_go_into_the_weights_config(squares, tmp_path):
    recipe = small(squares, tmp_path, epochs=1, mean=(0.1,), std=(0.2,))
    preprocessing = segzoo.load(segzoo.train(recipe, progress=False).folder).segzoo_config.preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0.1,), (0.2,))
    with pytest.raises(OptionError, match="go together"):
        small(squares, tmp_path, mean=(0.1,))


@pytest.mark.medium
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

    (batch,) = make_loader(Eye(), {"crop": {"size": 8}}, Preprocessing(), batch_size=1)[0]
    assert sorted(batch.masks.unique().tolist()) == [1, 255]
    assert (batch.masks == 255).sum() == 32


@pytest.mark.slow
def test_weights_trained_at_half_size_say_so_and_a_cache_on_disk_is_used(squares, tmp_path):
    options = {"scale": 0.5, "cache": str(tmp_path / "kept")}
    result = segzoo.train(small(squares, tmp_path, data_options=options, epochs=1), progress=False)
    resize = segzoo.load(result.folder).segzoo_config.preprocessing.resize
    assert (resize.mode, resize.scale) == ("scale", 0.5)
    assert any((tmp_path / "kept").glob("*.npz"))


def test_a_model_of_other_classes_cannot_be_scored_on_the_data(squares):
    model = segzoo.create("unet", num_classes=4, width=2)
    with pytest.raises(OptionError, match=r"4 classes .*has 2"):
        segzoo.evaluate(model, open_dataset(str(squares)))


@pytest.mark.medium
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


def test_one_of_several_devices_is_chosen_outside(squares, tmp_path):
    with pytest.raises(OptionError, match="CUDA_VISIBLE_DEVICES"):
        segzoo.train(small(squares, tmp_path, device="cuda:1"), progress=False)
