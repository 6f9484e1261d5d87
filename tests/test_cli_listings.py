"""What ``segzoo list``, ``plugins`` and ``info`` show."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from segzoo import cli, create, save, zoo
from segzoo.cli.table import table
from segzoo.config import config_of
from segzoo.specs import BandStatistics, Intensity

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run, Site


# -- list


def test_list_alone_counts_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list"]) == 0
    rows = {line.split()[0]: int(line.split()[1]) for line in capsys.readouterr().out.splitlines()}
    assert rows == {kind: len(zoo.registry(kind)) for kind in zoo.KINDS}


@pytest.mark.parametrize("kind", zoo.KINDS)
def test_list_of_a_kind_shows_each_with_its_summary(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", kind]) == 0
    out = capsys.readouterr().out
    for name, entry in zoo.registry(kind).items():
        (line,) = (line for line in out.splitlines() if line.split()[0].rstrip(",") == name)
        assert line.endswith(entry.spec.summary)


def test_list_of_encoders_shows_channels_and_strides(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["list", "encoders", "plain"])
    assert "64 128 256 512 1024  1 2 4 8 16" in capsys.readouterr().out


def test_list_takes_a_pattern_and_gives_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "encoders", "vgg1?_bn", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
    assert found[0]["owner"] == "segzoo"
    assert found[0]["strides"] == [1, 2, 4, 8, 16]


def test_a_word_that_is_no_kind_is_searched_in_names_and_summaries(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["list", "nuclei"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["KIND", "NAME"] in rows
    assert ["weights", "unet-nuclei"] in rows
    assert ["dataset", "dsb2018"] in rows  # whose summary has the word
    assert cli.run(["list", "NUCLEI", "carvana"]) == 2
    assert "no name or summary contains 'NUCLEI carvana'" in capsys.readouterr().err
    assert cli.run(["list", "nuclei", "--json"]) == 0
    assert {one["kind"] for one in json.loads(capsys.readouterr().out)} >= {"weights", "dataset", "recipe"}
    assert cli.run(["list", "modells"]) == 2
    assert "did you mean 'models'?" in capsys.readouterr().err


def test_a_kind_may_be_singular_and_a_pattern_may_be_a_word_of_the_summary(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["list", "dataset", "nuclei"]) == 0
    assert "dsb2018" in capsys.readouterr().out


def test_a_list_on_a_terminal_fits_it_and_elsewhere_each_row_is_a_whole_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["list", "weights"]) == 0
    whole = capsys.readouterr().out.splitlines()
    assert len(whole) == len(zoo.registry("weights")) + 1
    assert max(map(len, whole)) > 200
    monkeypatch.setattr("segzoo.cli.table.on_terminal", lambda: True)
    for columns in (80, 100, 160):
        monkeypatch.setenv("COLUMNS", str(columns))
        for kind in zoo.KINDS:
            assert cli.run(["list", kind]) == 0
            assert [line for line in capsys.readouterr().out.splitlines() if len(line) > columns] == [], kind


def test_a_pattern_without_a_match_says_so_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "models", "zzz"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "'zzz'" in err
    assert cli.run(["list", "models", "zzz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.medium
def test_list_with_a_broken_plugin_lists_all_else_and_warns(site: Site, segzoo_command: Run) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    done = segzoo_command("list", "models")
    assert done.returncode == 0
    assert "unet-vgg" in done.stdout
    assert done.stderr == (
        "warning: plug-in segzoo-bad is broken: RuntimeError: no licence; `segzoo plugins -v` shows more\n"
    )


@pytest.mark.medium
def test_strict_mode_makes_a_broken_plugin_an_error(site: Site, segzoo_command: Run) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    done = segzoo_command("list", SEGZOO_STRICT_PLUGINS="1")
    assert done.returncode == 1
    assert done.stderr == "error: plug-in 'plugin' of segzoo-bad is broken: RuntimeError: no licence\n"


# -- plugins


def test_plugins_shows_what_became_of_each(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')", version="7.1")
    assert cli.run(["plugins"]) == 0
    out = capsys.readouterr().out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("segzoo-bad  "))
    assert row[1:4] == ["7.1", "1", "broken"]
    assert "segzoo-bad (plugin) is broken: RuntimeError: no licence" in out
    assert "Traceback" not in out
    assert cli.run(["plugins", "-v"]) == 0
    assert "Traceback" in capsys.readouterr().out
    assert cli.run(["plugins", "--json"]) == 0
    statuses = {one["distribution"]: one["status"] for one in json.loads(capsys.readouterr().out)}
    assert statuses["segzoo-bad"] == "broken"
    assert statuses["segzoo"] == "ok"


# -- info


def info(capsys: pytest.CaptureFixture[str], name: str) -> list[dict]:
    assert cli.run(["info", name, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_info_counts_the_parameters_of_the_plain_unet(capsys: pytest.CaptureFixture[str]) -> None:
    model, decoder = info(capsys, "unet")
    assert (model["kind"], model["parameters"], model["takes"]["width"]["default"]) == (
        "model",
        31_037_698,
        64,
    )
    assert (decoder["kind"], decoder["takes"]["upsample"]["default"]) == ("decoder", "bilinear")
    assert "transposed" in decoder["takes"]["upsample"]["meaning"]


@pytest.mark.medium
def test_info_of_a_pair_and_of_a_timm_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    (pair,) = info(capsys, "unet-resnet18")
    assert (pair["decoder"], pair["encoder"]) == ("segzoo:unet", "timm:resnet18")
    (encoder,) = info(capsys, "resnet18")
    assert (encoder["parameters"], encoder["strides"]) == (11_176_512, [2, 4, 8, 16, 32])


def test_info_shows_bands_intensity_and_what_weights_were_trained_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = create("unet", num_classes=1, in_channels=2, width=2, depth=2)
    config = config_of(model)
    measured = Intensity(mode="percentiles", low=1, high=99.8, over="data", measured=((3.0, 400.0),))
    preprocessing = replace(config.preprocessing, bands=("nir", "3"), intensity=measured)
    seen = BandStatistics(minimum=0, low=0.1, high=0.9, maximum=1, mean=0.4, std=0.2)
    model.segzoo_config = replace(config, preprocessing=preprocessing, statistics=(seen, seen))
    save(model, tmp_path / "w")
    (known,) = info(capsys, str(tmp_path / "w"))
    assert known["preprocessing"]["bands"] == ["nir", "3"]
    assert known["preprocessing"]["intensity"] == "percentiles:1,99.8:data (3 to 400)"
    assert list(known["statistics"]) == ["nir", "band 3"]
    assert known["statistics"]["nir"].startswith("0.1 to 0.9 ")


def test_info_names_the_folder_whose_network_cannot_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(create("unet", num_classes=1, width=2), tmp_path / "mine")
    file = folder / "config.json"
    whole = file.read_text()
    for odd, told in (
        ('"width": -1', "width must be"),
        ('"width": 10000000000', "memory"),
        ('"wide": 2', "wide"),
    ):
        file.write_text(whole.replace('"width": 2', odd))
        assert cli.run(["info", str(folder)]) == 1
        assert f"{folder}: its network cannot be built" in (error := capsys.readouterr().err)
        assert told in error
    file.write_text(whole.replace("segzoo:unet", "segzoo:nothing"))
    assert cli.run(["info", str(folder)]) == 2
    assert f"{folder}: no model" in capsys.readouterr().err


def test_info_shows_options_as_a_named_pair_presets_them(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = info(capsys, "unet-vgg")
    assert found["takes"]["norm"]["default"] is None
    assert found["paper"]


@pytest.mark.parametrize("kind", zoo.KINDS)
def test_info_shows_everything_that_is_listed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in zoo.registry(kind).names()[:3]:
        assert cli.run(["info", name]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"{name.rpartition(':')[2]} (")
        assert "trouble" not in out


def test_info_of_a_folder_of_weights_shows_licence_classes_and_provenance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    import segzoo
    from segzoo.specs import Labels

    model = segzoo.create("unet", num_classes=2, width=4, depth=3)
    config = replace(
        model.segzoo_config,  # pyright: ignore[reportArgumentType]
        labels=Labels(classes=("background", "nucleus")),
        licence="CC0-1.0",
        provenance={"data": "dots", "dice": 0.9},
    )
    segzoo.save(model, tmp_path / "dots", config=config)
    (found,) = info(capsys, f"local-dir:{tmp_path / 'dots'}")
    assert found["licence"] == "CC0-1.0"
    assert found["classes"] == ["background", "nucleus"]
    assert found["provenance"]["dice"] == 0.9
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_info_of_a_part_without_its_factory_shows_the_rest(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install(
        "segzoo-hollow",
        "from segzoo.hooks import hookimpl\nfrom segzoo.specs import LossSpec\n@hookimpl\n"
        "def segzoo_losses(): return [LossSpec(name='hollow', factory='nowhere:f', summary='empty')]\n",
    )
    (found,) = info(capsys, "hollow")
    assert found["summary"] == "empty"
    assert "there is no module 'nowhere'" in found["trouble"]


def test_info_of_an_unknown_name_lists_close_ones_and_failed_plugins(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    for name, close in (("dicee", "'dice'"), ("unett", "'unet'"), ("reznet18", "'resnet18'")):
        assert cli.run(["info", name]) == 2
        err = capsys.readouterr().err
        assert close in err
        assert "segzoo-bad (broken: RuntimeError: no licence)" in err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "'NAME': the word is empty"),
        ("/no/such/folder", "no folder or file has that name"),
        ("./x", "no folder"),
    ],
)
def test_info_of_no_name_and_of_a_path_to_nothing_say_so(
    name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["info", name]) == 2
    assert told in capsys.readouterr().err


# -- tables


def test_columns_are_as_wide_as_their_widest_cell_and_end_without_spaces() -> None:
    assert table([("a", "bb"), ("ccc", "")], header=("H", "I")) == "H    I\na    bb\nccc"
    assert table([]) == ""


def test_the_last_column_of_a_table_keeps_to_its_share_of_the_screen() -> None:
    words = "the last column is broken into lines"
    assert table([("name", words)], screen=30) == "name  the last column is\n      broken into lines"
    address = "https://example.org/an/address/is/left/unchanged"
    assert table([("name", address)], screen=30) == f"name  {address}"
    assert table([("a name of many letters", words)], screen=30).endswith(words)


def test_an_indented_table_fits_too() -> None:
    words = "the last column is broken into lines"
    assert table([("name", words)], screen=30, indent=2).splitlines() == [
        "  name  the last column is",
        "        broken into lines",
    ]


def test_a_narrow_table_loses_spare_columns_and_then_shortens_long_cells() -> None:
    header, row = ("A", "B", "C", "D"), ("a" * 10, "b" * 40, "c" * 40, "d" * 20)
    assert table([row], header=header, screen=200).splitlines()[1].split() == [*row]
    narrow = table([row], header=header, screen=80).splitlines()
    assert narrow[0].split() == ["A", "B", "C", "D"]
    assert max(map(len, narrow)) <= 80
    assert "b\N{HORIZONTAL ELLIPSIS}  c" in narrow[1]
    spared = table([row], header=header, screen=60, spare=("B",)).splitlines()
    assert spared[0].split() == ["A", "C", "D"]
    assert spared[1].split()[::2] == [row[0], row[3]]


def test_the_help_of_list_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert [kind for kind in zoo.KINDS if not re.search(rf"\b{kind}\b", text)] == []
