"""``segzoo train``: train a model on images and masks."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli.data_words import root_option
from segzoo.cli.help import GroupedCommand, verbose_option
from segzoo.cli.recipe_completions import recipe_words
from segzoo.cli.table import echo_json, echo_rows
from segzoo.errors import OptionError
from segzoo.printing import command_line, echo, echo_note

if TYPE_CHECKING:
    from segzoo.training import Recipe, TrainingResult
    from segzoo.training.folds import CrossValidation

# Value of --resume without a folder; no folder can have this name.
_HERE = "\0"

# Options of the command that are not keys of a recipe.
_HOW = (
    "resume",
    "extend",
    "overwrite",
    "minutes",
    "folds",
    "benchmark",
    "find_lr",
    "dry_run",
    "progress",
    "as_json",
)


class Count(click.ParamType):
    """A whole number; ``+20`` stays text, for ``--extend``."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or the text that begins with a plus."""
        return value if str(value).startswith("+") else click.INT.convert(value, param, ctx)


#: Options of every command that trains by a recipe; each sets a key of the recipe.
_KEYS = (
    click.option(
        "--data",
        shell_complete=offers.data,
        help="Name of a dataset, or a folder or file in any recognised format.",
    ),
    root_option,
    click.option(
        "--model",
        shell_complete=offers.models,
        help="Name of a model, decoder/encoder, or weights to fine-tune [default: unet].",
    ),
    click.option(
        "--weights",
        shell_complete=offers.weights,
        help="Weights to start from; every tensor that fits is used.",
    ),
    click.option("--epochs", type=Count(), help="Number of epochs [default: 50]."),
    click.option(
        "--batch-size", type=int, help="Number of images per step, over all processes [default: 8]."
    ),
    click.option(
        "--device", shell_complete=offers.devices, help="Device: auto, cpu, cuda, mps or npu [default: auto]."
    ),
)


def recipe_options(command: Any) -> Any:
    """Give a command the options that set keys of a recipe."""
    for option in reversed(_KEYS):
        command = option(command)
    return command


#: Groups of options in ``--help``.
GROUPS = {
    "Recipe": ("data", "root", "model", "weights", "epochs", "steps", "minutes", "batch_size", "device"),
    "Run": ("out", "resume", "extend", "overwrite", "folds"),
    "Instead of training": ("dry_run", "benchmark", "find_lr"),
    "Messages": ("progress", "as_json"),
}


@click.command("train", cls=GroupedCommand, groups=GROUPS)
@click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@recipe_options
@click.option("--out", type=click.Path(), help="Folder for the weights [default: runs/RECIPE or runs/MODEL].")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_HERE,
    metavar="[FOLDER]",
    shell_complete=offers.folders,
    help="Resume the run in FOLDER [default: the out of the recipe].",
)
@click.option(
    "--extend",
    metavar="FOLDER",
    shell_complete=offers.folders,
    help="Train the finished run in FOLDER for more epochs, in a new folder; epochs=+20 adds 20.",
)
@click.option(
    "--overwrite", is_flag=True, help="Delete the run in the folder; with --find-lr, the files of that test."
)
@click.option("--steps", type=Count(), help="Total number of optimizer steps, instead of epochs.")
@click.option(
    "--minutes",
    type=float,
    help="Training time on this machine, instead of epochs [default: 60 for the recipe auto].",
)
@click.option(
    "--folds", is_flag=True, help="Cross-validate: train every fold; set their number with split.folds=5."
)
@click.option("--dry-run", is_flag=True, help="Check data and model, and print the whole recipe.")
@click.option("--benchmark", is_flag=True, help="Measure the speed of a few steps on this machine.")
@click.option("--find-lr", is_flag=True, help="Find a learning rate with a range test.")
@click.option(
    "--progress/--no-progress", default=True, help="Show a progress bar, a line per epoch, and messages."
)
@verbose_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Train a model on images and masks.

    RECIPE is a .toml file, or a name in `segzoo list recipes`. KEY=VALUE sets any key of the recipe;
    --dry-run prints all keys. Names of other programs work too: ema, early_stopping, amp, max_lr.

    \b
    segzoo train auto --data photos --minutes 60
    segzoo train --data photos --model unet epochs=20
    segzoo train recipe.toml lr=1e-3 augment.crop.size=480 augment.flip=false
    segzoo train --data fields data.bands=4,3,2 data.intensity=percentiles:1,99.8
    segzoo train milesial-carvana --root carvana
    segzoo train recipe.toml --folds split.folds=5
    segzoo train recipe.toml --find-lr
    segzoo train --resume runs/unet
    segzoo train --extend runs/unet epochs=+20 lr=1e-4
    """
    how = {name: options.pop(name) for name in _HOW}
    _check_pairs(how)
    values = {key: one for key, one in options.items() if one is not None}
    if how["extend"] is None:
        recipe = _recipe(words, how["resume"], values, how["minutes"], messages=how["progress"])
    else:
        recipe = _extending(words, how["extend"], values)
    if how["dry_run"]:
        _dry_run(recipe, as_json=how["as_json"])
    elif how["benchmark"]:
        _benchmark(recipe, as_json=how["as_json"])
    elif how["find_lr"]:
        _find_lr(recipe, overwrite=how["overwrite"], progress=how["progress"], as_json=how["as_json"])
    else:
        run = {
            "resume": how["resume"] is not None,
            "overwrite": how["overwrite"],
            "progress": how["progress"],
        }
        (_folds if how["folds"] else _train)(recipe, run, as_json=how["as_json"])


def _check_pairs(how: dict[str, Any]) -> None:
    """Raise `OptionError` if two options exclude each other."""
    ways = ("dry_run", "benchmark", "find_lr", "folds")
    chosen = [f"--{name.replace('_', '-')}" for name in ways if how[name]]
    if len(chosen) > 1:
        raise OptionError(f"{' and '.join(chosen)} do not go together: choose one of them")
    others = [
        f"--{name.replace('_', '-')}" for name in ("resume", "minutes", "folds", "find_lr") if how[name]
    ]
    if how["extend"] is not None and others:
        raise OptionError(f"--extend and {others[0]} do not go together: choose one of them")
    if how["resume"] is not None and how["minutes"] is not None:
        raise OptionError(
            "--resume and --minutes do not go together: a resumed run keeps its number of steps. Leave "
            "--minutes out"
        )
    if how["find_lr"] and how["resume"] is not None:
        raise OptionError(
            "--find-lr and --resume do not go together: a resumed run keeps its learning rate. To start a "
            "new run from its weights, use --weights FOLDER --find-lr"
        )


def _extending(words: tuple[str, ...], folder: str, values: dict[str, Any]) -> Recipe:
    """Return the recipe of a finished run with more epochs and other changes by words and options."""
    from segzoo.training.extension import extending_recipe

    named = [word for word in words if "=" not in word]
    if named:
        raise OptionError(
            f"{folder} has its own recipe: use {command_line('--extend', Path(folder))} without {named[0]!r}"
        )
    return extending_recipe(folder, words, **values)


def _recipe(
    words: tuple[str, ...],
    resume: str | None,
    values: dict[str, Any],
    minutes: float | None = None,
    *,
    messages: bool = False,
) -> Recipe:
    """Return the recipe that the words and options of the command line describe."""
    from segzoo.training.recipe.reading import read_recipe

    folder = resume if resume not in (None, _HERE) and Path(resume).is_dir() else None
    if resume not in (None, _HERE) and folder is None:
        # The word after --resume may be a recipe or a setting.
        words = (resume, *words)
        if "=" not in resume and not resume.endswith(".toml") and resume not in zoo.registry("recipes"):
            raise OptionError(f"there is no run to resume in {resume}: the folder does not exist")
    named = [word for word in words if "=" not in word]
    if folder and not (Path(folder) / "recipe.toml").is_file():
        raise OptionError(f"there is no run to resume in {folder}: it has no recipe.toml")
    if folder and named:
        raise OptionError(
            f"{folder} has its own recipe: use {command_line('--resume', Path(folder))} without {named[0]!r}"
        )
    source = folder or next(iter(named), None)
    if resume == _HERE and source is None and not words and not values:
        raise OptionError("say what to resume: --resume FOLDER, such as --resume runs/unet")
    if folder:
        values = {"out": folder, **values}
    rest = [word for word in words if word not in named[:1]]
    message = echo_note if messages and _first_process() else None
    resumes = resume is not None
    return read_recipe(source, rest, minutes=minutes, resume=resumes, on_message=message, **values)


def _train(recipe: Recipe, run: dict[str, Any], *, as_json: bool) -> None:
    from segzoo.training import train

    result = train(recipe, **run)
    if not _first_process():
        return
    if as_json:
        echo_json(_described(result))
        return
    took = f"{result.seconds / 60:.1f} min" if result.seconds >= 60 else f"{result.seconds:.0f} s"
    echo(f"best validation {result.metric} {result.best:.4f} in epoch {result.epoch}, after {took}")
    echo(f"{result.folder}")
    echo(f"next: {command_line('segzoo', 'predict', 'IMAGES', '--model', result.folder)}")


def _described(result: TrainingResult) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "metric": result.metric,
        "best": result.best,
        "epoch": result.epoch,
        "seconds": result.seconds,
        "scores": dict(result.scores),
    }


def _folds(recipe: Recipe, run: dict[str, Any], *, as_json: bool) -> None:
    from segzoo.training.folds import cross_validate

    result: CrossValidation = cross_validate(recipe, **run)
    if not _first_process():
        return
    if as_json:
        echo_json(result.to_json())
        return
    header, rows = result.table()
    echo_rows(rows, header=header)
    echo(result.contract)
    echo(f"{result.folder}")


def _benchmark(recipe: Recipe, *, as_json: bool) -> None:
    from segzoo.training.speed import measure

    result = measure(recipe)
    if not _first_process():
        return
    if as_json:
        echo_json(result.to_json())
        return
    echo(str(result))


def _find_lr(recipe: Recipe, *, overwrite: bool, progress: bool, as_json: bool) -> None:
    from segzoo.training.rate_test import find_rate

    found = find_rate(recipe, overwrite=overwrite, progress=progress)
    if not _first_process():
        return
    if as_json:
        echo_json(found.to_json())
        return
    end = "until the loss diverged" if found.diverged else "to the end"
    echo(f"{len(found.rates)} steps, at learning rates {found.rates[0]:.1e} to {found.rates[-1]:.1e}, {end}")
    echo(f"{found.table}")
    echo(f"{found.plot}")
    if found.suggestion is None:
        echo("the loss falls at no learning rate: look at the plot, and check the data (`segzoo data check`)")
        return
    echo(f"the loss falls most steeply at {found.suggestion:.1e}; the recipe has {recipe.learning_rate:.1e}")
    echo(f"next: the same command with lr={found.suggestion:.1e} instead of --find-lr")


def _dry_run(recipe: Recipe, *, as_json: bool) -> None:
    """Print the recipe as TOML, with facts about data and model as comments; or everything as JSON."""
    from segzoo.labels import background_name
    from segzoo.training.data.splits import splits_of
    from segzoo.training.network import make_network
    from segzoo.training.recipe.writing import to_toml

    training, validation = splits_of(recipe)
    model = make_network(recipe, training)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if as_json:
        sizes = {"train": len(training), "val": len(validation), "parameters": parameters}
        background = background_name(training.labels) or None
        classes = {"classes": list(training.labels.classes), "background": background}
        echo_json({"recipe": asdict(recipe), **sizes, **classes})
        return
    echo(to_toml(recipe))
    echo(f"# {len(training):,} images to train on, {len(validation):,} to validate with")
    background = background_name(training.labels) or "none"
    more = "" if training.labels.background == 0 else f"; background: {background}"
    echo(f"# classes: {', '.join(training.labels.classes)}{more}")
    echo(f"# {recipe.model}: {parameters:,} parameters")


def _first_process() -> bool:
    """Whether this process prints, of those that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"
