"""Roboflow's PNG masks are read by the names and the parts that the export says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset

TABLE = "Pixel Value, Class\n0, background\n1, nut\n2, long bolt"


def put(place, *names, table=TABLE, value=1):
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full((12, 16, 3), 50, np.uint8)).save(place / f"{name}.jpg")
        mask = np.zeros((12, 16), np.uint8)
        mask[3:6], mask[8] = value, 2
        Image.fromarray(mask).save(place / f"{name}_mask.png")
    (place / "_classes.csv").write_text(table)
    return place


def export(root, **more):
    for part, names in (("train", ("a", "b c")), ("valid", ("d",)), ("test", ("e",))):
        put(root / part, *names, **more)
    return root


def opened(root, split="all", **options):
    return open_dataset("roboflow-masks", root=root, split=split, **options)


def recognised(path):
    return [(one.name, one.summary) for one in recognise(path)]


def test_parts_and_names_are_those_of_the_export(tmp_path):
    export(tmp_path)
    assert recognised(tmp_path) == [
        ("roboflow-masks", "Roboflow PNG masks, 3 classes, train, val and test as the folders say")
    ]
    data = opened(tmp_path, "train")
    assert (data.labels.classes, data.labels.background) == (("background", "nut", "long bolt"), 0)
    assert data.names == ["train/a", "train/b c"]
    assert [data[0].mask[at] for at in ((0, 0), (4, 4), (8, 8))] == [0, 1, 2]
    assert [opened(tmp_path, part).names for part in ("val", "test")] == [["valid/d"], ["test/e"]]


def test_classes_may_be_some_and_the_rest_is_background(tmp_path):
    data = opened(export(tmp_path), classes="long bolt")
    assert data.labels.classes == ("background", "long bolt")
    assert [data[0].mask[at] for at in ((0, 0), (4, 4), (8, 8))] == [0, 0, 1]
    for table, words in ((TABLE, "background,nut"), (TABLE.replace("back", "_Back"), "background, nut")):
        assert opened(export(tmp_path, table=table), classes=words).labels.classes == ("background", "nut")
    with pytest.raises(OptionError, match="has no class 'bolt'"):
        opened(tmp_path, classes=["bolt"])


def test_without_a_class_that_is_called_background_every_class_is_something(tmp_path):
    data = opened(export(tmp_path, table="Pixel Value,Class\n0,road\n1,car\n2,sky, blue\n"))
    assert (data.labels.classes, data.labels.background) == (("road", "car", "sky, blue"), None)


def test_one_folder_of_an_export_is_divided_by_names(tmp_path):
    put(tmp_path, *"abcdefghij")
    assert recognised(tmp_path) == [("roboflow-masks", "Roboflow PNG masks, 3 classes")]
    assert recognised(tmp_path / "_classes.csv") == recognised(tmp_path)
    assert [len(opened(tmp_path, part)) for part in ("train", "val", "test")] == [8, 1, 1]


def test_values_without_a_name_are_named_with_their_file(tmp_path):
    export(tmp_path, value=7)
    with pytest.raises(MaskError, match=r"a_mask\.png holds the values 7"):
        opened(tmp_path)[1]
    with pytest.raises(MaskError, match=r"a_mask\.png holds the values 7, which .* does not name"):
        opened(tmp_path, classes="nut")[1]


@pytest.mark.parametrize("where", ["train", "."])
def test_one_table_will_do_for_all_parts(tmp_path, where):
    export(tmp_path)
    for part in ("train", "valid", "test"):
        (tmp_path / part / "_classes.csv").unlink()
    (tmp_path / where / "_classes.csv").write_text(TABLE)
    assert recognised(tmp_path)[0][1].startswith("Roboflow PNG masks, 3 classes, train, val and test")
    assert [opened(tmp_path, part).names for part in ("val", "test")] == [["valid/d"], ["test/e"]]


def test_tables_that_do_not_fit_are_refused(tmp_path):
    export(tmp_path)
    (tmp_path / "valid/_classes.csv").write_text(TABLE.replace("nut", "screw"))
    with pytest.raises(FailureError, match=r"valid._classes\.csv names other classes than .*test"):
        opened(tmp_path)
    for text, why in (
        ("Pixel Value, Class\n0, a\n1, a\n", "classes 0 and 1 are both called 'a'"),
        ("Pixel Value, Class\n0, a\n0, b\n", "each value once"),
        ("Value, Name\n0, a\n", "must have the columns Pixel Value and Class"),
    ):
        export(tmp_path, table=text)
        with pytest.raises(FailureError, match=why):
            opened(tmp_path)


def test_files_without_a_partner_are_listed(tmp_path):
    export(tmp_path)
    (tmp_path / "train/a_mask.png").unlink()
    (tmp_path / "train/b c.jpg").unlink()
    with pytest.raises(FailureError, match=r"2 of the 2 files .*: a\.jpg, b c_mask\.png"):
        opened(tmp_path)


def test_two_files_of_one_name_are_named(tmp_path):
    export(tmp_path)
    Image.new("L", (16, 12)).save(tmp_path / "train/a.png")
    with pytest.raises(FailureError, match=r"a\.jpg and a\.png have one name"):
        opened(tmp_path)


def test_a_missing_part_is_reported(tmp_path):
    put(tmp_path / "train", "a")
    with pytest.raises(OptionError, match=r"the split 'val' of .* is empty: there is train"):
        opened(tmp_path, "val")


def test_a_table_of_labels_of_images_is_no_segmentation(tmp_path):
    put(tmp_path / "train", "a", table="filename, nut, bolt\na.jpg, 1, 0\n")
    said = dict(recognised(tmp_path))["roboflow-masks"]
    assert said == "Roboflow multi-label classification: its classes are no masks"
    with pytest.raises(FailureError, match=r"it is no segmentation\. Export"):
        opened(tmp_path)


def test_the_data_set_keeps_what_data_sets_promise(tmp_path):
    check_dataset("roboflow-masks", root=export(tmp_path))


@pytest.mark.slow
def test_it_is_trained_on_by_its_path_alone(tmp_path):
    export(tmp_path / "data")
    run = segzoo.train(
        data=str(tmp_path / "data"), model="unet", out=str(tmp_path / "run"), epochs=1, crop=8, batch_size=1,
        device="cpu", progress=False,
    )  # fmt: skip
    assert run.epoch == 1


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="needs files of real tools")
def test_an_export_of_roboflow_is_read_to_the_pixel():
    root = Path(os.environ["SEGZOO_DATA"]).parent / "formats/dhcn_campus"
    assert [len(opened(root, part)) for part in ("train", "val", "test")] == [40, 10, 10]
    data = opened(root, "val")
    assert len(data.labels.classes) == 11
    for pair, sample in zip(data.pairs, data, strict=True):
        np.testing.assert_array_equal(sample.mask, np.asarray(Image.open(pair.mask)))
