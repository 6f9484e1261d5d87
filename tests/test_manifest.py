"""A run over many images leaves a record, and another goes on where it stopped."""

from __future__ import annotations

import json

import pytest

from segzoo.errors import FailureError, OptionError
from segzoo.prediction.manifest import Manifest
from segzoo.prediction.sources.source import Shard, parse_shard


def filled(folder, **settings):
    manifest = Manifest(folder, settings="nuclei")
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    mask = folder / "deep/a_mask.png"
    mask.write_bytes(b"12345")
    manifest.add(
        "a.png", state="one", outputs=[mask], seconds=0.5, size=(4, 6), areas={"cell": 0.25}, **settings
    )
    return manifest


def test_each_image_is_a_line_that_says_what_was_written(tmp_path):
    manifest = filled(tmp_path)
    manifest.add("b.png", error="it is damaged")
    first, second = map(json.loads, manifest.path.read_text().splitlines())
    assert first["outputs"] == {"deep/a_mask.png": 5}
    assert first["areas"] == {"cell": 0.25}
    assert (first["height"], first["width"], first["seconds"]) == (4, 6, 0.5)
    assert second["error"] == "it is damaged"


def test_what_is_done_and_whole_is_known_again(tmp_path):
    filled(tmp_path).add("b.png", error="it is damaged")
    again = Manifest(tmp_path, settings="nuclei")
    assert again.has("a.png", "one")
    assert not again.has("a.png", "changed")
    assert not again.has("b.png", "one")
    assert not Manifest(tmp_path, settings="other weights").has("a.png", "one")
    (tmp_path / "deep/a_mask.png").write_bytes(b"12")
    assert not again.has("a.png", "one")


def test_a_source_that_cannot_tell_whether_it_changed_is_done_again(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.add("http://host/a.png", state="")
    assert not Manifest(tmp_path).has("http://host/a.png", "")


def test_a_line_that_a_crash_cut_off_is_none(tmp_path):
    manifest = filled(tmp_path)
    manifest.path.write_text(manifest.path.read_text() + '{"input": "b.p')
    again = Manifest(tmp_path, settings="nuclei")
    assert again.has("a.png", "one")
    again.add("b.png", state="two")
    assert Manifest(tmp_path, settings="nuclei").has("b.png", "two")


def test_a_record_may_begin_anew(tmp_path):
    filled(tmp_path)
    Manifest(tmp_path, anew=True)
    assert not (tmp_path / "manifest.jsonl").exists()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match="cannot be used"):
        Manifest(tmp_path / "file")


def test_shares_cover_everything_once():
    everything = list(range(11))
    parts = [parse_shard(f"{number}/4").of(everything) for number in (1, 2, 3, 4)]
    assert sorted(number for part in parts for number in part) == everything
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_launcher_shares_by_itself(monkeypatch):
    assert parse_shard(None) == Shard()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert parse_shard(None) == Shard(1, 3)
    assert parse_shard(None).name == "-2-of-3"


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "a/b", ""])
def test_a_share_that_is_none_is_an_error(text):
    with pytest.raises(OptionError, match="3/8"):
        parse_shard(text)
