"""`segzoo benchmark` measures ways to run a network; figures fit together, and a bad way spoils no other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import OptionError
from segzoo.listing import engine_runs
from segzoo.machine import peak_bytes, peak_flops, used_bytes
from segzoo.prediction import benchmark as module
from segzoo.prediction.benchmark import AROUND, HEADER, Latency, benchmark, parse_run
from segzoo.prediction.engines import make_engine

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def known_machine(monkeypatch):
    """A machine whose peak and memory are known, which spares the tests to measure them."""
    monkeypatch.setattr("segzoo.prediction.benchmark.used_bytes", lambda device: 0)
    monkeypatch.setattr("segzoo.prediction.benchmark.peak_flops", lambda device, precision: 1e12)


def network(**options):
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2, width=2, depth=2, **options)


def test_the_figures_of_a_run_fit_together():
    report = benchmark(network(), runs=["eager"], size=(16, 24), batch=3, repeats=4, device=CPU)
    found = report.runs[0]
    assert (report.image, report.seen, report.batch, report.device) == ((16, 24), (16, 24), 3, "cpu")
    assert found.network is not None
    assert found.files is not None
    assert found.network.count == found.files.count == 4
    assert found.network.p50 <= found.network.p90 <= found.network.p99
    assert found.share == pytest.approx(found.operations * found.network.images_per_second / 1e12)
    assert set(found.around) == set(AROUND)
    assert sum(found.around.values()) < found.files.p99
    assert found.overlapped_per_second > 0
    assert found.warmup_seconds > 0
    assert found.fps is None
    assert len(report.rows()[0]) == len(HEADER)


def test_operations_are_counted_for_one_image_whatever_the_batch():
    counted = {
        benchmark(network(), runs=["eager"], size=(16, 16), batch=batch, repeats=1, device=CPU)
        .runs[0]
        .operations
        for batch in (1, 3)
    }
    assert len(counted) == 1
    assert counted.pop() > 0


def test_percentiles_and_the_rate_are_those_of_all_repetitions():
    found = Latency.of([0.1] * 50 + [0.3] * 50, images=2)
    assert (found.p50, found.p90, found.p99) == pytest.approx((200, 300, 300))
    assert found.images_per_second == pytest.approx(200 / 20)


def test_repetitions_end_with_the_time_but_are_three_at_least():
    found = benchmark(network(), runs=["eager"], size=(16, 16), repeats=50, seconds=0, device=CPU).runs[0]
    assert found.network is not None
    assert found.network.count == 3


def test_an_image_of_ones_own_is_seen_as_the_config_says(tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "image.png")
    report = benchmark(network(), runs=["eager"], image=tmp_path / "image.png", repeats=1, device=CPU)
    assert report.image == (20, 30)


def test_networks_of_other_channels_get_an_image_of_as_many():
    report = benchmark(network(in_channels=5), runs=["eager"], size=(16, 16), repeats=1, device=CPU)
    assert not report.runs[0].error


def test_a_run_that_fails_is_told_and_the_others_have_their_figures(monkeypatch):
    def broken(*given, on_message, backend, **options):
        if backend == "eager":
            return make_engine(*given, on_message=on_message, backend=backend, **options)
        on_message("the calibration was short")
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr("segzoo.prediction.benchmark.make_engine", broken)
    report = benchmark(network(), runs=["torch:fastest", "eager"], size=(16, 16), repeats=1, device=CPU)
    assert report.runs[0].error == "out of memory"
    assert report.runs[0].notes == ("the calibration was short",)
    assert [row[0] for row in report.rows()] == ["eager"]
    assert "torch:fastest: out of memory" in report.remarks()


def test_fps_are_a_hundred_repetitions_after_one_of_a_single_image(monkeypatch):
    batches = []
    model = network()
    model.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
    before = len(batches)
    found = benchmark(model, runs=["eager"], size=(8, 8), batch=2, repeats=1, fps=True, device=CPU).runs[0]
    assert found.fps is not None
    assert found.fps > 0
    assert batches[-module.FPS_REPEATS - 1 :] == [1] * (module.FPS_REPEATS + 1)
    assert len(batches) - before < module.FPS_REPEATS + 10


@pytest.mark.parametrize("classes", [1, 3])
def test_every_engine_of_torch_is_measured(classes):
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=classes, width=2, depth=2)
    report = benchmark(model, runs=["torch:exact", "torch:fast"], size=(16, 16), repeats=1, device=CPU)
    assert [one.error for one in report.runs] == ["", ""]
    assert all(one.engine for one in report.runs)


@pytest.mark.slow
def test_threads_are_as_asked_for_and_as_before_afterwards():
    before = torch.get_num_threads()
    assert benchmark(network(), runs=["eager"], size=(8, 8), threads=2, repeats=1, device=CPU).threads == 2
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["tensorrt:fast", "torch:faster", ""])
def test_a_run_that_does_not_exist_is_told_before_anything_is_measured(name):
    with pytest.raises(OptionError):
        benchmark(network(), runs=[name], device=CPU)


@pytest.mark.parametrize(
    "option", [{"batch": 0}, {"repeats": 0}, {"size": (0, 8)}, {"threads": 0}, {"seconds": -1}]
)
def test_numbers_below_their_least_are_refused(option):
    with pytest.raises(OptionError, match="must be"):
        benchmark(network(), **option)


def test_every_run_has_a_backend_and_a_precision():
    assert parse_run("eager") == ("eager", "exact")
    assert parse_run("openvino") == ("openvino", "exact")
    assert all(len(parse_run(name)) == 2 for name in engine_runs())


@pytest.mark.slow
def test_a_machine_has_a_peak_and_a_memory(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda *_, **__: torch.ones(32, 32))
    assert peak_flops(CPU, "bf16") > 0
    assert 0 < used_bytes(CPU) <= peak_bytes(CPU)


WORDS = ["benchmark", "unet-nuclei", "--size", "16x24", "--repeats", "1", "--run", "eager", "--device", "cpu"]


@pytest.mark.medium
def test_the_command_prints_a_table_and_what_it_means(capsys, monkeypatch):
    monkeypatch.setattr(module, "FPS_REPEATS", 1)
    assert run([*WORDS, "--fps"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:2] == ["RUN", "IMAGES/S"]
    assert "images of 16x24" in out
    assert "FPS as bubbliiiing's program counts (batch 1, 100 repetitions)" in out


@pytest.mark.medium
def test_the_command_prints_json(capsys):
    assert run([*WORDS, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["image"]) == ("unet-nuclei", [16, 24])
    assert found["runs"][0]["network"]["p50"] > 0


def test_a_model_without_weights_gets_random_ones(capsys, monkeypatch):
    asked = []

    def small(name, **options):
        asked.append((name, options))
        return network()

    monkeypatch.setattr("segzoo.creation.create", small)
    assert run(["benchmark", "unet", *WORDS[2:], "--classes", "4"]) == 0
    assert asked == [("unet", {"num_classes": 4, "weights": None})]


def test_what_libraries_print_meanwhile_is_not_among_the_figures(capsys, monkeypatch):
    monkeypatch.setattr("segzoo.weights.load", lambda name: print("fetching") or network())
    assert run([*WORDS, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["model"] == "unet-nuclei"
    assert "fetching" in said.err


def test_the_peak_is_the_best_that_was_seen_during_all_runs(monkeypatch):
    peaks = iter([1e9, 5e9, 2e9, 3e9, 4e9, 1e9])
    monkeypatch.setattr("segzoo.prediction.benchmark.peak_flops", lambda device, precision: next(peaks))
    report = benchmark(network(), runs=["eager", "eager"], size=(8, 8), repeats=1, device=CPU)
    assert [one.peak for one in report.runs] == [5e9, 5e9]


@pytest.mark.parametrize("words", [["--size", "big"], ["--run", "torch:slow"], ["--batch", "0"]])
def test_the_command_refuses_what_it_cannot_do(words, capsys):
    assert run(["benchmark", "unet-nuclei", *words]) == 2
    assert capsys.readouterr().out == ""
