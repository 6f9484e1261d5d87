"""Opens and runs an exported file in a separate process.

There are two reasons. If a native engine crashes, on an instruction that this processor does not have or on
a stranger's file, only that process ends, and the export can still remove its unfinished files. And a process
that never loaded the network proves that the file is complete: no operation, constant or class remains from
writing it.

The processes exchange lines of JSON over the child's standard streams; arrays go through ``.npy`` files in
a shared folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from segzoo import errors
from segzoo.errors import FailureError, SegzooError
from segzoo.runtimes import ExportInfo, Port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from numpy.typing import NDArray

    from segzoo.runtimes import Program

_CODE = "from segzoo.exporting.apart import main; main()"


class RuntimeEndedError(FailureError):
    """The process that ran a file ended, and cannot answer further requests."""


class ProgramApart:
    """A `segzoo.runtimes.Program` in another process; use it in a ``with`` statement.

    Args:
        path: path of the file.
        runtime: ``"package.module:callable"`` that opens it, see `segzoo.specs.ExportSpec`.
        threads: number of CPU threads.

    Raises:
        WeightsError: the file is damaged, or has another format.
        MissingExtraError: the engine is not installed.
        RuntimeEndedError: the process ended, for example because the engine crashed; the message says how.
    """

    info: ExportInfo | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    description: str

    def __init__(self, path: Path, runtime: str, *, threads: int) -> None:
        self._path, self._doing = path, f"opening {path.name}"
        self._folder = TemporaryDirectory(prefix="segzoo-")
        places = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE],
            env={**os.environ, "PYTHONPATH": places},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        try:
            about = self._ask(open=str(path.absolute()), runtime=runtime, threads=threads)
        except BaseException:
            self.close()
            raise
        self.info = ExportInfo.from_json(about["info"], str(path)) if about["info"] else None
        self.inputs, self.outputs = (tuple(map(_port, about[name])) for name in ("inputs", "outputs"))
        self.description = about["description"]

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the input array to the array of the first output."""
        return self.timed(images)[0]

    def timed(self, images: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """Return the output for an array, and the seconds that it took."""
        given, made = (str(Path(self._folder.name) / name) for name in ("in.npy", "out.npy"))
        np.save(given, images, allow_pickle=False)
        self._doing = f"running it on {'x'.join(map(str, images.shape))}"
        seconds = self._ask(run=given, out=made)["seconds"]
        return np.load(made, allow_pickle=False), seconds

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> ProgramApart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _tell(request, self._process.stdin)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeEndedError(
                f"{self._path.name}: the process that runs it ended while {self._doing} "
                f"({_ending(self._process.wait())}): see its output above"
            )
        answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["kind"], FailureError)
            raise kind(answer["error"])
        return answer


def clock() -> Callable[[], float]:
    """Return the clock for measuring speed: processor time with one thread, otherwise wall-clock time.

    Processor time leaves out other work on the machine, but it adds up over threads.
    """
    import torch

    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def _ending(code: int) -> str:
    import signal

    try:
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
    except ValueError:
        return f"by signal {-code}"


def _port(data: dict[str, Any]) -> Port:
    return Port(**{**data, "shape": tuple(data["shape"])})


# Code of the child process.


def main() -> None:
    """Answer requests on standard input until it ends."""
    # Libraries print; their output must not be mistaken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    program: Program | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if program is None:
                program = _open(request)
                answer = _about(program)
            else:
                answer = _run(program, request)
        # The parent process judges any error that the engine raises.
        except Exception as error:
            text = str(error) if isinstance(error, SegzooError) else f"{type(error).__name__}: {error}"
            answer = {"error": text, "kind": type(error).__name__}
        _tell(answer, answers)


def _tell(message: dict[str, Any], stream: IO[str]) -> None:
    stream.write(f"{json.dumps(message)}\n")
    stream.flush()


def _open(request: dict[str, Any]) -> Program:
    import torch

    torch.set_num_threads(request["threads"])
    module, _, name = request["runtime"].partition(":")
    opener: Callable[[Path], Program] = getattr(import_module(module), name)
    return opener(Path(request["open"]))


def _about(program: Program) -> dict[str, Any]:
    info = program.info
    about = None if info is None else info.to_json()
    ports = {name: [asdict(port) for port in getattr(program, name)] for name in ("inputs", "outputs")}
    return {"info": about, **ports, "description": program.description}


def _run(program: Program, request: dict[str, Any]) -> dict[str, Any]:
    images = np.load(request["run"], allow_pickle=False)
    now = clock()
    begun = now()
    found = program(images)
    seconds = now() - begun
    np.save(request["out"], found, allow_pickle=False)
    return {"seconds": seconds}
