"""``segzoo tune``: train a recipe with many different values, and find the best ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.help import verbose_option
from segzoo.cli.recipe_completions import recipe_words, search_words
from segzoo.cli.table import echo_json, echo_rows
from segzoo.cli.train import recipe_options
from segzoo.printing import command_line, echo

if TYPE_CHECKING:
    from segzoo.training import Tuning


@click.command("tune")
@click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@recipe_options
@click.option(
    "--search",
    multiple=True,
    metavar="KEY=VALUES",
    shell_complete=search_words,
    help="Range or list of values for a key; may be repeated [default: the table tune of the recipe, else "
    "learning rate, weight decay, loss and colour augmentation].",
)
@click.option(
    "--trials", type=int, default=20, show_default=True, help="Number of trials, over all sessions."
)
@click.option(
    "--pruner",
    type=click.Choice(("median", "hyperband", "none")),
    default="median",
    show_default=True,
    help="Method that stops bad trials early.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampler.")
@click.option(
    "--out",
    type=click.Path(),
    shell_complete=offers.folders,
    help="Folder for the study [default: OUT-tune].",
)
@click.option("--progress/--no-progress", default=True, help="Show progress bars and messages.")
@verbose_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Search for the best hyperparameters of a recipe.

    Each trial is a training run with different values, and later trials use the results of earlier ones. Run
    the same command again to resume a study that was stopped, or to join a study that is running.
    KEY=VALUE applies to all trials.

    \b
    segzoo tune recipe.toml
    segzoo tune --data photos epochs=20 --trials 30
    segzoo tune recipe.toml --search lr=1e-5..1e-2:log --search loss=dice,ce-dice
    segzoo tune recipe.toml --search batch_size=4..16:4 --pruner hyperband
    """
    from segzoo.training import tune
    from segzoo.training.recipe.reading import read_recipe, read_search
    from segzoo.training.search_space import settings_of_searches

    search, as_json = settings_of_searches(options.pop("search")), options.pop("as_json")
    how = {name: options.pop(name) for name in ("trials", "pruner", "seed", "out", "progress")}
    source = next((word for word in words if "=" not in word), None)
    values = {key: one for key, one in options.items() if one is not None}
    recipe = read_recipe(source, [word for word in words if word != source], **values)
    ranges = search or (read_search(source) if source else {})
    result = tune(recipe, ranges or None, **how)
    if as_json:
        echo_json(result.to_json())
    else:
        _show(result)


def _show(result: Tuning) -> None:
    header, rows = result.table()
    echo_rows(rows, header=header)
    if result.importance:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in result.importance.items())
        echo(f"importance of the keys: {shares}")
    best = result.best
    if best is None:
        echo(f"no trial was completed: see {result.folder} for the reasons")
        return
    echo(f"best recipe: {result.recipe}")
    echo(f"its weights: {best.folder}")
    echo(f"next: {command_line('segzoo', 'train', result.recipe)}")
