"""Processes of their own for what may die: forked, so that none waits for torch to be imported.

A server that has imported everything forks them; each is a real process with signals, limits and an exit
code. What happens in it at a given step is a `Blow`; a kill from outside at that moment would be no other.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "torch",
        "torch._dynamo",
        "torch.utils.data",
        "accelerate",
        "numpy",
        "PIL.Image",
        "segzoo.cli.train",
        "segzoo.training",
    ]
)


class Ended(NamedTuple):
    """How a process ended: its exit code, below 0 for a signal, and what it wrote."""

    code: int
    text: str


def run_apart(
    folder: Path, function: Callable[..., object], *arguments: object, timeout: float = 120
) -> Ended:
    """Run a function in a process of its own, which leads a group of processes and works in ``folder``."""
    log = folder / "log.txt"
    process = _FORKS.Process(target=_run, args=(folder, log, function, *arguments))
    process.start()
    process.join(timeout)
    if process.is_alive():
        os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        raise TimeoutError(log.read_text())
    return Ended(process.exitcode or 0, log.read_text())


def _run(folder: Path, log: Path, function: Callable[..., object], *arguments: object) -> None:
    os.setsid()
    os.chdir(folder)
    # Workers are forked in turn, as in a program that was started by hand.
    multiprocessing.set_start_method("fork", force=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)
    code = function(*arguments)
    sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else 0)


# ------------------------------------------------------------------------------------- the whole program


class Blow(NamedTuple):
    """What strikes a training, and when.

    Attributes:
        what: ``SIGKILL``, ``SIGINT`` or ``SIGTERM``; ``group SIGINT`` for all its processes, as a terminal
            sends it; ``worker`` for the death of one that loads data; ``full`` for a disk that takes no more;
            ``nan`` for a weight that is no number any more; ``short`` for memory that ends.
        step: after which optimizer step, counted in this process.
        saving: whether it comes in the middle of the first save after that step.
        validating: whether it comes before the second image of the first validation after that step.
    """

    what: str
    step: int
    saving: bool = False
    validating: bool = False


def program(words: list[str], blow: Blow | None = None, path: str = "") -> int:
    """Run ``segzoo`` with these words; ``path`` is where plug-ins lie."""
    if path:
        sys.path.insert(0, path)
    from segzoo import cli

    if blow is not None:
        _prepare(blow)
    return cli.run(words)


def _prepare(blow: Blow) -> None:
    from segzoo.training.checkpoints import Checkpoints
    from segzoo.training.loop import validation
    from segzoo.training.loop.state import TrainState

    stepped, save, fsync, predicted = TrainState.stepped, Checkpoints.save, os.fsync, validation.predicted
    steps = images = 0

    def strike_when_validating(*arguments: Any, **options: Any) -> Any:
        nonlocal images
        images += steps >= blow.step
        if images == 2 and blow.validating:
            _strike(blow.what)
        return predicted(*arguments, **options)

    def strike_when_stepped(self: TrainState) -> None:
        nonlocal steps
        stepped(self)
        steps += 1
        if steps == blow.step and not (blow.saving or blow.validating):
            if blow.what == "nan":
                next(self.model.parameters()).data.fill_(float("nan"))
            else:
                _strike(blow.what)

    def strike_before_saving(self: Checkpoints, step: int, state: object) -> Path:
        if steps >= blow.step and blow.saving and blow.what == "full":
            _strike(blow.what)
        return save(self, step, state)

    def strike_when_written(handle: int) -> None:
        if steps >= blow.step and blow.saving:
            _strike(blow.what)
        fsync(handle)

    validation.predicted = strike_when_validating
    TrainState.stepped, Checkpoints.save, os.fsync = (
        strike_when_stepped,
        strike_before_saving,
        strike_when_written,
    )


def _strike(what: str) -> None:
    if what == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    elif what == "short":
        os.environ["GREEDY"] = "1"
    elif what == "worker":
        children = multiprocessing.active_children()
        os.kill(children[0].pid or 0, signal.SIGKILL)
    elif what.startswith("group "):
        os.killpg(0, signal.Signals[what.removeprefix("group ")])
    else:
        os.kill(os.getpid(), signal.Signals[what])


# ---------------------------------------------------------------------------------------- checkpoints alone


def save_and_die_at_every_call(folder: Path, step: int) -> None:
    """Save in a process that is killed at its n-th call to the operating system, for every n."""
    from segzoo.training.checkpoints import Checkpoints

    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(4, state(4))
    for wanted in range(1, 100):
        if os.fork() == 0:
            _die_at(wanted)
            checkpoints.save(step, state(step))
            os._exit(0)
        died = os.wait()[1] != 0
        check_whole(checkpoints, {4, step})
        if not died:
            assert wanted > 12
            return
        checkpoints.save(4, state(4))
        assert len(list(folder.iterdir())) == 1, list(folder.iterdir())
    raise AssertionError("it never ends")


def _die_at(wanted: int) -> None:
    calls = 0

    def count(event: str, _: object) -> None:
        nonlocal calls
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            calls += 1
            if calls == wanted:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def save_to_a_full_disk(folder: Path) -> None:
    """Save under limits on the size of files, which fail in the middle of a write as a full disk does."""
    from segzoo.errors import FailureError
    from segzoo.training.checkpoints import Checkpoints

    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(4, state(4))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in (0, 100, 3000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            checkpoints.save(5, state(5))
        except FailureError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(error)
        assert [path.name for path in folder.iterdir()] == ["step-00000004"]
        check_whole(checkpoints, {4})
    checkpoints.save(5, state(5))
    assert [path.name for path in folder.iterdir()] == ["step-00000005"]


def state(step: int) -> dict[str, object]:
    """Return a state that says in two places which step it is of."""
    import torch

    return {"step": step, "w": torch.full((1000,), float(step))}


def check_whole(checkpoints: object, steps: set[int]) -> None:
    """See that the newest checkpoint can be loaded, and that none under a final name is damaged."""
    import torch

    from segzoo.training.checkpoints import Checkpoints

    assert isinstance(checkpoints, Checkpoints)
    for path in checkpoints.folder.glob("step-*"):
        checkpoints.load(path)
    latest = checkpoints.latest()
    assert latest is not None
    found = checkpoints.load(latest)
    assert found["step"] in steps
    assert torch.equal(found["w"], state(found["step"])["w"])
