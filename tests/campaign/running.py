"""Cases in forked processes of a parent that has imported everything, with limits on time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .cases import Case, Ended, Kind, held
from .judging import Failure, judge, judge_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: What is imported before the first case, and below which packages all modules are.
WARM = (
    "torch",
    "torch.utils.data",
    "PIL.ImageShow",
    "tifffile",
    "zarr",
    "accelerate",
    "tqdm",
    "segzoo.training",
)
PACKAGES = (
    "cli", "data_check", "datasets", "evaluation", "images", "prediction", "publishing", "training",
    "weights",
)  # fmt: skip
#: Beyond its case's bound a process is stopped, lest the machine be.
STOP_BEYOND = 2_000_000_000
#: No server answers here, so that nothing leaves the machine.
NOWHERE = "http://127.0.0.1:9"


class Report(NamedTuple):
    """What one case came to.

    Attributes:
        number: of the case.
        told: what is odd about it.
        failures: what fell short, as sort, step (from 0) and text.
        seconds: of processor time.
    """

    number: int
    told: str
    failures: list[tuple[str, int, str]]
    seconds: float = 0.0


@dataclass
class Result:
    """What a kind came to."""

    kind: str
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def short(self) -> list[Report]:
        """The cases that fell short."""
        return [report for report in self.reports if report.failures]

    def words(self, seed: int) -> str:
        """Return what fell short and how to run it alone, a line or more each."""
        lines = []
        for report in self.short:
            told = "; ".join(f"{sort} (step {step}): {text}" for sort, step, text in report.failures)
            lines.append(f"{self.kind} {report.number} ({report.told}): {told}")
            lines.append(
                f"    SEGZOO_CAMPAIGN_SEED={seed} python -m tests.campaign {self.kind} {report.number}"
            )
        return "\n".join(lines)


def warm_up() -> None:
    """Import everything, and find the plug-ins."""
    from importlib import import_module
    from pkgutil import walk_packages

    os.environ["OMP_NUM_THREADS"] = "1"
    for name in WARM:
        import_module(name)
    for package in (import_module(f"segzoo.{name}") for name in PACKAGES):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            with contextlib.suppress(ImportError):  # an extra that is not installed
                import_module(module.name)
    import torch
    from PIL import Image, ImageShow

    from segzoo import zoo

    torch.set_num_threads(1)
    Image.init()
    ImageShow._viewers.clear()
    list(zoo.plugins)
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def place(name: str) -> Iterator[Path]:
    """Give a folder for the cases of a kind, and take it away again."""
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{name}-"))
    try:
        yield folder
    finally:
        _writable_again(folder)
        shutil.rmtree(folder, ignore_errors=True)


def run_kind(kind: Kind, numbers: Sequence[int], seed: int, *, keep: bool = False) -> Result:
    """Run cases of a kind; the caller has called `warm_up`."""
    result, began = Result(kind.name), processor()
    with place(kind.name) as folder:
        if kind.stock is not None:
            (folder / "stock").mkdir()
            in_child(kind.stock, folder / "stock")
        pending = list(numbers)
        while pending:
            batch = pending[: kind.batch]
            done = _run_batch(kind, batch, seed, folder)
            result.reports += done
            pending = pending[len(done) :]
        if keep:
            input(f"{folder}: press enter to remove it")
    result.seconds = processor() - began
    return result


def in_child(function: Callable[..., object], *arguments: object) -> None:
    """Call a function in a forked process, so that the parent stays as it is."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function(*arguments)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{function} failed")


def _run_batch(kind: Kind, numbers: Sequence[int], seed: int, folder: Path) -> list[Report]:
    """Run cases in one process, until it is through or had to be stopped."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(kind, numbers, seed, folder, writing)
    os.close(writing)
    reports: list[Report] = []
    began: dict[str, Any] = {}
    since, stopped = time.monotonic(), ""
    heard, over = b"", False
    while not over:
        if select.select([reading], [], [], 0.05)[0]:
            heard += (piece := os.read(reading, 1 << 20))
            over = not piece
            *lines, heard = heard.split(b"\n")
            for said in map(json.loads, lines):
                if "broken" in said:
                    raise RuntimeError(f"the campaign itself is broken at {numbers}: {said['broken']}")
                if "begins" in said:
                    began, since = said, time.monotonic()
                else:
                    failures = [tuple(one) for one in said["failures"]]
                    reports.append(Report(said["number"], said["told"], failures, said["seconds"]))
                    began = {}
        elif began and not stopped:
            if time.monotonic() - since > began["limit"]:
                stopped = "hang"
            elif _resident(child) > began["resident"] + began["memory"] + STOP_BEYOND:
                stopped = "memory"
            if stopped:
                stop(child)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    stop(child)
    if began:
        text = {"hang": f"no end after {began.get('limit')} s", "memory": "stopped far beyond its bound"}
        died = text.get(stopped) or f"the process died of {_death(status)}"
        failures = [(stopped or "traceback", began["step"], f"{died}: {began['words'][:200]}")]
        reports.append(Report(began["begins"], began["told"], failures))
    return reports


def _death(status: int) -> str:
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"code {status >> 8}"


def stop(child: int) -> None:
    """Kill a case's whole group of processes: workers, too, and what they started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def _child(kind: Kind, numbers: Sequence[int], seed: int, folder: Path, writing: int) -> None:
    """Run cases one after the other and tell the parent of each; never returns."""
    try:
        os.setsid()
        standard = os.open(os.devnull, os.O_RDWR)
        os.dup2(standard, 0)
        for number in numbers:
            used = processor()
            case = kind.case(number, seed)
            failures = run_case(case, number, folder, lambda said: _say(writing, said))
            told = {"number": number, "told": case.told, "failures": failures, "seconds": processor() - used}
            _say(writing, told)
    except BaseException:
        _say(writing, {"broken": traceback.format_exc()})
        os._exit(3)
    os._exit(0)


def _say(writing: int, said: Mapping[str, Any]) -> None:
    os.write(writing, json.dumps(said).encode() + b"\n")


def run_case(
    case: Case, number: int, folder: Path, tell: Callable[[Mapping[str, Any]], None]
) -> list[tuple[str, int, str]]:
    """Prepare a case, run its steps, and judge them; leaves the folder as it was."""
    here = folder / f"case-{number}"
    inside = here / "here"
    for one in (inside, here / "home", here / "tmp", here / "torch"):
        one.mkdir(parents=True)
    failures: list[tuple[str, int, str]] = []
    kept = dict(os.environ)
    try:
        os.chdir(inside)
        os.environ.update(environment(here))
        os.environ.pop("SEGZOO_DATA", None)
        case.prepare(inside)
        ended: list[Ended] = []
        before = held(inside)
        for index, step in enumerate(case.steps):
            resident = _reset_peak()
            tell(
                {"begins": number, "step": index, "told": case.told, "limit": case.seconds,
                "memory": case.memory,
                 "resident": resident, "words": ascii(step.words)}
            )  # fmt: skip
            ended.append(run_command(step.words, step.stdin, here / "tmp"))
            peak = _peak() - resident
            after = held(inside)
            found = [*judge(step, ended[-1], before, after)]
            found += judge_whole(inside, {path: one for path, one in after.items() if path not in before})
            found += _temporary(here / "tmp")
            if peak > case.memory:
                found.append(Failure("memory", f"{peak / 1e6:,.0f} MB more than an idle program"))
            failures += [(one.sort, index, one.text) for one in found]
            before = after
        if case.check is not None:
            told = case.check(inside, ended)
            failures += [
                (sort, len(case.steps), text) for sort, _, text in (one.partition(": ") for one in told)
            ]
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(kept)
        _writable_again(here)
        shutil.rmtree(here, ignore_errors=True)
    return failures


def environment(here: Path) -> dict[str, str]:
    folders = {
        "SEGZOO_HOME": "home",
        "HF_HOME": "home/hf",
        "TORCH_HOME": "torch",
        "TMPDIR": "tmp",
        "HOME": "home",
    }
    return {
        **{name: str(here / inner) for name, inner in folders.items()},
        "HF_ENDPOINT": NOWHERE,
        "HTTP_PROXY": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
        "http_proxy": NOWHERE,
        "https_proxy": NOWHERE,
        "COLUMNS": "120",
    }


def _temporary(folder: Path) -> list[Failure]:
    """Return what a command has left in the folder for temporary files, which is emptied."""
    theirs = ("torchinductor", "std", "wanted")
    left = [
        path for path in folder.iterdir() if not path.name.startswith(theirs) and "wandb" not in path.name
    ]
    for path in left:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    return [Failure("leftover", f"{path.name} in the folder for temporary files") for path in left]


def run_command(words: Sequence[str], stdin: bytes, scratch: Path) -> Ended:
    """Run segzoo's program in this process, as its executable does, with streams of its own."""
    from segzoo import cli

    tempfile.tempdir = None
    files = [scratch / "stdin", scratch / "stdout", scratch / "stderr"]
    files[0].write_bytes(stdin)
    kept = [os.dup(number) for number in (0, 1, 2)]
    streams = sys.stdin, sys.stdout, sys.stderr
    code: object = 0
    for number, file in enumerate(files):
        handle = os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", errors="strict", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
    try:
        try:
            code = cli.run([*words])
        except SystemExit as error:
            code = error.code
        except BaseException:  # what the interpreter would show, and leave with 1
            traceback.print_exc()
            code = 1
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        sys.stderr.flush()
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, handle in enumerate(kept):
            os.dup2(handle, number)
            os.close(handle)
        tempfile.tempdir = None
        _restore()
    return Ended(
        code if isinstance(code, int) else int(code is not None), files[1].read_bytes(), files[2].read_bytes()
    )


def _restore() -> None:
    """Undo what a command sets for its whole process."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = 1024 * 1024 * 1024 // 4 // 3


def _reset_peak() -> int:
    """Begin to measure the peak of memory anew; return what is resident now."""
    gc.collect(1)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # else what an earlier case gave back would hide what this one takes
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _resident(os.getpid())


def _peak() -> int:
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def processor() -> float:
    """Return the seconds of processor time of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _writable_again(folder: Path) -> None:
    for path, names, _ in os.walk(os.fsencode(folder)):
        for name in names:
            if not os.path.islink(inner := path + b"/" + name):
                os.chmod(inner, 0o700)


def slowest(reports: Sequence[Report], count: int = 8) -> str:
    """Return the cases that took the most processor time."""
    ranked = sorted(reports, key=lambda one: -one.seconds)[:count]
    return ", ".join(f"{one.number} {one.seconds:.1f}" for one in ranked)
