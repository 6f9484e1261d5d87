"""Label Studio's brush masks are decoded, and encoded so that they decode to the same."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from segzoo.datasets import Polygon
from segzoo_formats.brush import decode_brush, encode_brush


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 48), (300, 300)])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_what_is_encoded_decodes_to_the_same(size, share):
    mask = np.random.default_rng(0).random(size) < share
    code = encode_brush(mask)
    assert set(map(type, code)) == {int}
    np.testing.assert_array_equal(decode_brush(code, size), mask)


def test_values_that_are_not_repeated_are_decoded():
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    bits += "0" + "00" + f"{7:03b}" + "".join(f"{value:08b}" for value in (9, 9, 9, 200, 9, 9, 9, 100))
    code = [int(bits[start : start + 8].ljust(8, "0"), 2) for start in range(0, len(bits), 8)]
    assert decode_brush(code, (1, 2)).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (lambda code: code[:-4], "ends too early"),
        (lambda code: [], "ends too early"),
        (lambda code: [*code[:-1], 256], "not a list of bytes"),
        (lambda code: ["a"], "not a list of bytes"),
        (lambda code: [0, 0, 0, 4, *code[4:]], r"of 1 pixels, and the image has 8 x 6"),
    ],
)
def test_damaged_code_says_what_is_wrong(code, told):
    with pytest.raises(ValueError, match=told):
        decode_brush(code(encode_brush(np.eye(6, 8, dtype=bool))), (6, 8))


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA is not set")
def test_masks_that_label_studio_wrote_are_the_persons_of_its_polygons():
    folder = Path(os.environ["SEGZOO_DATA"]).parent / "formats/label_studio_ml"
    brushes, polygons = (
        json.loads((folder / f"test_{kind}_labels.json").read_text())[0]["result"]
        for kind in ("brush", "polygon")
    )
    assert len(brushes) == 3
    for brush, polygon in zip(brushes, polygons, strict=True):
        size = brush["original_height"], brush["original_width"]
        mask, outline = decode_brush(brush["value"]["rle"], size), np.zeros(size, bool)
        corners = np.array(polygon["value"]["points"]) / 100 * size[::-1]
        drawn = Polygon([corners]).draw(size)
        outline[drawn.place] = drawn.inside
        assert (mask & outline).sum() / (mask | outline).sum() > 0.9
        assert encode_brush(mask) == brush["value"]["rle"]
