"""``segzoo info``: show everything about a name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli.table import echo_json, table, warn_of_failed_plugins
from segzoo.errors import OptionError, UnknownNameError, did_you_mean
from segzoo.printing import echo, echo_table

#: Names of fields whose own names would mislead.
_LABELS = {"options": "built with", "scores": "measured", "claimed": "claimed by its authors"}


@click.command("info")
@click.argument("name", shell_complete=offers.anything)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(name: str, as_json: bool) -> None:
    """Show the options, parameters, licence and scores of a name.

    \b
    segzoo info unet-nuclei           weights
    segzoo info unet/resnet50         a decoder on an encoder
    segzoo info runs/unet             a folder with weights
    segzoo info dice                  the loss and the metric of that name

    NAME is any name in `segzoo list`, 'decoder-encoder' or 'decoder/encoder', an encoder of timm, a file or a
    folder with weights, 'hf-hub:ORG/NAME', or an exported file. If several entries have the name, all are
    shown.
    """
    warn_of_failed_plugins()
    found = _find(name)
    if as_json:
        echo_json(found)
    else:
        for number, one in enumerate(found):
            if number:
                echo()
            echo_table(_text(one))


def _find(name: str) -> list[dict[str, Any]]:
    # Registered names are looked up first, because this does not import torch.
    entries = [entry for kind in zoo.KINDS for entry in zoo.registry(kind).find(name)]
    from segzoo.cli import facts
    from segzoo.weights.folder import read_config
    from segzoo.weights.sources import exported, is_location, locate

    if entries:
        return [facts.facts(entry) for entry in entries]
    as_path = name.startswith(("/", "./", "../")) or (name and Path(name).is_dir())
    file = exported(name)
    if file is not None:
        return [facts.exported_facts(name, file)]
    if is_location(name) or as_path:
        return [facts.folder_facts(name, read_config(locate(name, only_config=True)))]
    found = _timm_encoder(name) if "/" not in name else None
    if found is not None:
        return [facts.facts(found)]
    try:
        pair = zoo.find_model(name)
    except UnknownNameError as error:
        known = [one for kind in zoo.KINDS for one in zoo.registry(kind).names()]
        hint = did_you_mean(name, [*known, *zoo.timm_names()])
        closest = re.search(r"'.*?'", hint)
        if "/" in name or closest is None or closest[0] in str(error):
            raise
        raise UnknownNameError(f"nothing is named {name!r}{hint}\n{error}") from error
    return [facts.pair_facts(pair) if isinstance(pair, zoo.Pair) else facts.facts(pair)]


def _timm_encoder(name: str) -> Any:
    try:
        return zoo.find_encoder(name)
    except (UnknownNameError, OptionError):
        return None


def _text(known: dict[str, Any]) -> str:
    head = f"{known['name']} ({known['kind']}{', from ' + known['owner'] if 'owner' in known else ''})"
    takes = known.get("takes")
    rest = {key: value for key, value in known.items() if key not in ("name", "kind", "owner", "takes")}
    lines = [head, table(_rows(rest, "  "))]
    if takes:
        options = [(f"    {n}", _value(o["default"]), o["meaning"]) for n, o in takes.items()]
        lines += ["  options", table(options, header=("    NAME", "DEFAULT", "MEANING"))]
    return "\n".join(lines)


def _rows(known: dict[str, Any], indent: str) -> list[tuple[str, str]]:
    """Return one row for each value that is not empty; rows of an object are indented below it."""
    rows = []
    for key, value in known.items():
        label = indent + _LABELS.get(key, key).replace("_", " ")
        if isinstance(value, dict) and value:
            rows += [(label, ""), *_rows(value, indent + "  ")]
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            rows += [row for one in value for row in ((label, ""), *_rows(one, indent + "  "))]
        elif value not in (None, "", (), [], {}):
            rows.append((label, _value(value)))
    return rows


def _value(value: Any, *, inner: bool = False) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(_value(one, inner=True) for one in value)
        return f"({text})" if inner else text
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
