"""Images in a store of objects are segmented, and masks written there; a run that was killed goes on."""

from __future__ import annotations

import io
import json
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo import http, storage
from segzoo.cli import run
from segzoo.errors import ImageError
from segzoo.prediction.job import Job
from segzoo.prediction.sources import FileSource, find
from segzoo.storage import place

if TYPE_CHECKING:
    from pathlib import Path

moto = pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")
s3fs = pytest.importorskip("s3fs")


@pytest.fixture(scope="module")
def server():
    """The address of an S3 server on loopback."""
    served = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    served.start()
    yield "http://{}:{}".format(*served.get_host_and_port())
    served.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """A client of the server, which segzoo is told of by the variables that Amazon's own programs take."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(http, "FOR_EACH", http.Policy(attempts=2, pause=0.01))
    (tmp_path / "passing").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "passing"))
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="lab")
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="lab"):
        for one in page.get("Contents", ()):
            client.delete_object(Bucket="lab", Key=one["Key"])
    client.delete_bucket(Bucket="lab")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of an untrained U-Net's weights."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=1, width=2, depth=2, upsample="bilinear")
    return str(segzoo.save(model, tmp_path_factory.mktemp("weights") / "unet"))


def picture(path: Path, seed: int = 0, pages: int = 1, size=(24, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images = [Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)) for _ in range(pages)]
    images[0].save(path, **({"save_all": True, "append_images": images[1:]} if pages > 1 else {}))
    return path


@pytest.fixture
def photos(tmp_path, s3):
    """Images on this machine, and the same in the bucket."""
    root = tmp_path / "photos"
    for number, name in enumerate(("a.png", "b c.jpg", "deep/a.png")):
        picture(root / name, number)
    picture(root / "stack.tif", 9, pages=2)
    for path in root.rglob("*.*"):
        s3.upload_file(str(path), "lab", f"in/{path.relative_to(root).as_posix()}")
    return root


def objects(s3, prefix="out/"):
    found = s3.list_objects_v2(Bucket="lab", Prefix=prefix).get("Contents", ())
    return {
        one["Key"].removeprefix(prefix): s3.get_object(Bucket="lab", Key=one["Key"])["Body"].read()
        for one in found
    }


def record(found):
    return [
        json.loads(line)
        for name, data in found.items()
        if name.startswith("manifest")
        for line in data.splitlines()
    ]


@pytest.mark.medium
def test_what_is_written_to_a_store_is_what_is_written_here(photos, weights, s3, tmp_path, capsys):
    words = ["-m", weights, "--outputs", "mask,overlay,areas"]
    assert run(["predict", str(photos), *words, "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert run(["predict", "s3://lab/in", *words, "--out", "s3://lab/out"]) == 0
    assert "s3://lab/in/a.png" in capsys.readouterr().out
    here = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")
    }
    far = objects(s3)
    kept = {name for name in far if not name.startswith("manifest")}
    assert kept == {name for name in here if not name.startswith("manifest")}
    assert all(far[name] == here[name] for name in kept if not name.endswith("areas.csv"))
    assert {entry["input"] for entry in record(far)} >= {"s3://lab/in/a.png", "s3://lab/in/stack.tif[1]"}
    assert not [*(tmp_path / "passing").iterdir()]

    assert run(["predict", "s3://lab/in", *words, "--out", "s3://lab/out"]) == 1
    assert "exist already" in capsys.readouterr().err
    before = s3.head_object(Bucket="lab", Key="out/a_mask.png")["LastModified"]
    s3.delete_object(Bucket="lab", Key="out/b c_mask.png")
    picture(photos / "new.png")
    s3.upload_file(str(photos / "new.png"), "lab", "in/new.png")
    assert run(["predict", "s3://lab/in", *words, "--out", "s3://lab/out", "--resume"]) == 0
    assert "4 were done before" in capsys.readouterr().out
    assert {"b c_mask.png", "new_mask.png"} <= objects(s3).keys()
    assert s3.head_object(Bucket="lab", Key="out/a_mask.png")["LastModified"] == before


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_every_image_is_done_once(s3, weights, tmp_path, capsys):
    for number in range(24):
        path = picture(tmp_path / f"{number:02d}.png", number, size=(64, 64))
        s3.upload_file(str(path), "lab", f"in/{path.name}")
    words = [
        "predict",
        "s3://lab/in",
        "-m",
        weights,
        "--out",
        "s3://lab/in/masks",
        "--outputs",
        "mask,overlay",
    ]
    killed = subprocess.Popen([sys.executable, "-m", "segzoo", *words], stdout=subprocess.DEVNULL)
    try:
        while s3.list_objects_v2(Bucket="lab", Prefix="in/masks/")["KeyCount"] < 8:
            assert killed.poll() is None
            time.sleep(0.05)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    left = objects(s3, "in/masks/")
    assert 8 <= len(left) < 48
    for name in left:
        if not name.startswith("manifest"):
            Image.open(io.BytesIO(left[name])).load()

    assert run([*words, "--resume"]) == 0
    found = objects(s3, "in/masks/")
    assert sorted(name for name in found if name.endswith("_mask.png")) == [
        f"{n:02d}_mask.png" for n in range(24)
    ]
    assert len([entry for entry in record(found) if entry["input"] != "*"]) == 24
    assert run([*words, "--resume"]) == 0
    assert "24 were done before" in capsys.readouterr().out
    assert found == objects(s3, "in/masks/")


@pytest.mark.medium
def test_what_somebody_else_put_there_is_not_replaced(photos, weights, s3, capsys):
    words = ["predict", "s3://lab/in/a.png", "-m", weights, "--out", "s3://lab/out", "--outputs", "mask"]
    assert run(words) == 0
    s3.put_object(Bucket="lab", Key="out/a_mask.png", Body=b"by hand")
    assert run([*words, "--resume"]) == 1
    assert "s3://lab/out/a_mask.png exists: no earlier run wrote it" in capsys.readouterr().err
    assert objects(s3)["a_mask.png"] == b"by hand"
    assert run([*words, "--overwrite"]) == 0
    assert objects(s3)["a_mask.png"] != b"by hand"
    assert run(["predict", "s3://lab/in", "-m", weights, "--out", "s3://lab/in"]) == 1
    assert "s3://lab/in holds files that are read" in capsys.readouterr().err


@pytest.mark.medium
def test_a_video_in_a_store_is_known_for_one_that_a_run_wrote(s3, weights, tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as film:
        pictures = film.add_stream("mpeg4", rate=5)
        pictures.height, pictures.width, pictures.pix_fmt = 32, 48, "yuv420p"
        film.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((32, 48, 3), np.uint8))))
        film.mux(pictures.encode(None))
    words = ["predict", str(tmp_path / "a.mp4"), "-m", weights, "--out", "s3://lab/out", "--resume"]
    assert run(words) == 0
    assert run([*words, "--flips"]) == 0


@pytest.mark.medium
def test_a_store_is_searched_as_a_folder_is(photos, s3, tmp_path):
    def names(*words, **more):
        found = find(words, **more)
        return [source.name for source in found.images], [*found.troubles, *found.notes]

    assert names("s3://lab/in") == names(str(photos))
    assert names("s3://lab/in/**/*.png") == (["a", "deep/a"], [])
    assert names("s3://lab/in/*.[jp][!x]g") == (["a", "b c"], [])
    assert names("s3a://lab/in/stack.tif") == (["stack_0", "stack_1"], [])
    (tmp_path / "list.txt").write_text("s3://lab/in/deep/\nfile://" + str(photos / "a.png"))
    assert names(lists=[str(tmp_path / "list.txt")]) == (["a.png", "a.png_2"], [])
    for key in ("set/images/a.png", "set/masks/a.png", "odd//a.png", "odd/v.mp4", "odd/x.zarr/c/0.png"):
        s3.upload_file(str(photos / "a.png"), "lab", key)
    images, (note,) = names("s3://lab/set")
    assert images == ["images/a"]
    assert "left out 1 mask in masks" in note
    images, troubles = names("s3://lab/odd")
    assert images == []
    assert sorted(troubles) == [
        f"s3://lab/odd/{name}: copy it to this machine"
        for name in (
            "/a.png has a name that no file can have: a part of it is empty or only dots",
            "v.mp4 is a video, which must be a local file",
            "x.zarr is a folder that is one image, which must be a local file",
        )
    ]
    source = pickle.loads(pickle.dumps(find(["s3://lab/in/a.png"]).images[0]))
    assert (source.origin, source.read()[0].shape) == ("s3://lab/in/a.png", (24, 20, 3))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("s3://nowhere/in", "s3://nowhere/in: there is no bucket s3://nowhere"),
        ("s3://lab/gone.mp4", "is a video"),
        ("s3://lab/gone", "s3://lab/gone is no object, and contains no image"),
        ("s3://lab/*.jpg", "no object matches s3://lab/*.jpg"),
        ("s3://key:secret@lab/a.png", "it holds a password"),
        ("s3://lab/../a.png", "consists of dots"),
        ("s3:///a.png", "it names no bucket"),
        ("ftp://host/a.png", "only http and https are fetched"),
    ],
)
def test_what_names_nothing_is_told(s3, word, told):
    (trouble,) = find([word]).troubles
    assert told in trouble
    assert "secret" not in trouble


@contextmanager
def answering(status: int, body: bytes = b"", headers: dict[str, str] | None = None):
    """Serve one answer to all requests; yield the address, and the requests."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}", asked
    served.shutdown()
    served.server_close()


def refusal(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "headers", "told"),
    [
        (
            403,
            refusal("AccessDenied"),
            {},
            "the store denies access (AccessDenied). Check that the credentials may read it: AWS_PROFILE",
        ),
        (403, refusal("InvalidAccessKeyId"), {}, "denies access"),
        (
            301,
            refusal("PermanentRedirect"),
            {"x-amz-bucket-region": "eu-west-1"},
            "(eu-west-1): set AWS_REGION=eu-west-1",
        ),
        (503, refusal("SlowDown"), {}, "2 times in a row. Try again later"),
        (200, b"short", {"Content-Length": "500"}, "2 times in a row"),
    ],
)
def test_what_a_store_refuses_is_told_in_a_sentence(s3, monkeypatch, tmp_path, status, body, headers, told):
    with answering(status, body, headers) as (address, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(ImageError) as error:
            FileSource(place("s3://lab/in/a.png"), "a").read()
    assert str(error.value).startswith("s3://lab/in/a.png")
    assert told in str(error.value)


@pytest.mark.medium
def test_a_store_that_is_not_there_and_credentials_that_are_not_are_told(s3, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "cannot be reached" in find(["s3://lab/in"]).troubles[0]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    assert "no credentials were found. Set AWS_PROFILE" in find(["s3://lab/in"]).troubles[0]
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    assert "switched off by SEGZOO_OFFLINE=1" in find(["s3://lab/in"]).troubles[0]


@pytest.mark.medium
def test_an_object_that_vanishes_and_a_damaged_one_are_told_and_the_others_go_on(
    photos, weights, s3, monkeypatch
):
    s3.put_object(Bucket="lab", Key="in/bad.png", Body=b"\x89PNG\r\n\x1a\n damaged")
    predictor = segzoo.Predictor(segzoo.load(weights))
    sources = find(["s3://lab/in"]).images
    s3.delete_object(Bucket="lab", Key="in/a.png")
    asked: list[tuple[str, str]] = []
    tried = storage._tried
    monkeypatch.setattr(
        storage,
        "_tried",
        lambda path, verb, call: (asked.append((verb, path.name)), tried(path, verb, call))[1],
    )
    done = {one.source.origin: one for one in Job(predictor, "s3://lab/out", part="-1-of-2").run(sources)}
    assert (
        done["s3://lab/in/a.png"].error
        == "there is no object s3://lab/in/a.png: it was removed, or never there"
    )
    assert done["s3://lab/in/bad.png"].error.startswith("s3://lab/in/bad.png ")
    assert "segzoo-" not in done["s3://lab/in/bad.png"].error
    assert sum(not one.error for one in done.values()) == 4
    assert all(name.startswith("manifest-1-of-2.2") for name in objects(s3) if name.startswith("manifest"))
    assert sum(verb == "list" for verb, _ in asked) < 5
    assert sum(name == "stack.tif" for _, name in asked) == 1
    assert [verb for verb, name in asked if name in ("b c.jpg", "b c_mask.png")] == ["read", "read", "write"]
