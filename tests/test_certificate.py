"""A file that leaves is run where it goes, and says what was measured; one that is wrong does not leave."""

from __future__ import annotations

import json
import os
import shutil
import signal
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import segzoo
from segzoo.errors import FailureError, MissingExtraError, UsageError, WeightsError, missing_extra
from segzoo.exporting import certify, read_certificate, verify
from segzoo.exporting.apart import ProgramApart
from segzoo.exporting.certificate import TIE, certificate_path
from segzoo.exporting.probing import Given, Reference, random_image, run_on
from segzoo.files import read_sha256
from segzoo.runtimes import Port


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=3, in_channels=4, width=4, depth=2).eval()


@pytest.fixture(scope="module")
def certified(small, tmp_path_factory):
    """An ONNX file with its certificate."""
    folder = tmp_path_factory.mktemp("certified")
    return segzoo.export(small, folder / "small.onnx")


def copied(file, folder):
    for one in (file, certificate_path(file)):
        shutil.copy(one, folder)
    return folder / file.name


@pytest.mark.slow
def test_a_certificate_tells_what_was_measured_at_sizes_that_the_file_was_not_made_for(certified):
    found = read_certificate(certificate_path(certified))
    assert found.holds
    shapes = {probe.shape for probe in found.held}
    assert {(1, 4, 75, 101), (2, 4, 75, 101), (1, 4, 64, 200)} <= shapes
    assert found.largest_relative < 1e-5
    assert found.disagreement == 0
    assert (found.precision, found.format, found.size) == ("float32", "onnx", None)
    assert found.opset is not None
    assert found.files[0].sha256 == read_sha256(certified)
    assert found.speed is not None
    assert found.speed.threads == torch.get_num_threads()
    assert {"onnxruntime", "torch", "segmentation-zoo"} <= set(found.versions)
    assert "only random ones" in found.notes[0]


@pytest.mark.slow
def test_a_file_is_verified_with_its_model_and_without(certified, small, tmp_path):
    file, told = copied(certified, tmp_path), []
    found = verify(file, on_message=told.append)
    assert found.holds
    assert "its values in the certificate" in told[0] or "names no model" in told[0]
    assert verify(file, model=small, images=[random_image(7, 90, 70, 4)]).holds
    torch.manual_seed(1)
    other = segzoo.create("unet", num_classes=3, in_channels=4, width=4, depth=2)
    with pytest.raises(FailureError, match="other weights than the exported ones"):
        verify(file, model=other)


@pytest.mark.slow
def test_a_file_that_changed_is_not_the_one_that_was_certified(certified, tmp_path):
    file = copied(certified, tmp_path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"sha256 is [0-9a-f]{64}, its certificate says"):
        verify(file)
    certificate_path(file).unlink()
    with pytest.raises(UsageError, match="no certificate"):
        verify(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda data: "[]", "no key 'segzoo_certificate'"),
        (lambda data: "{", "is not a certificate"),
        (lambda data: json.dumps({**data, "segzoo_certificate": 2}), "upgrade segzoo"),
        (lambda data: json.dumps({**data, "probes": 3}), "probes must be a list"),
        (lambda data: json.dumps({**data, "precision": "fp8"}), "damaged"),
        (lambda data: json.dumps({**data, "colour": 1}), "unknown key 'colour'"),
    ],
)
def test_a_damaged_certificate_names_what_is_wrong(certified, tmp_path, change, match):
    data = json.loads(certificate_path(certified).read_text())
    file = tmp_path / "x.certificate.json"
    file.write_text(change(data))
    with pytest.raises(WeightsError, match=match):
        read_certificate(file)


@pytest.mark.slow
def test_a_file_of_other_numbers_does_not_hold_and_the_layer_is_named(certified, small, tmp_path):
    model = onnx.load(certified)
    wrong = next(one for one in model.graph.initializer if one.name.startswith("decoder") and one.dims)
    values = onnx.numpy_helper.to_array(wrong).copy()
    values.reshape(-1)[0] += 0.5
    wrong.CopyFrom(onnx.numpy_helper.from_array(values, wrong.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    found = certify(small, tmp_path / "wrong.onnx", format="onnx")
    assert not found.holds
    assert found.layer.startswith(wrong.name.rpartition(".")[0].rpartition(".")[0]), found.layer
    with pytest.raises(FailureError, match=r"does not compute the same as the model.*logits differ.*layer"):
        found.check("wrong.onnx")


class Liar(nn.Module):
    """Computes something else when it is exported."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) * (1.25 if torch.compiler.is_exporting() else 1)


@pytest.mark.slow
def test_an_export_that_is_wrong_leaves_no_file_and_names_the_layer(small, tmp_path):
    network = deepcopy(small)
    network.head = Liar(network.head)
    with pytest.raises(FailureError, match=r"they first differ at layer head \(Liar\)"):
        segzoo.export(network, tmp_path / "liar.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def reference(small):
    return Reference(small, with_preprocessing=False)


def test_numbers_that_are_no_numbers_and_other_shapes_are_told(reference):
    given = Given(np.zeros((1, 4, 8, 8), np.float32), "random", seed=0)
    right = reference(given.images)
    assert reference.compare(given, right).trouble == ""
    assert "not finite" in reference.compare(given, right * np.nan).trouble
    assert reference.compare(given, right[..., 1:]).trouble == "the file outputs 1x3x8x7, the model 1x3x8x8"


def test_another_class_where_two_nearly_tie_is_no_clear_one(reference, monkeypatch):
    logits = np.zeros((1, 3, 1, 4), np.float32)
    logits[0, 0], logits[0, 1, 0] = 1, (1 - TIE / 2, 1 - TIE * 2, 0, 0)
    monkeypatch.setattr(Reference, "__call__", lambda *_: logits)
    other = logits.copy()
    other[0, 1, 0, :2] = 1.1
    found = reference.compare(Given(np.zeros((1, 4, 1, 4), np.float32), "random"), other)
    assert (found.pixels, found.differing, found.clear) == (4, 2, 1)


def test_random_images_are_the_same_on_every_machine():
    assert random_image(0, 20, 33, 3).sum() == 265957
    assert random_image(1, 20, 33, 3).shape == (20, 33, 3)


class Crashing:
    """A runtime that ends its process on the second image."""

    info = None
    inputs = outputs = (Port(name="x", shape=(1, None), dtype="float32"),)
    description = "crashing"
    runs = 0

    def __call__(self, images):
        self.runs += 1
        if self.runs == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        print("what libraries print is no answer")
        return images + 1


def open_crashing(path):
    if path.name == "missing":
        raise missing_extra("this needs what is missing", "onnxruntime")
    return Crashing()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_runtime_that_crashes_ends_its_own_process_alone():
    here = f"{Path(__file__).stem}:open_crashing"
    with ProgramApart(Path("some.onnx"), here, threads=1) as program:
        assert program(np.ones((1, 2), np.float32)).tolist() == [[2, 2]]
        given = Given(np.ones((1, 2), np.float32), "random")
        with pytest.raises(FailureError, match=r"some\.onnx: the process .* on 1x2 \(by SIGKILL\)"):
            run_on(program, given)
    with pytest.raises(MissingExtraError, match="pip install"):
        ProgramApart(Path("missing"), here, threads=1)
