"""XML files of the MIT's LabelMe become masks and instances."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise

SIZE = (20, 30)


def thing(name, *points, inner="", deleted=0):
    corners = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
    shape = inner or f"<polygon><username>me</username>{corners}</polygon>"
    return f"<object><name>{name}</name><deleted>{deleted}</deleted>{shape}</object>"


SQUARE = [(2, 3), (12, 3), (12, 13), (2, 13)]
PART = [(4, 4), (6, 4), (6, 6), (4, 6)]


def write(root, *things, name="a", folder="street", image=True, size=SIZE):
    for inner in ("Annotations", "Images"):
        (root / inner / folder).mkdir(parents=True, exist_ok=True)
    if image:
        Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(root / "Images" / folder / f"{name}.png")
    text = (
        f"<annotation><filename>{name}.png</filename><folder>{folder}</folder>{''.join(things)}"
        f"<imagesize><nrows>{size[0]}</nrows><ncols>{size[1]}</ncols></imagesize></annotation>"
    )
    (root / "Annotations" / folder / f"{name}.xml").write_text(text)
    return root


def opened(root, split="all", **options):
    return open_dataset("labelme-xml", root=root, split=split, **options)


def test_parts_lie_on_their_wholes_and_deleted_objects_are_left_out(tmp_path):
    things = thing("wheel", *PART), thing("car", *SQUARE), thing("sky", *SQUARE, deleted=1)
    data = opened(write(tmp_path, *things))
    assert (data.labels.classes, data.names) == (("background", "car", "wheel"), ["Annotations/street/a"])
    assert np.bincount(data[0].mask.ravel())[1:].tolist() == [96, 4]
    assert data[0].instances.max() == 2


def test_masks_in_files_are_read(tmp_path):
    write(tmp_path, thing("car", inner="<segm><mask>a_mask_0.png</mask></segm>"))
    with pytest.raises(FailureError, match=r"has the mask a_mask_0\.png, which is not there"):
        opened(tmp_path)
    (tmp_path / "Masks/street").mkdir(parents=True)
    mask = np.zeros((*SIZE, 3), np.uint8)
    mask[2:5, 7:9, 2] = 153
    Image.fromarray(mask).save(tmp_path / "Masks/street/a_mask_0.png")
    assert int(opened(tmp_path)[0].mask.sum()) == 6
    Image.fromarray(mask[:5]).save(tmp_path / "Masks/street/a_mask_0.png")
    with pytest.raises(MaskError, match=r"a_mask_0\.png is \(5, 30\)"):
        opened(tmp_path)[0]


def test_what_the_files_hold_besides_is_remarked(tmp_path):
    write(tmp_path, thing("car", *SQUARE), thing("", *SQUARE), thing("car", *SQUARE[:2]))
    write(tmp_path, name="b")
    assert [(one.kind, one.count) for one in opened(tmp_path).remarks] == [
        ("no-label", 1),
        ("no-area", 1),
        ("no-objects", 1),
    ]


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    with pytest.raises(FailureError, match="holds no XML files of LabelMe"):
        opened(tmp_path)
    with pytest.raises(OptionError, match=r"no object in the 1 file of .* has a name"):
        opened(write(tmp_path, thing("", *SQUARE)))
    with pytest.raises(FailureError, match=r"a\.xml is not LabelMe's, or damaged"):
        opened(write(tmp_path, thing("car", (1, "x"), (2, 3))))
    with pytest.raises(FailureError, match=r"are missing: b\.png"):
        opened(write(tmp_path / "gone", thing("car", *SQUARE), name="b", image=False))


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA is not set")
def test_datumaros_files_are_read():
    root = Path(os.environ["SEGZOO_DATA"]).parent / "formats/datumaro_toys/labelme_dataset"
    assert [one.summary for one in recognise(root)] == ["LabelMe of the MIT, XML"]
    assert "labelme-xml" not in {one.name for one in recognise(root.parent / "voc_dataset/voc_dataset1")}
    data = opened(root)
    assert data.labels.classes == ("background", "b1", "hg", "license plate", "m1", "o1", "q1", "window")
    assert data[0].instances.max() == 7
