"""``segzoo data prepare`` and ``download``: from an archive, a server or Kaggle to a dataset that opens."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zipfile
from importlib import import_module

import pytest
from file_server import serving
from PIL import Image

from segzoo import cli, zoo
from segzoo.cli import data
from segzoo.errors import FailureError, OptionError, UnknownNameError
from segzoo.preparation import download, prepare
from segzoo.weights.kaggle import credentials


def picture(mode="RGB", kind="PNG"):
    file = io.BytesIO()
    Image.new(mode, (6, 4)).save(file, format=kind)
    return file.getvalue()


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


IMAGES = zipped({f"train_hq/c{car}_01.jpg": picture(kind="JPEG") for car in range(30)})
MASKS = zipped({f"train_masks/c{car}_01_mask.gif": picture("L", "GIF") for car in range(30)})
CUSTOM = """
from segzoo.hooks import hookimpl
from segzoo.specs import Archive, DatasetSpec
@hookimpl
def segzoo_datasets():
    archives = (Archive(url={url!r}, checksum={checksum!r}),)
    folder = "segzoo.datasets.folder:FolderDataset"
    return [DatasetSpec(name="shapes", factory=folder, splits=("train", "val"), archives=archives)]
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGZOO_HOME", str(tmp_path / "home"))
    for variable in ("KAGGLE_USERNAME", "KAGGLE_KEY", "SEGZOO_MIRROR", "SEGZOO_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "kaggle"))


@pytest.fixture
def server():
    with serving({}) as state:
        yield state


def pair_of_folders():
    files = {f"images/{number}.png": picture() for number in range(30)}
    return zipped(files | {f"masks/{number}.png": picture("L") for number in range(30)})


# -- the group


@pytest.mark.parametrize("name", sorted(data.COMMANDS))
def test_a_subcommand_s_line_in_the_table_is_its_own(name, capsys):
    command = import_module(f"segzoo.cli.data.{name}").command
    assert data.COMMANDS[name] == command.get_short_help_str(limit=200)
    assert cli.run(["data", name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: segzoo data {name}")


def test_the_group_alone_lists_its_subcommands_and_a_mistyped_one_gets_a_hint(capsys):
    assert cli.run(["data"]) == 0
    assert "prepare" in capsys.readouterr().out
    assert cli.run(["data", "prepair"]) == 2
    assert "did you mean 'prepare'" in capsys.readouterr().err


# -- prepare


def test_archives_become_a_data_set_that_opens(tmp_path, capsys):
    (tmp_path / "images.zip").write_bytes(IMAGES)
    (tmp_path / "masks.zip").write_bytes(MASKS)
    sources = ["--source", str(tmp_path / "images.zip"), "--source", str(tmp_path / "masks.zip")]
    assert cli.run(["data", "prepare", "carvana", *sources, "--out", str(tmp_path / "my cars")]) == 0
    told = capsys.readouterr().out
    assert "60 files; train " in told
    assert f"next: segzoo train --data carvana --root '{tmp_path}/my cars'" in told


def test_unpacking_shows_how_much_of_each_archive_is_done_on_a_terminal(tmp_path, capsys, monkeypatch):
    (tmp_path / "images.zip").write_bytes(IMAGES)
    (tmp_path / "masks.zip").write_bytes(MASKS)
    sources = ["--source", str(tmp_path / "images.zip"), "--source", str(tmp_path / "masks.zip")]
    words = ["data", "prepare", "carvana", *sources, "--out"]
    assert cli.run([*words, str(tmp_path / "one")]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("segzoo.printing.on_terminal", lambda *, err=False: True)
    monkeypatch.setenv("TERM", "xterm")
    assert cli.run([*words, str(tmp_path / "two")]) == 0
    lines = re.split(r"[\r\n]+", capsys.readouterr().err)
    assert any(line.startswith("unpack images.zip: 100%") for line in lines)
    assert any(line.startswith("unpack masks.zip: 100%") for line in lines)
    assert cli.run([*words, str(tmp_path / "three"), "--no-progress"]) == 0
    assert capsys.readouterr().err == ""


def test_an_archive_of_something_else_leaves_nothing_and_says_what_was_expected(tmp_path):
    (tmp_path / "a.zip").write_bytes(MASKS)
    with pytest.raises(
        FailureError, match=r"a.zip does not hold 'carvana': .*cars holds no Carvana.*Expected: train_hq"
    ):
        prepare("carvana", [tmp_path / "a.zip"], tmp_path / "cars")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    with pytest.raises(UnknownNameError, match="did you mean 'carvana'"):
        prepare("carvanna", [tmp_path / "a.zip"], tmp_path / "cars")


# -- download


def test_a_data_set_is_fetched_checked_and_unpacked(tmp_path, server, site):
    content = pair_of_folders()
    server.files["/shapes.zip"] = content
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    site.install("segzoo-shapes", CUSTOM.format(url=f"{server.url}/shapes.zip", checksum=checksum))
    zoo.refresh()
    with pytest.warns(UserWarning, match="no hash"):
        ready = download("shapes", tmp_path / "shapes")
    assert ready.files == 60
    assert sum(ready.samples.values()) > 20
    with pytest.raises(FailureError, match="there already"):
        download("shapes", tmp_path / "shapes")


def test_a_file_with_another_checksum_is_refused(tmp_path, server, site):
    server.files["/shapes.zip"] = pair_of_folders()
    site.install("segzoo-shapes", CUSTOM.format(url=f"{server.url}/shapes.zip", checksum="md5:" + "0" * 32))
    zoo.refresh()
    with (
        pytest.warns(UserWarning, match="no hash"),
        pytest.raises(FailureError, match=r"its MD5 is .*published with"),
    ):
        download("shapes", tmp_path / "shapes")
    assert not (tmp_path / "shapes").exists()


def test_what_may_not_be_fetched_says_how_people_get_it(tmp_path, capsys):
    assert cli.run(["data", "download", "drive", "--out", str(tmp_path / "drive")]) == 2
    told = capsys.readouterr().err
    assert "join the challenge" in told
    assert "segzoo data prepare drive --source ARCHIVE" in told


# -- Kaggle


def kaggle(monkeypatch, server):
    """Serve Carvana as Kaggle does: an address that leads to a store, with a login."""
    monkeypatch.setenv("KAGGLE_API_ENDPOINT", f"{server.url}/api/v1")
    for name, content in (("train_hq.zip", IMAGES), ("train_masks.zip", MASKS)):
        asked = f"/api/v1/competitions/data/download/carvana-image-masking-challenge/{name}"
        server.redirect[asked] = f"{server.url}/store/{name}?signed=1"
        server.files[f"/store/{name}"] = content


def test_carvana_comes_from_kaggle_with_the_person_s_credentials(tmp_path, monkeypatch, server):
    kaggle(monkeypatch, server)
    with pytest.raises(OptionError, match=r"kaggle\.json into ~/\.kaggle"):
        download("carvana", tmp_path / "cars")
    monkeypatch.setenv("KAGGLE_USERNAME", "ann")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    monkeypatch.setattr("segzoo.http.Patience.wait", lambda *_, **__: None)
    server.cuts.append(1000)  # the store breaks off once, and is asked for the rest
    ready = download("carvana", tmp_path / "cars")
    assert ready.files == 60
    wanted = f"Basic {base64.b64encode(b'ann:secret').decode()}"
    asked = [
        (path.startswith("/api"), login)
        for (path, _), login in zip(server.requests, server.logins, strict=True)
    ]
    assert {login for api, login in asked if api} == {wanted}
    assert {login for api, login in asked if not api} == {""}
    server.requests.clear()
    download("carvana", tmp_path / "again")
    assert server.requests == []  # from the cache


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "does not know"), (403, "accept the competition's rules"), (404, "download it yourself")],
)
def test_what_kaggle_refuses_says_what_to_do(tmp_path, monkeypatch, server, status, told):
    kaggle(monkeypatch, server)
    monkeypatch.setenv("KAGGLE_USERNAME", "ann")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    server.refusals.append((status, {}))
    with pytest.raises(FailureError, match=f"HTTP {status}.*{told}"):
        download("carvana", tmp_path / "cars")


@pytest.mark.parametrize(
    ("refusals", "told"),
    [
        ([(429, {"Retry-After": "3600"})], r"HTTP 429 .*wait for 3600 s"),
        ([(503, {})] * 5, r"HTTP 503 .*5 times in a row"),
        ([(200, {"Content-Type": "text/html"})], r"did not lead to a file"),
        ([(302, {"Location": "file:///etc/hostname"})], r"redirects to an invalid address"),
        ([(302, {"Location": "http://[::1"})], r"redirects to an invalid address"),
        ([(302, {})], r"redirects, but the server does not say where"),
    ],
)
def test_what_kaggle_or_the_network_answers_instead_is_told(tmp_path, monkeypatch, server, refusals, told):
    kaggle(monkeypatch, server)
    monkeypatch.setenv("KAGGLE_USERNAME", "ann")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.refusals += refusals
    with pytest.raises(FailureError, match=rf"^{server.url}/api.*{told}"):
        download("carvana", tmp_path / "cars")


def test_a_mirror_serves_kaggle_s_files_without_a_login(tmp_path, monkeypatch, server):
    monkeypatch.setenv("SEGZOO_MIRROR", f"{server.url}/mirror")
    for name, content in (("train_hq.zip", IMAGES), ("train_masks.zip", MASKS)):
        path = f"api/v1/competitions/data/download/carvana-image-masking-challenge/{name}"
        server.files[f"/mirror/www.kaggle.com/{path}"] = content
    assert download("carvana", tmp_path / "cars").files == 60
    assert set(server.logins) == {""}


def test_without_a_network_kaggle_is_not_asked(tmp_path, monkeypatch, server):
    kaggle(monkeypatch, server)
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    with pytest.raises(FailureError, match="switched off"):
        download("carvana", tmp_path / "cars")
    assert server.requests == []


def test_credentials_are_read_from_kaggle_s_own_file(tmp_path):
    path = tmp_path / "kaggle/kaggle.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"username": "ann", "key": "secret"}))
    assert credentials() == ("ann", "secret")
    path.write_text("{}")
    with pytest.raises(OptionError, match=r"is not Kaggle's kaggle\.json"):
        credentials()
