"""Plans: recipes that rules choose from the data and from the speed of training steps.

Keys that a person set are kept, and rules see them. A plan depends on the data and, if a time is given, on
the speed of this machine. The resulting recipe holds plain values, and trains the same way every time.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.options import is_number, many
from segzoo.training.planning.facts import look_at_data
from segzoo.training.planning.rules import RULES, fit_time
from segzoo.training.planning.sheet import Sheet
from segzoo.training.planning.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from segzoo.training.recipe.schema import Recipe

#: Minutes of a plan if no time is given.
MINUTES = 60.0


def fit_recipe(recipe: Recipe, *, minutes: float, on_message: Callable[[str], None]) -> Recipe:
    """Return a recipe that trains for this many minutes on this machine; other keys do not change.

    Args:
        recipe: recipe whose ``epochs`` or ``steps`` are set to what fits, with validations spread over them.
        minutes: duration of the whole run, including the measurement.
        on_message: called with one message for each thing that is done.

    Raises:
        OptionError: not even one step fits, or several processes would measure differently.
    """
    begun = time.perf_counter()
    _check(minutes)
    sheet = Sheet(recipe, frozenset())
    sheet.open_data()
    sheet.stopwatch = Stopwatch(sheet, 60 * minutes, begun, on_message)
    fit_time(sheet)
    return sheet.recipe


def plan_recipe(
    recipe: Recipe,
    said: Collection[str],
    *,
    minutes: float | None = None,
    on_message: Callable[[str], None],
) -> Recipe:
    """Return a recipe in which every key without a value is chosen; see `segzoo.interfaces.Planner`.

    Args:
        recipe: the given values, over the defaults.
        said: the keys that were set by the user.
        minutes: duration of the whole run on this machine, including planning; 60 if ``None``. If ``steps``
            or ``epochs`` is among ``said``, nothing is measured, and the plan depends only on the data.
        on_message: called with one message for each thing that is done.

    Raises:
        OptionError: the data cannot be used for training, or not in this time.
        FailureError: an image cannot be read.
    """
    begun = time.perf_counter()
    minutes = MINUTES if minutes is None else minutes
    _check(minutes)
    sheet = Sheet(recipe, frozenset(said))
    sheet.open_data()
    on_message(
        f"looks at {many(len(sheet.training), 'training image')} and "
        f"{many(len(sheet.validation), 'validation image')}"
    )
    sheet.facts = look_at_data(sheet.training, sheet.validation)
    if not {"steps", "epochs"} & {*said}:
        sheet.stopwatch = Stopwatch(sheet, 60 * minutes, begun, on_message)
    for rule in RULES:
        rule(sheet)
    for note in sheet.notes:
        on_message(note)
    return sheet.recipe


def _check(minutes: float) -> None:
    """Raise `OptionError` unless minutes are a valid time and there is only one process to measure it."""
    if not (is_number(minutes) and minutes > 0):
        raise OptionError(f"minutes must be a number above 0, such as 60, got {minutes}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            "several processes would make different plans, because each measures its own time: plan in one, "
            "with `segzoo train ... --dry-run > plan.toml`, and train all of them with plan.toml"
        )
