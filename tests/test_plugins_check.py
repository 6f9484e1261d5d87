"""``segzoo plugins check``: what it finds in good and in bad plug-ins, installed or as a source folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from segzoo import cli, zoo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run, Site

LOSS = """
from segzoo.hooks import hookimpl
from segzoo.specs import LossSpec

@hookimpl
def segzoo_losses():
    return [LossSpec(name="mine", summary="half", factory="segzoo_half:Half")]

def Half(ignore_index=None):
    {}
"""

GOOD = LOSS.format("from segzoo.losses.cross_entropy import CrossEntropy; return CrossEntropy()")

ENCODER = """
from segzoo.hooks import hookimpl
from segzoo.specs import EncoderSpec

@hookimpl
def segzoo_encoders():
    return [EncoderSpec(name="thin", summary="thin", factory="segzoo.encoders.plain:PlainEncoder",
                        options={"width": 2, "depth": 2}, channels=(2, 5), strides=(1, 2))]
"""

REMOTE = """
from segzoo.hooks import hookimpl
from segzoo.specs import DatasetSpec, WeightsSpec

@hookimpl
def segzoo_weights():
    return [WeightsSpec(name="far", summary="far", hub="org/far@" + "0" * 40, model="unet", data="photos",
                        licence="MIT", classes=("background", "cell"), options={"width": 2, "depth": 2})]

@hookimpl
def segzoo_datasets():
    return [DatasetSpec(name="away", summary="away", factory="segzoo.datasets.folder:FolderDataset",
                        splits=("train", "val", "test"), layout="images/ and masks/")]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A plug-in as a source folder, in which a test writes the module."""
    folder = tmp_path / "segzoo-half"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "segzoo-half"\nversion = "1"\n'
        '[project.entry-points."segzoo.plugins"]\nhalf = "segzoo_half"\n'
    )
    yield folder
    zoo._folders.clear()


def found(
    *arguments: str, capsys: pytest.CaptureFixture[str], code: int = 0
) -> dict[tuple[str, str], tuple[str, str]]:
    """Return result and reason of every check by part and promise."""
    assert cli.run(["plugins", "check", *arguments, "--json"]) == code
    rows = json.loads(capsys.readouterr().out)
    return {(row["part"], row["check"]): (row["result"], row["reason"]) for row in rows}


@pytest.mark.slow
def test_a_good_plugin_passes_and_the_table_has_a_row_per_promise(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("segzoo-half", GOOD.replace("CrossEntropy()", "CrossEntropy(ignore_index=ignore_index)"))
    assert cli.run(["plugins", "check", "segzoo-half"]) == 0
    title, header, *rows, _, summary = capsys.readouterr().out.splitlines()
    assert (title, header.split()) == ("segzoo-half", ["PART", "CHECK", "RESULT", "SECONDS", "REASON"])
    assert ["loss", "mine", "extreme-input", "ok"] in [row.split()[:4] for row in rows]
    assert summary.startswith(f"{len(rows)} checks: {len(rows)} ok, 0 failed, 0 skipped; ")


@pytest.mark.medium
def test_a_broken_promise_is_a_failed_row_with_its_reason_and_exit_code_1(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("segzoo-half", GOOD)
    rows = found("segzoo-half", capsys=capsys, code=1)
    assert rows["loss mine", "scalar"] == ("ok", "")
    result, reason = rows["loss mine", "ignored"]
    assert result == "failed"
    assert "loss 'mine'" in reason


@pytest.mark.medium
def test_wrong_channels_are_found(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("segzoo-thin", ENCODER)
    rows = found("segzoo-thin", capsys=capsys, code=1)
    failed = [reason for result, reason in rows.values() if result == "failed"]
    assert any("declares ((2, 5), (1, 2)), the module has ((2, 4), (1, 2))" in reason for reason in failed)


@pytest.mark.medium
def test_a_plugin_that_does_not_load_fails_with_the_reason(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    result, reason = found("segzoo-bad", capsys=capsys, code=1)["plugin segzoo-bad", "loads"]
    assert result == "failed"
    assert "is broken: RuntimeError: no licence" in reason


@pytest.mark.medium
def test_what_would_be_downloaded_is_checked_on_paper_alone(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGZOO_DATA", raising=False)
    site.install("segzoo-far", REMOTE)
    rows = found("segzoo-far", capsys=capsys)
    assert rows["weights far", "network"] == ("ok", "")
    assert rows["weights far", "folder"] == (
        "skipped",
        f"nothing is downloaded: hf-hub:org/far@{'0' * 40}",
    )
    assert rows["dataset away", "samples"] == (
        "skipped",
        "there is no data: set SEGZOO_DATA to the folder that holds away/",
    )


@pytest.mark.medium
def test_what_a_part_prints_spoils_no_output(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    loud = "print('noise'); " + GOOD[GOOD.index("from segzoo.losses") :]
    site.install("segzoo-half", LOSS.format(loud.replace("CrossEntropy()", "CrossEntropy(ignore_index=9)")))
    assert cli.run(["plugins", "check", "segzoo-half", "--json"]) in (0, 1)
    out, err = capsys.readouterr()
    json.loads(out)
    assert "noise" in err


@pytest.mark.slow
@pytest.mark.usefixtures("site")
def test_a_source_folder_is_checked_without_being_installed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = GOOD.replace("CrossEntropy()", "CrossEntropy(ignore_index=ignore_index)")
    (tree / "segzoo_half.py").write_text(good)
    rows = found(str(tree), capsys=capsys)
    assert {result for result, _ in rows.values()} == {"ok"}
    assert ("loss mine", "scalar") in rows


@pytest.mark.usefixtures("site")
def test_a_source_folder_that_is_no_plugin_is_told_what_it_lacks(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "pyproject.toml").write_text('[project]\nname = "half"\n')
    assert cli.run(["plugins", "check", str(tree)]) == 2
    assert 'add [project.entry-points."segzoo.plugins"]' in capsys.readouterr().err
    (tree / "pyproject.toml").unlink()
    assert cli.run(["plugins", "check", str(tree)]) == 2
    assert "holds no pyproject.toml" in capsys.readouterr().err


@pytest.mark.medium
def test_a_blocked_plugin_that_is_asked_for_fails(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("segzoo-half", GOOD)
    monkeypatch.setenv("SEGZOO_DISABLE_PLUGINS", "segzoo-half")
    result, reason = found("segzoo-half", capsys=capsys, code=1)["plugin segzoo-half", "loads"]
    assert (result, "named by SEGZOO_DISABLE_PLUGINS" in reason) == ("failed", True)


def test_an_unknown_distribution_is_told_with_close_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plugins", "check", "segzoo-nestd"]) == 2
    assert "did you mean 'segzoo-nested'" in capsys.readouterr().err


@pytest.mark.medium
def test_without_an_argument_every_plugin_but_segzoo_s_own_is_checked(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("segzoo-half", GOOD.replace("CrossEntropy()", "CrossEntropy(ignore_index=ignore_index)"))
    monkeypatch.setenv("SEGZOO_PLUGINS", "segzoo-half")
    rows = found(capsys=capsys)
    loads = {part: outcome for (part, check), outcome in rows.items() if check == "loads"}
    assert set(loads) == {f"plugin {one.distribution}" for one in zoo.plugins} - {"plugin segzoo"}
    assert loads.pop("plugin segzoo-half") == ("ok", "")
    assert set(loads.values()) == {("skipped", "not named by SEGZOO_PLUGINS")}


@pytest.mark.slow
def test_our_own_plugins_keep_their_promises(segzoo_command: Run) -> None:
    done = segzoo_command("plugins", "check", "segzoo-steel")
    assert done.returncode == 0, done.stdout
    assert " 0 failed" in done.stdout
