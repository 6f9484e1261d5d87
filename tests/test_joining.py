"""One file of all images of a run: a table of areas, COCO's annotations, and what annotation tools import."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.prediction import Segmentation
from segzoo.prediction.outputs import output_files, write_outputs
from segzoo.prediction.postprocessing import ComponentCount, find_components
from segzoo.specs import Labels

if TYPE_CHECKING:
    from pathlib import Path

OUTPUTS = "areas,coco,cvat,labelme,labelstudio,yolo"
JOINED = ("areas.csv", "annotations.json", "annotations.xml", "labels.txt", "tasks.json", "data.yaml")
IMAGES = ("=b.png", "a.png", "sub/a.jpg")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, width=2, depth=2)
    return str(segzoo.save(model, tmp_path_factory.mktemp("weights") / "unet"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(IMAGES):
        noise = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), np.uint8)
        Image.fromarray(noise).save(folder / name)
    return folder


@pytest.fixture
def words(photos, weights, tmp_path) -> list[str]:
    return [
        "predict", str(photos), "-m", weights, "--out", str(tmp_path / "out"), "--outputs", OUTPUTS,
    ]  # fmt: skip


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_file_holds_what_the_files_of_all_images_hold(words, tmp_path, capsys):
    assert run(words) == 0
    out = tmp_path / "out"
    assert f"{out / 'areas.csv'}: all images" in capsys.readouterr().out
    rows = table(out / "areas.csv")
    assert [row["image"] for row in rows[::2]] == ["'=b.png", "a.png", "sub/a.jpg"]
    single = table(out / "sub/a_areas.csv")
    assert [{key: row[key] for key in single[0]} for row in rows[4:]] == single
    assert all(row["area"] == row["unit"] == "" for row in rows)

    coco = json.loads((out / "annotations.json").read_text(encoding="utf-8"))
    assert [one["file_name"] for one in coco["images"]] == list(IMAGES)
    ids = [one["id"] for one in coco["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    alone = [
        json.loads((out / name).read_text()) for name in ("=b_coco.json", "a_coco.json", "sub/a_coco.json")
    ]
    for number, one in enumerate(alone, start=1):
        mine = [each for each in coco["annotations"] if each["image_id"] == number]
        assert [each["segmentation"] for each in mine] == [
            each["segmentation"] for each in one["annotations"]
        ]

    images = ElementTree.parse(out / "annotations.xml").getroot().findall("image")
    assert [(one.get("id"), one.get("name")) for one in images] == list(zip("012", IMAGES, strict=True))
    assert [len(one) for one in images] == [len(one["annotations"]) for one in alone]
    tasks = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
    assert [task["data"]["image"].partition("=")[2] for task in tasks] == ["%3Db.png", *IMAGES[1:]]
    assert (out / "labels.txt").read_text().splitlines() == ["__ignore__", "_background_", "class 1"]
    assert yaml.safe_load((out / "data.yaml").read_text())["names"] == {0: "class 1"}


def test_pycocotools_opens_the_joined_file(words, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    assert run(words) == 0
    found = coco.COCO(str(tmp_path / "out/annotations.json"))
    assert len(found.getImgIds()) == 3
    for one in found.loadAnns(found.getAnnIds()):
        assert found.annToMask(one).sum() == one["area"]


def test_a_resumed_run_joins_what_earlier_runs_did_too(words, photos, tmp_path):
    out = tmp_path / "out"
    (photos / "sub/a.jpg").rename(photos / "later.jpg")
    assert run([*words[:1], str(photos / "a.png"), *words[2:]]) == 0
    assert [row["image"] for row in table(out / "areas.csv")] == ["a.png"] * 2
    assert run([*words, "--resume"]) == 0
    assert {row["image"] for row in table(out / "areas.csv")} == {"'=b.png", "a.png", "later.jpg"}
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 3


def test_a_joined_file_of_somebody_else_stays_and_stops_the_run_before_it_begins(words, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "annotations.json").write_text("mine")
    assert run(words) == 1
    assert "annotations.json exists" in capsys.readouterr().err
    assert [path.name for path in out.iterdir() if path.suffix != ".jsonl"] == ["annotations.json"]
    assert run([*words, "--resume"]) == 1
    assert (out / "annotations.json").read_text() == "mine"
    assert run([*words, "--overwrite"]) == 0
    assert (out / "annotations.json").read_text() != "mine"


def test_a_joined_file_that_was_corrected_by_hand_is_kept_by_a_resumed_run(words, tmp_path, capsys):
    assert run(words) == 0
    path = tmp_path / "out/areas.csv"
    path.write_text("mine")
    assert run([*words, "--resume"]) == 1
    assert "it has changed since" in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_an_image_that_fails_is_left_out_and_named(words, photos, tmp_path, capsys):
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    assert run(words) == 1
    told = capsys.readouterr()
    assert "areas.csv: all images, except the 1 that failed" in told.out
    assert "bad.png" in told.err
    assert {row["image"] for row in table(tmp_path / "out/areas.csv")} == {"'=b.png", "a.png", "sub/a.jpg"}


@pytest.mark.medium
def test_runs_that_share_the_work_join_nothing_until_one_run_sees_all(words, tmp_path):
    out = tmp_path / "out"
    for share in ("1/2", "2/2"):
        assert run([*words, "--shard", share]) == 0
    assert not any((out / name).exists() for name in JOINED)
    assert run([*words, "--resume"]) == 0
    assert all((out / name).exists() for name in JOINED)
    assert len(json.loads((out / "tasks.json").read_text(encoding="utf-8"))) == 3


def test_nothing_is_joined_where_nothing_is_saved(words, tmp_path):
    assert run([*words, "--no-save"]) == 0
    assert not (tmp_path / "out").exists()


@given(
    mask=arrays(np.uint8, st.tuples(st.integers(1, 16), st.integers(1, 9)), elements=st.integers(0, 2)),
    step=st.integers(1, 5),
    connectivity=st.sampled_from([4, 8]),
)
def test_objects_are_counted_by_rows_as_of_the_whole_mask(mask, step, connectivity):
    count = ComponentCount(connectivity)
    for top in range(0, len(mask), step):
        count.add(mask[top : top + step])
    whole = np.bincount(find_components(mask, connectivity).classes, minlength=4)
    assert [count.of(index) for index in range(4)] == whole.tolist()


def test_areas_say_how_many_objects_there_are(tmp_path):
    labels = Labels(classes=("background", "cell", "nucleus"))
    mask = np.zeros((300, 40), np.uint8)
    mask[10:290, 5:10], mask[20:40, 20:30], mask[100, 20], mask[200, 20] = 1, 1, 2, 2
    found = Segmentation(mask, labels, np.zeros((300, 40, 3), np.uint8))
    (path,) = write_outputs(found, tmp_path / "a", ["areas"])
    assert [row["objects"] for row in table(path)] == ["0", "2", "2"]
    with output_files({"areas": tmp_path / "rows.csv"}, labels, (300, 40)) as files:
        for top in range(0, 300, 70):
            files.write(mask[top : top + 70])
    assert table(tmp_path / "rows.csv") == table(path)


def test_areas_of_overlapping_classes_count_the_objects_of_each(tmp_path):
    labels = Labels(classes=("a", "b"), overlapping=True)
    planes = np.zeros((2, 20, 20), np.uint8)
    planes[0, 2:18, 2:18], planes[1, 4:6, 4:6], planes[1, 10:12, 10:12] = 1, 1, 1
    found = Segmentation(planes, labels, np.zeros((20, 20, 3), np.uint8))
    (path,) = write_outputs(found, tmp_path / "a", ["areas"])
    assert [(row["pixels"], row["objects"]) for row in table(path)] == [("256", "1"), ("8", "2")]
