"""Ray: workers that are killed, scores, versions that differ, addresses that do not answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.build import open_cluster
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError
from segzoo_ray import cluster as ray_cluster

pytest.importorskip("ray.data")

COUNT = 24


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of an untrained U-Net's weights."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, width=2, depth=2, upsample="bilinear")
    return str(segzoo.save(model, tmp_path_factory.mktemp("weights") / "unet"))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images with masks, and a damaged one, by relative paths."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(COUNT):
        random = np.random.default_rng(number)
        for folder, pixels in (
            ("images", random.integers(0, 256, (64, 80, 3), np.uint8)),
            ("masks", random.integers(0, 2, (64, 80), np.uint8)),
        ):
            Image.fromarray(pixels).save(tmp_path / f"data/{folder}/{number:02}.png")
    return tmp_path


def entries(out):
    lines = [json.loads(line) for path in out.glob("manifest*") for line in path.read_text().splitlines()]
    found = {line["input"]: line for line in lines}
    assert len(found) == len(lines), "an image is recorded twice"
    return found


def kill_a_worker(out):
    """Kill the worker that has recorded an image, as soon as there is one."""
    while not any(path.stat().st_size for path in out.glob("manifest-*-*.jsonl")):
        time.sleep(0.01)
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                name = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"ray::MapWorker") and ours(int(folder.name)):
                os.kill(int(folder.name), signal.SIGKILL)
                return


def ours(pid):
    """Whether a process descends from this one, so that no other Ray is hurt."""
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_worker_that_is_killed_in_the_middle_costs_no_image(weights, photos, capsys, caplog):
    (photos / "data/images/bad.png").write_bytes(b"damaged")
    words = ["predict", "data/images", "-m", weights, "--outputs", "mask,areas"]
    assert run([*words, "--out", "here"]) == 1
    killer = Thread(target=kill_a_worker, args=(photos / "there",))
    (photos / "there").mkdir()
    killer.start()
    assert run([*words, "--out", "there", "--on", "ray,workers=2"]) == 1
    killer.join()
    told = capsys.readouterr()
    assert "1 could not be segmented" in told.err
    assert "workers: 2" in told.err
    assert "a worker of the cluster died" in caplog.text
    assert "ray.data" not in told.err + told.out
    here, there = entries(photos / "here"), entries(photos / "there")
    assert there.keys() == here.keys()
    assert [name for name, one in there.items() if "error" in one] == ["data/images/bad.png"]
    masks = [path.name for path in (photos / "here").iterdir() if "manifest" not in path.name]
    assert len(masks) == 2 * COUNT + 1
    for name in masks:
        assert (photos / "there" / name).read_bytes() == (photos / "here" / name).read_bytes()
    assert [path.name for path in (photos / "there").glob("*manifest*")] == ["manifest.jsonl"]
    assert run([*words, "--out", "there", "--resume"]) == 1
    assert f"{COUNT} were done before" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_scores_of_ray_are_those_of_one_process(weights, photos, capsys):
    words = ["evaluate", weights, "--data", "data", "--split", "all", "--json", "--metric", "auc"]
    assert run(words) == 0
    here = capsys.readouterr().out
    assert run([*words, "--on", "ray"]) == 0
    assert capsys.readouterr().out == here


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_worker_that_no_machine_has_room_for_is_refused():
    with pytest.raises(FailureError, match="no machine of the cluster has room"), open_cluster("ray,cpus=64"):
        pass


def test_an_address_is_checked_before_anything_is_begun(monkeypatch):
    for wrong in ("head", "head:port", "http://head:1", "/head:6379", "head:99999"):
        with pytest.raises(OptionError, match="HOST:PORT"):
            open_cluster(f"ray:{wrong}")
    with pytest.raises(OptionError, match="ray job submit"):
        open_cluster("ray://head:10001")
    for wrong in ("gpus=1.5", "workers=0", "cpus=many", "retries=-1"):
        with pytest.raises(OptionError, match=wrong.partition("=")[0]):
            open_cluster(f"ray,{wrong}")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(FailureError, match="nothing answers"), open_cluster(f"ray:{where}"):
            pass


def test_versions_that_differ_are_told_with_what_to_do():
    cause = RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.9.1")
    error = ConnectionError("Failed to connect to Ray cluster at head:6379")
    error.__cause__ = cause
    told = ray_cluster._told("head:6379", error)
    assert "Ray: 2.9.0" in told
    assert "Install the same Ray" in told
