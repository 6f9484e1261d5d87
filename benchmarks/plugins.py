"""What installed plug-ins cost: ``segzoo list models`` with 0, 10 and 100 of them.

Each generated plug-in is a package with metadata, an entry point and one module, and brings a model and a
decoder. They lie in a folder of ``PYTHONPATH``; ``SEGZOO_DISABLE_PLUGINS`` leaves out those that are
installed. Commands run in turn, so that a busy machine slows all alike; where other work shares the
cores, the time of the CPU is the one to read::

    python benchmarks/plugins.py [ROUNDS]
"""

from __future__ import annotations

import compileall
import os
import platform
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib import metadata
from pathlib import Path

COUNTS = (0, 10, 100)
GOAL = 150.0
PROGRAM = [str(Path(sysconfig.get_path("scripts")) / "segzoo"), "list", "models", "--json"]

MODULE = '''"""Plug-in {number}."""

from segzoo.hooks import hookimpl
from segzoo.specs import DecoderSpec, ModelSpec


@hookimpl
def segzoo_api():
    return 1


@hookimpl
def segzoo_decoders():
    return [DecoderSpec(name="made-{number}", factory="segzoo_made_{number}.code:Decoder")]


@hookimpl
def segzoo_models():
    return [ModelSpec(name="made-{number}", encoder="plain", decoder="made-{number}")]
'''


def install(folder: Path, count: int) -> dict[str, str]:
    """Write ``count`` installed distributions; return the environment that finds them."""
    folder.mkdir()
    for number in range(count):
        package, info = folder / f"segzoo_made_{number}", folder / f"segzoo_made_{number}-1.0.dist-info"
        package.mkdir(parents=True)
        info.mkdir()
        (package / "__init__.py").write_text(MODULE.format(number=number))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: segzoo-made-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[segzoo.plugins]\nmade = segzoo_made_{number}\n")
    compileall.compile_dir(folder, quiet=1)  # as pip does
    others = {point.dist.name for point in metadata.entry_points(group="segzoo.plugins") if point.dist}
    return {**os.environ, "PYTHONPATH": str(folder), "SEGZOO_DISABLE_PLUGINS": ",".join(others)}


def milliseconds(environment: dict[str, str], count: int) -> tuple[float, float]:
    """Return how long the command took, and for how long it kept a processor busy."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(PROGRAM, env=environment, check=True, capture_output=True, text=True)
    spent, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.count('"made-') >= count, done.stdout
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * 1000, busy * 1000


def torch_is_imported(environment: dict[str, str]) -> bool:
    code = "import sys; from segzoo.cli import run; run(['list', 'models']); sys.exit('torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode != 0


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = {count: install(Path(folder) / str(count), count) for count in COUNTS}
        times: dict[int, list[tuple[float, float]]] = {count: [] for count in COUNTS}
        for _ in range(rounds + 1):
            for count, environment in made.items():
                times[count].append(milliseconds(environment, count))
        heavy = {count: torch_is_imported(environment) for count, environment in made.items()}
    # The first round fills the caches of the file system.
    waited, busy = (
        {count: statistics.median(one[kind] for one in found[1:]) for count, found in times.items()}
        for kind in (0, 1)
    )
    machine = f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, medians of {rounds} rounds\n")
    print(f"{'plug-ins':>8}{'ms':>9}{'over none':>11}{'CPU ms':>9}{'over none':>11}  torch imported")
    for count in COUNTS:
        columns = (waited[count], waited[count] - waited[0], busy[count], busy[count] - busy[0])
        row = "{:9.1f}{:11.1f}{:9.1f}{:11.1f}".format(*columns)
        print(f"{count:8}{row}  {'yes' if heavy[count] else 'no'}")
    print(f"\n100 plug-ins over none: {waited[100] - waited[0]:.1f} ms (goal: at most {GOAL:.0f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
