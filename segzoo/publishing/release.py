"""From a run's folder to released weights: evaluated, in half precision, with a card and a record.

`segzoo reproduce` follows the record. The scores are those of the released weights, after rounding to half
precision. The author of a plug-in calls it once, and names the folder in a ``WeightsSpec``.
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
from segzoo.errors import FailureError, UsageError
from segzoo.evaluation.models import score_model
from segzoo.files import refuse_taken, write_whole
from segzoo.machine import machine_in_words, parse_device
from segzoo.publishing.card import model_card
from segzoo.publishing.provenance import SCORED, data_checksum, recipe_of
from segzoo.training.data.splits import open_part
from segzoo.weights.cache import sha256_of
from segzoo.weights.folder import FILES, TENSORS, read_config, save
from segzoo.weights.loading import load

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from torch import nn

    from segzoo.evaluation.results import Evaluation

#: The card in the form of the Hugging Face Hub and `segzoo.push`.
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
    """Write weights for release, and evaluate them.

    Args:
        run: folder of a run, or weights that were released before, to be evaluated again.
        target: folder for the weights; created if it is missing. It may be ``run`` if that was released
          before, to be evaluated again, and otherwise with ``overwrite``.
        data: dataset, if it is not the one that the recipe names; a folder's path.
        root: location of a registered dataset.
        part: evaluated part: ``test``, or ``val`` if the data has no test part.
        metrics: registered metrics.
        by: groups of images that are also evaluated separately, see `segzoo.evaluation.score_model`.
        machine: description of the machine used for training; by default the recorded one, or this machine.
        licence: licence of the weights; the recipe's if empty.
        notes: what users should know, in sentences: whose data it is, what the weights are not suited for. If
          empty, weights that were released before keep their notes.
        dtype: type of the weights.
        resamples: number of bootstrap resamples over images for the confidence intervals.
        device: device for the evaluation.
        overwrite: whether existing weights and cards in the target may be replaced.
        progress: whether to show a bar.

    Returns:
        The scores of the released weights.

    Raises:
        UsageError: ``run`` contains no weights with a recipe.
        OptionError: the data has no such part.
        FailureError: the target cannot be written, or already contains weights or a card.

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
    """Write the card of a folder of weights, from its config; return its path.

    Args:
        target: the folder.
        name: name under which a plug-in registers them; the folder's name if empty.
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
    """Return the files of the target that were released from it before, and may be replaced."""
    if not target.is_dir() or not run.samefile(target) or SCORED not in read_config(run).provenance:
        return lambda path: False

    def owns(path: Path) -> bool:
        # A card that somebody has written or edited is not replaced.
        return path.name != CARD or path.read_text(encoding="utf-8") == _card(target)

    return owns


def _check_run(run: Path) -> None:
    if (run / "folds.json").is_file():
        raise UsageError(
            f"{run} holds folds: name one of them, such as {run / 'fold-0'}; all folds' scores are included"
        )
    if not (run / "config.json").is_file():
        raise UsageError(f"{run} holds no weights: give a folder that `segzoo train` wrote")


def _rounded(run: Path, dtype: torch.dtype) -> nn.Module:
    """Return the model of a folder as stored in another precision."""
    # A copy, because loaded tensors are mapped from the file itself.
    model = deepcopy(load(run))
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.to(dtype))
    return model


def _scores(found: Evaluation) -> dict[str, Any]:
    """Return every score in the form for the card and `segzoo reproduce`."""
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
    """Return the scores of all folds, if the run is one of them."""
    path = run.parent / "folds.json"
    if not run.name.startswith("fold-") or not path.is_file():
        return {}
    try:
        return json_text.read(path)
    except (OSError, ValueError) as error:
        raise FailureError(f"{path} cannot be read: {error}") from error
