"""The files in a folder of transformers or segmentation_models.pytorch.

Next to ``config.json`` are the tensors: in one file, or in several that an index names. An index may come
from a stranger, so each file that it names must be in the folder itself.
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
#: Files that libraries save next to a config, and the name in `Checkpoint.extras` of their content.
BESIDE = {PROCESSOR: "preprocessor_config", "albumentations_config_eval.json": "albumentations_config"}
#: Names of a file of tensors, in order of preference; an index has one more ending.
TENSORS = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"
_PLAIN_NAME = re.compile(r"[\w][\w. -]*")
#: Keys in the configs of segzoo's own folders.
_OWN = ("segzoo_format", "segzoo_encoder")


def read_settings(path: Path) -> dict[str, Any]:
    """Return the content of another program's settings file.

    Raises:
        WeightsError: the file is missing, not JSON, or not an object.
    """
    try:
        settings = json_text.read(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise WeightsError(f"{path} must hold an object, got {type(settings).__name__}")
    return settings


def is_foreign(folder: Path) -> bool:
    """Return whether a folder has another program's config; false as well if the config cannot be read."""
    try:
        settings = json_text.read(folder / CONFIG)
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and not any(key in settings for key in _OWN)


def refuse_stranger(folder: Path, where: str) -> None:
    """Raise `WeightsError` that names the kind of an unsupported folder, as far as its files show it.

    Args:
        folder: folder that has some of the expected files.
        where: name of the folder in messages.
    """
    marks = {mark for stranger in strangers.STRANGERS for mark in stranger.files}
    there = [mark for mark in marks if not mark.startswith("/") and (folder / mark).exists()]
    config = folder / CONFIG
    beside = {"config": read_settings(config)} if config.is_file() else {}
    found = strangers.find(files=there, beside=beside)
    if found is not None and not found.plugin:
        raise WeightsError(f"{where} {found.sentence()}")


def refuse_code(settings: dict[str, Any], where: str) -> None:
    """Raise `WeightsError` if a config refers to code in its repository, which is never run."""
    named = settings.get("auto_map")
    if named:
        first = next(iter(named.values()), "") if isinstance(named, dict) else named
        raise WeightsError(
            f"{where} names code of its own (auto_map: {str(first)[:100]!r}), which segzoo never runs: its "
            "network is not one of transformers'. Find a repository of the same model without `auto_map`"
        )


def weights_of(find: Callable[[str], Path | None], where: str) -> list[Path]:
    """Return the files of tensors in a folder: one, or the index and each file that it names.

    Args:
        find: returns a file of the folder by its name, or ``None`` if there is none.
        where: name of the folder in messages.

    Raises:
        WeightsError: there is no file of tensors, or an index names a file that is not in the folder.
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
    """Return the files that an index names, and the tensors of each.

    Raises:
        WeightsError: the file is not an index, or names a file elsewhere.
    """
    named = read_settings(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise WeightsError(f"{index} is not an index of tensors: it has no `weight_map`")
    shards: dict[str, set[str]] = {}
    for tensor, shard in named.items():
        if not isinstance(shard, str) or not _PLAIN_NAME.fullmatch(shard):
            raise WeightsError(
                f"{index} says that tensor {tensor!r} is in {str(shard)[:100]!r}: the name of a file of "
                "the same folder is expected"
            )
        shards.setdefault(shard, set()).add(tensor)
    return shards


def _shard(find: Callable[[str], Path | None], name: str, index: Path) -> Path:
    found = find(name)
    if found is None:
        raise WeightsError(f"{index.parent} holds no {name}, which {index.name} names: fetch it too")
    return found


def files_of(path: Path) -> list[Path]:
    """Return all files of a local checkpoint: the file itself, or the files of the folder that are read.

    Raises:
        WeightsError: a folder does not have a file that it needs.
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
