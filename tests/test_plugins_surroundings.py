"""What a plug-in changes of the process that loads it is undone or told, and people come before it."""

from __future__ import annotations

import gc
import locale
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import segzoo
from segzoo import cli, zoo
from segzoo.errors import PluginError
from segzoo.plugins import guard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Site

    from segzoo.plugins import PluginRecord

LOSS = """
from segzoo.hooks import hookimpl
from segzoo.specs import LossSpec

@hookimpl
def segzoo_losses():
    return [LossSpec(name="mine", factory="a:b")]
"""


def record(distribution: str) -> PluginRecord:
    (found,) = (one for one in zoo.plugins if one.distribution == distribution)
    return found


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


#: What a plug-in does, how to see the state that it must not change, and what is told of it.
UNDONE = {
    "os.chdir('/')": (os.getcwd, "it changes the current folder when it is loaded (undone)"),
    "os.umask(0)": (umask, "it changes the umask from 18 to 0 when it is loaded (undone)"),
    "os.environ['SEGZOO_OFFLINE'] = '0'": (
        lambda: os.environ.get("SEGZOO_OFFLINE"),
        "it changes variables of the environment, SEGZOO_OFFLINE, when it is loaded (undone)",
    ),
    "sys.argv[:] = ['x']": (lambda: list(sys.argv), "sys.argv"),
    "sys.setrecursionlimit(5000)": (sys.getrecursionlimit, "the recursion limit from"),
    "gc.disable()": (gc.isenabled, "the garbage collector from True to False"),
    "locale.setlocale(locale.LC_ALL, 'C.UTF-8')": (
        lambda: locale.setlocale(locale.LC_ALL),
        "the locale from",
    ),
    "random.seed(20261129)": (random.getstate, "the state of random"),
    "signal.signal(signal.SIGUSR1, signal.SIG_IGN)": (
        lambda: signal.getsignal(signal.SIGUSR1),
        "handlers of signals, SIGUSR1,",
    ),
    "signal.signal(signal.SIGINT, signal.SIG_IGN)": (lambda: signal.getsignal(signal.SIGINT), ""),
    "sys.stdout = open(os.devnull, 'w')": (
        lambda: sys.stdout,
        "it replaces sys.stdout when it is loaded (undone)",
    ),
    "sys.stderr = open(os.devnull, 'w')": (
        lambda: sys.stderr,
        "it replaces sys.stderr when it is loaded (undone)",
    ),
}
TOLD = {
    "sys.path.append('/nowhere')": "it changes sys.path when it is loaded",
    "os.environ['OTHERS'] = '1'": "it changes the variables of the environment, OTHERS, when it is loaded",
    "sys.excepthook = print": "it changes sys.excepthook when it is loaded",
    "builtins.open = open_else": "it changes built-in functions, open, when it is loaded",
    "warnings.simplefilter('ignore')": "it changes filters of warnings, so that none is shown, when it is",
    "logging.basicConfig(level=10, force=True)": "it changes the handlers of all logs when it is loaded",
    "logging.disable()": "it changes the handlers of all logs when it is loaded",
    "decimal.getcontext().prec = 3": "it changes the context of decimal when it is loaded",
    "threading.Thread(target=time.sleep, args=(0.5,)).start()": "it changes the number of threads that run",
}
_HEAD = """
import builtins, decimal, gc, io, locale, logging, os, random, signal, sys, threading, time, warnings

def open_else(*words, **options):
    return io.open(*words, **options)

"""


@pytest.mark.parametrize("code", UNDONE)
def test_what_changes_results_or_moves_files_is_undone_and_told(site: Site, code: str) -> None:
    read, told = UNDONE[code]
    before = read()
    site.install("segzoo-rude", f"{_HEAD}{code}\n{LOSS}")
    found = record("segzoo-rude")
    assert found.status == "ok"
    assert read() == before
    assert told in "\n".join(found.warnings)


@pytest.fixture
def as_before() -> Iterator[None]:
    """Put back what is told only."""
    import builtins
    import decimal
    import logging
    import warnings

    root, decimals, disabled = logging.root, decimal.getcontext().copy(), logging.root.manager.disable
    kept = (sys.path[:], sys.excepthook, builtins.open, warnings.filters[:], root.handlers[:], root.level)
    yield
    sys.path[:], sys.excepthook, builtins.open, warnings.filters[:], root.handlers[:], root.level = kept
    os.environ.pop("OTHERS", None)
    decimal.setcontext(decimals)
    logging.disable(disabled)


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("code", TOLD)
def test_what_a_plugin_may_need_is_told(site: Site, code: str) -> None:
    site.install("segzoo-rude", f"{_HEAD}{code}\n{LOSS}")
    found = record("segzoo-rude")
    assert found.status == "ok"
    assert TOLD[code] in "\n".join(found.warnings)
    assert "undone" not in "\n".join(found.warnings)


NUMBERS = """
import numpy as np, torch
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
torch.set_float32_matmul_precision("medium")
torch.backends.cudnn.benchmark = True
torch.set_num_threads(torch.get_num_threads() + 1)
torch.manual_seed(0)
np.seterr(all="raise")
np.random.seed(0)
"""
_SHOW = """
import json, random, sys
{first}
from segzoo import zoo
told = [line for one in zoo.plugins for line in one.warnings if one.distribution == "segzoo-rude"]
import numpy as np, torch
one = torch.backends.cudnn
print(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(), one.benchmark,
      torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(), np.geterr()["over"],
      torch.initial_seed() == 0, np.random.get_state()[1][:3].tolist() == [0, 1, 1812433255])
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import numpy, torch; torch.manual_seed(7); numpy.random.seed(7)"])
def test_torch_and_numpy_are_as_they_were_or_as_they_are_when_they_are_imported(
    site: Site, first: str
) -> None:
    site.install("segzoo-rude", f"{_HEAD}{NUMBERS}{LOSS}")
    program = [sys.executable, "-W", "error::DeprecationWarning:segzoo", "-c", _SHOW.format(first=first)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=True)
    state, told = done.stdout.splitlines()
    assert state == "torch.float32 cpu True False False highest warn False False"
    assert "torch's default dtype from 'torch.float32' to 'torch.float64' when it is loaded (undone)" in told
    assert told.count("(undone)") >= 8
    assert "cannot be undone" not in told


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("way", ["sys.{0}.close()", "sys.__{0}__.close()", "os.close({1})", "sys.{0} = None"])
def test_streams_that_a_plugin_closes_work_afterwards(site: Site, stream: str, way: str) -> None:
    code = way.format(stream, 1 if stream == "stdout" else 2)
    site.install("segzoo-rude", f"import os, sys\n{code}\n{LOSS}")
    program = [sys.executable, "-m", "segzoo", "list", "losses", "mine"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "mine" in done.stdout) == (0, True), done.stderr
    program[-2:] = ["nothing"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert "error: " in done.stderr


def test_a_plugin_that_hangs_is_named_after_five_seconds(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guard.PATIENCE == 5
    monkeypatch.setattr(guard, "PATIENCE", 0.1)
    site.install("segzoo-sleepy", f"import time; time.sleep(0.3)\n{LOSS}")
    assert cli.run(["list", "losses"]) == 0
    told = capsys.readouterr().err
    assert "warning: plug-in 'plugin' of segzoo-sleepy is still loading after 0.1 seconds" in told
    assert "SEGZOO_DISABLE_PLUGINS=segzoo-sleepy" in told
    assert told.count("warning") == 1


@pytest.mark.medium
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(60)",
        "try:\n    time.sleep(60)\nexcept BaseException:\n    pass",
        "try:\n    time.sleep(60)\nexcept BaseException:\n    raise ValueError('no')",
    ],
)
def test_ctrl_c_ends_the_program_and_names_the_plugin(
    site: Site, tmp_path: Path, code: str, number: signal.Signals
) -> None:
    begun = tmp_path / "begun"
    site.install("segzoo-sleepy", f"import time\nopen({str(begun)!r}, 'w').close()\n{code}\n{LOSS}")
    program = [sys.executable, "-m", "segzoo", "list", "losses"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        while not begun.exists():
            time.sleep(0.01)
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number, told
    assert "interrupted while plug-in 'plugin' of segzoo-sleepy was loading" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "error",
    [
        "KeyboardInterrupt('mine')",
        "SystemExit(3)",
        "GeneratorExit('odd')",
        "type('E', (BaseException,), {})('x')",
    ],
)
@pytest.mark.parametrize("where", ["import", "hook"])
def test_whatever_a_plugin_raises_is_its_own_error(site: Site, error: str, where: str) -> None:
    raising = f"raise {error}"
    code = raising if where == "import" else LOSS.replace("return [", f"{raising}\n    return [")
    site.install("segzoo-odd", code)
    site.install("segzoo-fine", LOSS)
    found = record("segzoo-odd")
    assert found.status == "broken"
    assert found.error.startswith(error.partition("(")[0].replace("type", "E"))
    assert record("segzoo-fine").status == "ok"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("yield LossSpec(name='a', factory='a:b'); raise ValueError('midway')", "ValueError: midway"),
        ("x = {}; x['a'] = x; return [LossSpec(name='a', factory='a:b', options=x)]", "contains itself"),
        ("return [LossSpec(name='a', factory='a:b', options={5: 6})]", "must have words as keys"),
        ("return [LossSpec(name='a\\n\\x1b[31m', factory='a:b')]", "cannot name a loss"),
        ("return [LossSpec(name='x' * 10**6, factory='a:b')]", "cannot name a loss"),
        ("return [LossSpec(name='a', factory='a:b', summary='x' * 10**6)]", "at most 10,000 letters"),
        (
            "E = type('E', (str,), {'__hash__': len}); return [LossSpec(name=E('a'), factory='a:b')]",
            "",
        ),
        ("return [object.__new__(LossSpec)]", "has no attribute 'name'"),
        (
            "raise type('E', (Exception,), {'__str__': lambda s: (_ for _ in ()).throw(KeyboardInterrupt)})",
            "E: (and",
        ),
    ],
)
def test_a_hook_that_returns_rubbish_is_broken_and_nobody_else(site: Site, body: str, told: str) -> None:
    head, _, _ = LOSS.partition("    return")
    site.install("segzoo-odd", f"{head}    {body}")
    site.install("segzoo-fine", LOSS)
    found = record("segzoo-odd")
    assert (found.status, record("segzoo-fine").status) == ("broken", "ok")
    assert told in found.error
    assert len(found.error) < 600
    assert len(found.traceback) < 25_000


@pytest.mark.parametrize(
    "metadata",
    [b"\xff\xfe\0", b"Name: a\x1b[31mb\nVersion: 1\n", b"Name: " + b"x" * 10**5 + b"\nVersion: 1\n"],
)
def test_damaged_metadata_are_told_and_the_folder_s_name_stands_in(site: Site, metadata: bytes) -> None:
    site.install("segzoo-odd", LOSS)
    (file,) = site.folder.glob("*.dist-info/METADATA")
    file.write_bytes(metadata)
    assert "METADATA holds no valid name or no version" in record("segzoo-odd").warnings[-1]


@pytest.mark.parametrize(
    "points", [b"plugin = \n", b"plugin = a b\n", b"plugin = ..a\n", b"plugin\n", b"\xff = a\n"]
)
def test_damaged_entry_points_are_told_as_that(site: Site, points: bytes) -> None:
    site.install("segzoo-odd", LOSS)
    (file,) = site.folder.glob("*.dist-info/entry_points.txt")
    file.write_bytes(b"[segzoo.plugins]\n" + points)
    found = record("segzoo-odd")
    assert found.status == "broken"
    assert (
        "which is no module: reinstall it" in found.error or "entry_points.txt cannot be read" in found.error
    )


NETWORK = """
import os, sys, torch

class Network(torch.nn.Conv2d):
    def __init__(self, num_classes, in_channels):
        {code}
        super().__init__(in_channels, num_classes, 1)
"""
MODEL = """
from segzoo.hooks import hookimpl
from segzoo.specs import ModelSpec

@hookimpl
def segzoo_models():
    return [ModelSpec(name="rude", factory="{module}:Network")]
"""


def _rude_model(folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    module = f"rude_{abs(hash(code))}"
    (folder / f"{module}.py").write_text(NETWORK.format(code=code))
    monkeypatch.syspath_prepend(str(folder))
    site.install("segzoo-rude", MODEL.format(module=module))


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(3)"])
def test_a_factory_that_would_end_the_program_is_a_broken_part(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    _rude_model(tmp_path, site, monkeypatch, f"raise {error}")
    with pytest.raises(PluginError, match=f"model 'segzoo-rude:rude' cannot be built: {error[:10]}"):
        segzoo.create("rude", num_classes=2)


def test_ctrl_c_while_a_factory_runs_is_the_person_s(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rude_model(tmp_path, site, monkeypatch, "os.kill(os.getpid(), 2); import time; time.sleep(1)")
    with pytest.raises(KeyboardInterrupt):
        segzoo.create("rude", num_classes=2)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("torch.set_default_dtype(torch.float64)", "torch's default dtype from 'torch.float32'"),
        ("torch.set_grad_enabled(False)", "torch's gradient mode"),
        ("os.chdir('/')", "the current folder"),
        ("sys.stdout = None", "replaces sys.stdout or sys.stderr"),
    ],
)
def test_what_a_factory_changes_is_undone_and_told(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    _rude_model(tmp_path, site, monkeypatch, code)
    before = Path.cwd(), sys.stdout, torch.get_default_dtype(), torch.is_grad_enabled()
    with pytest.warns(UserWarning, match=f"model 'segzoo-rude:rude': it .*{told}.* when it is built"):
        segzoo.create("rude", num_classes=2)
    assert (Path.cwd(), sys.stdout, torch.get_default_dtype(), torch.is_grad_enabled()) == before


def test_weights_are_drawn_anew_for_each_network() -> None:
    torch.manual_seed(0)
    one, other = (segzoo.create("unet", num_classes=1, width=2, depth=2) for _ in range(2))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))
