"""``segzoo convert``: convert the checkpoint of another program to a segzoo folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segzoo import json_text
from segzoo.cli import completions as offers
from segzoo.cli.help import progress_option
from segzoo.cli.words import pairs_of, words_of
from segzoo.printing import command_line, echo

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.specs import Labels


@click.command("convert")
@click.argument("file", type=click.Path())
@click.option(
    "--from",
    "layout",
    shell_complete=offers.layouts,
    help="Program that wrote FILE [default: recognised from the tensors].",
)
@click.option(
    "--out", required=True, type=click.Path(), help="Folder to write, or the new file if FILE is ONNX."
)
@click.option(
    "--classes", metavar="NAMES", help="Names of the classes, separated by commas; few files contain them."
)
@click.option("--background", metavar="CLASS", help="Background class, or none [default: the first class].")
@click.option("--overwrite", is_flag=True, help="Replace the model in the folder.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting that FILE does not contain, such as scale=0.5; may be repeated.",
)
@progress_option
def command(
    file: str,
    layout: str | None,
    out: str,
    classes: str | None,
    background: str | None,
    overwrite: bool,
    options: tuple[str, ...],
) -> None:
    """Convert the checkpoint of another program to a segzoo folder.

    `segzoo list layouts` shows the supported programs. An ONNX file stays an ONNX file, and gets a
    description of its classes and of its input images.

    \b
    segzoo convert MODEL.pth --out carvana --option scale=0.5
    segzoo convert voc.pth --from bubbliiiing --option activation=none --out voc
    segzoo convert street.pth --classes sky,road --background none --out street
    segzoo convert a.onnx --classes background,road --option mean=0.5 --out b.onnx
    """
    from segzoo.files import refuse_fetching
    from segzoo.weights.conversion import convert

    pairs = pairs_of("--option", options, "scale=0.5")
    given = {key: json_text.value(text) for key, text in pairs.items()}
    clash = sorted(
        given.keys()
        & {"file", "out", "layout", "labels", "preprocessing", "provenance", "overwrite", "progress"}
    )
    if clash:
        raise click.BadParameter(f"{clash[0]!r} is not an option of a layout", param_hint="--option")
    labels = _labels(classes, background)
    refuse_fetching(file)
    folder = convert(file, out, layout=layout, labels=labels, overwrite=overwrite, progress=True, **given)
    if folder.suffix == ".onnx":
        _echo_onnx(folder)
        return
    config = json_text.read(folder / "config.json")
    echo(f"{folder}: {_network(config)}, from layout {config['provenance']['layout']}")
    for note in config["provenance"].get("notes", ()):
        echo(f"note: {note}")
    if "segzoo_encoder" in config:
        echo(f"next: segzoo.create(..., weights={str(folder)!r})")
    else:
        echo(f"next: {command_line('segzoo', 'predict', 'IMAGES', '--model', folder)}")


def _echo_onnx(file: Path) -> None:
    from segzoo.runtimes.network import open_file

    info = open_file(file).info
    assert info is not None
    config = info.config
    echo(f"{file}: {info.name} with {config.architecture.num_classes} logits, from ONNX")
    for note in config.provenance.get("notes", ()):
        echo(f"note: {note}")
    echo(f"next: {command_line('segzoo', 'predict', 'IMAGES', '--model', file)}")


def _labels(classes: str | None, background: str | None) -> Labels | None:
    """Return the classes from the command line, if there are any."""
    from segzoo.labels import named_labels

    if classes is None:
        if background is not None:
            raise click.UsageError(
                "--background names one of the --classes: give both", click.get_current_context()
            )
        return None
    return named_labels(words_of("--classes", classes), background)


def _network(config: dict[str, Any]) -> str:
    if "segzoo_encoder" in config:
        return f"encoder {config['encoder']}"
    architecture = config["architecture"]
    return f"{architecture['name']} with {architecture['num_classes']} logits"
