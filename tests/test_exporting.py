"""Models leave for other runtimes, whole, and say what they are."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

import segzoo
from segzoo.config import config_of
from segzoo.errors import FailureError, OptionError, WeightsError
from segzoo.runtimes import METADATA_KEY, ExportInfo


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=3, in_channels=4, width=4, depth=2).eval()


@pytest.mark.slow
def test_an_onnx_file_takes_sizes_and_batches_that_it_was_not_exported_with(small, tmp_path):
    file = segzoo.export(small, tmp_path / "small.onnx", certificate=False)
    session = onnxruntime.InferenceSession(file)
    for shape in ((1, 4, 75, 101), (3, 4, 64, 64), (2, 4, 129, 70)):
        images = torch.randn(shape)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, small(images), atol=1e-5)
    known = session.get_modelmeta().custom_metadata_map
    info = ExportInfo.from_json(known[METADATA_KEY], "small.onnx")
    assert info.config == config_of(small)
    assert (info.format, info.size, info.precision) == ("onnx", None, "float32")
    assert b"/segmenter.py" not in file.read_bytes()


def test_metadata_come_back_as_they_were(small):
    info = ExportInfo(config=config_of(small), name="small", size=(64, 96), format="onnx", weights="ab")
    assert ExportInfo.from_json(info.to_json(), "it") == info


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "cannot be read"),
        ("[1]", "has format None"),
        ('{"segzoo_export": 2}', "upgrade segzoo"),
        ('{"segzoo_export": 1, "name": 3}', "name is missing or damaged, got 3"),
    ],
)
def test_damaged_metadata_name_what_is_wrong(text, match):
    with pytest.raises(WeightsError, match=match):
        ExportInfo.from_json(text, "model.onnx")


@pytest.mark.parametrize(
    ("out", "options", "match"),
    [
        ("m.tflite", {}, r"suffix of no export format.*onnx \(\.onnx\)"),
        ("m.onnx", {"format": "onx"}, "did you mean 'onnx'"),
        ("m.onnx", {"format": "torch"}, r"end in \.pt2"),
        ("m.pt2", {"precision": "int8"}, "precision"),
    ],
)
def test_a_call_that_cannot_be_is_refused_before_anything_is_made(small, tmp_path, out, options, match):
    with pytest.raises(OptionError, match=match):
        segzoo.export(small, tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(small, tmp_path):
    out = tmp_path / "m.onnx"
    out.write_text("mine")
    with pytest.raises(FailureError, match="--overwrite"):
        segzoo.export(small, out)
    assert out.read_text() == "mine"
