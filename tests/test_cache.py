"""The cache of weights: where it lies, what is in it, and what may go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from segzoo import zoo
from segzoo.cli import run
from segzoo.errors import FailureError, UnknownNameError, UsageError, WeightsError
from segzoo.weights import cache, fetch, inventory

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.specs import WeightsSpec


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def spec() -> WeightsSpec:
    return zoo.weights.get("unet-carvana")


def _put(url: str, content: bytes = b"weights", *, pinned: bool = True) -> Path:
    file = cache.file_for(url)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    record = cache.Record(url=url, bytes=len(content), sha256=cache.sha256_of(file), pinned=pinned)
    cache.write_record(file, record)
    return file


def _put_folder(name: str, source: str = "unet-carvana") -> Path:
    folder = cache.home() / "folders" / name
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"tensors")
    cache.seal(folder, name=source)
    return folder


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.home() == tmp_path / "home"
    monkeypatch.delenv("SEGZOO_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.home() == tmp_path / "xdg" / "segzoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.home() == tmp_path / ".cache" / "segzoo"


def test_the_caches_of_torch_and_of_the_hub_client_lie_where_those_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch.torch_file("https://h/a/x.pth") == tmp_path / "torch/hub/checkpoints/x.pth"
    assert cache.client_cache() == tmp_path / "huggingface/hub"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "t"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "h"))
    assert fetch.torch_file("https://h/a/x.pth") == tmp_path / "t/hub/checkpoints/x.pth"
    assert cache.client_cache() == tmp_path / "h/hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "c"))
    assert cache.client_cache() == tmp_path / "c"


def test_addresses_that_differ_in_their_query_are_different_files() -> None:
    assert cache.file_for("https://h/x.pth?v=1") != cache.file_for("https://h/x.pth?v=2")
    assert cache.file_for("https://h/x.pth?v=1").name.endswith("-x.pth")


def test_a_password_in_an_address_is_not_written_into_the_cache() -> None:
    with pytest.raises(UsageError, match="name or a password") as caught:
        cache.file_for("https://me:secret@host/x.pth")
    assert "secret" not in str(caught.value)


def test_the_cache_is_listed_with_what_is_needed_and_what_is_pinned(spec: WeightsSpec) -> None:
    _put(spec.url)
    _put("https://example.org/unknown.bin", pinned=False)
    found = {item.name: item for item in inventory.items()}
    assert found["unet-carvana"].pinned
    assert found["unet-carvana"].needed
    assert not found["unknown.bin"].needed
    assert len(found["unknown.bin"].sha256) == 64


def test_pruning_keeps_what_is_needed_and_every_hash(spec: WeightsSpec, home: Path) -> None:
    file = _put(spec.url)
    unknown = _put("https://example.org/unknown.bin")
    stale = _put_folder("unet-carvana-000000000000")
    crashed = home / "folders" / ".unet-carvana-0.123"
    crashed.mkdir()
    old = file.with_name("other.pth.part")
    old.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    coming = file.with_name("coming.pth.part")
    coming.write_bytes(b"half")
    inventory.prune()
    assert file.exists()
    assert coming.exists()
    assert not any(path.exists() for path in (unknown, stale, crashed, old))
    assert cache.read_record(unknown) is not None


def test_pruning_by_name_removes_what_is_needed_too_but_not_its_hash(spec: WeightsSpec) -> None:
    file = _put(spec.url)
    other = _put("https://example.org/unknown.bin")
    inventory.prune(["unet-carvana"])
    assert not file.exists()
    assert other.exists()
    assert [item.kind for item in inventory.items() if item.name == "unet-carvana"] == ["record"]
    inventory.prune(["unet-carvana"], forget=True)
    assert cache.read_record(file) is None


def test_everything_can_go_and_be_forgotten(spec: WeightsSpec) -> None:
    _put(spec.url)
    _put_folder("x-0")
    cache.write_json(cache.home() / "hub" / "org--name.json", {})
    inventory.prune(everything=True, forget=True)
    assert not inventory.items()


def test_pruning_an_unknown_name_lists_close_ones(spec: WeightsSpec) -> None:
    _put(spec.url)
    with pytest.raises(UnknownNameError, match="did you mean 'unet-carvana'"):
        inventory.prune(["unet-carvanna"])


def test_a_damaged_record_is_an_error_and_not_a_new_pin(spec: WeightsSpec) -> None:
    file = _put(spec.url)
    few, odd = {"url": "x", "sha256": "0" * 64}, {"url": "x", "bytes": "7", "sha256": "0", "pinned": True}
    for damage in ("{", "[]", json.dumps({"sha256": 3}), json.dumps(few), json.dumps(odd)):
        file.with_name(f"{file.name}.json").write_text(damage)
        with pytest.raises(WeightsError, match=r"\.json"):
            cache.read_record(file)
        assert [item.name for item in inventory.items()] == ["unet-carvana"]


def test_a_seal_notices_a_changed_a_missing_and_no_seal(home: Path) -> None:
    folder = _put_folder("x-0")
    cache.check_seal(folder, name="x")
    (folder / "model.safetensors").write_bytes(b"tensorz")
    with pytest.raises(WeightsError, match="has changed"):
        cache.check_seal(folder, name="x")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        cache.check_seal(folder, name="x")
    (folder / cache.SEAL).unlink()
    with pytest.raises(WeightsError, match="no readable"):
        cache.check_seal(folder, name="x")


def test_a_lock_lets_one_in_at_a_time() -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with cache.locked("it"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 4


def test_a_cache_that_cannot_be_written_to_says_which_variable_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGZOO_HOME", str(tmp_path / "file"))
    with pytest.raises(FailureError, match="SEGZOO_HOME"), cache.locked("it"):
        pass


def test_the_command_lists_and_prunes(spec: WeightsSpec, capsys: pytest.CaptureFixture[str]) -> None:
    _put(spec.url)
    unknown = _put("https://example.org/unknown.bin")
    assert run(["cache"]) == 0
    listed = capsys.readouterr().out
    assert "unet-carvana" in listed
    assert "(pinned at first use)" in listed
    assert str(cache.home()) in listed
    assert run(["cache", "--json"]) == 0
    assert {item["name"] for item in json.loads(capsys.readouterr().out)} == {"unet-carvana", "unknown.bin"}
    assert run(["cache", "prune", "--dry-run"]) == 0
    assert f"would remove  1 kB  {unknown}" in capsys.readouterr().out
    assert unknown.exists()
    assert run(["cache", "prune"]) == 0
    assert f"removed  1 kB  {unknown}" in capsys.readouterr().out
    assert run(["cache", "prune"]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_forgetting_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "prune", "--forget"]) == 2
    assert "--forget needs the names" in capsys.readouterr().err


def test_an_empty_cache_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "list"]) == 0
    assert "0 kB in" in capsys.readouterr().out


def test_a_bad_address_is_the_callers_mistake() -> None:
    with pytest.raises(UsageError):
        cache.file_for("file:///x")


@pytest.mark.medium
def test_listing_the_cache_imports_no_torch() -> None:
    code = "import sys; from segzoo.cli import run; run(['cache']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
