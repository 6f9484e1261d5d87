"""The catalogue's repositories: what a library writes, on a hub on loopback, loads as its entry declares."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from hub_server import Repository, serving_hub

from segzoo import zoo
from segzoo.errors import FailureError
from segzoo.weights import converted, sources
from segzoo.weights.folder import empty, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hub_server import Hub

pytestmark = pytest.mark.usefixtures("home")

ADE = 150


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub() as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        for variable in ("HF_HUB_OFFLINE", "SEGZOO_OFFLINE", "HF_HUB_CACHE"):
            monkeypatch.delenv(variable, raising=False)
        yield state


def _segformer(folder: Path) -> None:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    SegformerForSemanticSegmentation(SegformerConfig(num_labels=ADE)).save_pretrained(folder)
    SegformerImageProcessor().save_pretrained(folder)


def _upernet_convnext(folder: Path) -> None:
    from transformers import ConvNextConfig

    widths, depths = [96, 192, 384, 768], [3, 3, 9, 3]
    _upernet(folder, partial(ConvNextConfig, hidden_sizes=widths, depths=depths))


def _upernet_swin(folder: Path) -> None:
    from transformers import SwinConfig

    _upernet(folder, SwinConfig)


def _upernet(folder: Path, backbone: Callable[..., object]) -> None:
    from transformers import SegformerImageProcessor, UperNetConfig, UperNetForSemanticSegmentation

    stages = ["stage1", "stage2", "stage3", "stage4"]
    config = UperNetConfig(
        backbone_config=backbone(out_features=stages), auxiliary_in_channels=384, num_labels=ADE
    )
    UperNetForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor().save_pretrained(folder)


def _smp_segformer(folder: Path) -> None:
    from segmentation_models_pytorch import Segformer

    Segformer("mit_b0", encoder_weights=None, classes=ADE).save_pretrained(str(folder))


def _smp_upernet(folder: Path) -> None:
    from segmentation_models_pytorch import UPerNet

    made = UPerNet("tu-convnext_tiny", encoder_weights=None, decoder_channels=512, classes=ADE)
    made.save_pretrained(str(folder))


WRITTEN: dict[str, Callable[[Path], None]] = {
    "segformer-b0-ade20k": _segformer,
    "upernet-convnext-tiny-ade20k": _upernet_convnext,
    "upernet-swin-tiny-ade20k": _upernet_swin,
    "smp-segformer-b0-ade20k": _smp_segformer,
    "smp-upernet-convnext-tiny-ade20k": _smp_upernet,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_library_writes_becomes_the_network_that_the_entry_declares(
    name: str, hub: Hub, tmp_path: Path
) -> None:
    spec = zoo.registry("weights").get(name)
    WRITTEN[name](tmp_path / "written")
    files = {file.name: file.read_bytes() for file in (tmp_path / "written").iterdir()}
    hub.repos[spec.hub] = Repository()
    hub.repos[spec.hub].commit(files)
    config = read_config(sources.folder_of(spec))
    declared = converted.declared(spec)
    shapes = {n: tuple(t.shape) for n, t in empty(config).state_dict().items()}
    assert shapes == {n: tuple(t.shape) for n, t in empty(declared).state_dict().items()}
    assert (config.labels, config.licence) == (spec.labels, spec.licence)
    assert config.provenance["claimed"] == spec.claimed
    assert abs(len(files["model.safetensors"]) - spec.bytes) < 0.02 * spec.bytes
    if spec.preprocessing is not None:
        assert config.preprocessing == spec.preprocessing
    assert config.preprocessing.resize is not None


def test_a_repository_that_is_not_there_is_told_with_the_entry_s_name(hub: Hub) -> None:
    with pytest.raises(FailureError, match="nvidia/segformer-b0-finetuned-ade-512-512"):
        sources.folder_of(zoo.registry("weights").get("segformer-b0-ade20k"))


@pytest.mark.parametrize("name", [n for n, entry in zoo.weights.items() if entry.spec.hub])
def test_terms_that_forbid_commerce_are_said_where_people_choose(name: str) -> None:
    spec = zoo.registry("weights").get(name)
    assert ("segformer" in name) == ("non-commercial" in spec.licence)
    assert ("segformer" in name) == spec.summary.endswith("not for commercial use")
    assert spec.claimed
    assert len(spec.classes) == len(spec.labels.palette)
