"""Lists of images and masks, as spreadsheets, Windows and other programs write them, are read and written."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from doctor_data import disc, picture, save

from segzoo import cli
from segzoo.data_check import check_data
from segzoo.data_check.listing import write_pairs
from segzoo.datasets.folder import FolderDataset
from segzoo.errors import FailureError, OptionError
from segzoo.recognition import recognise

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a", "b é", "c")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        save(tmp_path / f"images/{name}.png", picture(number))
        save(tmp_path / f"masks/{name}_seg.png", disc(number))
    return tmp_path


def rows(header: str, separator: str = ",", slash: str = "/") -> str:
    lines = [f"images{slash}{name}.png{separator}masks{slash}{name}_seg.png" for name in NAMES]
    return "\n".join([*([header.replace(",", separator)] if header else []), *lines]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        rows("image,mask").encode(),
        rows("image,mask").replace("\n", "\r\n").encode("utf-8-sig"),
        rows("image,mask", slash="\\").encode("cp1252"),
        rows("image,mask", "\t").encode("utf-16"),
        rows("image,mask", ";").encode(),
        rows("image,mask", "|").encode(),
        rows("Filename, Label").replace(".png,", ".png, ").encode(),
        rows("img_path,mask_path").encode(),
        rows("").encode(),
        rows("", "\t").encode(),
        rows("image,mask").replace("images/", "C:\\Users\\me\\data\\images\\").encode(),
        rows("image,mask").replace("images/", "/home/me/data/images/").encode(),
        rows("image,mask").replace("images/c.png", '"images/c.png"').encode(),
    ],
)
def test_a_list_may_be_written_by_any_program(data: Path, text: bytes) -> None:
    path = data / "mine.csv"
    path.write_bytes(text)
    found = FolderDataset(path, "all")
    assert [(one.image.name, one.mask.name) for one in found.pairs] == [
        (f"{name}.png", f"{name}_seg.png") for name in NAMES
    ]
    assert check_data(path).ok
    assert [one.summary for one in recognise(path)] == ["a list of images with their masks"]


def test_names_that_macos_writes_in_two_letters_are_found(data: Path) -> None:
    (data / "mine.csv").write_text(rows("image,mask").replace("é", "e\N{COMBINING ACUTE ACCENT}"))
    assert len(FolderDataset(data / "mine.csv", "all")) == 3


def test_columns_of_parts_are_kept_and_rows_without_one_are_divided(data: Path) -> None:
    lines = rows("image,mask,subset").splitlines()
    (data / "mine.csv").write_text(
        "\n".join([lines[0], f"{lines[1]},Testing", f"{lines[2]},", f"{lines[3]},"])
    )
    found = {part: FolderDataset(data / "mine.csv", part).names for part in ("train", "val", "test")}
    assert found["test"] == ["images/a"]
    assert sorted(found["train"] + found["val"]) == ["images/b é", "images/c"]
    assert found["val"]


def test_all_files_that_are_not_there_are_reported(data: Path) -> None:
    (data / "mine.csv").write_text(
        rows("image,mask") + "images/x.png,masks/x.png\nimages/a.png,masks/y.png\n"
    )
    with pytest.raises(FailureError, match=r"entry 4: there is no image .*x\.png \(2 such entries\)"):
        FolderDataset(data / "mine.csv", "all")
    report = check_data(data / "mine.csv")
    (found,) = (one for one in report.errors if one.kind == "missing")
    assert found.count == 2
    assert sum(report.pairs.values()) == 3


def test_a_json_list_may_have_other_keys(data: Path) -> None:
    entries = [{"file_name": f"images\\{name}.png", "seg": f"masks\\{name}_seg.png"} for name in NAMES]
    (data / "mine.json").write_text(json.dumps({"train": entries[:2], "validation": entries[2:]}))
    assert [len(FolderDataset(data / "mine.json", part)) for part in ("train", "val")] == [2, 1]
    assert recognise(data / "mine.json")


@pytest.mark.parametrize("text", ['{"images": [{"file_name": "a"}]}', "[1, 2]", "[]", '{"a": 1}'])
def test_json_of_other_kinds_is_no_list(data: Path, text: str) -> None:
    (data / "mine.json").write_text(text)
    assert "folder" not in {one.name for one in recognise(data / "mine.json")}


def test_the_pairing_is_written_down_and_reads_as_the_folder_does(data: Path) -> None:
    for number in range(4, 14):
        save(data / f"images/{number}.png", picture(number))
        save(data / f"masks/{number}_seg.png", disc(number))
    assert write_pairs(data, data / "lists/pairs.csv") == 13
    for part in ("train", "val", "test"):
        listed, folder = FolderDataset(data / "lists/pairs.csv", part), FolderDataset(data, part)
        assert sorted(listed.names) == sorted(folder.names)
    assert "split" not in (data / "lists/pairs.csv").read_text().splitlines()[0]


def test_parts_that_a_person_made_are_written_down(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "train", "val", "test")):
        save(tmp_path / part / f"{number}.png", picture(number))
        save(tmp_path / part / f"{number}_mask.png", disc(number))
    write_pairs(tmp_path, tmp_path / "pairs.csv")
    assert (tmp_path / "pairs.csv").read_text().splitlines()[:2] == [
        "image,mask,name,split",
        "train/0.png,train/0_mask.png,train/0,train",
    ]
    assert [len(FolderDataset(tmp_path, part)) for part in ("train", "val", "test")] == [2, 1, 1]


def test_a_list_is_never_written_over_a_file_unless_told(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["data", "check", str(data), "--pairs", str(data / "mine.csv")]) == 0
    assert "3 pairs; --data" in capsys.readouterr().out
    with pytest.raises(FailureError, match="exists: choose another one, or use --overwrite"):
        write_pairs(data, data / "mine.csv")
    assert write_pairs(data, data / "mine.csv", overwrite=True) == 3
    with pytest.raises(OptionError, match=r"written as \.csv"):
        write_pairs(data, data / "mine.txt")
    os.link(data / "images/c.png", data / "linked.csv")
    with pytest.raises(FailureError, match="is read, so it cannot be written"):
        write_pairs(data, data / "linked.csv", overwrite=True)


def test_several_masks_of_an_image_are_no_list(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"images/{number}.png", picture(number))
        for word in ("cell", "wall"):
            save(tmp_path / f"masks/{number}_{word}.png", disc(number))
    with pytest.raises(FailureError, match="has several masks"):
        write_pairs(tmp_path, tmp_path / "pairs.csv")


def test_names_that_are_not_utf_8_are_paired_written_and_read(tmp_path: Path) -> None:
    for number, raw in enumerate((b"caf\xe9", "line\u2028end".encode(), "图像 1".encode(), b"plain")):
        name = os.fsdecode(raw)
        try:
            save(tmp_path / f"images/{name}.png", picture(number))
        except OSError:
            pytest.skip("this disk takes no such names")
        save(tmp_path / f"masks/{name}.png", disc(number))
    text = str(check_data(tmp_path))
    assert "4 images with masks" in text
    assert write_pairs(tmp_path, tmp_path / "mine.csv") == 4
    assert {one.image.name for one in FolderDataset(tmp_path / "mine.csv", "all").pairs} == {
        one.image.name for one in FolderDataset(tmp_path, "all").pairs
    }
