"""Evaluation: scores per class and image, intervals over images, and what does not count."""

from __future__ import annotations

import json
import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError
from segzoo.evaluation import score_model, score_predictions
from segzoo.evaluation.bootstrap import draws, mean_interval, percentiles
from segzoo.evaluation.evaluator import GROUPS, Evaluator, columns, tally
from segzoo.evaluation.samples import ScoredSample, named_metrics
from segzoo.interfaces import Sample
from segzoo.prediction import Predictor
from segzoo.specs import Labels, numbered_labels

THREE = Labels(classes=("background", "cell", "wall"), ignore_index=255)


def masks(number: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A truth, and a prediction that is wrong in about a fifth of the pixels."""
    random = np.random.default_rng(number)
    truth = random.integers(0, classes, (12, 17), np.uint8)
    wrong = random.random(truth.shape) < 0.2
    return np.where(wrong, random.integers(0, classes, truth.shape), truth).astype(np.uint8), truth


def cases(count: int) -> list[ScoredSample]:
    return [ScoredSample(f"image {number}", *masks(number)) for number in range(count)]


def counted(count: int, *, metrics=("iou", "dice"), resamples=200, seed=0, **options):
    result = Evaluator(named_metrics(metrics, THREE), THREE, **options)
    for case in cases(count):
        result.add(case)
    return result.result(subject="m", data="d", split=None, about={}, resamples=resamples, seed=seed)


class Samples:
    """Noise with two classes, of which a strip is out of view."""

    labels = numbered_labels(2)

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        image = np.random.default_rng(index).integers(0, 256, (20, 30, 3), np.uint8)
        mask = (image[..., 0] > 128).astype(np.uint8)
        view = np.ones(mask.shape, np.bool_)
        view[:, :10] = False
        return Sample(image=image, mask=mask, name=f"{index:03d}", field_of_view=view)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return segzoo.create("unet", num_classes=1, width=2, depth=2)


def test_scores_per_image_and_per_class_are_those_of_a_naive_count():
    found = counted(5)
    for index, (image, case) in enumerate(zip(found.images, cases(5), strict=True)):
        each = [
            np.sum((case.prediction == c) & (case.target == c))
            / np.sum((case.prediction == c) | (case.target == c))
            for c in (1, 2)
        ]
        assert image.name == f"image {index}"
        assert image.scores["iou"] == pytest.approx(np.mean(each))
    prediction, truth = (np.concatenate(both) for both in zip(*(masks(n) for n in range(5)), strict=True))
    for index, one in enumerate(found.classes):
        both = np.sum((prediction == index) & (truth == index))
        assert one.iou == pytest.approx(both / np.sum((prediction == index) | (truth == index)))
        assert one.precision == pytest.approx(both / np.sum(prediction == index))
        assert one.recall == pytest.approx(both / np.sum(truth == index))
        assert (one.truth, one.predicted) == (np.sum(truth == index), np.sum(prediction == index))
    assert found.confusion[1, 2] == np.sum((truth == 1) & (prediction == 2))


@pytest.mark.medium
def test_the_detailed_count_gives_the_scores_of_the_plain_one():
    plain = tally(cases(6), named_metrics(["iou", "dice", "confusion"], THREE), THREE)
    detailed = counted(6, metrics=("iou", "dice", "confusion"))
    for one, other in zip(plain, detailed.scores, strict=True):
        assert one.contract == other.contract
        assert one.values == pytest.approx(dict(other.values))


def test_the_first_metric_finds_the_worst_images_and_pictures_are_kept_of_those_alone():
    found = counted(9, worst=3)
    by_score = sorted(found.images, key=lambda image: image.scores["iou"])
    assert [one.name for one in found.worst] == [image.name for image in by_score[:3]]
    assert [panel.caption for panel in found.worst[0].panels] == ["truth", "prediction", "errors"]


def test_ignored_pixels_and_those_out_of_view_count_nowhere():
    prediction, truth = masks(1)
    wild_prediction, wild_truth = prediction.copy(), truth.copy()
    wild_truth[:3] = 255
    view = np.ones(truth.shape, np.bool_)
    view[3:5] = False
    wild_prediction[:5] = 2
    results = []
    for case in (
        ScoredSample("x", prediction[5:], truth[5:]),
        ScoredSample("x", wild_prediction, wild_truth, valid=view),
    ):
        result = Evaluator(named_metrics(["iou"], THREE), THREE)
        result.add(case)
        results.append(result.result(subject="m", data="d", split=None, about={}, resamples=0, seed=0))
    assert results[0].scores == results[1].scores
    assert np.array_equal(results[0].confusion, results[1].confusion)
    assert results[0].classes == results[1].classes
    assert (results[0].left_out, results[1].left_out) == (0, 5 * 17)


@pytest.mark.slow
def test_intervals_hold_the_score_repeat_with_their_seed_and_shrink_with_more_images():
    few, again, other, many = counted(8), counted(8), counted(8, seed=1), counted(80)
    for name in ("per_image", "pooled"):
        interval = few.intervals["iou"][name]
        assert interval.low < dict(few.scores[0].values)[name] < interval.high
        assert interval == again.intervals["iou"][name]
        assert interval != other.intervals["iou"][name]
        wide = many.intervals["iou"][name]
        assert wide.high - wide.low < interval.high - interval.low
    assert few.classes[1].iou_interval is not None


def test_the_interval_of_a_mean_is_the_percentile_bootstrap_of_its_definition():
    found = counted(8, resamples=300)
    values = np.array([image.scores["iou"] for image in found.images])
    means = draws(8, 300, 0) @ values / 8
    expected = astuple(percentiles(means))
    assert astuple(found.intervals["iou"]["per_image"]) == pytest.approx(expected)
    alone = mean_interval(values, values.mean(), draws(8, 300, 0))
    assert astuple(alone["per_image"]) == pytest.approx(expected)


@pytest.mark.medium
def test_more_images_than_groups_are_joined_and_none_is_lost():
    found = counted(GROUPS + 7, resamples=5)
    assert found.bootstrap.groups == GROUPS
    assert len(found.images) == GROUPS + 7
    assert found.confusion.sum() == (GROUPS + 7) * 12 * 17
    assert "200 groups of 207 images" in found.bootstrap.words(len(found.images))


def test_one_image_has_no_interval():
    found = counted(1)
    assert found.intervals == {"iou": {}, "dice": {}}
    assert found.classes[1].iou_interval is None


def test_a_class_that_nothing_holds_has_no_score_and_json_says_null():
    labels = numbered_labels(4)
    result = Evaluator(named_metrics(["iou"], labels), labels)
    result.add(ScoredSample("x", *masks(0)))
    found = result.result(subject="m", data="d", split=None, about={}, resamples=0, seed=0)
    assert math.isnan(found.classes[3].iou)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["classes"]["scores"][3]["iou"] is None
    assert told["segzoo"] == segzoo.__version__
    assert told["scores"][0]["contract"]


def test_columns_are_named_by_metric_and_value_where_there_are_several():
    assert columns("dice", {"per_image": 0.5, "pooled": 0.6}) == {"dice": 0.5}
    assert columns("x", {"mIoU": 1}) == {"x": 1.0}
    assert columns("x", {"a": 1, "b": 2}) == {"x a": 1.0, "x b": 2.0}


def test_masks_of_two_sizes_are_refused_by_the_name_of_the_image():
    with pytest.raises(FailureError, match=r"cell 7: the prediction has size 3x4, but the ground truth 4x3"):
        ScoredSample("cell 7", np.zeros((3, 4), np.uint8), np.zeros((4, 3), np.uint8))


def test_a_model_is_scored_within_the_field_of_view_and_its_masks_are_saved(model, tmp_path):
    found = score_model(
        model, Samples(), data="noise", split="test", worst=2, resamples=20, save_predictions=tmp_path
    )
    (score, _) = segzoo.evaluate(model, Samples())
    assert found.scores[0] == score
    assert found.images[0].counted == 20 * 20
    assert [panel.caption for panel in found.worst[0].panels] == ["image", "truth", "prediction", "errors"]
    assert found.about == {
        "network": "segzoo:unet",
        "engine": "plain PyTorch, float32",
        "threshold": "0.5",
    }
    saved = np.asarray(Image.open(tmp_path / "001.png"))
    assert np.array_equal(saved, segzoo.predict(Samples()[1].image, model=model).mask)
    again = score_predictions(tmp_path, Samples(), resamples=0)
    assert again.scores == found.scores


def middle(model):
    """Return a threshold that half of the pixels of an image exceed."""
    return float(np.median(segzoo.predict(Samples()[0].image, model=model, probabilities=True).probabilities))


def test_a_predictor_is_scored_as_it_predicts_and_its_options_are_told(model):
    predictor = Predictor(model, flips=["horizontal"], threshold=middle(model), memory="60MB")
    found = score_model(predictor, Samples(5), batch=2, resamples=0)
    assert found.scores == tuple(segzoo.evaluate(predictor, Samples(5)))
    assert found.scores != score_model(model, Samples(5), resamples=0).scores
    assert "mean over 2 views" in found.about["engine"]
    assert found.about["threshold"] == f"{middle(model):g}"
    assert found.about["memory"] == "60 MB"


@pytest.mark.slow
def test_the_command_scores_the_masks_that_predict_writes_with_the_same_options(model, tmp_path, capsys):
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for number in range(3):
        sample = Samples()[number]
        Image.fromarray(sample.image).save(tmp_path / "data/images" / f"{number}.png")
        Image.fromarray(sample.mask % 2).save(tmp_path / "data/masks" / f"{number}.png")
    weights, data = str(segzoo.save(model, tmp_path / "weights")), str(tmp_path / "data")
    how = ["--flips", "--turns", "--scales", "0.5,1", "--threshold", str(middle(model)), "--backend", "torch"]
    out, saved = str(tmp_path / "out"), str(tmp_path / "saved")
    assert run(["predict", f"{data}/images", "-m", weights, "--out", out, "--outputs", "mask", *how]) == 0
    told = ["evaluate", weights, "--data", data, "--split", "all", "--save-predictions", saved]
    assert run([*told, "--json", *how]) == 0, capsys.readouterr().err
    for number in range(3):
        written = np.asarray(Image.open(tmp_path / "out" / f"{number}_mask.png"))
        assert 0 < written.mean() < 1
        assert np.array_equal(written, np.asarray(Image.open(tmp_path / "saved" / f"{number}.png")))
    assert run(["evaluate", "--predictions", saved, "--truth", saved, "--flips"]) == 2
    assert "--flips needs a MODEL" in capsys.readouterr().err


def test_a_metric_of_probabilities_is_given_the_models(model):
    found = score_model(model, Samples(4), metrics=["roc-auc"], resamples=50)
    values = [image.scores["roc-auc"] for image in found.images]
    assert dict(found.scores[0].values)["per_image"] == pytest.approx(np.mean(values))
    assert list(found.intervals["roc-auc"]) == ["per_image"]


def test_an_empty_data_set_and_no_metric_at_all_are_refused(model):
    with pytest.raises(OptionError, match="the dataset is empty"):
        score_model(model, Samples(0))
    with pytest.raises(OptionError, match="at least one metric"):
        segzoo.evaluate(model, Samples(), metrics=[])


def test_an_image_name_that_leads_out_of_the_folder_is_refused(model, tmp_path):
    class Escaping(Samples):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return Sample(image=sample.image, mask=sample.mask, name="../stolen")

    with pytest.raises(FailureError, match="cannot be the name of a file"):
        score_model(model, Escaping(), save_predictions=tmp_path / "out")
    assert not (tmp_path / "stolen.png").exists()
