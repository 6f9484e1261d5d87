"""The checks of outputs catch those that break a promise, and say which."""

import json

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import PluginError, UsageError
from segzoo.prediction import Output, Segmentation, write_outputs
from segzoo.specs import Labels, OutputSpec
from segzoo.testing import check_output, isolated_zoo


class Good(Output):
    """Where objects are."""

    def draw(self, band):
        return band.segmentation.mask > 0


class Neighbours(Output):
    """It looks at the row below without saying so."""

    def draw(self, band):
        mask = band.segmentation.mask
        return np.concatenate([mask[1:], mask[-1:]]) != mask


class Pixels(Output):
    """It draws on the image, which its spec does not say."""

    def draw(self, band):
        return band.segmentation.image[..., 0]


class Scribbler(Output):
    """It writes into what it is given."""

    def draw(self, band):
        band.segmentation.mask[:] = 1
        return band.segmentation.mask


class Random(Output):
    """It never draws the same."""

    def draw(self, band):
        return np.random.default_rng().random(band.segmentation.mask.shape) > 0.5


class Broken(Output):
    """It writes no JSON."""

    def draw(self, band):
        return b"{"


def spec(factory, suffix="_mine.png", **more):
    return OutputSpec(name="mine", factory=f"{__name__}:{factory}", suffix=suffix, **more)


class Faulty(Output):
    """It raises what nobody expects."""

    def draw(self, band):
        return {}["mask"]


def test_an_output_that_raises_is_named_and_so_is_the_image(tmp_path):
    found = Segmentation(
        np.zeros((4, 4), np.uint8), Labels(classes=("a", "b")), np.zeros((4, 4, 3), np.uint8)
    )
    told = pytest.raises(PluginError, match=r"'mine' cannot draw a\.png: KeyError")
    with isolated_zoo(spec("Faulty")), told:
        write_outputs(found, tmp_path / "a", ["mine"], source="a.png")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_keeps_its_promises_passes():
    check_output(spec("Good", by_rows=True))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (spec("Neighbours", by_rows=True), r"by rows is not that of the whole image: reach\(\)"),
        (spec("Pixels"), r"its spec must say needs=\('image',\)"),
        (spec("Scribbler"), "writes into the mask"),
        (spec("Random"), "is another file when it is written again"),
        (spec("Broken", "_mine.json"), "cannot be read"),
        (spec("Good", "_mine.xyz"), r"of bool cannot be written as \.xyz"),
    ],
    ids=["reach", "needs", "scribbles", "random", "broken", "format"],
)
def test_an_output_that_breaks_a_promise_is_told(bad, told):
    with pytest.raises(PluginError, match=told):
        check_output(bad)


@pytest.mark.parametrize("wrong", [{"suffix": "mine"}, {"formats": (".jpg",)}, {"needs": ("truth",)}])
def test_a_spec_that_no_file_could_follow_is_refused(wrong):
    with pytest.raises(UsageError, match="output 'mine': "):
        spec("Good", **{"suffix": "_mine.png", **wrong})


def test_a_plugin_s_output_is_written_by_its_name_and_its_full_name(tmp_path):
    weights = segzoo.save(segzoo.create("unet", num_classes=2, width=2, depth=2), tmp_path / "weights")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    words = ["predict", str(tmp_path / "a.png"), "-m", str(weights), "--out", str(out), "--outputs"]
    with isolated_zoo(spec("Good", formats=(".png", ".npy")), owner="segzoo-theirs"):
        assert run([*words, "mine,segzoo-theirs:mine"]) == 2  # two outputs would be one file
        assert run([*words, "mine"]) == 0
        assert run([*words, "segzoo-theirs:mine:npy,segzoo:areas"]) == 0
    assert Image.open(out / "a_mine.png").mode == "1"
    assert np.load(out / "a_mine.npy").dtype == np.bool_
    lines = (out / "manifest.jsonl").read_text().splitlines()
    assert any("a_areas.csv" in json.loads(line).get("outputs", ()) for line in lines)
