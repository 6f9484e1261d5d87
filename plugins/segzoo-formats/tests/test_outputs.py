"""Segmentations written for annotation tools, and read back by the datasets of their formats."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segzoo import Segmentation
from segzoo.build import open_dataset
from segzoo.datasets.shapes import Polygon
from segzoo.prediction.outputs import OutputOptions, write_outputs
from segzoo.specs import Labels
from segzoo.testing import check_output
from segzoo_formats.outputs import labelstudio

if TYPE_CHECKING:
    from pathlib import Path

LABELS = Labels(
    classes=("background", "cell", "nucléus & <co>"), palette=((0, 0, 0), (200, 9, 30), (20, 90, 255))
)
OUTPUTS = ("coco", "cvat", "imagej", "labelme", "labelstudio", "qupath", "yolo")
#: Outputs that a dataset of their own reads.
READ = ("coco", "cvat", "imagej", "labelme", "labelstudio", "qupath", "yolo")


def masks() -> dict[str, np.ndarray]:
    """Return masks of every kind of trouble."""
    random = np.random.default_rng(3)
    holes = np.zeros((60, 90), np.uint8)
    holes[5:50, 5:60] = 1
    holes[10:20, 10:20] = 0
    holes[30:45, 20:50] = 2
    holes[35:38, 25:28] = 0
    dots = np.zeros((40, 40), np.uint8)
    dots[::5, ::7] = 1
    dots[2::9, 3::11] = 2
    touching = np.zeros((40, 50), np.uint8)
    touching[5:30, 5:25], touching[5:30, 25:45] = 1, 2
    thin = np.zeros((40, 50), np.uint8)
    np.fill_diagonal(thin, 1)
    thin[20, :], thin[:, 45] = 2, 2
    noise = ndimage.gaussian_filter(random.random((120, 160)), 3)
    blobs = np.digitize(noise, [0.51, 0.54]).astype(np.uint8)
    return {
        "holes": holes,
        "dots": dots,
        "touching": touching,
        "thin": thin,
        "blobs": blobs,
        "noise": random.integers(0, 3, (30, 40)).astype(np.uint8),
        "full": np.ones((20, 30), np.uint8),
        "empty": np.zeros((20, 30), np.uint8),
    }


def written(folder: Path, mask: np.ndarray, output: str, labels: Labels = LABELS, **options) -> Path:
    """Write an image and an output of its mask."""
    folder.mkdir(parents=True, exist_ok=True)
    image = np.zeros((*mask.shape[-2:], 3), np.uint8)
    Image.fromarray(image).save(folder / "a b.png")
    found = Segmentation(mask, labels, image)
    (path,) = write_outputs(found, folder / "a b", [output], OutputOptions(**options), source="in/a b.png")
    return path


def read_back(folder: Path, output: str, labels: Labels = LABELS, **options) -> np.ndarray:
    """Return the mask that the dataset of a format reads, in the classes of the labels."""
    names = [name for name in labels.classes if name != "background"]
    if output == "yolo":
        (folder / "data.yaml").write_text(json.dumps({"train": ".", "names": names}), encoding="utf-8")
    if output == "labelme":
        (folder / "labels.txt").write_text("\n".join(names), encoding="utf-8")
    if output == "labelstudio":
        options["predictions"] = True
    data = open_dataset(output, root=folder, split="all", classes=names, **options)
    (sample,) = data
    return sample.mask


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the least intersection over union of the classes."""
    shares = []
    for index in np.union1d(one, other):
        mine, theirs = one == index, other == index
        shares.append((mine & theirs).sum() / (mine | theirs).sum())
    return min(shares)


@pytest.mark.parametrize("output", READ)
@pytest.mark.parametrize("kind", masks())
def test_a_mask_comes_back_to_the_pixel(tmp_path, output, kind):
    mask = masks()[kind]
    if output in ("imagej", "labelstudio", "qupath") and mask.max() < 2:
        pytest.skip("these files name no class that they do not use")
    written(tmp_path, mask, output)
    assert np.array_equal(read_back(tmp_path, output), mask)


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_keeps_its_promises(output):
    check_output(output)


@pytest.mark.parametrize("output", READ)
def test_simplified_outlines_come_back_alike(tmp_path, output):
    mask = masks()["blobs"]
    plain = written(tmp_path / "plain", mask, output, coco="polygons")
    simple = written(tmp_path / "simple", mask, output, coco="polygons", simplify=1.0)
    assert simple.stat().st_size < plain.stat().st_size * 0.9
    assert iou(read_back(tmp_path / "simple", output), mask) > 0.85


@pytest.mark.parametrize("output", READ)
def test_overlapping_classes_come_back_each_in_its_plane(tmp_path, output):
    labels = Labels(classes=("cell", "nucleus"), overlapping=True)
    planes = np.stack([masks()["holes"] > 0, masks()["holes"] == 2]).astype(np.uint8)
    planes[0, 20:40, 30:60] = 1
    written(tmp_path, planes, output, labels)
    assert np.array_equal(read_back(tmp_path, output, labels, overlapping=True), planes)


def test_without_a_background_the_first_class_is_an_object_like_the_others(tmp_path):
    labels = replace(LABELS, classes=("sky", "road", "car"), background=None)
    mask = masks()["touching"]
    for output in READ:
        written(tmp_path / output, mask, output, labels)
        assert np.array_equal(read_back(tmp_path / output, output, labels), mask + 1)


def test_cvat_knows_the_image_by_its_name_and_colours_of_classes(tmp_path):
    root = ElementTree.parse(written(tmp_path, masks()["holes"], "cvat")).getroot()
    assert [one.findtext("name") for one in root.iter("label")] == list(LABELS.classes[1:])
    assert [one.findtext("color") for one in root.iter("label")] == ["#c8091e", "#145aff"]
    (image,) = root.iter("image")
    assert (image.get("name"), image.get("width"), image.get("height")) == ("a b.png", "90", "60")
    assert {one.tag for one in image} == {"mask"}


def test_label_studio_gets_per_cent_and_brushes(tmp_path):
    (task,) = json.loads(written(tmp_path, masks()["holes"], "labelstudio").read_text(encoding="utf-8"))
    assert task["data"]["image"].endswith("?d=a%20b.png")
    kinds = [one["type"] for one in task["predictions"][0]["result"]]
    assert kinds == ["brushlabels", "brushlabels"]
    (task,) = json.loads(written(tmp_path / "b", masks()["full"], "labelstudio").read_text(encoding="utf-8"))
    (whole,) = task["predictions"][0]["result"]
    assert whole["value"]["points"] == [[0, 0], [100, 0], [100, 100], [0, 100]]
    assert labelstudio.__doc__
    assert f'name="{whole["from_name"]}"' in labelstudio.__doc__


def test_qupath_gets_annotations_with_holes_that_can_be_edited(tmp_path):
    data = json.loads(written(tmp_path, masks()["holes"], "qupath").read_text(encoding="utf-8"))
    mask = np.zeros((60, 90), np.uint8)
    for one in data["features"]:
        said = one["properties"]
        assert (said["objectType"], said["isLocked"]) == ("annotation", False)
        label = LABELS.classes.index(said["classification"]["name"])
        assert tuple(said["classification"]["color"]) == LABELS.colours[label]
        rings = [np.array(ring[:-1], float) for ring in one["geometry"]["coordinates"]]
        patch = Polygon(rings).draw(mask.shape)
        mask[patch.place][patch.inside] = label
    assert np.array_equal(mask, masks()["holes"])


@pytest.mark.parametrize("kind", ["holes", "dots", "touching", "thin", "blobs"])
def test_imagej_gets_regions_that_roifile_reads(tmp_path, kind):
    roifile = pytest.importorskip("roifile")
    path = written(tmp_path, masks()[kind], "imagej")
    mask = np.zeros(masks()[kind].shape, np.uint8)
    for region in roifile.roiread(path):
        found = region.coordinates(multi=True)
        rings = [np.asarray(ring, float) for ring in (found if isinstance(found, list) else [found])]
        label = next(i for i, name in enumerate(LABELS.classes) if region.name.endswith(f"-{name}"))
        assert tuple(region.stroke_color[1:]) == LABELS.colours[label]
        patch = Polygon(rings).draw(mask.shape)
        mask[patch.place][patch.inside] = label
    assert np.array_equal(mask, masks()[kind])


def test_the_rois_are_a_zip_of_files_with_names_that_any_system_takes(tmp_path):
    labels = Labels(classes=("background", "a/b"))
    data = written(tmp_path, masks()["full"], "imagej", labels).read_bytes()
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.namelist() == ["00001-a_b.roi"]
