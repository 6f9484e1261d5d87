"""Recipes, and the parts of training that they name: augmentation steps, optimizers, schedules, trackers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from segzoo.errors import UsageError
from segzoo.specs.base import PartSpec, Spec, check_callable


@dataclass(frozen=True, kw_only=True)
class RecipeSpec(Spec):
    """A recipe that `segzoo train NAME` follows.

    Attributes:
        file: a TOML file inside a package, ``"package:recipes/name.toml"``.
        data: the data set that it is for; empty where it is for any.
        origin: the program whose settings these are, and its version.
        homepage: of that program.
        planner: a function ``"package.module:name"`` that completes the file's keys by looking at the data,
            see `segzoo.interfaces.Planner`; empty where the file says all.
    """

    kind: ClassVar[str] = "recipe"

    file: str
    data: str = ""
    origin: str = ""
    homepage: str = ""
    planner: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.file, str) or not re.fullmatch(r"[A-Za-z_][\w.]*:[\w./+-]+\.toml", self.file):
            raise UsageError(f"recipe {self.name!r}: file {self.file!r} is not 'package:path/name.toml'")
        if ".." in self.file.partition(":")[2].split("/"):
            raise UsageError(f"recipe {self.name!r}: file {self.file!r} leaves its package")
        if self.planner:
            check_callable(self, "planner", self.planner)


@dataclass(frozen=True, kw_only=True)
class AugmentationSpec(PartSpec):
    """An augmentation step: ``factory(**options)`` gives a `segzoo.interfaces.Augmentation`.

    One that makes one sample of two gives a `segzoo.interfaces.Mixing`.

    Recipes name it in a key, ``augment.NAME``, so that its names have no dot, and do not end in an underscore
    and a number, which tells apart the same step done twice.
    """

    kind: ClassVar[str] = "augmentation"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (self.name, *self.aliases):
            if "." in name or name == "one_of" or re.search(r"_\d+$", name):
                raise UsageError(
                    f"{name!r} cannot name an augmentation: a dot divides the keys of a recipe, a step "
                    "that is done twice is NAME_2, and one_of chooses among steps"
                )


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(PartSpec):
    """An optimizer: ``factory(groups, *, lr=..., **options)`` gives a ``torch.optim.Optimizer``."""

    kind: ClassVar[str] = "optimizer"


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(PartSpec):
    """A schedule of learning rates: ``factory(**options)`` gives a `segzoo.interfaces.Schedule`.

    Attributes:
        falls: whether 0 stands for the minimum of the recipe, so that the schedule takes ``tail`` too; else
            the height is multiplied by what it gives, and the minimum is the least.
    """

    kind: ClassVar[str] = "schedule"

    falls: bool = False


@dataclass(frozen=True, kw_only=True)
class TrackerSpec(PartSpec):
    """An experiment tracker: ``factory(folder, **options)`` gives an Accelerate ``GeneralTracker``.

    Attributes:
        modules: what must be importable for it.
        install: what brings them, as ``pip install`` takes it.
        network: whether it does nothing without a network, so that it is refused where the network is off.
    """

    kind: ClassVar[str] = "tracker"

    modules: tuple[str, ...] = ()
    install: str = ""
    network: bool = False
