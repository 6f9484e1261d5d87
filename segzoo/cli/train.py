"""``segzoo train``: a model from images and masks."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli.recipe_completions import recipe_words
from segzoo.cli.table import echo_json, table
from segzoo.errors import OptionError
from segzoo.printing import command_line, echo, echo_beside_bars

if TYPE_CHECKING:
    from segzoo.training import Recipe, TrainingResult
    from segzoo.training.folds import CrossValidation

# Stands for --resume without a folder, which no folder is called.
_HERE = "\0"

# Options that say how to train rather than what: they are no keys of a recipe.
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
    """A whole number; ``+20`` is left as it is, for ``--extend``."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or the text that begins with a plus."""
        return value if str(value).startswith("+") else click.INT.convert(value, param, ctx)


#: Options of every command that trains by a recipe, each short for a key of it.
_KEYS = (
    click.option(
        "--data",
        shell_complete=offers.data,
        help="A data set by name, or a folder or file of any format that is recognised.",
    ),
    click.option(
        "--root", type=click.Path(), help="Location of a named data set [default: $SEGZOO_DATA/NAME]."
    ),
    click.option(
        "--model",
        shell_complete=offers.models,
        help="A model, decoder/encoder, or weights to go on from [default: unet].",
    ),
    click.option(
        "--weights",
        shell_complete=offers.weights,
        help="Weights to start from: every tensor that fits is taken.",
    ),
    click.option("--epochs", type=Count(), help="How often every image is seen [default: 50]."),
    click.option("--batch-size", type=int, help="Images a step, of all processes together [default: 8]."),
    click.option(
        "--device", shell_complete=offers.devices, help="auto, cpu, cuda, mps or npu [default: auto]."
    ),
)


def recipe_options(command: Any) -> Any:
    """Give a command the options that are short for keys of a recipe."""
    for option in reversed(_KEYS):
        command = option(command)
    return command


@click.command("train")
@click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=VALUE]...", shell_complete=recipe_words)
@recipe_options
@click.option("--out", type=click.Path(), help="Where the weights go [default: runs/RECIPE or runs/MODEL].")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_HERE,
    metavar="[FOLDER]",
    shell_complete=offers.folders,
    help="Go on with the training in FOLDER [default: the recipe's out].",
)
@click.option(
    "--extend",
    metavar="FOLDER",
    shell_complete=offers.folders,
    help="Train the finished training in FOLDER further, into another folder; epochs=+20 adds 20.",
)
@click.option(
    "--overwrite", is_flag=True, help="Delete the training that the folder holds; with --find-lr, its files."
)
@click.option("--steps", type=Count(), help="Optimizer steps in all, instead of epochs.")
@click.option(
    "--minutes",
    type=float,
    help="Time to train for on this machine, instead of epochs [default: 60 for auto].",
)
@click.option("--folds", is_flag=True, help="Train every fold; say how many as split.folds=5.")
@click.option("--dry-run", is_flag=True, help="Check data and model, print the whole recipe, train nothing.")
@click.option("--benchmark", is_flag=True, help="Measure a few steps on this machine instead of training.")
@click.option("--find-lr", is_flag=True, help="Find a learning rate by a range test instead of training.")
@click.option("--progress/--no-progress", default=True, help="Show a bar and what happens.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Train a model on images and masks.

    RECIPE is a file that ends in .toml, or a name of `segzoo list recipes`; KEY=VALUE sets anything
    else in it, as --dry-run prints it. Words of other programs do too: ema, early_stopping, amp, max_lr.

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
        recipe = _recipe(words, how["resume"], values, how["minutes"], tell=how["progress"])
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
    """Raise `OptionError` where two things to do exclude one another."""
    ways = ("dry_run", "benchmark", "find_lr", "folds")
    chosen = [f"--{name.replace('_', '-')}" for name in ways if how[name]]
    if len(chosen) > 1:
        raise OptionError(f"{' and '.join(chosen)} do not go together: say one of them")
    others = [
        f"--{name.replace('_', '-')}" for name in ("resume", "minutes", "folds", "find_lr") if how[name]
    ]
    if how["extend"] is not None and others:
        raise OptionError(f"--extend and {others[0]} do not go together: say one of them")
    if how["resume"] is not None and how["minutes"] is not None:
        raise OptionError(
            "--resume and --minutes do not go together: a training that goes on takes the steps that it had. "
            "Leave --minutes out"
        )
    if how["find_lr"] and how["resume"] is not None:
        raise OptionError(
            "--find-lr and --resume do not go together: a training that goes on keeps its rate. To begin "
            "another from its weights, say --weights FOLDER --find-lr"
        )


def _extending(words: tuple[str, ...], folder: str, values: dict[str, Any]) -> Recipe:
    """Return the recipe of a finished training with more epochs, and what else words and options change."""
    from segzoo.training.extension import extending_recipe

    named = [word for word in words if "=" not in word]
    if named:
        raise OptionError(
            f"{folder} has its own recipe: say {command_line('--extend', Path(folder))} without {named[0]!r}"
        )
    return extending_recipe(folder, words, **values)


def _recipe(
    words: tuple[str, ...],
    resume: str | None,
    values: dict[str, Any],
    minutes: float | None = None,
    *,
    tell: bool = False,
) -> Recipe:
    """Return the recipe that the words and options of the command line stand for."""
    from segzoo.training.recipe.reading import read_recipe

    folder = resume if resume not in (None, _HERE) and Path(resume).is_dir() else None
    if resume not in (None, _HERE) and folder is None:
        # What follows --resume may as well be a recipe or a setting.
        words = (resume, *words)
        if "=" not in resume and not resume.endswith(".toml") and resume not in zoo.registry("recipes"):
            raise OptionError(f"there is no training to resume in {resume}: there is no such folder")
    named = [word for word in words if "=" not in word]
    if folder and not (Path(folder) / "recipe.toml").is_file():
        raise OptionError(f"there is no training to resume in {folder}: it has no recipe.toml")
    if folder and named:
        raise OptionError(
            f"{folder} has its own recipe: say {command_line('--resume', Path(folder))} without {named[0]!r}"
        )
    source = folder or next(iter(named), None)
    if resume == _HERE and source is None and not words and not values:
        raise OptionError("say what to resume: --resume FOLDER, such as --resume runs/unet")
    if folder:
        values = {"out": folder, **values}
    rest = [word for word in words if word not in named[:1]]
    message = echo_beside_bars if tell and _first_process() else None
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
    echo(table(rows, header=header))
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
    end = "where the loss diverged" if found.diverged else "to the end"
    echo(f"{len(found.rates)} steps, at rates of {found.rates[0]:.1e} to {found.rates[-1]:.1e}, {end}")
    echo(f"{found.table}")
    echo(f"{found.plot}")
    if found.suggestion is None:
        echo("the loss falls at no rate: look at the plot, and at the images and masks (`segzoo data check`)")
        return
    echo(f"the loss falls most steeply at {found.suggestion:.1e}; the recipe says {recipe.learning_rate:.1e}")
    echo(f"next: the same command with lr={found.suggestion:.1e} instead of --find-lr")


def _dry_run(recipe: Recipe, *, as_json: bool) -> None:
    """Print the recipe as TOML, and as comments what was found of data and model; or all as JSON."""
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
    told = "" if training.labels.background == 0 else f"; background: {background}"
    echo(f"# classes: {', '.join(training.labels.classes)}{told}")
    echo(f"# {recipe.model}: {parameters:,} parameters")


def _first_process() -> bool:
    """Whether this is the process that tells, of those that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"
