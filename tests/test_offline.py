"""With the network switched off nothing connects, and each error says what was wanted and why not."""

from __future__ import annotations

import importlib.util
import socket
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from conftest import ROOT
from file_server import serving
from PIL import Image
from safetensors.torch import save_file

import segzoo
from segzoo import http, zoo
from segzoo.cli import run
from segzoo.errors import FailureError

if TYPE_CHECKING:
    from pathlib import Path

FETCHES = """
import urllib.request
from torch import nn
from segzoo.hooks import hookimpl
from segzoo.specs import ModelSpec

def build(num_classes=2, in_channels=3):
    with urllib.request.urlopen({url!r}) as answer:
        answer.read()
    return nn.Conv2d(in_channels, num_classes, 1)

@hookimpl
def segzoo_models():
    return [ModelSpec(name="fetching", factory="segzoo_fetching:build")]
"""


@pytest.fixture(autouse=True)
def connections(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was connected to, or looked up; the list is empty at the end unless a test empties it itself."""
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for variable in ("HF_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KAGGLE_USERNAME", "ann")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    asked: list[object] = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise OSError("this machine has no network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            "predict http://example.org/b.png a.png --model unet-nuclei --out o",
            "http://example.org/b.png was not",
        ),
        (
            "predict http://example.org/b.mp4 --model unet-nuclei --out o",
            "http://example.org/b.mp4 is a video",
        ),
        ("predict a.png --model hf-hub:tiny/unet --out o", "config.json of hf-hub:tiny/unet@main"),
        ("predict a.png --model unet-vgg-voc --out o", "unet_vgg_voc.pth"),
        ("fetch unet-carvana hf-hub:tiny/unet", "unet_carvana_scale0.5_epoch2.pth"),
        ("info hf-hub:tiny/unet", "config.json of hf-hub:tiny/unet@main"),
        ("benchmark unet-vgg-voc", "unet_vgg_voc.pth"),
        ("evaluate hf-hub:tiny/unet --data a", "config.json of hf-hub:tiny/unet@main"),
        ("reproduce hf-hub:tiny/unet --check", "config.json of hf-hub:tiny/unet@main"),
        ("push unet-nuclei org/name", "nothing was pushed to org/name"),
        ("data download voc2012 --out o", "VOCtrainval_11-May-2012.tar"),
        ("data download carvana --out o", "train_hq.zip"),
    ],
)
def test_a_command_that_would_fetch_says_so_and_opens_no_connection(
    words: str, wanted: str, connections: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert wanted in told
    assert "SEGZOO_OFFLINE=1" in told or "is a video" in told
    assert connections == []


@pytest.mark.parametrize(
    "words",
    ["list weights", "info unet-vgg-voc", "cache", "plugins", "completion bash", "reproduce unet-nuclei"],
)
def test_a_command_that_fetches_nothing_works(words: str, connections: list[object]) -> None:
    assert run(words.split()) == 0
    assert connections == []


def test_completion_offers_what_could_be_fetched(
    connections: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("_SEGZOO_COMPLETE", "bash_complete"),
        ("COMP_WORDS", "segzoo fetch "),
        ("COMP_CWORD", "2"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        run([])
    assert "unet-carvana" in capsys.readouterr().out
    assert connections == []


@pytest.mark.slow
def test_pretrained_encoders_come_from_the_cache_or_not_at_all(connections: list[object]) -> None:
    with pytest.raises(FailureError, match=r"weights of timm's 'vgg16'.*switched off by SEGZOO_OFFLINE=1"):
        segzoo.create("unet-vgg", num_classes=2, pretrained=True)
    assert connections == []


def test_pretrained_weights_that_the_hubs_client_has_are_used(
    connections: list[object], tmp_path: Path
) -> None:
    made = timm.create_model("test_resnet")
    config = timm.get_pretrained_cfg("test_resnet")
    assert config is not None
    folder = tmp_path / "hf" / "hub" / f"models--{config.hf_hub_id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(made.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        # The client reads its variables when it is imported.
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        model: Any = segzoo.create("unet/timm:test_resnet", num_classes=2, pretrained=True)
    assert torch.equal(model.encoder.backbone.conv1[0].weight, made.conv1[0].weight)
    assert connections == []


def test_an_entry_point_of_torch_hub_says_what_to_fetch(connections: list[object]) -> None:
    spec = importlib.util.spec_from_file_location("hubconf_offline", ROOT / "hubconf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(FailureError, match=r"unet_vgg_voc\.pth(.|\n)*"):
        module.unet_vgg_voc()
    assert connections == []


def test_a_part_of_a_plugin_that_fetches_by_itself_is_kept_from_it(
    site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with serving({"/it": b"weights"}) as server:
        monkeypatch.syspath_prepend(site.folder)
        site.install("segzoo-fetching", FETCHES.format(url=f"{server.url}/it"))
        zoo.refresh()
        monkeypatch.setenv("SEGZOO_OFFLINE", "1")
        with pytest.raises(FailureError, match=r"fetching.*since it fetches.*SEGZOO_OFFLINE=1"):
            segzoo.create("fetching", num_classes=2)
        assert server.requests == []
        # Only while it is built, and nobody else.
        with urllib.request.urlopen(f"{server.url}/it") as answer:
            assert answer.read() == b"weights"
        monkeypatch.delenv("SEGZOO_OFFLINE")
        assert isinstance(segzoo.create("fetching", num_classes=2), torch.nn.Conv2d)
        assert len(server.requests) == 2


def test_the_hubs_client_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with http.refusing_offline("nothing"):
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_sockets_that_stay_on_this_machine_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        monkeypatch.chdir(tmp_path)
        listener.bind("s")
        listener.listen()
        with http.refusing_offline("nothing"):
            client.connect("s")


@pytest.mark.parametrize("word", ["1 ", " on", "y", "enabled", "2"])
def test_whoever_sets_the_switch_to_any_word_but_no_has_no_network(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGZOO_OFFLINE", word)
    with pytest.raises(FailureError, match="switched off by SEGZOO_OFFLINE="):
        http.ask("http://127.0.0.1:9/a.png")


@pytest.mark.parametrize("word", ["", "0", "Off", " no ", "false"])
def test_the_switch_can_be_set_to_no(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGZOO_OFFLINE", word)
    assert http.offline() == ""
