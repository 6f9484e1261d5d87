"""The contract of plug-in modules: to be listed they import nothing heavy and print nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.testing.promises import promise

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What takes long to import, and is not needed to say what there is.
HEAVY = ("torch", "torchvision", "timm", "numpy", "PIL", "safetensors", "huggingface_hub", "accelerate")

_MARK = "segzoo-listed:"
_CODE = """
import json, sys
from pathlib import Path
from segzoo import zoo
folders, distribution, heavy = json.loads(sys.argv[1])
for folder in folders:
    zoo.add_folder(Path(folder))
records = [record for record in zoo.plugins if distribution in (None, record.distribution)]
for kind in zoo.KINDS:
    zoo.registry(kind).names()
loaded = [name for name in heavy if name in sys.modules]
failed = {r.distribution: r.error for r in records if r.status not in ("ok", "shadowed")}
warnings = [warning for r in records if not r.slow for warning in r.warnings]
found = {"loaded": loaded, "failed": failed, "warnings": warnings, "known": len(records)}
print(sys.argv[2] + json.dumps(found))
"""


def check_listing(distribution: str | None = None, *, heavy: Sequence[str] = HEAVY) -> None:
    """Check, in a process of its own, that plug-ins can be listed fast and in silence.

    Args:
        distribution: the one whose plug-ins to load beside segzoo's own; all that are installed where
            ``None``.
        heavy: modules that must not be imported.

    Raises:
        PluginError: a plug-in fails to load, imports one of the heavy modules, or prints; the message says
            which.
    """
    what = "plug-ins" if distribution is None else f"plug-in {distribution!r}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("SEGZOO_STRICT_PLUGINS", None)
    if distribution is not None:
        environment["SEGZOO_PLUGINS"] = distribution
    told = json.dumps([list(map(str, zoo.folders())), distribution, list(heavy)])
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CODE, told, _MARK],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    *printed, last = done.stdout.splitlines() or [""]
    promise(
        done.returncode == 0 and last.startswith(_MARK),
        f"{what}: listing ends with status {done.returncode}: {' '.join(done.stderr.split())[-500:]}",
    )
    found = json.loads(last.removeprefix(_MARK))
    promise(
        bool(found["known"]), f"{what}: a new process does not find it; install it, or put it on PYTHONPATH"
    )
    failed = "; ".join(f"{name}: {error}" for name, error in found["failed"].items())
    promise(not failed, f"{what}: not every plug-in loads: {failed}")
    promise(
        not found["loaded"],
        f"{what}: listing imports {', '.join(found['loaded'])}; keep the module of hooks to specs, and name "
        "code as 'package.module:callable'",
    )
    told = [*found["warnings"], *(f"it prints {line!r}: print nothing at import" for line in printed)]
    promise(not told, f"{what}: {'; '.join(told)}")
