"""Recipes, and the parts of training that they name: augmentation steps, optimizers, schedules, trackers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from segzoo.errors import UsageError
from segzoo.specs.base import PartSpec, Spec, check_callable


@dataclass(frozen=True, kw_only=True)
class RecipeSpec(Spec):
    """A recipe for `segzoo train NAME`.

    Attributes:
        file: a TOML file inside a package, ``"package:recipes/name.toml"``.
        data: the dataset that it is for; empty if it is for any data.
        origin: the program with the original settings, and its version.
        homepage: web page of that program.
        planner: a function ``"package.module:name"`` that looks at the data and completes the file's keys,
            see `segzoo.interfaces.Planner`; empty if the file is complete.
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
    """An augmentation step: ``factory(**options)`` returns a `segzoo.interfaces.Augmentation`.

    A step that combines two samples returns a `segzoo.interfaces.Mixing`.

    Recipes name it in a key, ``augment.NAME``, so that its name has no dot, and does not end in an underscore
    and a number, which marks a repeated step.
    """

    kind: ClassVar[str] = "augmentation"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (self.name, *self.aliases):
            if "." in name or name == "one_of" or re.search(r"_\d+$", name):
                raise UsageError(
                    f"{name!r} cannot name an augmentation: a dot separates the keys of a recipe, NAME_2 is "
                    "a repeated step, and one_of chooses among steps"
                )


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(PartSpec):
    """An optimizer: ``factory(groups, *, lr=..., **options)`` gives a ``torch.optim.Optimizer``."""

    kind: ClassVar[str] = "optimizer"


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(PartSpec):
    """A learning rate schedule: ``factory(**options)`` returns a `segzoo.interfaces.Schedule`.

    Attributes:
        falls: whether its value 0 stands for the recipe's minimum, so that the schedule supports ``tail``;
            otherwise the peak rate is multiplied by its value, and the minimum is a lower limit.
    """

    kind: ClassVar[str] = "schedule"

    falls: bool = False


@dataclass(frozen=True, kw_only=True)
class TrackerSpec(PartSpec):
    """An experiment tracker: ``factory(folder, **options)`` gives an Accelerate ``GeneralTracker``.

    Attributes:
        modules: modules that it needs.
        install: packages that install these, as for ``pip install``.
        network: whether it is useless without a network, and so refused if the network is off.
    """

    kind: ClassVar[str] = "tracker"

    modules: tuple[str, ...] = ()
    install: str = ""
    network: bool = False
