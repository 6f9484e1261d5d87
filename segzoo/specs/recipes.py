"""Recipes: how to train, as a file that ships with a plug-in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from segzoo.errors import UsageError
from segzoo.specs.base import Spec


@dataclass(frozen=True, kw_only=True)
class RecipeSpec(Spec):
    """A recipe that `segzoo train NAME` follows.

    Attributes:
        file: a TOML file inside a package, ``"package:recipes/name.toml"``.
        data: the data set that it is for; empty where it is for any.
        origin: the program whose settings these are, and its version.
        homepage: of that program.
    """

    kind: ClassVar[str] = "recipe"

    file: str
    data: str = ""
    origin: str = ""
    homepage: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.file, str) or not re.fullmatch(r"[A-Za-z_][\w.]*:[\w./+-]+\.toml", self.file):
            raise UsageError(f"recipe {self.name!r}: file {self.file!r} is not 'package:path/name.toml'")
        if ".." in self.file.partition(":")[2].split("/"):
            raise UsageError(f"recipe {self.name!r}: file {self.file!r} leaves its package")
