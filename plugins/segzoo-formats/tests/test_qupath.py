"""QuPath's GeoJSON becomes masks and instances."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise

SIZE = (20, 30)


def ring(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def feature(label="Tumor", *rings, kind="annotation", geometry=None, **more):
    rings = rings or (ring(2, 3, 12, 13),)
    said = {"objectType": kind, "isLocked": False, **more}
    if label:
        said["classification"] = {"name": label, "color": [200, 0, 0]}
    geometry = geometry or {"type": "Polygon", "coordinates": list(rings)}
    return {"type": "Feature", "id": "PathObject", "geometry": geometry, "properties": said}


def write(root, *features, name="a", collection=True, image=True):
    root.mkdir(parents=True, exist_ok=True)
    if image:
        Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(root / f"{name}.tif")
    whole = {"type": "FeatureCollection", "features": list(features)} if collection else list(features)
    (root / f"{name}.geojson").write_text(json.dumps(whole))
    return root


def opened(root, split="all", **options):
    return open_dataset("qupath", root=root, split=split, **options)


@pytest.mark.parametrize("collection", [True, False])
def test_annotations_are_classes_by_their_classification(tmp_path, collection):
    both = feature("Tumor"), feature("Stroma", ring(20, 0, 25, 5))
    data = opened(write(tmp_path, *both, collection=collection))
    assert data.labels.classes == ("background", "Stroma", "Tumor")
    assert np.bincount(data[0].mask.ravel())[1:].tolist() == [25, 100]


def test_holes_are_cut_out_and_parts_are_one_object(tmp_path):
    hole = feature("Tumor", ring(2, 3, 12, 13), ring(4, 5, 6, 7))
    several = {"type": "MultiPolygon", "coordinates": [[ring(0, 0, 2, 2)], [ring(20, 10, 22, 12)]]}
    sample = opened(write(tmp_path, hole, feature("Tumor", geometry=several)))[0]
    assert int(sample.mask.sum()) == 100 - 4 + 8
    assert sample.instances.max() == 2
    assert len(np.unique(sample.instances[[0, 10], [0, 20]])) == 1


def test_the_smaller_of_two_objects_covers_the_larger_whatever_their_order(tmp_path):
    inner, outer = feature("Vessel", ring(4, 4, 6, 6)), feature("Tumor")
    mask = opened(write(tmp_path, inner, outer))[0].mask
    assert np.bincount(mask.ravel())[1:].tolist() == [96, 4]


def test_what_is_to_be_ignored_counts_for_nothing(tmp_path):
    data = opened(write(tmp_path, feature("Tumor"), feature("Ignore*", ring(4, 4, 6, 6))))
    assert data.labels.classes == ("background", "Tumor")
    assert int((data[0].mask == data.labels.ignore_index).sum()) == 4


def test_names_are_classes_where_nothing_is_classified_and_else_the_person_says(tmp_path):
    write(tmp_path / "named", feature("", name="UT"), feature("", ring(20, 0, 25, 5), name="I"))
    data = opened(tmp_path / "named")
    assert data.labels.classes == ("background", "I", "UT")
    assert [one.kind for one in data.remarks] == ["no-classification"]
    write(tmp_path / "bare", feature(""))
    with pytest.raises(OptionError, match=r"neither a classification nor a name.*unclassified=NAME"):
        opened(tmp_path / "bare")
    assert opened(tmp_path / "bare", unclassified="cell").labels.classes == ("background", "cell")
    write(tmp_path / "mixed", feature("Tumor"), feature("", ring(20, 0, 25, 5)))
    data = opened(tmp_path / "mixed")
    assert (int(data[0].mask.sum()), [one.kind for one in data.remarks]) == (100, ["no-label"])


def test_annotations_are_read_before_detections_and_others_on_request(tmp_path):
    cell = feature("Immune", ring(20, 0, 25, 5), kind="detection")
    write(tmp_path, feature("Tumor"), cell)
    data = opened(tmp_path)
    assert data.labels.classes == ("background", "Tumor")
    assert {one.kind: one.what for one in data.remarks} == {
        "other-objects": "1 object is not read: 1 detection"
    }
    assert opened(tmp_path, objects="detection").labels.classes == ("background", "Immune")
    assert opened(tmp_path, objects="all").labels.classes == ("background", "Immune", "Tumor")
    assert opened(write(tmp_path, cell)).labels.classes == ("background", "Immune")


def test_an_image_may_lie_in_another_folder_and_have_a_longer_suffix(tmp_path):
    write(tmp_path / "annotations", feature(), image=False)
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "images/a.png")
    assert opened(tmp_path).files(0)[0] == tmp_path / "images/a.png"
    (tmp_path / "images/a.png").rename(tmp_path / "images/a.ome.tif")
    assert opened(tmp_path).names == ["images/a.ome"]
    (tmp_path / "annotations/a.geojson").rename(tmp_path / "annotations/a.ome.tif.geojson")
    assert opened(tmp_path).names == ["images/a.ome"]


def test_what_the_files_hold_besides_is_remarked(tmp_path):
    point = {"type": "Point", "coordinates": [3, 4]}
    plane = {"type": "Polygon", "coordinates": [ring(0, 0, 5, 5)], "plane": {"c": -1, "z": 2, "t": 0}}
    flat = feature("Tumor", [[1, 1], [5, 5], [1, 1]])
    write(tmp_path, feature("Tumor"), feature(geometry=point), feature(geometry=plane), flat)
    write(tmp_path, name="b")
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "c.png")
    told = [(one.kind, one.count) for one in opened(tmp_path).remarks]
    assert told == [
        ("no-area", 1),
        ("no-area", 1),
        ("other-planes", 1),
        ("no-objects", 1),
        ("no-annotation", 1),
    ]
    assert [int(one.mask.sum()) for one in opened(tmp_path)] == [100, 0]


def test_folders_of_parts_decide(tmp_path):
    for part in ("train", "val"):
        write(tmp_path / part, feature())
    assert [opened(tmp_path, part).names for part in ("train", "val")] == [["train/a"], ["val/a"]]


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    with pytest.raises(FailureError, match=r"holds no \.geojson files"):
        opened(tmp_path)
    with pytest.raises(FailureError, match=r"1 GeoJSON file has no image of the same name: a\.geo"):
        opened(write(tmp_path, feature(), image=False))
    bad = feature("Tumor", [[1, 1], [5, "x"], [1, 9], [1, 1]])
    with pytest.raises(MaskError, match=r"a\.geojson: feature 0, 'Tumor', cannot be drawn"):
        opened(write(tmp_path, bad))[0]
    for text in ("[3]", "{", '{"features": {}}'):
        (tmp_path / "a.geojson").write_text(text)
        with pytest.raises(FailureError, match=r"a\.geojson cannot be read as (Geo)?JSON"):
            opened(tmp_path)


@pytest.mark.slow
def test_qupath_is_recognised_and_nothing_else_is(tmp_path):
    write(tmp_path, feature())
    assert {one.summary for one in recognise(tmp_path)} == {"QuPath's GeoJSON, 1 file"}
    assert [one.name for one in recognise(tmp_path / "a.geojson")] == ["qupath"]
    # One outline may be longer than what is looked at.
    long = [[float(n), n % 7 + 0.123456] for n in range(9000)]
    write(tmp_path, feature("Tumor", [*long, long[0]]))
    assert {one.name for one in recognise(tmp_path)} == {"qupath"}
    other = tmp_path / "other" / "a.geojson"
    other.parent.mkdir()
    for said in ({"type": "Feature", "geometry": None, "properties": {}}, [], {"shapes": []}):
        other.write_text(json.dumps(said))
        assert "qupath" not in {one.name for one in recognise(other.parent)}


@pytest.mark.slow
@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA is not set")
def test_a_file_of_qupath_itself_is_read(tmp_path):
    files = Path(os.environ["SEGZOO_DATA"]).parent / "formats/qupath_geojson"
    assert [one.name for one in recognise(files)] == ["qupath"]
    with pytest.raises(FailureError, match=r"no image of the same name: qupath05\.geojson"):
        opened(files)
    (tmp_path / "qupath05.geojson").write_bytes((files / "qupath05.geojson").read_bytes())
    Image.fromarray(np.zeros((7000, 10500), np.uint8)).save(tmp_path / "qupath05.png")
    data = opened(tmp_path)
    assert data.labels.classes == ("background", "I", "UT")
    assert data[0].instances.max() == 3
