"""From any image to a mask, by call and by command, with bad files among the good."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import segzoo
from segzoo.cli import run
from segzoo.config import ModelConfig, config_of
from segzoo.errors import ImageError, OptionError, UsageError
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.sources import find_sources
from segzoo.specs import Labels, Preprocessing, Resize

LABELS = Labels(classes=("background", "bright"), palette=((0, 0, 0), (255, 0, 0)))


class Brightness(nn.Module):
    """Logit = 20 (mean of the channels - 0.5): white is class 1, so that a mask can be told in advance."""

    def __init__(self, num_classes=1, **config):
        super().__init__()
        self.num_classes = num_classes
        architecture = segzoo.create("unet", num_classes=num_classes, width=1).segzoo_config.architecture
        labels = LABELS if num_classes < 3 else Labels(classes=("a", "b", "c"))
        self.segzoo_config = ModelConfig(architecture=architecture, labels=labels, **config)
        self.seen = None

    def forward(self, images):
        self.seen = images
        logit = 20 * (images.mean(dim=1, keepdim=True) - 0.5)
        zeros = [torch.zeros_like(logit)] * (self.num_classes - 1)
        return torch.cat([*zeros, logit], dim=1)


def half_white(height=40, width=60):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


@pytest.fixture
def folder(tmp_path):
    """Weights of an untrained U-Net."""
    torch.manual_seed(0)
    return segzoo.save(
        segzoo.create("unet", num_classes=1, width=2, upsample="bilinear"), tmp_path / "weights"
    )


@pytest.mark.parametrize("num_classes", [1, 2])
def test_a_mask_has_the_size_and_the_classes_of_its_image(num_classes):
    result = segzoo.predict(half_white(), model=Brightness(num_classes))
    assert np.array_equal(result.mask, (half_white()[..., 0] > 0).astype(np.uint8))
    assert result.shares == {"background": 0.5, "bright": 0.5}


def test_the_threshold_of_the_config_decides():
    grey = np.full((4, 4, 3), 140, np.uint8)  # a chance of 0.73
    assert segzoo.predict(grey, model=Brightness()).mask.all()
    assert not segzoo.predict(grey, model=Brightness(threshold=0.8)).mask.any()


@pytest.mark.parametrize("num_classes", [1, 3])
def test_probabilities_come_on_request(num_classes):
    chances = segzoo.predict(half_white(), model=Brightness(num_classes), probabilities=True).probabilities
    assert chances.shape == (num_classes, 40, 60)
    assert chances.dtype == np.float32
    if num_classes > 1:
        np.testing.assert_allclose(chances.sum(axis=0), 1, rtol=1e-5)
    assert segzoo.predict(half_white(), model=Brightness()).probabilities is None


@pytest.mark.parametrize("restore", ["logits", "probabilities"])
@pytest.mark.parametrize(
    ("resize", "seen"),
    [
        ({"mode": "scale", "scale": 0.5}, (20, 30)),
        ({"mode": "stretch", "height": 32, "width": 32}, (32, 32)),
        ({"mode": "letterbox", "height": 64, "width": 64}, (64, 64)),
    ],
)
def test_what_was_resized_on_the_way_in_comes_out_at_the_image_size(resize, seen, restore):
    model = Brightness(preprocessing=Preprocessing(resize=Resize(**resize, restore=restore)))
    result = segzoo.predict(half_white(), model=model, probabilities=True)
    assert model.seen.shape[-2:] == seen
    assert (result.mask != (half_white()[..., 0] > 0)).mean() < 0.05
    assert result.probabilities.min() >= 0
    assert result.probabilities.max() <= 1


def test_a_model_is_left_in_the_mode_it_was_in(folder):
    model = segzoo.load(folder).train()
    segzoo.predict(half_white(), model=model)
    assert model.training


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_every_mode_of_image_file_is_segmented(tmp_path, folder, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(half_white()[..., 0].astype(np.uint16) * 16).save(path)
    else:
        Image.fromarray(half_white()).convert(mode).save(path)
    assert segzoo.predict(path, model=str(folder)).mask.shape == (40, 60)


def test_an_image_with_other_channels_than_the_network_is_refused(folder):
    with pytest.raises(ImageError, match=r"has 5 bands .* the network takes 3"):
        segzoo.predict(np.zeros((4, 4, 5), np.uint8), model=str(folder))
    model = Brightness(preprocessing=Preprocessing(channels="grey"))
    with pytest.raises(OptionError, match="expects 3 bands, but its config has channels='grey'"):
        segzoo.predict(half_white(), model=model)


@pytest.mark.slow
def test_chosen_bands_are_what_the_network_gets(folder, tmp_path, capsys):
    bands = np.dstack([np.zeros((40, 60, 2), np.uint8), half_white()])
    expected = segzoo.predict(half_white(), model=str(folder)).mask
    for chosen in ((3, 4, 5), "3,4,5", ["5"]):
        assert np.array_equal(segzoo.predict(bands, model=str(folder), bands=chosen).mask, expected)
    np.save(tmp_path / "five.npy", bands)
    words = ["predict", str(tmp_path / "five.npy"), "-m", str(folder), "--out", str(tmp_path / "masks")]
    assert run([*words, "--bands", "5,4"]) == 2
    assert "--bands: 2 bands are chosen (5,4), but the network takes 3" in capsys.readouterr().err
    assert run([*words, "--bands", "5,4,9"]) == 1
    assert "five.npy: there is no band 9: the image has 5 bands" in capsys.readouterr().err
    for memory in ("4GB", "19MB"):
        assert run([*words, "--bands", "5,4,3", "--memory", memory, "--overwrite", "--outputs", "mask"]) == 0
        assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / "five_mask.png")), expected)


@pytest.mark.medium
def test_alpha_that_is_left_out_is_told_once_a_run(folder, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        clear = Image.fromarray(half_white()).convert("RGBA" if number else "RGB")
        clear.save(tmp_path / "photos" / f"{number}.png")
    words = ["predict", str(tmp_path / "photos"), "-m", str(folder), "--out", str(tmp_path / "masks")]
    assert run(words) == 0
    told = capsys.readouterr().err
    assert told.count("alpha") == 1
    assert "the alpha channel of 2 images was ignored: the network takes 3 bands" in told
    assert run([*words, "--bands", "1,2,3", "--overwrite"]) == 0
    assert "alpha" not in capsys.readouterr().err


def test_a_model_that_segzoo_did_not_make_is_refused():
    with pytest.raises(UsageError, match="segzoo_config"):
        config_of(nn.Conv2d(3, 1, 1))


def test_a_segmentation_draws_its_index_image_and_overlay():
    mask = np.zeros((5, 5), np.uint8)
    mask[1:4, 1:4] = 1
    result = Segmentation(mask=mask, labels=LABELS, image=np.full((5, 5, 1), 100, np.uint8))
    index = result.index_image()
    assert index.mode == "P"
    assert np.array_equal(np.asarray(index), mask)
    assert index.convert("RGB").getpixel((2, 2)) == (255, 0, 0)
    overlay = result.overlay(opacity=0.5)
    assert overlay.getpixel((0, 0)) == (100, 100, 100)
    assert overlay.getpixel((2, 2)) == (178, 50, 50)
    assert overlay.getpixel((1, 1)) == (255, 0, 0)


def test_a_folder_is_searched_below_and_same_stems_stay_apart(tmp_path):
    for name in ("a.png", "a.jpg", "b/c.TIF", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [source.name for source in find_sources([tmp_path])] == ["a.jpg", "a.png", "b/c"]


def test_the_command_writes_masks_and_overlays_and_says_where(tmp_path, folder, capsys):
    Image.fromarray(half_white()).save(tmp_path / "a.png")
    out = tmp_path / "out"
    assert run(["predict", str(tmp_path / "a.png"), "--model", str(folder), "--out", str(out)]) == 0
    assert f"{out / 'a_mask.png'}, a_overlay.png" in capsys.readouterr().out
    for name in ("a_mask.png", "a_overlay.png"):
        assert Image.open(out / name).size == (60, 40)


def test_good_files_are_done_and_bad_ones_listed_at_the_end(tmp_path, folder, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(half_white()).save(photos / "good.png")
    whole = (photos / "good.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("hello")
    (tmp_path / "none").mkdir()
    paths = [str(photos), str(tmp_path / "none"), str(tmp_path / "absent.png")]
    assert run(["predict", *paths, "--model", str(folder), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert "good_mask.png" in captured.out
    assert "5 could not be segmented" in captured.err
    for name in ("cut.png", "empty.png", "text.png", "none contains no image", "absent.png"):
        assert name in captured.err
    assert "Traceback" not in captured.err


def test_an_output_folder_that_cannot_be_written_fails_before_any_work(tmp_path, folder, capsys):
    Image.fromarray(half_white()).save(tmp_path / "a.png")
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    assert run(["predict", str(tmp_path / "a.png"), "--model", str(folder), "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"cannot write to {out}" in captured.err


@pytest.mark.parametrize("option", [["--model", "unet-nuclie"], ["--model", "local-dir:absent"], []])
def test_a_wrong_model_is_one_message(tmp_path, capsys, option):
    Image.fromarray(half_white()).save(tmp_path / "a.png")
    assert run(["predict", str(tmp_path / "a.png"), *option, "--out", str(tmp_path / "out")]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_a_device_that_this_machine_lacks_is_named(tmp_path, folder, capsys):
    Image.fromarray(half_white()).save(tmp_path / "a.png")
    arguments = ["predict", str(tmp_path / "a.png"), "--model", str(folder), "--out", str(tmp_path / "o")]
    assert run([*arguments, "--device", "nonsense"]) == 2
    assert "device 'nonsense' cannot be used" in capsys.readouterr().err
