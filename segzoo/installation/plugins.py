"""Plug-ins: the record of each, and the weights that they should bring."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.discovery import strict
from segzoo.distribution import PROJECT, project_of, reinstall_line
from segzoo.errors import PluginError
from segzoo.installation.report import Findings, Part
from segzoo.weights.sources import in_package

if TYPE_CHECKING:
    from segzoo.plugins import PluginRecord

#: The first line of a file that Git LFS has not fetched.
_POINTER = b"version https://git-lfs"


def look() -> Part:
    """Report the state of each plug-in, and whether the weights bundled with it are there."""
    wrong = Findings("plugins")
    try:
        records = zoo.plugins
    except PluginError as error:
        cure = (
            "unset SEGZOO_STRICT_PLUGINS to load the others; then uninstall or repair the plug-in"
            if strict()
            else "uninstall or repair the plug-in that it names"
        )
        wrong.error(f"no plug-in can be loaded: {error}", cure)
        return Part("plugins", {"trouble": str(error), "records": []}, tuple(wrong))
    for record in records:
        _look_at(record, wrong)
    _look_at_weights(wrong)
    return Part("plugins", {"records": [_told(record) for record in records]}, tuple(wrong))


def _told(record: PluginRecord) -> dict[str, Any]:
    return {**asdict(record), "milliseconds": round(record.milliseconds, 1)}


def _look_at(record: PluginRecord, wrong: Findings) -> None:
    name = f"plug-in {record.distribution} ({record.name})"
    cures = {
        "broken": f"repair it, run `pip install --upgrade {record.distribution}`, or set "
        f"SEGZOO_DISABLE_PLUGINS={record.distribution}; `segzoo plugins -v` shows where it raised",
        "incompatible": f"pip install --upgrade {PROJECT}",
        "shadowed": f"pip uninstall {record.distribution} until none is left, then install it once",
    }
    if record.distribution == "segzoo" and record.status != "ok":
        wrong.error(f"segzoo's own {name} is {record.status}: {record.error}", reinstall_line())
    elif record.status in cures:
        wrong.warn(f"{name} is {record.status}: {record.error}", cures[record.status])
    for warning in record.warnings:
        wrong.warn(f"{name}: {warning}", f"report it to the authors of {record.distribution}, or upgrade it")


def _look_at_weights(wrong: Findings) -> None:
    """Report weights that should be bundled with a plug-in but are not in its package."""
    for name, entry in zoo.registry("weights").items():
        if not entry.spec.folder:
            continue
        cure = f"pip install --force-reinstall {project_of(entry.owner)}; in a clone, `git lfs pull`"
        try:
            folder = in_package(entry.spec)
        except (PluginError, ImportError) as error:
            wrong.warn(f"weights {name} are missing: {error}", cure)
            continue
        for file in (folder / "config.json", folder / "model.safetensors"):
            if not file.is_file():
                wrong.warn(f"weights {name} are incomplete: there is no {file}", cure)
            elif file.open("rb").read(len(_POINTER)) == _POINTER:
                wrong.warn(f"weights {name}: {file} is a Git LFS pointer, not the file", cure)
