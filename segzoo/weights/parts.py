"""The files that a folder of transformers or segmentation_models.pytorch is made of.

Beside ``config.json`` lie the tensors: in one file, or in several that an index names. An index comes from a
stranger, so each file that it names must lie in the folder itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.errors import WeightsError
from segzoo.weights import strangers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
#: What libraries keep beside a config, and the name in `Checkpoint.extras` of what it says.
BESIDE = {PROCESSOR: "preprocessor_config", "albumentations_config_eval.json": "albumentations_config"}
#: Names of a file of tensors, in the order in which they are looked for; an index has one more ending.
TENSORS = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"
_PLAIN_NAME = re.compile(r"[\w][\w. -]*")
#: Keys that configs of segzoo's own folders have.
_OWN = ("segzoo_format", "segzoo_encoder")


def read_settings(path: Path) -> dict[str, Any]:
    """Return what a file of settings of another program says.

    Raises:
        WeightsError: it is missing, not JSON, or no object.
    """
    try:
        settings = json_text.read(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise WeightsError(f"{path} must hold an object, got {type(settings).__name__}")
    return settings


def is_foreign(folder: Path) -> bool:
    """Whether a folder has a config, and one of another program; one that cannot be read is nobody's."""
    try:
        settings = json_text.read(folder / CONFIG)
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and not any(key in settings for key in _OWN)


def refuse_stranger(folder: Path, where: str) -> None:
    """Raise `WeightsError` that names a folder of a kind that is not read, as far as its files tell.

    Args:
        folder: holds some of what it should.
        where: what it is called.
    """
    marks = {mark for stranger in strangers.STRANGERS for mark in stranger.files}
    there = [mark for mark in marks if not mark.startswith("/") and (folder / mark).exists()]
    config = folder / CONFIG
    beside = {"config": read_settings(config)} if config.is_file() else {}
    found = strangers.find(files=there, beside=beside)
    if found is not None and not found.plugin:
        raise WeightsError(f"{where} {found.sentence()}")


def refuse_code(settings: dict[str, Any], where: str) -> None:
    """Raise `WeightsError` if a config names code of its own repository, which is never run."""
    named = settings.get("auto_map")
    if named:
        first = next(iter(named.values()), "") if isinstance(named, dict) else named
        raise WeightsError(
            f"{where} names code of its own repository (auto_map: {str(first)[:100]!r}), which is never run "
            "here: its network is none of transformers'. Look for a repository of the same model without "
            "`auto_map`"
        )


def weights_of(find: Callable[[str], Path | None], where: str) -> list[Path]:
    """Return the files of tensors that a folder has: one, or the index and each file that it names.

    Args:
        find: returns a file of the folder by its name, ``None`` where there is none.
        where: the folder, for errors.

    Raises:
        WeightsError: there is none, or an index names a file that is not in the folder.
    """
    for name in TENSORS:
        found = find(name)
        if found is not None:
            return [found]
        index = find(name + INDEX)
        if index is not None:
            return [index, *(_shard(find, shard, index) for shard in shards_of(index))]
    raise WeightsError(f"{where} holds none of {', '.join(TENSORS)}, nor an index of several files ({INDEX})")


def shards_of(index: Path) -> dict[str, set[str]]:
    """Return which files an index names, and the tensors of each.

    Raises:
        WeightsError: it is no index, or names a file that would lie elsewhere.
    """
    named = read_settings(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise WeightsError(f"{index} is no index of tensors: it has no `weight_map`")
    shards: dict[str, set[str]] = {}
    for tensor, shard in named.items():
        if not isinstance(shard, str) or not _PLAIN_NAME.fullmatch(shard):
            raise WeightsError(
                f"{index} says that tensor {tensor!r} lies in {str(shard)[:100]!r}: a file's plain name is "
                "expected, of a file in the same folder"
            )
        shards.setdefault(shard, set()).add(tensor)
    return shards


def _shard(find: Callable[[str], Path | None], name: str, index: Path) -> Path:
    found = find(name)
    if found is None:
        raise WeightsError(f"{index.parent} holds no {name}, which {index.name} names: fetch it too")
    return found


def files_of(path: Path) -> list[Path]:
    """Return all files that a checkpoint at hand is made of: itself, or those of the folder that are read.

    Raises:
        WeightsError: a folder lacks what it needs.
    """
    if not path.is_dir():
        return [path]

    def find(name: str) -> Path | None:
        return path / name if (path / name).is_file() else None

    said = [path / name for name in (CONFIG, *BESIDE) if find(name)]
    try:
        if not said or said[0].name != CONFIG:
            raise WeightsError(
                f"folder {path} holds no {CONFIG}; name a file, or a folder with {CONFIG} and {TENSORS[0]}"
            )
        refuse_code(read_settings(said[0]), str(said[0]))
        return [*said, *weights_of(find, f"folder {path}")]
    except WeightsError:
        refuse_stranger(path, str(path))
        raise
