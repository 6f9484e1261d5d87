"""The program that tries a GPU runs without one: every path, with tiny sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"


def run(*words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)


@pytest.mark.medium
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line():
    done = run()
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "sees no GPU here" in done.stderr


@pytest.mark.slow
def test_every_path_runs_on_the_cpu_and_is_told_in_tables():
    done = run("--cpu")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    results = {row[0].removeprefix("| "): row[1] for row in rows}
    assert results["CUDA graphs"] == "pass"
    assert results["batches where memory ran out"] == "pass"
    assert results["FSDP, one process"] == "pass"
    assert results["fp16 training with loss scale"] == "skipped"
    assert "images/s" in results["U-Net 31 M, training"]
    assert "ms" in results["UNet++, inference"]
    assert "fail" not in results.values()
    assert done.stdout.splitlines()[-1].endswith("0 failed, 1 skipped")
