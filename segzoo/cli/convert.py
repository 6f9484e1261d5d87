"""``segzoo convert``: another program's checkpoint becomes a segzoo folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segzoo import json_text
from segzoo.cli import completions as offers
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
    help="The program that wrote FILE [default: recognised from its tensors].",
)
@click.option(
    "--out", required=True, type=click.Path(), help="The folder to write; of an ONNX file, the new file."
)
@click.option("--classes", metavar="NAMES", help="Names of the classes, with commas, which few files hold.")
@click.option(
    "--background", metavar="CLASS", help="Which of them is background, or none [default: the first]."
)
@click.option("--overwrite", is_flag=True, help="Replace the model that the folder holds.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="What FILE does not say, such as scale=0.5; once per option.",
)
def command(
    file: str,
    layout: str | None,
    out: str,
    classes: str | None,
    background: str | None,
    overwrite: bool,
    options: tuple[str, ...],
) -> None:
    """Convert another program's checkpoint to a segzoo folder.

    `segzoo list layouts` shows the programs whose files are known. An ONNX file stays one, and learns what
    its classes and images are.

    \b
    segzoo convert MODEL.pth --out carvana --option scale=0.5
    segzoo convert unet_voc.pth --from bubbliiiing --option activation=none --out voc
    segzoo convert streets.pth --classes sky,road,car --background none --out streets
    segzoo convert roads.onnx --classes background,road --option mean=0.5 --option std=0.5 --out roads2.onnx
    """
    from segzoo.files import refuse_fetching
    from segzoo.weights.conversion import convert

    pairs = pairs_of("--option", options, "scale=0.5")
    given = {key: json_text.value(text) for key, text in pairs.items()}
    clash = sorted(
        given.keys() & {"file", "out", "layout", "labels", "preprocessing", "provenance", "overwrite"}
    )
    if clash:
        raise click.BadParameter(f"{clash[0]!r} is no option of a layout", param_hint="--option")
    labels = _labels(classes, background)
    refuse_fetching(file)
    folder = convert(file, out, layout=layout, labels=labels, overwrite=overwrite, **given)
    if folder.suffix == ".onnx":
        _echo_onnx(folder)
        return
    told = json_text.read(folder / "config.json")
    echo(f"{folder}: {_network(told)}, from layout {told['provenance']['layout']}")
    for note in told["provenance"].get("notes", ()):
        echo(f"note: {note}")
    if "segzoo_encoder" in told:
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
    """Return the classes as they were told, if they were."""
    from segzoo.labels import named_labels

    if classes is None:
        if background is not None:
            raise click.UsageError("--background is one of --classes: say both", click.get_current_context())
        return None
    return named_labels(words_of("--classes", classes), background)


def _network(config: dict[str, Any]) -> str:
    if "segzoo_encoder" in config:
        return f"encoder {config['encoder']}"
    architecture = config["architecture"]
    return f"{architecture['name']} with {architecture['num_classes']} logits"
