"""Models over HTTP, by a real server on loopback: right masks, plain refusals, and nothing lost."""

from __future__ import annotations

import io
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import httpx
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pycocotools import mask as coco
from served import PATIENCE, served, until

import segzoo
import segzoo.serving
from segzoo.cli import run
from segzoo.errors import OptionError
from segzoo.serving import Limits
from segzoo.serving.notes import gathering
from segzoo.specs import Labels

PICTURES = [
    np.kron(np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    for seed in range(6)
]


def png(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def claims(width, height):
    """Return a small PNG that claims to be large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folders of untrained U-Nets: of three classes, and of three that overlap."""
    root = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name, overlapping in (("plain", False), ("layers", True)):
        labels = Labels(classes=("ground", "roof", "tree"), overlapping=overlapping)
        model = segzoo.create("unet", num_classes=3, width=2, depth=2)
        with torch.no_grad():  # each class somewhere
            seen = torch.from_numpy(np.stack(PICTURES)).permute(0, 3, 1, 2) / 255
            for _ in range(20):
                model.train()(seen)
            list(model.parameters())[-1].sub_(model.eval()(seen).mean((0, 2, 3)))
        model.segzoo_config = replace(model.segzoo_config, labels=labels)
        segzoo.save(model, root / name)
    return root


@contextmanager
def serving(models, **limits):
    """Serve on loopback from a thread; yields a client and the service."""
    app = segzoo.serving.application(models, limits=Limits(**limits))
    with served(app) as client:
        yield client, app.state.service


@pytest.fixture(scope="module")
def both(weights):
    with serving({"plain": weights / "plain", "layers": weights / "layers"}, max_bytes=100_000) as found:
        yield found


class Gate:
    """A predictor whose network waits until it may run, and that notes its batches."""

    def __init__(self, folder):
        self.predictor, self.open, self.batches = segzoo.Predictor(folder), threading.Event(), []
        self._segment, self.predictor.segment_prepared = self.predictor.segment_prepared, self._wait

    def _wait(self, prepared, **options):
        assert self.open.wait(PATIENCE)
        self.batches.append(len(prepared))
        return self._segment(prepared, **options)


# -- answers


@pytest.mark.medium
def test_the_answer_is_the_mask_of_the_predictor_in_the_form_that_is_asked_for(both, weights):
    client, _ = both
    picture = PICTURES[0]
    expected = segzoo.Predictor(weights / "plain")(picture)

    def ask(query="", accept=None, **body):
        headers = {} if accept is None else {"Accept": accept}
        return client.post(f"/v1/models/plain/predict{query}", headers=headers, **body).raise_for_status()

    answer = ask(content=png(picture))
    assert answer.headers["content-type"] == "image/png"
    mask = Image.open(io.BytesIO(answer.content))
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.asarray(mask), expected.mask)
    assert ask(files={"anything": ("cells.png", png(picture))}).content == answer.content

    told = ask("?output=json", content=png(picture)).json()
    assert told == ask(accept="text/html;q=0.1, application/json", content=png(picture)).json() | {
        "request_id": told["request_id"]
    }
    for one in told["classes"]:
        assert one["pixels"] == np.count_nonzero(expected.mask == one["index"])
        if "rle" in one:
            np.testing.assert_array_equal(coco.decode(one["rle"]), expected.mask == one["index"])
    shapes = ask(accept="application/geo+json", content=png(picture)).json()
    assert len(shapes["features"]) == len(expected.instances().areas)
    tiff = np.asarray(Image.open(io.BytesIO(ask("?output=mask:tif&only=roof", content=png(picture)).content)))
    np.testing.assert_array_equal(tiff, np.where(expected.mask == 1, 1, 0))
    scores = np.load(io.BytesIO(ask("?output=probabilities", content=png(picture)).content))
    assert scores.shape == (3, *picture.shape[:2])


def test_where_classes_overlap_each_has_its_run_lengths_and_a_mask_in_one_file_is_a_tiff(both, weights):
    client, _ = both
    expected = segzoo.Predictor(weights / "layers")(PICTURES[0]).mask
    told = client.post("/v1/models/layers/predict", content=png(PICTURES[0])).json()
    for one in told["classes"]:
        there = coco.decode(one["rle"]) if "rle" in one else np.zeros(expected.shape[1:])
        np.testing.assert_array_equal(there, expected[one["index"]])
    refused = client.post("/v1/models/layers/predict?output=mask", content=png(PICTURES[0]))
    assert refused.status_code == 400
    assert "mask:tif" in refused.json()["error"]
    tiff = client.post("/v1/models/layers/predict?output=mask:tif", content=png(PICTURES[0])).content
    assert Image.open(io.BytesIO(tiff)).n_frames == 3


def test_models_health_measures_and_ids_are_told(both):
    client, _ = both
    answer = client.post(
        "/v1/models/plain/predict", content=png(PICTURES[0]), headers={"X-Request-Id": "a-7"}
    )
    assert answer.headers["x-request-id"] == "a-7"
    assert "network;dur=" in answer.headers["server-timing"]
    strange = client.get("/healthz", headers={"X-Request-Id": "a b<script>"}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", strange)
    models = client.get("/v1/models").json()["models"]
    assert [one["name"] for one in models] == ["plain", "layers"]
    assert [one["name"] for one in models[0]["classes"]] == ["ground", "roof", "tree"]
    measures = client.get("/metrics").text
    assert 'segzoo_requests_total{model="plain",status="200"}' in measures
    assert 'segzoo_queue_length{model="plain"} 0.0' in measures
    assert "process_resident_memory_bytes" in measures
    paths = client.get("/openapi.json").json()["paths"]
    assert "multipart/form-data" in paths["/v1/models/{name}/predict"]["post"]["requestBody"]["content"]
    assert client.get("/v1/models/plain/predict").status_code == 405


def test_what_predict_would_warn_of_is_told_to_the_client(both, recwarn):
    stack = io.BytesIO()
    pages = [Image.fromarray(one) for one in PICTURES[:3]]
    pages[0].save(stack, "TIFF", save_all=True, append_images=pages[1:])
    with gathering():
        first = both[0].post("/v1/models/plain/predict?output=json", content=stack.getvalue())
        second = both[0].post("/v1/models/plain/predict?output=json&page=1", content=stack.getvalue())
    assert first.json()["notes"] == ["the image holds 3 pages; only the first is read"]
    assert first.headers["x-segzoo-note"] == first.json()["notes"][0]
    assert second.json()["notes"] == []
    assert first.json()["classes"] != second.json()["classes"]
    assert not recwarn


# -- refusals


REFUSED = {
    "nothing": (b"", "", {}, 422, "has no body"),
    "text": (b"hello", "", {}, 422, "the image cannot be read"),
    "cut": (png(PICTURES[0])[:-100], "", {}, 422, "cut short"),
    "bomb": (claims(60_000, 60_000), "", {}, 413, "60000 x 60000"),
    "deep": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "", {}, 422, "EPS"),
    "bytes": (bytes(100_001), "", {}, 413, "100,001 bytes"),
    "unknown bytes": ((part for part in [bytes(60_000)] * 2), "", {}, 413, "the maximum of this server"),
    "packed": (zlib.compress(png(PICTURES[0])), "", {"Content-Encoding": "deflate"}, 415, "uncompressed"),
    "form": (b"x", "", {"Content-Type": "multipart/form-data; boundary=y"}, 400, "form"),
    "output": (png(PICTURES[0]), "?output=nope", {}, 400, "no output 'nope'"),
    "page": (png(PICTURES[0]), "?page=3", {}, 400, "1 page"),
    "option": (png(PICTURES[0]), "?opacity=2", {}, 400, "opacity"),
    "class": (png(PICTURES[0]), "?only=cat", {}, 400, "no class 'cat'"),
    "type": (png(PICTURES[0]), "", {"Accept": "text/html"}, 406, "image/png"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_in_plain_words_with_its_id(name, both, tmp_path, monkeypatch):
    client, _ = both
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content, query, headers, status, words = REFUSED[name]
    answer = client.post(f"/v1/models/plain/predict{query}", content=content, headers=headers)
    told = answer.json()
    about = {"option": {"option": "opacity", "page": "page"}[name]} if name in ("option", "page") else {}
    assert (answer.status_code, set(told)) == (status, {"error", "request_id", *about}), told
    assert about.items() <= told.items()
    assert told["request_id"] == answer.headers["x-request-id"]
    assert words in told["error"]
    assert str(tmp_path) not in told["error"]
    assert "any-size" not in told["error"]
    until(lambda: not list(tmp_path.iterdir()))


def test_threshold_bands_and_intensity_of_a_request_give_the_masks_of_a_predictor_with_them(
    both, weights, tmp_path
):
    client, service = both
    deep = np.dstack([PICTURES[0].astype(np.uint16) * 16, np.full(PICTURES[0].shape[:2], 7, np.uint16)])
    file = io.BytesIO()
    tifffile.imwrite(file, deep, photometric="minisblack", planarconfig="contig")

    def mask(model, content, **query):
        path = f"/v1/models/{model}/predict"
        answer = client.post(path, params={"output": "mask:npy", **query}, content=content)
        return np.load(io.BytesIO(answer.raise_for_status().content))

    def expected(model, picture, **options):
        return segzoo.Predictor(weights / model, **options)(picture).mask

    usual = mask("layers", png(PICTURES[0]))
    for query, options in (
        ({"threshold": 0.45}, {"threshold": 0.45}),
        (
            {"threshold": 0.45, "class_threshold": "tree=0.6"},
            {"threshold": 0.45, "thresholds": {"tree": 0.6}},
        ),
    ):
        found = mask("layers", png(PICTURES[0]), **query)
        np.testing.assert_array_equal(found, expected("layers", PICTURES[0], **options))
        assert not np.array_equal(found, usual)
    np.testing.assert_array_equal(mask("layers", png(PICTURES[0])), usual)
    chosen = {"bands": "3,2,1", "intensity": "range:0,4095"}
    (tmp_path / "deep.tif").write_bytes(file.getvalue())
    np.testing.assert_array_equal(
        mask("plain", file.getvalue(), **chosen), expected("plain", tmp_path / "deep.tif", **chosen)
    )
    white = np.full((40, 56, 3), 255, np.uint8)
    mask("plain", png(white), intensity="range:0,60000")  # far from the training data
    own = service.predictors["plain"].watch.drained()
    assert len(own.far) == 1
    told = client.get("/v1/models/layers").json()
    assert (told["threshold"], told["class_thresholds"]) == (0.5, {})
    assert client.get("/v1/models/plain").json()["threshold"] is None


@pytest.mark.parametrize(
    ("query", "option", "words"),
    [
        ("threshold=0.4", "threshold", "has no threshold"),
        ("threshold=2", "threshold", "less than 1"),
        ("class_threshold=cat=0.4", "class_threshold", "no class 'cat'"),
        ("class_threshold=roof", "class_threshold", "CLASS=NUMBER"),
        ("class_threshold=roof=1", "class_threshold", "between 0 and 1"),
        ("bands=1,2", "bands", "2"),
        ("bands=1,2,9", "bands", "there is no band 9"),
        ("bands=infrared,2,1", "bands", "infrared"),
        ("intensity=bright", "intensity", "uint8"),
        ("intensity=percentiles:1,99:run", "intensity", "leave out the last word"),
        ("intensity=window:40", "intensity", "window:40,400"),
    ],
)
def test_a_wrong_choice_is_refused_with_the_name_of_its_option(query, option, words, both):
    answer = both[0].post(f"/v1/models/plain/predict?{query}", content=png(PICTURES[0]))
    assert answer.status_code in (400, 422), answer.text
    told = answer.json()
    assert told["option"] == option
    assert words in told["error"]


def test_bands_and_values_that_do_not_fit_are_refused_with_what_to_choose_from(both):
    def refused(pixels):
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, photometric="minisblack", planarconfig="contig")
        answer = both[0].post("/v1/models/plain/predict", content=file.getvalue())
        assert answer.status_code == 422
        return answer.json()

    five = refused(np.zeros((8, 9, 5), np.uint16))
    assert five["option"] == "bands"
    assert len(five["bands"]) == 5
    assert five["error"].endswith("choose with bands=1,2,3")
    floats = refused(np.full((8, 9, 3), 5000, np.float32))
    assert floats["option"] == "intensity"
    assert "pass intensity=range:" in floats["error"]
    assert "Python" not in floats["error"]


@pytest.mark.parametrize(
    ("path", "words"),
    [("/v1/models/plane/predict", "'plain'"), ("/predict", "several models"), ("/x", "/docs")],
)
def test_an_address_that_there_is_not_says_what_there_is(path, words, both):
    answer = both[0].post(path, content=png(PICTURES[0]))
    assert answer.status_code == 404
    assert words in answer.json()["error"]


# -- what arrives together, too much, too slowly, or leaves


@pytest.mark.medium
def test_what_arrives_together_is_one_batch_and_each_gets_its_own_mask(weights):
    gate = Gate(weights / "plain")
    with (
        serving({"m": gate.predictor}, batch=4, wait=0.2) as (client, service),
        ThreadPoolExecutor(8) as pool,
    ):
        sent = [pool.submit(client.post, "/predict", content=png(PICTURES[0]))]
        until(lambda: service.batchers["m"].length == 1)
        time.sleep(0.3)  # the first is taken alone, as nothing else is on its way
        sent += [pool.submit(client.post, "/predict", content=png(one)) for one in PICTURES[1:5]]
        odd = pool.submit(client.post, "/predict", content=png(PICTURES[5][:24, :24]))
        until(lambda: service.batchers["m"].length == 6)
        gate.open.set()
        masks = [np.asarray(Image.open(io.BytesIO(one.result().content))) for one in (*sent, odd)]
        assert sorted(gate.batches) == [1, 1, 4]
    expected = segzoo.Predictor(weights / "plain")
    for mask, picture in zip(masks, [*PICTURES[:5], PICTURES[5][:24, :24]], strict=True):
        assert np.mean(mask != expected(picture).mask) < 0.005  # batches round sums in another order


@pytest.mark.medium
def test_beyond_the_queue_clients_are_told_when_to_return_and_those_that_leave_make_room(weights):
    gate = Gate(weights / "plain")
    with serving({"m": gate.predictor}, queue=3, batch=1) as (client, service), ThreadPoolExecutor(8) as pool:
        length = service.batchers["m"]
        sent = [pool.submit(client.post, "/predict", content=png(one)) for one in PICTURES[:3]]
        until(lambda: length.length == 3)
        full = client.post("/predict", content=png(PICTURES[0]))
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) >= 1
        gate.open.set()
        assert {one.result().status_code for one in sent} == {200}
        gate.open.clear()
        body = png(PICTURES[0])
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        leaving = [socket.create_connection((client.base_url.host, client.base_url.port)) for _ in range(3)]
        for one in leaving:
            one.sendall(head + body)
        until(lambda: length.length == 3)
        for one in leaving:
            one.close()
        until(lambda: length.length <= 1)  # the network may have one of them
        gate.open.set()
        assert client.post("/predict", content=body).status_code == 200


def test_slow_and_broken_clients_are_let_go(weights):
    with serving(weights / "plain", timeout=0.5) as (client, service):

        def begin(data):
            one = socket.create_connection((client.base_url.host, client.base_url.port))
            one.settimeout(PATIENCE)
            one.sendall(data)
            return one

        def rest(one):
            found = b""
            while part := one.recv(65536):
                found += part
            return found

        slow = begin(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nsome")
        head = begin(b"POST /predict HTTP/1.1\r\nHos")
        silent = begin(b"")
        garbage = begin(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
        gone = begin(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nsome")
        gone.close()
        told = rest(slow)
        assert told.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 0.5 seconds (4 bytes did)" in told
        assert rest(head).startswith(b"HTTP/1.1 408 ")
        assert rest(silent) == b""
        assert rest(garbage).startswith(b"HTTP/1.1 400 ")
        until(lambda: service.busy == 0)
        assert client.post("/predict", content=png(PICTURES[0])).status_code == 200


def test_one_image_s_trouble_is_not_its_neighbours(weights):
    gate = Gate(weights / "plain")
    segment = gate._segment

    def failing(prepared, **options):
        if any(one.name == "bad" for one in prepared):
            raise RuntimeError("the engine broke")
        return segment(prepared, **options)

    gate._segment = failing
    with serving({"m": gate.predictor}, wait=0.2) as (client, service), ThreadPoolExecutor(8) as pool:
        ids = ("first", "bad", "last")
        sent = [
            pool.submit(client.post, "/predict", content=png(one), headers={"X-Request-Id": name})
            for name, one in zip(ids, PICTURES, strict=False)
        ]
        until(lambda: service.batchers["m"].length == 3)
        gate.open.set()
        assert [one.result().status_code for one in sent] == [200, 500, 200]
        assert "engine broke" not in sent[1].result().text


# -- the command


@pytest.fixture
def server(weights, tmp_path):
    """``segzoo serve`` in a process of its own, and its address."""
    command = [sys.executable, "-m", "segzoo", "serve", f"plain={weights / 'plain'}", "--port", "0"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        until(lambda: b"http://" in (tmp_path / "log").read_bytes() or process.poll() is not None)
        address = re.search(r"http://[\d.:]+", (tmp_path / "log").read_text())[0]
        until(lambda: reaches(address))
        yield process, address, tmp_path / "log"
        process.kill()


def reaches(address):
    try:
        return httpx.get(f"{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_at_sigterm_every_request_that_had_begun_is_answered(server):
    process, address, log = server
    statuses, lock = [], threading.Lock()
    bodies = [png(np.random.default_rng(seed).integers(0, 256, (300, 300, 3), np.uint8)) for seed in range(4)]

    def client(number):
        with httpx.Client(base_url=address, timeout=PATIENCE) as mine:
            while True:
                try:
                    found = mine.post("/predict", content=bodies[number % 4])
                except httpx.ConnectError:
                    return  # the server is no more
                except httpx.TransportError as error:
                    found = error
                with lock:
                    statuses.append(getattr(found, "status_code", found))
                if statuses[-1] != 200:
                    return

    threads = [threading.Thread(target=client, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(statuses) > 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    for thread in threads:
        thread.join()
    lines = [line.split() for line in log.read_text().splitlines() if " POST " in line]
    assert set(map(str, statuses)) <= {"200", "503"} | {
        str(one)
        for one in statuses
        if isinstance(one, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
    }
    begun = sum(line[5] == "200" for line in lines)
    assert begun == statuses.count(200)
    assert "all requests that had begun were answered" in log.read_text()


def test_a_taken_port_an_unknown_model_and_names_are_told(capsys, weights):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["serve", str(weights / "plain"), "--port", port]) == 1
        assert f"port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err
    for words, told in {
        ("unet-nuclie",): "did you mean 'unet-nuclei'",
        ("a=unet-nuclei", "a=other"): "two models are called 'a'",
        ("a b=unet-nuclei",): "cannot be part of a URL",
        ("a=",): "names no model",
        (str(weights / "plain"), "--max-bytes", "many"): "is no size",
        (str(weights / "plain"), "--max-pixels", "999999999999"): "--max-pixels may be at most",
        (str(weights / "plain"), "--host", "no.such.host.invalid"): "there is no such host",
        (str(weights / "plain"), "--precision", "fastest"): "--calibrate",
        (str(weights / "plain"), "--intensity", "percentiles:1,99:run"): "leave out the last word",
    }.items():
        assert run(["serve", *words, "--port", "0"]) == 2, words
        assert told in capsys.readouterr().err


def test_without_the_extra_the_command_says_what_to_install(capsys, monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert run(["serve", str(weights / "plain")]) == 2
    assert "pip install 'segmentation-zoo[serve]'" in capsys.readouterr().err


def test_two_models_of_one_name_need_names():
    with pytest.raises(OptionError, match="two models are called unet"):
        segzoo.serving.application(["a/unet", "b/unet"])


# -- the page


@pytest.mark.slow
def test_the_page_shows_the_mask_over_a_dropped_image_on_a_desk_and_on_a_phone(both, tmp_path):
    from browser import DESKTOP, PHONE, Watch, opened
    from browser_setup import axe

    (tmp_path / "cells.png").write_bytes(png(PICTURES[0]))
    (tmp_path / "notes.txt").write_text("hello")
    with opened() as browser:
        for size in (DESKTOP, PHONE):
            page = browser.new_context(viewport=size, base_url=str(both[0].base_url)).new_page()
            watch = Watch(page)
            page.goto("/")
            page.set_input_files("#file", tmp_path / "cells.png")
            page.get_by_text("56 x 40 pixels").wait_for()
            assert page.locator("#classes li").count() >= 1
            page.get_by_label("Model").select_option("layers")
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            page.evaluate(axe().read_text())
            assert page.evaluate("axe.run()")["violations"] == []
            assert watch.taken() == ([], [])
            page.set_input_files("#file", tmp_path / "notes.txt")
            page.get_by_text("the image cannot be read").wait_for()
            page.goto("/docs")
            page.get_by_text("/v1/models/{name}/predict").first.wait_for()
            page.evaluate(axe().read_text())
            assert page.evaluate("axe.run()")["violations"] == []
