"""Predictions that another program left in a folder, paired by name; and the command's bad inputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.evaluation import score_predictions
from segzoo.evaluation.pairing import pair
from segzoo.specs import Labels, numbered_labels

FOUR = numbered_labels(4)


@pytest.fixture
def folders(tmp_path):
    """Five predictions as the steel-defect program leaves them, and their truths."""
    predictions, truths = tmp_path / "predictions", tmp_path / "truths"
    predictions.mkdir()
    truths.mkdir()
    for number in range(5):
        truth = np.random.default_rng(number).integers(0, 4, (10, 14), np.uint8)
        found = truth.copy()
        found[number] = 0
        np.save(predictions / f"prediction_{number:06d}.npy", found.astype(np.int64))
        Image.fromarray(truth).save(truths / f"{number:06d}.png")
    return predictions, truths


def test_arrays_and_images_are_paired_without_what_programs_put_around_names(folders):
    found = score_predictions(*folders, labels=FOUR, resamples=20)
    assert [image.name for image in found.images] == [f"{number:06d}" for number in range(5)]
    assert found.scores[0].values["pooled"] < 1
    again = score_predictions(folders[1], folders[1], labels=FOUR, resamples=0)
    assert again.scores[0].values == {"per_image": 1, "pooled": 1}


@pytest.mark.parametrize(
    ("prediction", "truth"),
    [
        ("cat", "cat"),
        ("prediction_000001", "ground_truth_000001"),
        ("a/cat_mask", "a/cat"),
        ("pred-7", "7_gt"),
        ("photo.1", "photo.1_label"),
        ("cells_objects", "cells"),
    ],
)
def test_names_that_belong_together_are_found(prediction, truth):
    assert pair([prediction, "z"], ["z", truth], where=("a", "b"))[1] == (prediction, truth)


def test_names_that_merely_resemble_each_other_are_not_paired():
    with pytest.raises(FailureError, match="case7_1"):
        pair(["case7_1"], ["case8_1"], where=("a", "b"))
    with pytest.raises(FailureError, match="both seem to belong"):
        pair(["cat_mask", "cat_pred"], ["cat"], where=("a", "b"))


def test_files_without_a_partner_are_listed(folders):
    (folders[0] / "prediction_000003.npy").rename(folders[0] / "prediction_000009.npy")
    with pytest.raises(FailureError, match=r"prediction_000009(.|\n)*without a prediction: 000003"):
        score_predictions(*folders, labels=FOUR)


def test_overlays_beside_masks_and_hidden_files_are_no_predictions(tmp_path):
    for folder, name in (("p", "a_mask.png"), ("p", "a_overlay.png"), ("p", "._a.png"), ("t", "a.png")):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.eye(5, dtype=np.uint8)).save(tmp_path / folder / name)
    found = score_predictions(tmp_path / "p", tmp_path / "t", resamples=0)
    assert len(found.images) == 1


def test_what_the_truth_ignores_may_be_anything_in_the_prediction(tmp_path):
    labels = Labels(classes=FOUR.classes, ignore_index=255)
    truth, found = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    truth[0] = found[0] = 255
    truth[1] = found[1] = 2
    found[0, 0] = 77
    for folder, mask in (("p", found), ("t", truth)):
        (tmp_path / folder).mkdir()
        Image.fromarray(mask).save(tmp_path / folder / "x.png")
    result = score_predictions(tmp_path / "p", tmp_path / "t", labels=labels, resamples=0)
    assert result.scores[0].values["pooled"] == 1
    assert result.left_out == 6
    found[2, 2] = 255
    Image.fromarray(found).save(tmp_path / "p" / "x.png")
    with pytest.raises(MaskError, match="255"):
        score_predictions(tmp_path / "p", tmp_path / "t", labels=labels)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.full((10, 14), 9), r"prediction_000002\.npy holds the values 9"),
        (np.zeros((4, 10, 14), np.float32), r"prediction_000002\.npy"),
        (np.full((10, 14), 0.5, np.float32), "float32"),
        (np.zeros((20, 28), np.uint8), r"has size 20x28, but the ground truth of 000002 has 10x14"),
    ],
    ids=["range", "scores", "floats", "size"],
)
def test_a_prediction_that_is_no_mask_is_named(folders, array, told):
    np.save(folders[0] / "prediction_000002.npy", array)
    with pytest.raises(MaskError, match=told):
        score_predictions(*folders, labels=FOUR)


def test_an_array_of_pickled_objects_is_never_loaded(folders):
    np.save(folders[0] / "prediction_000002.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(MaskError, match=r"prediction_000002\.npy"):
        score_predictions(*folders, labels=FOUR)


def test_an_empty_folder_and_a_missing_one_are_named(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FailureError, match="empty contains no masks"):
        score_predictions(tmp_path / "empty", folders[1])
    with pytest.raises(FailureError, match="there is no folder"):
        score_predictions(folders[0], tmp_path / "nowhere")


def test_a_metric_of_probabilities_cannot_score_masks(folders):
    with pytest.raises(OptionError, match=r"'roc-auc' needs probabilities, but .* contains masks"):
        score_predictions(*folders, labels=FOUR, metrics=["dice", "roc-auc"])


def test_the_command_scores_folders_and_leaves_a_report(folders, tmp_path, capsys):
    report = tmp_path / "report"
    common = ["evaluate", "--predictions", str(folders[0]), "--truth", str(folders[1]), "--resamples", "20"]
    assert run([*common, "--classes", "background,a,b,c", "--report", str(report)]) == 0
    told, beside = capsys.readouterr()
    assert "5 images" in told
    assert not beside, "a bar is for a terminal alone"
    tables, contracts = told.split("\nHow these numbers are computed:\n")
    assert "background left out" in " ".join(contracts.split())
    assert "background left out" not in " ".join(tables.split())
    assert [line.split()[:2] for line in tables.splitlines() if line.isupper()] == [
        ["METRIC", "VALUE"],
        ["CLASS", "IMAGES"],
    ]
    assert max(map(len, tables.splitlines()[1:])) <= 80
    assert sorted(path.name for path in report.iterdir()) == ["images.csv", "report.html", "report.json"]
    assert run([*common, "--classes", "4", "--metric", "miou", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [score["metric"] for score in data["scores"]] == ["miou"]
    assert len(data["scores"][0]["intervals"]["pooled"]) == 2
    assert len(data["images"]) == 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name what to score"),
        (["unet-nuclei", "--predictions", "p", "--data", "d"], "give one of them"),
        (["unet-nuclei", "--truth", "t"], "--truth needs --predictions"),
        (["--predictions", "p"], "--data or --truth"),
        (["--predictions", "p", "--truth", "t", "--data", "d"], "--data and --truth were both given"),
        (["--predictions", "p", "--truth", "t", "--split", "val"], "need --data"),
        (["--predictions", "p", "--truth", "t", "--save-predictions", "s"], "--save-predictions needs"),
        (["--predictions", "p", "--truth", "t", "--device", "cpu"], "--device needs"),
        (["--predictions", "p", "--truth", "t", "--classes", "1"], "--classes 1"),
        (["unet-nuclei", "--data", "dsb2018", "--classes", "3"], "'dsb2018' defines its own"),
        (["--predictions", "p", "--data", ".", "--data-option", "values"], "'values' is not KEY=VALUE"),
    ],
)
def test_options_that_do_not_go_together_are_told_apart(arguments, told, capsys):
    assert run(["evaluate", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_report_folder_that_cannot_be_written_is_told_before_scoring(folders, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    common = ["evaluate", "--predictions", str(folders[0]), "--truth", str(folders[1])]
    assert run([*common, "--report", str(tmp_path / "file" / "report")]) == 1
    told = capsys.readouterr()
    assert "cannot write to" in told.err
    assert not told.out


@pytest.mark.slow
def test_scoring_files_imports_no_torch(folders, python):
    arguments = ["evaluate", "--predictions", str(folders[0]), "--truth", str(folders[1]), "--classes", "4"]
    call = f"from segzoo.cli import run; assert run({arguments!r}) == 0"
    code = f"import sys; {call}; print('torch' in sys.modules)"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def test_a_folder_has_the_classes_of_the_model_that_is_scored_on_it(tmp_path, capsys):
    model = segzoo.create("unet", num_classes=4, width=2, depth=2)
    segzoo.save(model, tmp_path / "model")
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for number in range(2):
        mask = np.random.default_rng(number).integers(0, 4, (16, 24), np.uint8)
        mask[:4] = 250
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number}.png")
        image = np.repeat(mask[..., None], 3, axis=2)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{number}.png")
    common = [
        "evaluate",
        str(tmp_path / "model"),
        "--data",
        str(tmp_path / "data"),
        "--split",
        "all",
        "--json",
    ]
    common += ["--resamples", "0", "--device", "cpu"]
    assert run(common) == 1
    assert "250" in capsys.readouterr().err
    assert run([*common, "--ignore-index", "250", "--save-predictions", str(tmp_path / "out")]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["classes"]["scores"]) == 4
    assert data["pixels_left_out"] == 2 * 4 * 24
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    assert run([*common, "--data-option", "values=[0,1,2,250]"]) == 1
    assert "holds the values 3" in capsys.readouterr().err
