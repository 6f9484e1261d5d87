"""From a training's folder to weights that ship: scored, in half precision, with a card and a record.

The record is what `segzoo reproduce` follows. What ships is scored, not what was trained: the weights
after they were rounded to half precision. A plug-in's author calls it once, and names the folder in a
``WeightsSpec``.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import segzoo
from segzoo import json_text, zoo
from segzoo.config import config_of
from segzoo.datasets.checksum import data_checksum
from segzoo.errors import FailureError, UsageError
from segzoo.evaluation.models import score_model
from segzoo.files import refuse_taken, write_whole
from segzoo.machine import machine_in_words, parse_device
from segzoo.publishing.card import model_card
from segzoo.publishing.provenance import SCORED, recipe_of
from segzoo.training.data.splits import open_part
from segzoo.weights.cache import sha256_of
from segzoo.weights.folder import FILES, TENSORS, read_config, save
from segzoo.weights.loading import load

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from torch import nn

    from segzoo.evaluation.results import Evaluation

#: The card, as the Hugging Face Hub and `segzoo.push` take it.
CARD = "README.md"


def release(
    run: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    data: str = "",
    root: str | None = None,
    part: str = "test",
    metrics: Sequence[str] = ("iou", "dice"),
    by: Sequence[str] = (),
    machine: str = "",
    licence: str = "",
    notes: Sequence[str] = (),
    dtype: torch.dtype = torch.float16,
    resamples: int = 1000,
    device: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Write weights to ship, and score them.

    Args:
        run: the folder of a training, or weights that were released before, to be scored anew.
        target: the folder for the weights; created where it is missing. It may be ``run`` where that was
            released before, to be scored anew, and else with ``overwrite``.
        data: the data set, where it is not the one that the recipe names; a folder's path.
        root: where a registered data set lies.
        part: what scores: ``test``, or ``val`` where the data has no test part.
        metrics: registered metrics.
        by: groups of images that are scored by themselves too, as `segzoo.evaluation.score_model` takes them.
        machine: what the training ran on, in words; this machine where nothing says so.
        licence: of the weights; as the recipe says where empty.
        notes: what people should know before they use them, in sentences: whose data it is, what they are not
            for. Where empty, weights that were released before keep theirs.
        dtype: of the weights.
        resamples: of the bootstrap over images that gives intervals.
        device: where to score.
        overwrite: whether weights and a card that the target holds may be replaced.
        progress: whether to show a bar.

    Returns:
        The scores of what ships.

    Raises:
        UsageError: ``run`` holds no weights with a recipe.
        OptionError: the data has no such part.
        FailureError: the target cannot be written, or holds weights or a card already.

    Example:
        >>> release("runs/nuclei", "src/mine/weights/nuclei", root="dsb2018", machine="one H200, 20 minutes")
    """
    run, target = Path(run), Path(target)
    _check_run(run)
    files = [target / name for name in (*FILES, CARD)]
    refuse_taken(files, overwrite=overwrite, owns=_released_before(run, target))
    recipe = recipe_of(str(run), read_config(run).provenance, data=data, root=root)
    folds = _folds(run)
    parts = {
        name: open_part(recipe.source, recipe.split, name) for name in dict.fromkeys(("train", "val", part))
    }
    shipped = _rounded(run, dtype).to(parse_device(device))
    found = score_model(
        shipped,
        parts[part],
        metrics=metrics,
        by=by,
        subject=target.name,
        data=Path(recipe.data).name,
        split=part,
        resamples=resamples,
        progress=progress,
    )
    config = config_of(shipped)
    told = {key: value for key, value in config.provenance.items() if key not in (SCORED, part)}
    told |= {
        "data": Path(recipe.data).name,
        "machine": machine or told.get("machine") or machine_in_words(),
        "checksums": {name: data_checksum(dataset) for name, dataset in parts.items()},
        "released with": f"segzoo {segzoo.__version__}, torch {torch.__version__}",
        SCORED: part,
        part: _scores(found),
        **({"cross_validation": folds} if folds else {}),
        **({"notes": list(notes)} if notes else {}),
    }
    config = replace(config, provenance=told, licence=licence or config.licence)
    save(shipped.cpu(), target, config=config, dtype=dtype)
    write_card(target)
    return found


def write_card(target: Path, name: str = "") -> Path:
    """Write the card of a folder of weights, from its own config; return its path.

    Args:
        target: the folder.
        name: under which a plug-in registers them; the folder's own where empty.
    """
    write_whole(target / CARD, _card(target, name).encode())
    return target / CARD


def _card(target: Path, name: str = "") -> str:
    name = name or target.name
    owners = [entry.owner for entry in zoo.registry("weights").find(name)]
    return model_card(
        read_config(target),
        name=name if owners else "",
        plugin=owners[0] if owners else "",
        sha256=sha256_of(target / TENSORS),
    )


def _released_before(run: Path, target: Path) -> Callable[[Path], bool]:
    """Return which files of the target were released from it before, and are scored anew where they lie."""
    if not target.is_dir() or not run.samefile(target) or SCORED not in read_config(run).provenance:
        return lambda path: False

    def owns(path: Path) -> bool:
        # A card that somebody has written or edited is theirs.
        return path.name != CARD or path.read_text(encoding="utf-8") == _card(target)

    return owns


def _check_run(run: Path) -> None:
    if (run / "folds.json").is_file():
        raise UsageError(
            f"{run} holds folds: name one of them, such as {run / 'fold-0'}; the scores of all go along"
        )
    if not (run / "config.json").is_file():
        raise UsageError(f"{run} holds no weights: give the folder that `segzoo train` left")


def _rounded(run: Path, dtype: torch.dtype) -> nn.Module:
    """Return the model of a folder as it is after it was stored in another precision."""
    # A copy, as what was loaded is the very file.
    model = deepcopy(load(run))
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.to(dtype))
    return model


def _scores(found: Evaluation) -> dict[str, Any]:
    """Return every score as the card and `segzoo reproduce` read it."""
    told = found.to_json()
    metrics = {
        score["metric"]: {
            **score["values"],
            "intervals": score["intervals"],
            "contract": score["contract"],
        }
        for score in told["scores"]
    }
    classes = {
        one["name"]: {name: one[name] for name in ("iou", "dice", "precision", "recall")}
        | {"contract": told["classes"]["contract"]}
        for one in told["classes"]["scores"]
    }
    groups = [
        {key: group[key] for key in ("by", "name", "images")}
        | {score["metric"]: {**score["values"], "intervals": score["intervals"]} for score in group["scores"]}
        for group in told["groups"]
    ]
    how = found.bootstrap.words(len(found.images))
    return {
        "images": len(found.images),
        **metrics,
        "classes": classes,
        **({"groups": groups} if groups else {}),
        "intervals by": how,
    }


def _folds(run: Path) -> dict[str, Any]:
    """Return the scores of all folds, where the run is one of them."""
    path = run.parent / "folds.json"
    if not run.name.startswith("fold-") or not path.is_file():
        return {}
    try:
        return json_text.read(path)
    except (OSError, ValueError) as error:
        raise FailureError(f"{path} cannot be read: {error}") from error
