"""Plans: recipes that are chosen by rules from what the data shows and how fast steps are.

Keys that a person set are kept, and rules see them. A plan follows from the data and, where a time is given,
from how fast this machine takes steps. The resulting recipe holds plain values, and trains the same way every
time.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.options import is_number
from segzoo.training.planning.facts import look_at_data
from segzoo.training.planning.rules import RULES, fit_time
from segzoo.training.planning.sheet import Sheet
from segzoo.training.planning.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from segzoo.training.recipe.schema import Recipe

#: Minutes that a plan is for where nobody says how many.
MINUTES = 60.0


def fit_recipe(recipe: Recipe, *, minutes: float, on_message: Callable[[str], None]) -> Recipe:
    """Return a recipe that trains for so many minutes on this machine, measured: all else stays as it is.

    Args:
        recipe: whose ``epochs`` or ``steps`` become the steps that fit, with validations spread over them.
        minutes: of the whole training, measuring included.
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
    """Return a recipe in which every key is chosen that nobody said; see `segzoo.interfaces.Planner`.

    Args:
        recipe: what is said, over the defaults.
        said: the keys that somebody set.
        minutes: of the whole training on this machine, planning included; 60 where ``None``. Where ``steps``
            or ``epochs`` is among ``said``, nothing is measured, and the plan follows from the data alone.
        on_message: called with one message for each thing that is done.

    Raises:
        OptionError: the data cannot be trained on, or not in this time.
        FailureError: an image cannot be read.
    """
    begun = time.perf_counter()
    minutes = MINUTES if minutes is None else minutes
    _check(minutes)
    sheet = Sheet(recipe, frozenset(said))
    sheet.open_data()
    on_message(
        f"looks at {len(sheet.training):,} images that train and {len(sheet.validation):,} that validate"
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
    """Raise `OptionError` unless minutes are a time, and one process alone measures it."""
    if not (is_number(minutes) and minutes > 0):
        raise OptionError(f"minutes must be a number above 0, such as 60, got {minutes}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            "several processes would plan differently, each by its own clock: plan in one, with "
            "`segzoo train ... --dry-run > plan.toml`, and let all of them train by plan.toml"
        )
