"""The promise about memory: what processes take beyond what they held, and what they leave behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.resources import parse_memory

#: Runs images through jobs, each in a process of its own, and tells by how much its memory grew at most.
RUN = """
    import json, os, sys
    from dataclasses import replace
    from pathlib import Path
    import torch, segzoo
    from segzoo.prediction import predictor
    from segzoo.prediction.job import Job
    from segzoo.config import config_of
    from segzoo.machine import forget_peak, peak_bytes, used_bytes
    from segzoo.prediction.sources import find_sources
    from segzoo.specs import Resize, numbered_labels

    cpu = torch.device("cpu")

    def run(given):
        torch.manual_seed(0)
        classes = given["overlapping"]
        model = segzoo.create("unet", num_classes=classes or 2, **given["network"]).eval()
        resize = Resize(**given["resize"]) if given["resize"] else None
        found = config_of(model)
        found = replace(found, preprocessing=replace(found.preprocessing, resize=resize))
        if classes:
            found = replace(found, labels=numbered_labels(classes, overlapping=True))
        predictor.config_of = lambda network: found
        told = []
        chosen = {"memory": given["memory"], "intensity": given["intensity"]}
        ready = predictor.Predictor(model, on_message=told.append, **chosen)
        job = Job(ready, given["out"], outputs=given["outputs"])
        before = used_bytes(cpu, tidy=False)
        forget_peak(cpu)
        errors = [done.error for done in job.run(find_sources(given["images"])) if done.error]
        return {"grown": peak_bytes(cpu) - before, "errors": errors, "told": told}

    torch.set_num_threads(1)
    for given in json.loads(sys.argv[1]):
        if not os.fork():
            print(json.dumps(run(given)), flush=True)
            os._exit(0)
        os.wait()
"""

MIDDLE = {"width": 32, "depth": 4}
SMALL = {"width": 4, "depth": 2}
FOUR = {"width": 4, "depth": 2, "in_channels": 4}
HALF = {"mode": "scale", "scale": 0.5}
BOXED = {"mode": "letterbox", "height": 96, "width": 96}


def pictures(folder: Path, count: int, size: int) -> list[str]:
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        small = Image.fromarray(random.integers(0, 256, (size // 8, size // 8, 3), np.uint8))
        small.resize((size, size), Image.Resampling.NEAREST).save(path)
    return [str(path) for path in paths]


def measured(folder: Path, size: int) -> str:
    """Four bands of 16 bits, as an instrument has them."""
    path = folder / "image.npy"
    np.save(path, np.random.default_rng(0).integers(300, 4000, (size, size, 4), np.uint16))
    return str(path)


#: By name: network, resizing, memory, outputs, how many images, and their side.
CASES = {
    "middle": (MIDDLE, None, "150MB", "mask,overlay", 1, 320),
    "middle-half": (MIDDLE, HALF, "150MB", "mask,probabilities", 1, 640),
    "by-rows": (SMALL, None, "60MB", "mask,overlay,probabilities", 1, 1400),
    "boxed": (SMALL, BOXED, "60MB", "mask", 1, 2400),
    "several": (SMALL, None, "200MB", "mask,overlay", 4, 1200),
    "deep": (FOUR, None, "140MB", "mask,overlay", 1, 2400),
    "deep-half": (FOUR, HALF, "200MB", "mask", 1, 2400),
    "overlapping": (SMALL, None, "80MB", "mask,overlay,probabilities", 1, 1400),
    "overlapping-half": (SMALL, HALF, "80MB", "mask,overlay,areas", 1, 1400),
}
#: Classes of networks whose classes overlap.
CLASSES = 8


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    given = []
    for name, (network, resize, memory, outputs, count, size) in CASES.items():
        folder = tmp_path_factory.mktemp(name)
        deep = network is FOUR
        given.append(
            {
                "network": network,
                "resize": resize,
                "memory": memory,
                "outputs": outputs.split(","),
                "images": [measured(folder, size)] if deep else pictures(folder, count, size),
                "intensity": "percentiles:1,99.8:band" if deep else None,
                "out": str(folder / "masks"),
                "overlapping": CLASSES if "overlapping" in name else 0,
            }
        )
    command = [sys.executable, "-c", dedent(RUN), json.dumps(given)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [json.loads(line) for line in told]
    return {name: {**one, "given": all_} for name, one, all_ in zip(CASES, found, given, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_process_stays_below_the_memory_that_it_was_given(name: str, ran: dict[str, dict]) -> None:
    found, given = ran[name], ran[name]["given"]
    assert not found["errors"]
    assert "at most" in found["told"][-1]
    assert 0 < found["grown"] <= parse_memory(given["memory"])
    masks = len(given["images"]) * (given["overlapping"] or 1)
    assert len(list(Path(given["out"]).glob("*_mask.png"))) == masks


#: The command, heeding Ctrl-C even where a shell's background does not, and files of so many bytes at most.
COMMAND = """
    import resource, signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if int(sys.argv[1]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
    del sys.argv[1]
    from segzoo.cli import main
    main()
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What segments one image by rows, and takes a while."""
    folder = tmp_path_factory.mktemp("large")
    torch.manual_seed(0)
    weights = segzoo.save(segzoo.create("unet", num_classes=2, **SMALL), folder / "weights")
    image = pictures(folder, 1, 2000)[0]
    return ["predict", image, "-m", str(weights), "--memory", "60MB"]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "manifest.jsonl")


@pytest.mark.slow
def test_a_full_disk_is_told_of_and_leaves_no_half_written_file(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", dedent(COMMAND), "1000000", *words, "--out", str(tmp_path)]
    ran = subprocess.run([*command, "--outputs", "mask,probabilities"], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "cannot write" in ran.stderr
    assert "0_probabilities.npy: File too large" in ran.stderr
    assert left_in(tmp_path) == []


@pytest.mark.slow
def test_ctrl_c_in_the_midst_of_an_image_leaves_no_half_written_file(
    words: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", dedent(COMMAND), "0", *words, "--out", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if any(path.suffix == ".part" for path in tmp_path.iterdir()):
                break
            time.sleep(0.02)
        assert left_in(tmp_path) != []
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.strip().endswith("interrupted")
    assert left_in(tmp_path) == []
