"""Which dataset a folder or a file is: asked by everything that takes ``--data PATH``.

Each registered dataset that has a ``recognise`` is asked. Nothing is guessed: where two say yes, the person
chooses.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.datasets.glance import Glance
from segzoo.datasets.splits import part_named
from segzoo.errors import OptionError, SegzooError, UnknownNameError, no_address
from segzoo.options import as_word
from segzoo.plugins import resolve
from segzoo.printing import command_line, plain_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.specs import Recognition

FOLDER = "folder"
#: Folders in a folder that may be datasets of their own; of more, the first are looked at.
_MOST_FOLDERS = 50


@dataclass(frozen=True)
class Reading:
    """One way to read a place.

    Attributes:
        name: name of the registered dataset.
        summary: description of the place.
        root: path or address to open; ``None`` if the environment defines it.
        options: options of the dataset.
        masks: whether its masks are image files, as `segzoo.specs.Recognition` says.
        alone: whether the path alone is read so, without the name of the dataset.
        ways: the ways to read it, where an option must say which of several files is meant.
    """

    name: str
    summary: str
    root: str | os.PathLike[str] | None
    options: Mapping[str, Any] = field(default_factory=dict)
    masks: bool = False
    alone: bool = False
    ways: tuple[Reading, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The words of a command that say exactly this reading, ``--data coco --root DIR``."""
        options = (f"data.{key}={as_word(value)}" for key, value in self.options.items())
        if self.root is None:
            return ("--data", self.name, *options)
        place = plain_path(str(self.root))
        return ("--data", place, *options) if self.alone else ("--data", self.name, "--root", place, *options)

    @property
    def command(self) -> str:
        """A command that trains on this reading, quoted for a shell."""
        return command_line("segzoo", "train", *self.words)

    @property
    def check(self) -> str:
        """A command that checks this reading, quoted for a shell."""
        return command_line("segzoo", "data", "check", *self.words[1:])


def recognise(path: str | os.PathLike[str]) -> list[Reading]:
    """Return every way to read a folder or a file, by the names of datasets.

    A format whose masks are image files comes before the plain reading, two folders of images and masks, as
    both read the same files. A dataset with classes of its own, such as Pascal VOC 2012, hides no other:
    files that are called like its own may be anybody's, so the person chooses.

    Args:
        path: folder or file that exists.
    """
    glance, found = Glance(path), []
    formats: set[str] = set()
    for name, (spec, _) in zoo.registry("datasets").items():
        if not spec.recognise:
            continue
        try:
            told: Recognition | None = resolve(spec.recognise)(glance)
        except (SegzooError, OSError, ValueError):
            continue
        if told is not None:
            found.append(_reading(name, told, told.root or glance.path))
            formats |= {name} if spec.labels is None and told.masks and name != FOLDER else set()
    found = [one for one in found if one.name != FOLDER or not formats]
    return [] if _holds_others(glance, found) else found


def _holds_others(glance: Glance, found: Sequence[Reading]) -> bool:
    """Whether the several ways to read a folder are those of folders in it, such as exports side by side."""
    if glance.file is not None or len(found) < 2:
        return False
    inner = [name for name in glance.folders()[:_MOST_FOLDERS] if not part_named(name)]
    inside = [frozenset(one.name for one in recognise(glance.folder / name)) for name in inner]
    return len({names for names in inside if names}) > 1


def _reading(name: str, told: Recognition, root: Path) -> Reading:
    ways = (
        Reading(name, what, root, {**told.options, **options}, told.masks, alone=True)
        for what, options in told.choices.items()
    )
    return Reading(name, told.summary, root, told.options, told.masks, ways=tuple(ways))


def chosen(data: str, root: str | os.PathLike[str] | None = None) -> Reading:
    """Return the one way to read what ``--data`` names.

    Args:
        data: registered dataset, address of a dataset, folder or file.
        root: folder of a registered dataset.

    Raises:
        UnknownNameError: it is none of these.
        OptionError: there are several ways to read it; the message names them.
    """
    registered = zoo.registry("datasets")
    if data in registered:
        return Reading(data, "", root)
    for name, (spec, _) in registered.items():
        if spec.scheme and data.startswith(spec.scheme):
            return Reading(name, "", data.removeprefix(spec.scheme))
    path = Path(data)
    # Path raises where a name is too long.
    if os.path.isdir(path) or os.path.isfile(path):  # noqa: PTH112, PTH113
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
    ways = [f"  {command_line(*one.words)}   ({one.summary})" for one in readings]
    return "\n".join([f"{path} can be read in {len(readings)} ways; say which:", *ways])
