"""Which data set a folder or a file is: asked by everything that takes ``--data PATH``.

Each registered data set that has a ``recognise`` is asked. Nothing is guessed: where two say yes, the person
chooses.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.datasets.glance import Glance
from segzoo.errors import OptionError, SegzooError, UnknownNameError, no_address
from segzoo.plugins import resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from segzoo.specs import Recognition

FOLDER = "folder"


@dataclass(frozen=True)
class Reading:
    """One way to read a place.

    Attributes:
        name: of the registered data set.
        told: what the place is, in words.
        root: what to open: a path, or the text of an address; ``None`` where the environment says it.
        options: of the data set.
        masks: whether its masks are image files, as `segzoo.specs.Recognition` says.
    """

    name: str
    told: str
    root: str | os.PathLike[str] | None
    options: Mapping[str, Any] = field(default_factory=dict)
    masks: bool = False


def recognise(path: str | os.PathLike[str]) -> list[Reading]:
    """Return every way to read a folder or a file, by the names of data sets.

    The plain reading, two folders of images and masks, counts only where no format says that its masks are
    those very files.

    Args:
        path: of a folder or a file that exists.
    """
    glance, found = Glance(path), []
    for name, (spec, _) in zoo.registry("datasets").items():
        if not spec.recognise:
            continue
        try:
            told: Recognition | None = resolve(spec.recognise)(glance)
        except (SegzooError, OSError, ValueError):
            continue
        if told is not None:
            found.append(Reading(name, told.told, told.root or glance.path, told.options, told.masks))
    if any(one.masks for one in found if one.name != FOLDER):
        found = [one for one in found if one.name != FOLDER]
    return found


def chosen(data: str, root: str | os.PathLike[str] | None = None) -> Reading:
    """Return the one way to read what ``--data`` names.

    Args:
        data: a registered data set, an address of one, a folder or a file.
        root: where a registered one lies.

    Raises:
        UnknownNameError: it is none of these.
        OptionError: there are several ways to read it; the text names them.
    """
    registered = zoo.registry("datasets")
    if data in registered:
        return Reading(data, "", root)
    for name, (spec, _) in registered.items():
        if spec.scheme and data.startswith(spec.scheme):
            return Reading(name, "", data.removeprefix(spec.scheme))
    path = Path(data)
    if path.is_dir() or path.is_file():
        readings = recognise(path)
        if len(readings) > 1:
            raise OptionError(several(path, readings))
        if readings:
            return readings[0]
        if path.is_dir() or path.suffix.lower() in (".csv", ".json"):
            return Reading(FOLDER, "", data)
    raise UnknownNameError(
        registered.unknown(data, also=f", and there is no folder of that name{no_address(data)}")
    )


def several(path: Path, readings: Sequence[Reading]) -> str:
    """Return what to say of a place that can be read in several ways."""
    ways = [f"  --data {one.name} --root {shlex.quote(str(one.root))}   ({one.told})" for one in readings]
    return "\n".join([f"{path} can be read in {len(readings)} ways; say which:", *ways])
