"""The catalogue of weights: every entry is fetched from a mirror on loopback, converted, built by name."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torchvision
from file_server import FileServer, serving
from goldens.golden import Golden, filled
from goldens.libraries import LibraryGolden

import segzoo
from segzoo import zoo
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError, PluginError, UsageError, WeightsError
from segzoo.specs import Labels, WeightsSpec, known_labels
from segzoo.weights import cache, converted, inventory, sources
from segzoo.weights.folder import empty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run, Site

pytestmark = pytest.mark.usefixtures("home")

ENTRIES = dict(zoo.weights.items())
REMOTE = [name for name, entry in ENTRIES.items() if entry.spec.url]
MODELS = [name for name in REMOTE if ENTRIES[name].spec.classes]

#: What each file holds: a golden's tensors, and how this file differs.
FILES: dict[str, tuple[str, str]] = {
    "unet-carvana": ("milesial_transpose", ""),
    "unet-carvana-full": ("milesial_transpose", ""),
    "unet-carvana-v2": ("milesial_bilinear", "biases two"),
    "unet-carvana-v1": ("milesial_bilinear", "biases"),
    "unet-vgg-voc": ("bubbliiiing_vgg", ""),
    "unet-resnet50-voc": ("bubbliiiing_resnet50", ""),
    "unet-voc-older": ("bubbliiiing_vgg", ""),
    "nested-nuclei-ascend": ("nested_unet", "container"),
    "unet-isbi-mindspore": ("mindspore_medical", "wide"),
    "unet-isbi-mindspore-1.2": ("mindspore_medical", "wide"),
}
#: Weights whose files the library's own networks make: as it publishes them, with the auxiliary head.
TORCHVISION = {
    f"{model.replace('_', '-')}-coco-voc": model
    for model in torchvision.models.list_models(torchvision.models.segmentation)
}
#: MMSegmentation's, at the width of its goldens: the golden, and what is narrow in encoder and decoder.
MMSEG: dict[str, tuple[str, dict[str, int], dict[str, int]]] = {
    "pspnet-r50-cityscapes": (
        "mmseg_pspnet_r50d8",
        {"base_channels": 16, "stem_channels": 64},
        {"width": 48},
    ),
    "deeplabv3plus-r50-cityscapes": (
        "mmseg_deeplabv3plus_r50d8",
        {"base_channels": 16, "stem_channels": 64},
        {"width": 48, "skip_width": 12},
    ),
}


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    with serving({}) as state:
        monkeypatch.setenv("SEGZOO_MIRROR", state.url)
        yield state


@pytest.fixture
def tiny(mirror: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsSpec:
    """Weights of a narrow milesial U-Net on the mirror, registered under a name."""
    spec = WeightsSpec(
        name="tiny-carvana",
        url="https://example.org/v3.0/tiny.pth",
        layout="milesial",
        layout_options={"scale": 0.25},
        model="segzoo:unet",
        options={"width": 2},
        classes=("background", "car"),
        labels=Labels(classes=("background", "car"), palette=((0, 0, 0), (1, 2, 3))),
        data="made up",
        claimed="Dice 1.0",
        licence="CC0-1.0",
    )
    _register(monkeypatch, spec)
    about = Golden("milesial_transpose").about
    mirror.files["/example.org/v3.0/tiny.pth"] = _file(
        tmp_path, {n: filled(n, kind, _narrow(shape)) for n, kind, shape in about["state_dict"]}
    )
    return spec


def _register(monkeypatch: pytest.MonkeyPatch, spec: WeightsSpec) -> None:
    registry = zoo.registry("weights")
    monkeypatch.setattr(registry, "_entries", [*registry._entries])
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    registry.add(spec, owner="somebody")


def _narrow(shape: list[int]) -> list[int]:
    return [max(size // 32, 1) if size >= 64 else size for size in shape]


def _file(folder: Path, content: Any) -> bytes:
    torch.save(content, folder / "made.pth")
    made = (folder / "made.pth").read_bytes()
    (folder / "made.pth").unlink()
    return made


def _contents(name: str) -> Any:
    """Build a file as the entry's authors wrote it: names and shapes as published, values by rule."""
    if name in MMSEG:
        return _mmseg(MMSEG[name][0])
    if name in TORCHVISION:
        heads = {} if name.startswith("lraspp") else {"aux_loss": True}
        build = torchvision.models.get_model
        return build(TORCHVISION[name], weights=None, weights_backbone=None, **heads).state_dict()
    golden, changes = FILES[name]
    entries = [(n, kind, list(shape)) for n, kind, shape in Golden(golden).about["state_dict"]]
    if "biases" in changes:  # versions 1 and 2 had them in front of the batch norms
        firsts = {n for n, kind, shape in entries if kind == "conv" and "double_conv" in n}
        entries += [(n.replace("weight", "bias"), "shift", s[:1]) for n, _, s in entries if n in firsts]
    if "two" in changes:
        entries = [(n, k, [2, *s[1:]] if n.startswith("outc") else s) for n, k, s in entries]
    if "wide" in changes:  # the golden was made at an eighth of the width
        entries = [(n, k, _widened(s)) for n, k, s in entries]
    tensors = {n: filled(n, kind, shape) for n, kind, shape in entries}
    if "container" in changes:
        return {"epoch": 1, "state_dict": {f"module.{n}": tensor for n, tensor in tensors.items()}}
    return tensors


def _mmseg(name: str) -> Any:
    """Return a file of MMSegmentation 0.x for Cityscapes, with a golden's network."""
    golden, classes = LibraryGolden(name), len(known_labels("cityscapes").classes)
    said = {**golden.about["config"]["model"]}
    normal = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
    del said["data_preprocessor"]
    for head in ("decode_head", "auxiliary_head"):
        said[head] = {**said[head], "num_classes": classes}
    tensors = {
        n: torch.zeros(classes, *tensor.shape[1:]) if ".conv_seg." in n else tensor
        for n, tensor in golden.tensors.items()
    }
    text = f"model = {said!r}\nimg_norm_cfg = {normal!r}\n"
    return {"meta": {"mmseg_version": "0.5.0", "config": text}, "state_dict": tensors}


def _widened(shape: list[int]) -> list[int]:
    """Return a shape at eight times the width: channels of images, classes and kernels stay."""
    return [size if size < 8 or axis > 1 else 8 * size for axis, size in enumerate(shape)]


def test_every_remote_entry_is_tried_here() -> None:
    assert {*FILES, *TORCHVISION, *MMSEG} == set(MODELS)


def test_create_without_weights_fetches_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    model = segzoo.create("unet-carvana", weights=None, width=4)
    assert model.training
    assert model.segzoo_config.preprocessing.resize.scale == 0.5
    assert not home.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_entry_is_fetched_converted_and_fits_what_it_declares(
    name: str, mirror: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file made by rule has neither the published hash nor, to the last percent, the size.
    spec = replace(ENTRIES[name].spec, sha256="", name=f"made-{name}")
    if name in MMSEG:
        _, encoder, decoder = MMSEG[name]
        narrow = {"encoder": {**spec.encoder, **encoder}, "decoder": {**spec.decoder, **decoder}}
        spec = replace(spec, **narrow)
    _register(monkeypatch, spec)
    content = _file(tmp_path, _contents(name))
    mirror.files[f"/{cache.mirror_path(spec.url)}"] = content
    if spec.bytes:
        assert abs(len(content) - spec.bytes) < 0.02 * spec.bytes
    with pytest.warns(UserWarning, match="no hash of it is published"):
        config = segzoo.load(spec.name).segzoo_config
    declared = converted.declared(spec)
    shapes = {n: tuple(t.shape) for n, t in empty(config).state_dict().items()}
    assert shapes == {n: tuple(t.shape) for n, t in empty(declared).state_dict().items()}
    assert config.preprocessing == declared.preprocessing
    assert config.labels == declared.labels
    assert config.licence == spec.licence
    assert config.provenance["source"] == spec.url


@pytest.mark.filterwarnings("ignore:.*no hash")
def test_weights_are_fetched_converted_once_and_loaded_by_name(tiny: WeightsSpec, mirror: FileServer) -> None:
    model = segzoo.create("tiny-carvana")
    assert not model.training
    config = model.segzoo_config
    assert (config.labels, config.licence) == (tiny.labels, "CC0-1.0")
    assert config.preprocessing.resize is not None
    assert config.preprocessing.resize.scale == 0.25
    assert config.provenance["claimed"] == "Dice 1.0"
    again = segzoo.load("tiny-carvana")
    images = torch.rand(1, 3, 20, 24)
    with torch.inference_mode():
        assert torch.equal(model(images), again(images))
    assert len(mirror.requests) == 1


@pytest.mark.filterwarnings("ignore:.*no hash")
def test_converted_weights_load_offline_even_when_the_file_is_gone(
    tiny: WeightsSpec, mirror: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    segzoo.load("tiny-carvana")
    assert [item.kind for item in inventory.prune()] == ["file"]
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    assert segzoo.load("tiny-carvana")


@pytest.mark.filterwarnings("ignore:.*no hash")
def test_a_converted_folder_that_changed_is_refused(tiny: WeightsSpec) -> None:
    file = sources.locate("tiny-carvana") / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="has changed since it was converted"):
        segzoo.load("tiny-carvana")


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:.*no hash")
def test_what_decides_the_result_decides_its_folder(
    tiny: WeightsSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = converted.converted(tiny)
    assert converted.converted(replace(tiny, layout_options={"scale": 0.5})) != first
    assert converted.converted(replace(tiny, licence="MIT")) != first
    assert converted.converted(replace(tiny, summary="other words")) == first
    monkeypatch.setattr(converted, "__version__", "9.9")
    assert converted.converted(tiny) != first


def test_a_file_of_another_program_is_refused_and_no_folder_is_left(
    tiny: WeightsSpec, mirror: FileServer, tmp_path: Path, home: Path
) -> None:
    mirror.files["/example.org/v3.0/tiny.pth"] = _file(tmp_path, {"weight": torch.zeros(3)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(WeightsError):
            segzoo.load("tiny-carvana")
    assert not (home / "folders").exists() or not list((home / "folders").iterdir())


def test_offline_the_error_names_the_file_and_its_place(
    tiny: WeightsSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    with pytest.raises(FailureError) as caught:
        segzoo.create("tiny-carvana")
    assert tiny.url in str(caught.value)
    assert str(cache.file_for(tiny.url)) in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REMOTE if name not in MODELS])
def test_every_encoder_s_weights_begin_a_model_that_has_it(
    name: str, mirror: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(ENTRIES[name].spec, sha256="", bytes=0, name=f"made-{name}")
    _register(monkeypatch, spec)
    torch.manual_seed(0)
    network = getattr(torchvision.models, spec.layout.partition("torchvision-")[2].replace("-", "_"))()
    # The classifiers are most of a file and are left out; a corner of each does.
    content = {key: _corner(key, tensor) for key, tensor in network.state_dict().items()}
    mirror.files[f"/{cache.mirror_path(spec.url)}"] = _file(tmp_path, content)
    with pytest.warns(UserWarning, match="no hash of it is published"):
        model = segzoo.create(f"unet/{spec.model}", num_classes=2, weights=spec.name)
    first = next(iter(content.values()))
    assert torch.equal(next(model.encoder.parameters()), first)
    with pytest.raises(OptionError, match="weights of an encoder"):
        segzoo.create(spec.name)
    with pytest.raises(WeightsError, match="belongs to an encoder, not to a model"):
        segzoo.load(spec.name)


def _corner(key: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:4, :4].clone() if key.startswith(("classifier", "fc.w")) and tensor.dim() > 1 else tensor


def test_weights_of_an_encoder_alone_are_no_model() -> None:
    spec = WeightsSpec(name="only", url="https://example.org/x.pth", layout="x", model="vgg16", classes=())
    with pytest.raises(OptionError, match=r"create\('unet/vgg16', num_classes=2, weights='only'\)"):
        converted.declared(spec)


def test_weights_come_from_exactly_one_place() -> None:
    for places in ({}, {"folder": "p:x", "url": "https://h/x"}, {"url": "ftp://h/x"}, {"url": "https://h"}):
        with pytest.raises(UsageError):
            WeightsSpec(name="x", model="unet", classes=("a", "b"), **places)


def test_a_package_without_its_folder_is_a_broken_plugin() -> None:
    spec = WeightsSpec(name="x", folder="segzoo:nowhere", model="unet", classes=("a", "b"))
    with pytest.raises(PluginError, match="contains no folder"):
        sources.folder_of(spec)


@pytest.mark.filterwarnings("ignore:.*no hash")
def test_the_command_fetches_all_it_can_and_lists_what_it_cannot(
    tiny: WeightsSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fetch", "tiny-carvana", "nothing-of-the-kind", "hf-hub:not a repository"]) == 2
    assert run(["fetch", "tiny-carvana", "local-dir:nowhere"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("tiny-carvana\t")
    assert "2 of 3 could not be downloaded" in err
    assert "nothing-of-the-kind" in err


def test_building_a_declared_architecture_gives_the_published_number_of_parameters() -> None:
    config = converted.declared(ENTRIES["unet-carvana"].spec)
    assert sum(p.numel() for p in empty(config).parameters()) == 31_037_698


@pytest.mark.slow
def test_two_processes_fetch_and_convert_once(
    site: Site, segzoo_command: Run, mirror: FileServer, home: Path
) -> None:
    site.install(
        "segzoo-made",
        """
        from segzoo.hooks import hookimpl
        from segzoo.specs import WeightsSpec

        @hookimpl
        def segzoo_weights():
            return [WeightsSpec(
                name="made", url="https://example.org/made.pth", layout="milesial",
                model="unet", options={"width": 2}, classes=("background", "car"),
            )]
        """,
    )
    about = Golden("milesial_transpose").about
    content = {n: filled(n, kind, _narrow(shape)) for n, kind, shape in about["state_dict"]}
    mirror.files["/example.org/made.pth"] = _file(home.parent, content)
    mirror.delay = 0.2
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: segzoo_command("fetch", "made"), range(2)))
    assert [one.returncode for one in done] == [0, 0], done
    assert done[0].stdout == done[1].stdout
    assert len(mirror.requests) == 1
    assert len(list((home / "folders").iterdir())) == 1
    assert sum("is recorded next to it" in one.stderr for one in done) == 1
