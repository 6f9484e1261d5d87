"""Models leave for other runtimes, whole, and say what they are."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

import segzoo
from segzoo.config import config_of
from segzoo.errors import FailureError, MissingExtraError, OptionError, UsageError, WeightsError
from segzoo.exporting.preprocessing import Placing, Resizing, WholeImage, scaled
from segzoo.exporting.probing import random_image
from segzoo.images.intensity import scaling_for
from segzoo.images.sizes import placed, resized
from segzoo.plugins import resolve
from segzoo.runtimes import METADATA_KEY, ExportInfo
from segzoo.runtimes.program import spec_of
from segzoo.specs import Labels, Resize, parse_intensity


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
        ("m.tflite", {}, r"has no suffix of an export format.*onnx \(\.onnx\)"),
        ("m.onnx", {"format": "onx"}, "did you mean 'onnx'"),
        ("m.onnx", {"format": "torch"}, r"end in \.pt2"),
        ("m.pt2", {"precision": "int8"}, "torch files support float32 or float16"),
        ("m.onnx", {"precision": "int8"}, "--calibrate IMAGES"),
        ("m.onnx", {"precision": "float64"}, "float32"),
        ("m.onnx", {"opset": 3}, "opset must be one of 18 to 23"),
        ("m.xml", {"opset": 18}, "leave it out"),
        ("m.onnx", {"pixels": "uint16"}, "with_preprocessing=True"),
        ("m.onnx", {"static": (0, 5)}, "static height"),
        ("m.onnx", {"static": 512}, "a height and a width"),
    ],
)
def test_a_call_that_cannot_be_is_refused_before_anything_is_made(small, tmp_path, out, options, match):
    with pytest.raises(OptionError, match=match):
        segzoo.export(small, tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_missing_is_told_with_the_line_that_installs_it(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"segmentation-zoo\[onnxruntime\]"):
        segzoo.export(small, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(small, tmp_path):
    out = tmp_path / "m.onnx"
    out.write_text("mine")
    with pytest.raises(FailureError, match="--overwrite"):
        segzoo.export(small, out)
    assert out.read_text() == "mine"


@pytest.mark.medium
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(
    "size",
    [
        {"mode": "scale", "scale": 0.5},
        {"mode": "stretch", "height": 97, "width": 120},
        {"mode": "letterbox", "height": 128, "width": 160},
        {"mode": "short", "short": 60, "long": 100, "multiple": 32},
        {"mode": "bounds", "short": 64, "long": 110},
    ],
    ids=lambda size: size["mode"],
)
def test_an_image_is_resized_as_pillow_does(size, interpolation, antialias):
    resize = Resize(**size, interpolation=interpolation, antialias=antialias)
    for number, (height, width) in enumerate([(131, 203), (77, 75)]):
        image = random_image(number, height, width, 3)
        wanted, _ = resized(image, resize)
        given = torch.from_numpy(image).permute(2, 0, 1).float()
        found = Resizing(resize)(given, is_bytes=True).permute(1, 2, 0).numpy()
        assert found.shape == wanted.shape
        away = np.abs(found - wanted)
        # Pillow's weights have 22 bits.
        assert away.max() <= 1
        assert (away > 0).mean() < 0.01
        wanted, _ = resized(np.float32(image / 255), resize)
        found = Resizing(resize)(given / 255, is_bytes=False).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_images_lie_in_their_frame_where_the_predictor_puts_them():
    for resize in (
        Resize(mode="letterbox", height=512, width=640),
        Resize(mode="short", short=520, long=700),
        Resize(mode="scale", scale=0.5),
    ):
        placing = Placing(resize)
        for height, width in np.random.RandomState(0).randint(200, 2000, (300, 2)).tolist():
            (rows, columns), (top, left) = placing(height, width)
            _, place = placed(height, width, resize)
            assert (rows, columns, top, left) == (place.height, place.width, place.top, place.left)


@pytest.mark.parametrize("rule", ["uint8", "range:10,200", "percentiles:1,99.8", "percentiles:2,98:band"])
@pytest.mark.parametrize("most", [256, 900, 4096, 65536])
def test_values_are_scaled_as_the_predictor_does(rule, most):
    kind = np.uint8 if most == 256 else np.uint16
    image = (np.random.RandomState(0).rand(75, 101, 3) ** 2 * most).astype(kind)
    image[3, 4, 0] = np.iinfo(kind).max  # one hot pixel
    intensity = parse_intensity(rule)
    wanted = scaling_for(intensity, image).apply(image)
    planes = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)
    found = scaled(planes, intensity, torch.uint8 if most == 256 else torch.uint16).permute(1, 2, 0)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


def taught(**options):
    """Return a network whose classes are all there on `random_image`."""
    preprocessing, labels = options.pop("preprocessing", {}), options.pop("labels", None)
    torch.manual_seed(0)
    model = segzoo.create("unet", width=4, depth=2, **options).eval()
    known = config_of(model)
    model.segzoo_config = replace(
        known,
        labels=labels or known.labels,
        preprocessing=replace(known.preprocessing, **preprocessing),
    )
    image = random_image(0, 64, 96, known.architecture.in_channels)
    with torch.no_grad():
        model.head.weight *= 10
        logits = model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0]
        model.head.bias -= logits.flatten(1).median(dim=1).values
    return model


CASES = {
    "one logit": {"num_classes": 1, "in_channels": 1, "preprocessing": {"channels": "grey"}},
    "five bands of 16 bits": {
        "num_classes": 3,
        "in_channels": 5,
        "preprocessing": {"channels": "any", "intensity": parse_intensity("percentiles:1,99.8:band")},
    },
    "overlapping": {"num_classes": 3, "labels": Labels(classes=("a", "b", "c"), overlapping=True)},
    "letterbox": {
        "num_classes": 4,
        "preprocessing": {
            "channels": "bgr",
            "mean": (0.4, 0.5, 0.6),
            "std": (0.2, 0.2, 0.3),
            "resize": Resize(mode="letterbox", height=64, width=80, restore="probabilities"),
        },
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_network_with_preprocessing_gives_the_predictor_s_masks(case):
    model = taught(**dict(CASES[case]))
    kind = torch.uint16 if case == "five bands of 16 bits" else torch.uint8
    whole = WholeImage(model, config_of(model), kind)
    with torch.no_grad():
        compare(model, lambda image: whole(torch.from_numpy(image)).numpy(), deep=kind is torch.uint16)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt2"])
def test_a_file_with_preprocessing_gives_the_predictor_s_masks(suffix, tmp_path):
    model = taught(**dict(CASES["letterbox"]))
    file = segzoo.export(model, tmp_path / f"m{suffix}", with_preprocessing=True, certificate=False)
    opened = resolve(spec_of(file).runtime)
    program = opened(file)
    assert [port.shape for port in program.inputs] == [(None, None, 3)] or suffix == ".onnx"
    compare(model, program)
    if suffix != ".pt2":
        # The network can be cut out.
        logits = opened(file, network=True)(np.zeros((1, 3, 64, 80), np.float32))
        assert logits.shape == (1, 4, 64, 80)


def compare(model, run, *, deep=False):
    """Hold masks against those of the predictor, at sizes that nothing was made with."""
    predictor = segzoo.Predictor(model, backend="eager")
    for number, (height, width) in enumerate([(64, 96), (131, 75)]):
        image = random_image(number, height, width, config_of(model).architecture.in_channels)
        image = image.astype(np.uint16) * 16 if deep else image
        wanted = predictor(image).mask
        found = run(image)
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        assert len(np.unique(wanted)) > 1
        assert (found != wanted).mean() < 0.002


def test_a_rule_that_needs_a_whole_run_is_refused():
    model = taught(num_classes=2, preprocessing={"intensity": parse_intensity("percentiles:1,99:run")})
    with pytest.raises(UsageError, match="measured over all images of a run"):
        WholeImage(model, config_of(model), torch.uint8)
    model = taught(num_classes=2, preprocessing={"bands": ("red", "nir", "2")})
    with pytest.raises(UsageError, match="select bands by name"):
        WholeImage(model, config_of(model), torch.uint8)


class Stubborn(torch.nn.Module):
    """A layer that looks at values."""

    def forward(self, x):
        return x if float(x.sum()) > 0 else -x


@pytest.mark.medium
def test_an_operation_that_cannot_be_exported_names_its_layer(tmp_path):
    model = taught(num_classes=2)
    model.head = torch.nn.Sequential(model.head, Stubborn())
    with pytest.raises(FailureError, match=r"layer head\.1 \(Stubborn\) cannot be exported"):
        segzoo.export(model, tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []
