"""Imports segzoo's requirements in a separate process, and computes a little there.

A library built for another processor or driver may crash its process, which is then not this one. The process
writes a line to standard output before and after each step, so the last step that it began is the one that
crashed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from segzoo.installation.report import Findings, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The module of each required distribution.
MODULES: Mapping[str, str] = {
    "click": "click",
    "filelock": "filelock",
    "packaging": "packaging",
    "pluggy": "pluggy",
    "tqdm": "tqdm",
    "numpy": "numpy",
    "pillow": "PIL.Image",
    "safetensors": "safetensors",
    "huggingface-hub": "huggingface_hub",
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
}

MARK = "segzoo-health:"
_CODE = "from segzoo.installation.tried import main; main()"


def try_imports(*, patience: float) -> dict[str, Any]:
    """Import every package in a separate process, and check the device there.

    Args:
        patience: seconds after which the process is stopped.

    Returns:
        ``imported`` (distributions), ``errors`` (by distribution, one line each), ``files`` (of the modules,
        by distribution), ``device`` (facts, or nothing), ``device_error``, and ``crash``: what ended the
        process and what to do about it, or nothing.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, *_flags(), "-P", "-c", _CODE],
            env=environment,
            capture_output=True,
            timeout=patience,
            check=False,
        )
        output, ended, last = done.stdout, _ending(done.returncode), _last_line(done.stderr)
    except subprocess.TimeoutExpired as late:
        output, ended, last = late.stdout or b"", f"takes more than {patience:.0f} s", ""
    except OSError as error:
        output, ended, last = b"", f"is not possible: {error}", ""
    return _gathered(list(_told(output)), ended, last)


def _flags() -> list[str]:
    """Return options that hide from the process the packages that this one does not see."""
    flags = {"-S": sys.flags.no_site, "-s": sys.flags.no_user_site}
    return [flag for flag, given in flags.items() if given]


def _told(output: bytes) -> Iterator[dict[str, Any]]:
    for line in output.decode(errors="replace").splitlines():
        if line.startswith(MARK):
            try:
                yield json.loads(line.removeprefix(MARK))
            except ValueError:
                continue  # the process was stopped in the middle of a line


def _gathered(told: list[dict[str, Any]], ended: str, last: str) -> dict[str, Any]:
    found: dict[str, Any] = {"imported": [], "errors": {}, "files": {}, "crash": ()}
    found |= {"device": {}, "device_error": ""}
    begun = "starting Python"
    for line in told:
        begun = line.get("begin", begun)
        if "imported" in line:
            found["imported"].append(line["imported"])
        if "failed" in line:
            found["errors"][line["failed"]] = line["error"]
        if line.get("file"):
            found["files"][line.get("imported") or line["failed"]] = line["file"]
        found["device"] |= line.get("device", {})
        found["device_error"] = line.get("device_error", found["device_error"])
    if not any("end" in line for line in told):
        end = ended or "ends the process"
        found["crash"] = (
            f"{begun} {end}{f': {last}' if last else ''}",
            "reinstall the package, in a build for this processor and driver; for torch see "
            "https://pytorch.org/get-started/locally",
        )
    return found


def _ending(code: int) -> str:
    if code >= 0:
        return f"ends the process with status {code}" if code else ""
    try:
        return f"ends the process by {signal.Signals(-code).name}"
    except ValueError:
        return f"ends the process by signal {-code}"


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").split("\n")
    return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")


def look_at_device(tried: Mapping[str, Any]) -> Part:
    """Report the device that segzoo uses by default, and why.

    Args:
        tried: result of `try_imports`.
    """
    wrong = Findings("device")
    facts = dict(tried["device"])
    if not facts:
        why = tried["device_error"] or tried["errors"].get("torch") or "torch could not be tried"
        if tried["device_error"]:
            wrong.error(
                f"torch is installed but cannot compute: {why}",
                "reinstall torch as described at https://pytorch.org/get-started/locally",
            )
        return Part("device", {"trouble": why}, tuple(wrong))
    hardware = facts.get("hardware") or []
    if facts.get("error"):
        wrong.error(
            f"{facts['chosen']} is selected but cannot compute: {facts['error']}",
            f"install a torch build for it, or hide it: {_hide(facts['chosen'])}",
        )
    elif facts["chosen"] == "cpu" and hardware and not facts.get("hidden"):
        built = "the torch build for it (see https://pytorch.org/get-started/locally)"
        wanted = "torch-npu" if "an Ascend NPU" in hardware else built
        wrong.warn(
            f"this machine has {' and '.join(hardware)}, but torch does not use it: {facts['why']}",
            f"install {wanted}, and a recent driver",
        )
    return Part("device", facts, tuple(wrong))


def _hide(device: str) -> str:
    return "CUDA_VISIBLE_DEVICES=" if device.startswith("cuda") else "--device cpu"
