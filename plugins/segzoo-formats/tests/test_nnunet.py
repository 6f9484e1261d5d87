"""Raw data of nnU-Net are read as their dataset.json says."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.data_conversion import convert_data
from segzoo.errors import FailureError, ImageError, MaskError, OptionError
from segzoo.images import read
from segzoo.recognition import recognise
from segzoo.testing import check_dataset

SIZE = (24, 32)
LABELS = {"background": 0, "nut": 1, "long bolt": 2}


def picture(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def put(root, *cases, channels=("intensity",), labels=None, part="Tr", colours=False, **more):
    mask = np.zeros(SIZE, np.uint8)
    mask[2:6], mask[10:12] = 1, 2
    for case in cases:
        shape = (*SIZE, 3) if colours else SIZE
        for number in range(1 if colours else len(channels)):
            pixels = np.full(shape, 40 * (number + 1), np.uint8)
            picture(root / f"images{part}" / f"{case}_{number:04}.png", pixels)
        picture(root / f"labels{part}" / f"{case}.png", mask)
    said = {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": LABELS if labels is None else labels,
        "numTraining": len(cases),
        "file_ending": ".png",
        **more,
    }
    if part == "Tr":
        (root / "dataset.json").write_text(json.dumps(said))
    return root


def opened(root, split="all", **options):
    return open_dataset("nnunet", root=root, split=split, **options)


def recognised(path):
    return [(one.name, one.summary) for one in recognise(path)]


def test_names_and_values_are_those_of_the_file(tmp_path):
    put(tmp_path, "a", "b c")
    said = [("nnunet", "raw data of nnU-Net, 3 classes, 1 channel")]
    assert recognised(tmp_path) == recognised(tmp_path / "dataset.json") == said
    data = opened(tmp_path)
    assert (data.names, data.labels.classes, data.labels.background) == (["a", "b c"], tuple(LABELS), 0)
    assert [data[0].mask[row, 0] for row in (0, 3, 10)] == [0, 1, 2]
    assert opened(tmp_path, classes="long bolt")[0].mask.max() == 1


def test_files_of_version_1_say_the_names_of_values_and_where_the_decathlon_leaves_channels_out(tmp_path):
    put(tmp_path, "x_001", "x_002")
    for path in (tmp_path / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    labels = {str(value): name for name, value in LABELS.items()}
    said = {"modality": {"0": "MRI"}, "labels": labels, "training": []}
    (tmp_path / "dataset.json").write_text(json.dumps(said))
    data = opened(tmp_path)
    assert (data.names, data.labels.classes) == (["x_001", "x_002"], tuple(LABELS))


def test_a_value_is_ignored_where_the_file_says_so(tmp_path):
    put(tmp_path, "a", labels={"background": 0, "nut": 1, "ignore": 2})
    data = opened(tmp_path)
    assert (data.labels.classes, data.labels.ignore_index) == (("background", "nut"), 2)
    assert [data[0].mask[row, 0] for row in (0, 3, 10)] == [0, 1, 2]


def test_several_channels_are_bands_of_one_image(tmp_path):
    put(tmp_path, "a", channels=("T2", "ADC"))
    data = opened(tmp_path)
    sample = data[0]
    assert (sample.image.shape, sample.image[0, 0].tolist()) == ((*SIZE, 2), [40, 80])
    assert sample.info.bands == ("T2", "ADC")
    assert [path.name for path in data.files(0)] == ["a_0000.png", "a_0001.png", "a.png"]
    picture(tmp_path / "imagesTr/a_0001.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(ImageError, match=r"a_0001\.png is \(5, 5\).*they must have the same size"):
        data[0]
    (tmp_path / "imagesTr/a_0001.png").unlink()
    put(tmp_path, "b", channels=("T2", "ADC"))
    with pytest.raises(FailureError, match=r"1 case of 2 must have the 2 channels .*: a"):
        opened(tmp_path)


def test_all_channels_are_converted(tmp_path):
    root = put(tmp_path / "in", *"abc", channels=("T2", "ADC"))
    convert_data(str(root), tmp_path / "out", "folder")
    images = sorted(tmp_path.glob("out/*/images/*"))
    assert [read(path).shape for path in images] == [(*SIZE, 2)] * 3


def test_colours_are_three_channels_in_one_file(tmp_path):
    put(tmp_path, "a", channels=("R", "G", "B"), colours=True)
    assert opened(tmp_path)[0].image.shape == (*SIZE, 3)


def test_parts_are_those_of_the_folds_and_of_the_test_folders(tmp_path):
    put(tmp_path, *"abcdef")
    put(tmp_path, "g", part="Ts")
    assert recognised(tmp_path)[0][1].endswith("imagesTs is the test part")
    assert opened(tmp_path, "test").names == ["test/g"]
    assert sorted(opened(tmp_path, "train").names + opened(tmp_path, "val").names) == list("abcdef")
    folds = [{"train": list("bcdef"), "val": ["a"]}, {"train": list("acd"), "val": list("bf")}]
    (tmp_path / "splits_final.json").write_text(json.dumps(folds))
    assert opened(tmp_path, "val").names == ["a"]
    data = opened(tmp_path, "val", fold=1)
    assert (data.names, [one.what for one in data.remarks]) == (
        ["b", "f"],
        ["1 case is in no part of the fold"],
    )
    with pytest.raises(OptionError, match="has the folds 0 to 1, not 2"):
        opened(tmp_path, "val", fold=2)


def test_images_without_labels_for_testing_are_reported(tmp_path):
    put(tmp_path, "a")
    picture(tmp_path / "imagesTs/z_0000.png", np.zeros(SIZE, np.uint8))
    assert [one.what for one in opened(tmp_path).remarks] == ["1 file has no labels"]


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"background": 0, "whole": [1, 2], "core": 2}, r"'whole' is a region of several values, 1, 2\."),
        ({"background": 0, "nut": "one"}, "the value of 'nut' must be a number, got 'one'"),
        ({"background": 0, "nut": 1, "bolt": 1}, "'nut' and 'bolt' have one value, 1"),
        ({"0": "x", "1": "x"}, "both called 'x'"),
        ({"0": "\ud800", "1": "?"}, "both called"),
        ({}, "needs channel_names and labels"),
        (["x"], "needs channel_names and labels"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, labels, why):
    with pytest.raises(FailureError, match=why):
        opened(put(tmp_path, "a", labels=labels))


def test_regions_are_recognised_and_said_to_be_none(tmp_path):
    put(tmp_path, "a", labels={"background": 0, "whole": [1, 2]})
    assert ("nnunet", "raw data of nnU-Net with regions of several values: not read") in recognised(tmp_path)


def test_files_without_a_partner_and_values_without_a_name_are_listed(tmp_path):
    put(tmp_path, "a", "b", labels={"background": 0, "nut": 1})
    with pytest.raises(MaskError, match=r"a\.png holds the values 2"):
        opened(tmp_path)[0]
    (tmp_path / "labelsTr/a.png").unlink()
    (tmp_path / "imagesTr/b_0000.png").unlink()
    with pytest.raises(FailureError, match=r"2 files .* have no partner.*: a_0000\.png, b\.png"):
        opened(tmp_path)
    with pytest.raises(FailureError, match="cannot be read as JSON"):
        opened(tmp_path / "labelsTr")


def test_other_files_of_that_name_are_not_claimed(tmp_path):
    put(tmp_path, "a")
    (tmp_path / "dataset.json").write_text('{"name": "mine"}')
    assert "nnunet" not in dict(recognised(tmp_path))


def test_the_data_set_keeps_what_data_sets_promise(tmp_path):
    check_dataset("nnunet", root=put(tmp_path, *"abcdefghijkl", channels=("T2", "ADC")))
    pickle.loads(pickle.dumps(opened(tmp_path)))[0]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [("T2",), ("T2", "ADC")])
def test_it_is_trained_on_by_its_path_alone(tmp_path, channels):
    put(tmp_path / "data", *"abcdef", channels=channels)
    more = {"crop": 16, "batch_size": 1, "device": "cpu", "progress": False}
    more |= {"model": {"name": "unet", "in_channels": len(channels)}}
    run = segzoo.train(data=str(tmp_path / "data"), out=str(tmp_path / "run"), epochs=1, **more)
    assert run.epoch == 1


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="needs files of real tools")
def test_volumes_are_opened_slice_by_slice_and_stay_in_one_part(tmp_path):
    pytest.importorskip("nibabel")
    source = Path(os.environ["SEGZOO_DATA"]).parent / "formats/hippocampus_nifti"
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    for path in sorted((source / "images").iterdir())[:6]:
        shutil.copy(path, tmp_path / "imagesTr" / path.name.replace(".nii", "_0000.nii"))
        shutil.copy(source / "labels" / path.name, tmp_path / "labelsTr")
    said = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(said))
    cases = [{name.rpartition("/")[0] for name in opened(tmp_path, part).names} for part in ("train", "val")]
    assert all(cases)
    assert not cases[0] & cases[1]
    values = set().union(*(np.unique(sample.mask).tolist() for sample in opened(tmp_path, "val")))
    assert values == {0, 1, 2}
