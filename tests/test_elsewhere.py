"""Who lacks a plug-in of segzoo's repository learns which one, and how it is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT

from segzoo import zoo
from segzoo.cli import run
from segzoo.data_check import check_data
from segzoo.elsewhere import BROUGHT, plugin_of
from segzoo.errors import UnknownNameError
from segzoo.testing import isolated_zoo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = (
    "models",
    "weights",
    "encoders",
    "decoders",
    "datasets",
    "augmentations",
    "outputs",
    "clusters",
    "recipes",
)


@pytest.fixture
def alone() -> Iterator[None]:
    """No plug-in is installed."""
    with isolated_zoo():
        yield


def test_the_table_holds_what_the_plugins_bring() -> None:
    brought: dict[str, set[str]] = {}
    for kind in KINDS:
        for _, (spec, owner) in zoo.registry(kind).items():
            schemes = {spec.scheme} - {""} if kind == "datasets" else set()
            brought.setdefault(owner, set()).update({spec.name, *spec.aliases} | schemes)
    shipped = {folder.name for folder in (ROOT / "plugins").glob("segzoo-*")}
    assert {owner: sorted(names) for owner, names in brought.items() if owner in shipped} == {
        plugin: sorted(names) for plugin, names in BROUGHT.items()
    }


def test_each_name_has_one_plugin() -> None:
    assert plugin_of("hf:org/name") == "segzoo-formats"
    assert plugin_of("unet-nuclei") == "segzoo-medical"
    assert plugin_of("nonsense") == plugin_of("unet") == ""


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("data", ["coco", "hf:org/name", "labelme"])
def test_a_data_set_of_a_plugin_that_is_missing_names_it(data: str) -> None:
    with pytest.raises(UnknownNameError, match="`pip install segzoo-formats`"):
        check_data(data)


def test_a_plugin_that_is_installed_is_not_asked_for() -> None:
    assert not zoo.not_installed("segzoo-formats")
    with pytest.raises(UnknownNameError) as error:
        check_data("nonsense")
    assert "pip install" not in str(error.value)


@pytest.mark.usefixtures("alone")
def test_an_output_of_a_plugin_that_is_missing_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["predict", str(tmp_path), "--model", "unet-nuclei", "--outputs", "yolo"])
    assert "`pip install segzoo-formats`" in capsys.readouterr().err


_FILES = {
    "a.json": (json.dumps({"images": [], "annotations": [], "categories": []}), "COCO"),
    "b.json": (json.dumps({"version": "5.0.1", "shapes": []}), "labelme"),
    "annotations.xml": ("<?xml version='1.0'?><annotations><version>1.1</version></annotations>", "CVAT"),
    "labels/a.txt": ("0 0.1 0.1 0.9 0.1 0.9 0.9", "YOLO"),
    "data.yaml": ("train: images\nnames:\n  0: bolt\n", "YOLO"),
    "a.geojson": (json.dumps({"type": "FeatureCollection", "features": []}), "QuPath"),
    "a.roi": ("Iout", "ImageJ"),
}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", _FILES)
def test_files_of_a_tool_name_the_plugin_that_reads_them(tmp_path: Path, name: str) -> None:
    text, tool = _FILES[name]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    for place in (tmp_path, file) if name != "a.roi" else (tmp_path,):
        told = str(check_data(place))
        assert f"looks like a file of {tool}" in told
        assert "`pip install segzoo-formats`" in told, "a command stays on one line"


@pytest.mark.usefixtures("alone")
def test_volumes_are_no_archives_and_name_the_plugin_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b")
    told = str(check_data(tmp_path))
    assert "There is 1 NIfTI volume (a.nii.gz)" in told
    assert "1 archive" not in told
    assert "`pip install 'segzoo-science[nifti]'`" in told
