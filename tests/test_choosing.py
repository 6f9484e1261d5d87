"""What is chosen on validation: the temperature of the truth, thresholds and sizes that score best."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import segzoo
from segzoo.cli import run
from segzoo.config import Architecture, ModelConfig, config_of, from_json, to_json
from segzoo.errors import MissingExtraError, OptionError, WeightsError
from segzoo.evaluation import evaluate
from segzoo.exporting.preprocessing import WholeImage
from segzoo.exporting.probing import Reference
from segzoo.interfaces import Sample
from segzoo.specs import IGNORED, Labels, Preprocessing, Separator
from segzoo.training import Recipe
from segzoo.training.choosing import choose
from segzoo.training.data.splits import open_splits
from segzoo.training.network import make_network
from segzoo.weights.folder import save

CELLS = Labels(classes=("background", "cell"), ignore_index=255)


class Level(nn.Module):
    """Logits that rise with the value of a grey image: ``slope (x - level)``, for each level."""

    def __init__(self, slope, *levels, pairs=False, **config):
        super().__init__()
        self.slope, self.levels, self.pairs = slope, levels, pairs
        self.register_buffer("nothing", torch.zeros(1))
        given = {"labels": CELLS, "preprocessing": Preprocessing(channels="grey"), **config}
        count = 2 if pairs else len(levels)
        self.segzoo_config = ModelConfig(
            architecture=Architecture(name="level", num_classes=count, in_channels=1), **given
        )

    def forward(self, images):
        found = torch.cat([self.slope * (images - level) for level in self.levels], dim=1)
        return torch.cat([-found / 2, found / 2], dim=1) if self.pairs else found


class Data:
    """Samples that are held."""

    def __init__(self, samples, labels=CELLS):
        self.samples, self.labels = samples, labels

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def cells(count=6, size=(48, 56), specks=True):
    """Discs of about 0.6 on about 0.2; specks of 2x2 pixels are as bright and are no cells."""
    random, made = np.random.default_rng(0), []
    rows, columns = np.mgrid[: size[0], : size[1]]
    for number in range(count):
        truth = np.zeros(size, np.uint8)
        for _ in range(3):
            row, column = random.integers(8, size[0] - 8), random.integers(8, size[1] - 8)
            truth[(rows - row) ** 2 + (columns - column) ** 2 <= 36] = 1
        values = np.where(truth, 0.6, 0.2) + random.normal(0, 0.05, size)
        for _ in range(6 if specks else 0):
            row, column = random.integers(0, size[0] - 2), random.integers(0, size[1] - 2)
            values[row : row + 2, column : column + 2] = 0.8
        image = (values.clip(0, 1) * 255).round().astype(np.uint8)
        made.append(Sample(image=image[..., None], mask=truth, name=f"{number}"))
    return made


def chances(temperature, count=4, size=(60, 70)):
    """Grey images, whose truth is drawn with the probability ``sigmoid((x - 128) / 16 / temperature)``."""
    random, made = np.random.default_rng(1), []
    for number in range(count):
        image = random.integers(0, 256, size, np.uint8)
        probability = 1 / (1 + np.exp(-(image / 16.0 - 8) / temperature))
        truth = (random.random(size) < probability).astype(np.uint8)
        made.append(Sample(image[..., None], truth, f"{number}"))
    return made


def test_the_threshold_and_the_smallest_object_are_those_that_score_best():
    network, data = Level(8, 0.7), Data(cells())
    before = config_of(network)
    chosen = choose(network, data, "dice", what=("threshold", "smallest_object"))
    assert config_of(network) == before
    assert 0.05 <= chosen.threshold <= 0.15
    assert chosen.smallest_object in (8, 16, 32, 64)
    assert chosen.temperature == 1
    assert chosen.column == "dice_per_image"
    assert chosen.after > 0.98 > chosen.before
    assert [reason.split()[0] for reason in chosen.reasons] == ["threshold", "smallest"]
    network.segzoo_config = chosen.applied(before)
    # Weights predict with what was chosen: their score is the one that was promised.
    (masks,) = evaluate(
        segzoo.Predictor(network, smallest_object=chosen.smallest_object), data, metrics=["dice"]
    )
    assert masks.values["per_image"] == pytest.approx(chosen.after, abs=1e-9)


@pytest.mark.medium
def test_the_same_is_chosen_every_time():
    found = [choose(Level(8, 0.7), Data(cells()), "iou.pooled") for _ in range(2)]
    assert found[0] == found[1]
    assert found[0].column == "iou_pooled"


@pytest.mark.medium
def test_a_temperature_is_found_that_made_the_truth_and_masks_stay():
    network, data = Level(255 / 16, 128 / 255), Data(chances(2.5))
    chosen = choose(network, data, what=("temperature",))
    assert chosen.temperature == pytest.approx(2.5, rel=0.05)
    assert chosen.nll_after < chosen.nll_before
    assert (chosen.threshold, chosen.smallest_object) == (0.5, 0)
    assert chosen.after == pytest.approx(chosen.before)
    nll = evaluate(network, data, metrics=["nll", "ece"])
    network.segzoo_config = chosen.applied(config_of(network))
    cooled = evaluate(network, data, metrics=["nll", "ece"])
    assert nll[0].values["pooled"] == pytest.approx(chosen.nll_before, abs=2e-3)
    assert cooled[0].values["pooled"] == pytest.approx(chosen.nll_after, abs=2e-3)
    assert cooled[1].values["pooled"] < 0.02 < nll[1].values["pooled"]
    # What is calibrated already stays so.
    again = choose(network, data, what=("temperature",))
    assert again.temperature == pytest.approx(chosen.temperature, rel=1e-3)


def test_a_threshold_moves_with_the_temperature_so_that_masks_stay():
    data = Data(chances(2.0))
    network = Level(255 / 16, 128 / 255, threshold=0.3)
    chosen = choose(network, data, what=("temperature",))
    assert 0.3 < chosen.threshold < 0.5
    assert chosen.after == pytest.approx(chosen.before, abs=1e-4)


def test_a_threshold_far_from_a_half_stays_between_0_and_1_at_a_much_lower_temperature():
    right = [replace(one, mask=(one.image[..., 0] > 128).astype(np.uint8)) for one in chances(1.0)]
    network = Level(255 / 16, 128 / 255, threshold=0.95)
    chosen = choose(network, Data(right), what=("temperature",))
    assert chosen.temperature < 0.2
    assert 0.95 < chosen.applied(config_of(network)).threshold < 1


def test_two_logits_get_a_threshold_of_the_second_class():
    chosen = choose(Level(8, 0.7, pairs=True), Data(cells(specks=False)), what=("threshold",))
    assert chosen.threshold == 0.5
    assert list(chosen.thresholds) == ["cell"]
    assert chosen.thresholds["cell"] < 0.2
    assert chosen.after > 0.98


def test_classes_that_overlap_get_a_threshold_each():
    labels = Labels(classes=("dim", "bright"), overlapping=True)
    samples = []
    for one in cells(specks=False):
        planes = np.stack([one.mask, one.mask])
        planes[1, :4] = IGNORED
        samples.append(replace(one, mask=planes))
    network = Level(8, 0.7, 0.42, labels=labels)
    chosen = choose(network, Data(samples, labels), what=("threshold",))
    assert chosen.thresholds["dim"] < 0.2
    assert chosen.thresholds.get("bright", chosen.threshold) == pytest.approx(0.5, abs=0.1)
    assert chosen.after > 0.98 > chosen.before
    network.segzoo_config = chosen.applied(config_of(network))
    (found,) = evaluate(network, Data(samples, labels), metrics=["dice"])
    assert found.values["per_image"] == pytest.approx(chosen.after)


def test_of_many_classes_the_most_probable_one_is_taken_and_thresholds_stay():
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=3, width=2, depth=2, in_channels=1).eval()
    labels = config_of(model).labels
    samples = [replace(one, mask=one.mask * np.uint8(2)) for one in cells(2)]
    model.segzoo_config = replace(config_of(model), preprocessing=Preprocessing(channels="grey"))
    chosen = choose(model, Data(samples, labels))
    assert chosen.thresholds == {}
    assert "most probable" in " ".join(chosen.reasons)
    assert chosen.after >= chosen.before


def test_one_image_without_any_object_chooses_what_there_was():
    empty = [Sample(np.full((20, 20, 1), 30, np.uint8), np.zeros((20, 20), np.uint8), "empty")]
    chosen = choose(Level(8, 0.7), Data(empty))
    assert (chosen.threshold, chosen.smallest_object) == (0.5, 0) or chosen.temperature != 1
    assert chosen.after == chosen.before == 1
    ignored = [replace(empty[0], mask=np.full((20, 20), 255, np.uint8))]
    chosen = choose(Level(8, 0.7), Data(ignored))
    assert (chosen.temperature, chosen.threshold, chosen.smallest_object) == (1, 0.5, 0)
    assert json.loads(json.dumps(to_json(chosen.applied(config_of(Level(8, 0.7)))), allow_nan=False))


def test_a_metric_of_probabilities_leaves_masks_alone():
    chosen = choose(Level(8, 0.7), Data(cells()), "roc-auc")
    assert chosen.smallest_object == 0
    assert any("scores probabilities" in reason for reason in chosen.reasons)


@pytest.mark.parametrize("what", [(), ("colour",), "threshold"])
def test_only_what_is_known_can_be_chosen(what):
    with pytest.raises(OptionError, match="what must be a list of some of"):
        choose(Level(8, 0.7), Data(cells(1)), what=what)


def test_a_config_keeps_thresholds_by_class_and_refuses_those_of_no_class():
    config = config_of(Level(8, 0.7))
    assert "thresholds" not in to_json(config)
    told = json.loads(json.dumps(to_json(replace(config, thresholds={"cell": 0.25}))))
    assert from_json(told, "here").thresholds == {"cell": 0.25}
    for wrong, message in (
        ({"nucleus": 0.5}, "thresholds name 'nucleus'"),
        ({"background": 0.5}, "thresholds name 'background'"),
        ({"cell": 1.0}, "must lie between 0 and 1"),
        ({"cell": "high"}, "the threshold of class 'cell'"),
    ):
        with pytest.raises(WeightsError, match=message):
            from_json({**told, "thresholds": wrong}, "here")


def test_thresholds_of_a_config_hold_unless_a_person_says_another():
    image = cells(1)[0].image
    network = Level(8, 0.7, thresholds={"cell": 0.1})
    low, high = segzoo.Predictor(network), segzoo.Predictor(network, threshold=0.5)
    assert low(image).mask.sum() > high(image).mask.sum()
    assert low.settings != high.settings
    same = segzoo.Predictor(network, thresholds={"cell": 0.5})
    assert np.array_equal(same(image).mask, high(image).mask)


@pytest.mark.parametrize(
    "network",
    [
        Level(8, 0.7, thresholds={"cell": 0.1}, temperature=2.0),
        Level(8, 0.7, threshold=0.2, temperature=0.5),
        Level(8, 0.7, pairs=True, thresholds={"cell": 0.1}, temperature=2.0),
    ],
)
def test_exported_files_with_preprocessing_decide_as_the_predictor_does(network):
    image = cells(1)[0].image
    expected = segzoo.Predictor(network)(image).mask
    assert expected.any()
    found = WholeImage(network, config_of(network), torch.uint8)(torch.from_numpy(image))
    assert np.array_equal(found.numpy(), expected)


def test_small_objects_stay_in_exported_files_and_in_what_certifies_them():
    image = cells(1)[0].image
    network = Level(8, 0.7, smallest_object=10_000)
    assert not segzoo.Predictor(network)(image).mask.any()
    found = WholeImage(network, config_of(network), torch.uint8)(torch.from_numpy(image)).numpy()
    assert found.any()
    assert np.array_equal(Reference(network, with_preprocessing=True)(image), found)


def test_probabilities_are_averaged_at_the_temperature_of_each_network():
    image = cells(1)[0].image
    hot, cold = Level(8, 0.4, temperature=4.0), Level(8, 0.4)
    each = [segzoo.Predictor(one)(image, probabilities=True).probabilities for one in (hot, cold)]
    together = segzoo.Predictor([hot, cold])
    assert together(image, probabilities=True).probabilities == pytest.approx(
        (each[0] + each[1]) / 2, abs=1e-5
    )
    views = segzoo.Predictor(hot, flips=("horizontal",))(image, probabilities=True).probabilities
    assert views == pytest.approx(each[0], abs=1e-5)
    assert together.settings != segzoo.Predictor([cold, cold]).settings
    assert together.about["temperature"] == "4, 1"
    assert "temperature" not in segzoo.Predictor(cold).about


def test_another_temperature_is_another_setting_of_a_run():
    # Else --resume would mix probabilities of both.
    hot, cold = Level(8, 0.4, temperature=4.0), Level(8, 0.4)
    assert segzoo.Predictor(hot).settings != segzoo.Predictor(cold).settings
    image = cells(1)[0].image
    assert np.array_equal(segzoo.Predictor(hot)(image).mask, segzoo.Predictor(cold)(image).mask)


@pytest.fixture
def folder(tmp_path):
    """Cells as a dataset divided into parts."""
    for number, one in enumerate(cells(9)):
        part = ("train", "train", "val")[number % 3]
        for kind, picture in (("images", one.image[..., 0]), ("masks", one.mask * np.uint8(255))):
            place = tmp_path / "data" / part / kind
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(place / f"{number}.png")
    return tmp_path / "data"


def recipe(folder, tmp_path, **changes):
    given = {
        "data": str(folder),
        "model_options": {"width": 2, "depth": 2},
        "augment": {"crop": {"size": 32}},
        "epochs": 2,
        "precision": "no",
        "out": str(tmp_path / "run"),
        "choose": ("temperature", "threshold", "smallest_object"),
    }
    return Recipe(**{**given, **changes})


@pytest.mark.slow
def test_a_recipe_that_chooses_leaves_weights_that_know(folder, tmp_path):
    result = segzoo.train(recipe(folder, tmp_path), progress=False)
    assert result.chosen is not None
    config = config_of(segzoo.load(result.folder))
    assert config.temperature == result.chosen.temperature != 1
    assert config.threshold == result.chosen.threshold
    assert config.smallest_object == result.chosen.smallest_object
    stored = config.provenance["chosen"]
    assert stored["before"] == pytest.approx(result.best, abs=1e-6)
    assert stored["after"] >= stored["before"]
    assert len(stored["reasons"]) == 3
    # Resuming what is finished chooses the same again.
    again = segzoo.train(recipe(folder, tmp_path), resume=True, progress=False)
    assert again.chosen == result.chosen
    assert to_json(config_of(segzoo.load(result.folder))) == to_json(config)


def test_a_library_that_choosing_needs_is_missed_before_training(tmp_path, monkeypatch):
    for number in range(4):
        for kind in ("images", "masks"):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            pixels = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) // 128 + number
            Image.fromarray(pixels).save(tmp_path / "data" / kind / f"{number}.png")
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    options = {
        "data_options": {"instances": True},
        "separator": {"kind": "distance"},
        "choose": ("separator",),
    }
    with pytest.raises(MissingExtraError, match="needs SciPy"):
        segzoo.train(recipe(tmp_path / "data", tmp_path, **options), progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ctrl_c_while_values_are_chosen_ends_at_once_and_resuming_chooses(folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("segzoo.training.entry.choose_for_run", lambda _: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            segzoo.train(recipe(folder, tmp_path), progress=False)
    assert segzoo.train(recipe(folder, tmp_path), resume=True, progress=False).chosen is not None


CHOSEN = {"threshold": 0.3, "thresholds": {"cell": 0.2}, "temperature": 2.0, "smallest_object": 9}


def test_weights_that_are_trained_anew_forget_what_was_chosen_for_them(folder, tmp_path):
    network = segzoo.create("unet", num_classes=1, width=2, depth=2)
    labels = Labels(classes=("background", "cell"))
    save(network, tmp_path / "weights", config=replace(config_of(network), labels=labels, **CHOSEN))
    # A head of its own, and data whose classes have other names.
    fresh = segzoo.create(f"local-dir:{tmp_path / 'weights'}", num_classes=3, weights=None)
    trained = recipe(folder, tmp_path, model=f"local-dir:{tmp_path / 'weights'}", model_options={})
    for config in (config_of(fresh), config_of(make_network(trained, open_splits(trained.source, {})[0]))):
        assert "cell" not in config.labels.classes
        assert (config.threshold, config.thresholds, config.temperature) == (0.5, {}, 1.0)
        assert config.smallest_object == 0


def test_what_a_recipe_chooses_must_be_known(folder, tmp_path):
    with pytest.raises(OptionError, match="choose"):
        recipe(folder, tmp_path, choose=("colour",))


@pytest.mark.slow
def test_calibrate_writes_weights_that_know_and_leaves_the_old_ones(folder, tmp_path, capsys):
    trained = segzoo.train(recipe(folder, tmp_path, choose=()), progress=False).folder
    before = (trained / "config.json").read_bytes()
    command = ["calibrate", str(trained), "--out", str(tmp_path / "new")]
    assert run([*command, "--choose", "temperature,threshold", "--metric", "iou.pooled"]) == 0
    told = capsys.readouterr().out
    assert "temperature" in told
    assert "threshold" in told
    assert (trained / "config.json").read_bytes() == before
    config = config_of(segzoo.load(tmp_path / "new"))
    assert config.provenance["chosen"]["column"] == "iou_pooled"
    assert config.provenance["recipe"]
    old, new = (segzoo.load(one).state_dict() for one in (trained, tmp_path / "new"))
    assert all(torch.equal(old[name], new[name]) for name in old)
    # What is there is kept, unless told.
    assert run(command) == 1
    assert "exist already" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["column"] == "dice_per_image"
    # JSON has no NaN, for the likelihood of a temperature that was not fitted.
    assert run([*command, "--overwrite", "--json", "--choose", "threshold"]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["nll_after"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--choose", "colour"], "'colour' is unknown"),
        (["--metric", "nothing"], "nothing"),
        (["--metric", "dice.nothing"], "dice has no value 'nothing'"),
        (["--split", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_calibrated_is_told(folder, tmp_path, words, told, capsys):
    save(segzoo.create("unet", num_classes=1, width=2, depth=2), tmp_path / "weights")
    command = ["calibrate", str(tmp_path / "weights"), "--data", str(folder), "--out", str(tmp_path / "new")]
    assert run([*command, *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def touching(separator, numbered=True):
    """Two cells touch, and the separator takes a corner of one for a third."""
    image, truth = np.full((24, 48), 26, np.uint8), np.zeros((24, 48), np.int32)
    for number, (columns, core) in enumerate(((slice(4, 16), 9), (slice(17, 29), 22)), start=1):
        image[4:18, columns], image[10:12, core : core + 2], truth[4:18, columns] = 153, 255, number
    image[4:18, 16], truth[4:18, 16] = 102, 1
    image[10:13, 29:33], image[10:13, 29], image[11, 31], truth[10:13, 29:33] = 153, 102, 255, 2
    mask = (truth > 0).astype(np.uint8)
    data = Data([Sample(image[..., None], mask, "0", instances=truth if numbered else None)] * 2)
    return Level(8, 0.3, 0.9, separator=separator), data


def test_the_smallest_object_of_a_network_with_a_separator_is_scored_as_it_predicts():
    network, data = touching(Separator(kind="distance", seed=0.5, smallest=1))
    chosen = choose(network, data, "ap", what=("smallest_object",))
    assert chosen.smallest_object > 9
    assert chosen.after == 1 > chosen.before
    network.segzoo_config = chosen.applied(config_of(network))
    (found,) = evaluate(segzoo.Predictor(network), data, metrics=["ap"])
    assert found.values[chosen.column.removeprefix("ap_")] == chosen.after


@pytest.mark.parametrize(("seed", "smallest", "changed"), [(0.5, 1, True), (0.95, 1, True), (0.5, 4, False)])
def test_the_seeds_of_a_separator_are_those_that_find_most_objects(seed, smallest, changed):
    network, data = touching(now := Separator(kind="distance", seed=seed, smallest=smallest))
    chosen = choose(network, data, "dice", what=("separator",))
    assert (chosen.separator != now) is changed
    assert "ap_per_image" in chosen.reasons[0]
    assert ("stays" in chosen.reasons[0]) is not changed
    network.segzoo_config = chosen.applied(config_of(network))
    assert config_of(network).separator == chosen.separator
    (found,) = evaluate(segzoo.Predictor(network), data, metrics=["ap"])
    assert found.values["per_image"] == 1


def test_the_separator_stays_if_nothing_says_which_seeds_are_better():
    network, data = touching(now := Separator(kind="distance", seed=0.3), numbered=False)
    chosen = choose(network, data, "dice", what=("separator",))
    assert chosen.separator == now
    assert chosen.reasons == (
        "separator stays seed 0.3, smallest seed 1 pixels: the masks do not number objects",
    )
    chosen = choose(Level(8, 0.3), Data(cells(1)), "dice", what=("separator",))
    assert (chosen.separator, chosen.reasons) == (None, ("separator: this network has none",))
