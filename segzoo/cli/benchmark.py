"""``segzoo benchmark``: measure the speed of a model on this machine."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segzoo.cli import completions as offers
from segzoo.cli.prediction_options import device_option
from segzoo.cli.table import echo_json, echo_rows
from segzoo.cli.words import naming, read_size
from segzoo.listing import engine_runs
from segzoo.printing import echo

if TYPE_CHECKING:
    from torch import nn


@click.command("benchmark")
@click.argument("model", metavar="MODEL", shell_complete=offers.models)
@click.option(
    "--run",
    "runs",
    multiple=True,
    shell_complete=offers.runs,
    metavar="BACKEND:PRECISION",
    help="Way to run the model, such as openvino:fast, eager, or all; may be repeated [default: eager, "
    "torch:exact, torch:fast].",
)
@click.option(
    "--size", default="512x512", show_default=True, help="Height x width of the synthetic test image."
)
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False),
    help="Image file to segment instead of a synthetic image.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 65_536),
    default=1,
    show_default=True,
    help="Number of images in a batch.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    help="Number of CPU threads [default: the cores that the process may use].",
)
@device_option
@click.option(
    "--repeats",
    type=click.IntRange(1, 10**6),
    default=20,
    show_default=True,
    help="Largest number of repetitions of each measurement.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 10**6),
    default=20.0,
    show_default=True,
    help="Time after which no further repetition begins; there are always at least 3.",
)
@click.option(
    "--classes",
    type=click.IntRange(1, 65_535),
    default=2,
    show_default=True,
    help="Number of classes, for a model without weights.",
)
@click.option("--fps", is_flag=True, help="Also measure FPS in the same way as bubbliiiing's program.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: str,
    runs: tuple[str, ...],
    size: str,
    image: str | None,
    batch: int,
    threads: int | None,
    device: str | None,
    repeats: int,
    seconds: float,
    classes: int,
    fps: bool,
    as_json: bool,
) -> None:
    """Measure how fast a model predicts on this machine.

    \b
    segzoo benchmark unet-nuclei --size 256x256 --run eager --run torch:fast

    MODEL is the name of weights, a folder, an exported file (which has a single run), or the name of a model,
    which then gets random weights. The table shows, for each run: images per second and milliseconds per
    batch with the input in memory; the same from image file to mask file, one image at a time; the same while
    reading and writing overlap with the network; the growth of memory; and the speed as a share of the speed
    that a large matrix product reaches here in that precision.

    --fps runs network, softmax and argmax once to warm up and then 100 times on one preprocessed image.
    Reading the file and resizing the mask are not included, as in bubbliiiing's program, which runs in the
    way that is called eager here.
    """
    from segzoo.machine import parse_device
    from segzoo.prediction.benchmark import DEFAULT_RUNS, EAGER, HEADER, benchmark, check_size, parse_run
    from segzoo.runtimes.network import ExportedNetwork

    with naming("--size"):
        height_width = read_size(size)
        check_size(height_width)
    # Some libraries print while they load, compile or quantise; stdout is reserved for the result.
    with redirect_stdout(sys.stderr):
        network = _network(model, classes)
    exported = isinstance(network, ExportedNetwork)
    if exported and network.fixed_size and image is None:
        height_width = network.fixed_size
    # An exported file runs in one way only.
    names = (EAGER,) if exported else engine_runs() if "all" in runs else runs or DEFAULT_RUNS
    with naming("--run"):
        for name in names:
            parse_run(name)
    with redirect_stdout(sys.stderr):
        report = benchmark(
            network,
            runs=names,
            image=None if image is None else Path(image),
            size=height_width,
            batch=batch,
            threads=threads,
            device=parse_device(device),
            repeats=repeats,
            seconds=seconds,
            fps=fps,
            progress=lambda name: echo(f"measuring {name}", err=True),
        )
    if as_json:
        echo_json({"model": model, **report.to_json()})
        return
    if rows := report.rows():
        header = [cell.upper() for cell in HEADER]
        echo_rows(rows, header=header, spare=("P99", "P90", "P99", "P90", "OVERLAPPED"))
    echo("\n".join(report.remarks()))
    for run in report.runs:
        if run.fps is not None:
            echo(f"{run.name}: {run.fps:.4g} FPS as bubbliiiing's program counts (batch 1, 100 repetitions)")


def _network(name: str, classes: int) -> nn.Module:
    """Return the model with a name; the values of weights do not change the speed."""
    from segzoo import zoo
    from segzoo.creation import create
    from segzoo.weights import load
    from segzoo.weights.sources import is_location

    if is_location(name) or Path(name).is_dir() or zoo.weights.find(name):
        return load(name)
    return create(name, num_classes=classes, weights=None)
