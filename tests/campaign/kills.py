"""Programs killed at random instants, and two of them at once: whole files, and a way on to the same result.

A number stands for an operation and an instant: ``python -m tests.campaign kill 37``. The instants are spread
over the time that an undisturbed run takes, which is measured first and gives the result that others must.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .cases import Ended, contents, held, rng, save_model, save_pair
from .judging import Failure, control_characters, is_passing, judge_whole, shown
from .running import Report, Result, environment, in_child, place, processor, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: How many instants of each operation the standard campaign tries, and how many pairs.
ROUNDS, PAIR_ROUNDS = 20, 4
_LIMIT = 60.0


@dataclass(frozen=True)
class Operation:
    """What is killed.

    Attributes:
        name: for people.
        run: does it, in the current folder; returns the exit code.
        prepare: writes what it needs into a folder.
        outs: what it writes there; ``..`` leads to the cache.
        again: what a person does after a kill, in order until one works.
        result: which files of ``outs`` must be the same in every run, by the end of their names.
        grows: which files may be shorter in between, as lines are added to them.
    """

    name: str
    run: Callable[[], int]
    prepare: Callable[[Path], None]
    outs: tuple[str, ...]
    again: tuple[Callable[[], int], ...]
    result: tuple[bytes, ...] = (b"",)
    grows: tuple[bytes, ...] = (b".jsonl", b".log", b".lock", b".csv")
    atomic: bool = False


def _command(*words: str) -> Callable[[], int]:
    def run() -> int:
        from segzoo import cli

        return cli.run([*words])

    return run


# ---------------------------------------------------------------------------------------------- operations


def _images(here: Path) -> None:
    for number in range(6):
        save_pair(here / "data", f"{number}", number)
    save_model(here / "weights")


_PREDICT = ("predict", "data/images", "--model", "weights", "--device", "cpu", "--out", "out")
_TRAIN = (
    "train", "--data", "data", "--out", "run", "--no-progress", "model=unet", "model.width=2", "epochs=2",
    "batch_size=4",
    "crop=16", "device=cpu", "workers=0", "precision=no", "seed=1", "save_every=1",
)  # fmt: skip


def _data(here: Path) -> None:
    for part, numbers in (("train", range(4)), ("val", range(4, 6))):
        for number in numbers:
            save_pair(here / "data" / part, f"{number}", number)


def _checkpoint(here: Path) -> None:
    from .checkpoints import milesial

    (here / "strange.pth").write_bytes(milesial())


def _older_weights(here: Path) -> None:
    save_model(here / "saved", width=3)


def _save() -> int:
    save_model(Path("saved"), width=4)
    return 0


_SITE = """
from segzoo.hooks import hookimpl
from segzoo.specs import WeightsSpec
@hookimpl
def segzoo_weights():
    return [WeightsSpec(name="tiny-strange", url="http://example.org/tiny.pth", layout="milesial",
    model="unet",
                        options={"width": 8}, num_classes=2, classes=("background", "car"), licence="MIT",
                        layout_options={"scale": 0.5})]
"""


def _site(here: Path) -> None:
    info = here / "site/tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (here / "site/tiny.py").write_text(_SITE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[segzoo.plugins]\nplugin = tiny\n")


def _fetch() -> int:
    from segzoo import cli, zoo

    sys.path.insert(0, str(Path("site").resolve()))
    zoo.refresh()
    return cli.run(["fetch", "tiny-strange"])


OPERATIONS = (
    Operation(
        name="predict", run=_command(*_PREDICT), prepare=_images, outs=("out",),
        again=(_command(*_PREDICT, "--resume"),), result=(b".png",),
    ),
    Operation(
        name="train", run=_command(*_TRAIN), prepare=_data, outs=("run",),
        again=(_command("train", "--resume", "run", "--no-progress"), _command(*_TRAIN)),
        result=(b".safetensors",),
    ),
    Operation(
        name="convert", run=_command("convert", "strange.pth", "--out", "out"), prepare=_checkpoint,
        outs=("out",),
        again=(_command("convert", "strange.pth", "--out", "out"),), atomic=True,
    ),
    Operation(name="fetch", run=_fetch, prepare=_site, outs=("../home",), again=(_fetch,), grows=(b".lock",
    b".part", b".json")),
    Operation(
        name="data check --fix", run=_command("data", "check", "data", "--fix", "fixed"), prepare=_images,
        outs=("fixed",),
        again=(_command("data", "check", "data", "--fix", "fixed"),), atomic=True,
    ),
    Operation(name="save", run=_save, prepare=_older_weights, outs=("saved",), again=(_save,)),
)  # fmt: skip

#: Of which two run at once.
PAIRS = tuple(OPERATIONS[index] for index in (0, 3, 1))


# ------------------------------------------------------------------------------------------------- running


@dataclass
class Reference:
    """An undisturbed run: how long it took, and what it left."""

    seconds: float
    result: dict[bytes, str] = field(default_factory=dict)


def _start(run: Callable[[], int], here: Path, log: Path) -> int:
    """Run a function in a forked process that has a session of its own; return once it has begun."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        return child
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(environment(here.parent))
        os.environ.pop("SEGZOO_DATA", None)
        os.environ.pop("SEGZOO_OFFLINE", None)
        os.environ["SEGZOO_MIRROR"] = os.environ.get("CAMPAIGN_MIRROR", "")
        for name in ("HTTP_PROXY", "http_proxy"):
            os.environ.pop(name, None)
        os.chdir(here)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(handle, stream)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
        os.write(writing, b".")
        os.close(writing)
        code = run()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _wait(child: int, limit: float = _LIMIT) -> int | None:
    """Return a process's exit code, below 0 for a signal; ``None`` where it had to be stopped."""
    until = time.monotonic() + limit
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            stop(child)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def _complete(run: Callable[[], int], here: Path) -> tuple[int | None, Ended]:
    """Run a function to its end in a process of its own."""
    log = here.parent / "log.txt"
    code = _wait(_start(run, here, log))
    return code, Ended(-1 if code is None else code, log.read_bytes(), b"")


def _folder(folder: Path, operation: Operation) -> Path:
    here = folder / "here"
    for one in (here, folder / "home", folder / "tmp", folder / "torch"):
        one.mkdir(parents=True)
    prepared = folder.parent / f"prepared-{OPERATIONS.index(operation)}"
    if not prepared.exists():
        prepared.mkdir()
        in_child(operation.prepare, prepared)  # what segzoo remembers of folders is a process's own
    shutil.copytree(prepared, here, dirs_exist_ok=True)
    return here


def _results(operation: Operation, here: Path) -> dict[bytes, str]:
    """Return what an operation left under final names and what of it must be the same in all runs."""
    found: dict[bytes, str] = {}
    for out in operation.outs:
        if (here / out).exists():
            for path, content in contents(held(here / out)).items():
                hidden = any(step.startswith(b".") for step in path.split(b"/"))
                if path.endswith(operation.result) and not (hidden or path.endswith(operation.grows)):
                    found[os.fsencode(out) + b"/" + path] = content
    return found


def _leftovers(operation: Operation, here: Path) -> list[Failure]:
    """Return what no one needs after a run that completed."""
    found = []
    for root in (here, here.parent / "home"):
        for path, one in held(root).items():
            steps = path.split(b"/")
            # A lock lies where it is; who holds it is what counts.
            if (
                any(is_passing(step, one) for step in steps)
                and b"locks" not in steps
                and not path.endswith(b".lock")
            ):
                found.append(Failure("leftover", f"{shown(path)} is there after the next run"))
    return found


def _half(operation: Operation, here: Path, reference: Reference) -> list[Failure]:
    """Return what is not whole under a final name."""
    found = []
    for out in operation.outs:
        if (here / out).exists():
            tree = {path: one for path, one in held(here / out).items() if not path.endswith(operation.grows)}
            whole = {
                path: one
                for path, one in tree.items()
                if not any(is_passing(s, one) for s in path.split(b"/"))
            }
            found += judge_whole(here / out, whole)
    now = _results(operation, here)
    if operation.name not in ("train", "save", "fetch"):
        found += [Failure("differs", f"{shown(path)} is another") for path, one in now.items()
                  if path in reference.result and one != reference.result[path]]  # fmt: skip
    if operation.atomic and now and set(now) != set(reference.result):
        found.append(
            Failure("leftover", f"half of the folder is there: {', '.join(map(shown, sorted(now)))}")
        )
    return found


def _go_on(operation: Operation, here: Path, reference: Reference) -> list[Failure]:
    """Do what a person does next, and compare what comes out."""
    found: list[Failure] = []
    told = b""
    for again in operation.again:
        code, ended = _complete(again, here)
        told = ended.stdout
        if b"Traceback (most recent call last)" in told or code not in (0, 1, 2):
            found.append(Failure("traceback", f"the next run ends with {code}: {told[-300:]!a}"))
        if code == 0:
            break
    now = _results(operation, here)
    if now != reference.result:
        other = sorted(set(now) ^ set(reference.result)) or [p for p in now if now[p] != reference.result[p]]
        sort = "differs" if set(now) == set(reference.result) else "lost"
        found.append(
            Failure(sort, f"after the next run: {', '.join(map(shown, other[:4]))}; it said {told[-200:]!a}")
        )
    return found + _leftovers(operation, here)


def _killed(operation: Operation, delay: float, folder: Path, reference: Reference) -> list[Failure]:
    """Kill an operation after some seconds, look at what is left, and go on."""
    here = _folder(folder, operation)
    before = held(here)
    child = _start(operation.run, here, folder / "log.txt")
    time.sleep(delay)
    stop(child)
    _wait(child)
    outs = tuple(os.fsencode(out) for out in operation.outs)
    after = held(here)
    found = [Failure("changed", f"{shown(path)} is another, or gone") for path, one in before.items()
             if not path.startswith(outs) and after.get(path) != one]  # fmt: skip
    return [*found, *_half(operation, here, reference), *_go_on(operation, here, reference)]


def _together(operation: Operation, delay: float, folder: Path, reference: Reference) -> list[Failure]:
    """Run an operation twice at once, the second some seconds later, and look at what is left."""
    here = _folder(folder, operation)
    logs = [folder / "first.txt", folder / "second.txt"]
    children = [_start(operation.run, here, logs[0])]
    time.sleep(delay)
    children.append(_start(operation.run, here, logs[1]))
    codes = [_wait(child) for child in children]
    found = []
    for code, log in zip(codes, logs, strict=True):
        told = log.read_bytes()
        if code not in (0, 1, 2) or b"Traceback (most recent call last)" in told:
            found.append(Failure("traceback", f"one of two ends with {code}: {told[-300:]!a}"))
        if code in (1, 2) and not any(os.path.basename(out).encode() in told for out in operation.outs):
            found.append(Failure("unnamed", f"{told[-300:]!a}"))
        if odd := control_characters(told):
            found.append(Failure("control", odd))
    if 0 not in codes and operation.name != "predict":
        found.append(Failure("lost", f"none of two completes: {codes}; {logs[0].read_bytes()[-200:]!a}"))
    return [*found, *_half(operation, here, reference), *_go_on(operation, here, reference)]


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Serve a checkpoint on loopback from a process of its own; give its address."""
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
            from file_server import serving

            from .checkpoints import milesial

            with serving({"/example.org/tiny.pth": milesial(width=8)}) as state:
                state.delay = 0.002
                os.write(writing, state.url.encode() + b"\n")
                while os.getppid() == parent:  # whatever ends the campaign ends its server
                    time.sleep(0.2)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        url = pipe.readline().strip()
    try:
        yield url
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _reference(operation: Operation, folder: Path) -> Reference:
    """Run an operation twice undisturbed: for its result, and for the time that it takes when all is warm."""
    seconds = []
    for turn in range(2):
        here = _folder(folder / f"{turn}", operation)
        began = time.monotonic()
        code, ended = _complete(operation.run, here)
        seconds.append(time.monotonic() - began)
        if code != 0:
            raise RuntimeError(
                f"{operation.name} ends with {code} undisturbed: {ended.stdout.decode()[-2000:]}"
            )
    return Reference(min(seconds), _results(operation, here))


def run(name: str, numbers: Sequence[int], seed: int) -> Result:
    """Run kills (``kill``) or pairs (``pair``); the caller has called `warm_up`."""
    operations, strike, rounds = (
        (OPERATIONS, _killed, ROUNDS) if name == "kill" else (PAIRS, _together, PAIR_ROUNDS)
    )
    result, began = Result(name), processor()
    references: dict[str, Reference] = {}
    with place(name) as folder, _server(folder) as url:
        os.environ["CAMPAIGN_MIRROR"] = url
        for number in sorted(numbers, key=lambda one: (one % len(operations), one)):
            used = processor()
            operation, turn = operations[number % len(operations)], number // len(operations)
            if operation.name not in references:
                references[operation.name] = _reference(operation, folder / f"reference-{number}")
            reference = references[operation.name]
            # One in each part of the time that it takes, and some after all that.
            share = ((turn % rounds) + rng(name, seed, number).random()) / rounds * 1.05
            delay = share * reference.seconds
            inner = folder / f"case-{number}"
            found = strike(operation, delay, inner, reference)
            told = f"{operation.name} after {delay * 1000:.0f} ms of {reference.seconds * 1000:.0f}"
            result.reports.append(
                Report(number, told, [(one.sort, 0, one.text) for one in found], processor() - used)
            )
        os.environ.pop("CAMPAIGN_MIRROR")
    result.seconds = processor() - began
    return result
