"""Mapillary Vistas: ``config_v2.0.json``, and ``images`` with ``v2.0/labels`` in each part.

A mask's value is the place of its class in the configuration's list of labels. Labels that are not evaluated
are ignored.

Data: Neuhold et al., 2017, doi:10.1109/ICCV.2017.534; https://www.mapillary.com/dataset/vistas
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import segzoo.json_text as json_text
from segzoo.datasets import FOLDERS, Pair, Pairs, check_split, listed, match
from segzoo.errors import FailureError, OptionError
from segzoo.specs import Labels, Recognition
from segzoo_formats.lookup import Lookup
from segzoo_formats.search import unwrapped

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance

#: Configurations, newest first, with the folder of their masks in each part.
_VERSIONS = {"2.0": ("config_v2.0.json", "v2.0/labels"), "1.2": ("config_v1.2.json", "v1.2/labels")}
_OLDEST = ("config.json", "labels")
_MOST_BYTES = 1 << 24


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a configuration with the masks of its version in a part."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if glance.file:
        return None
    parts = [word for words in FOLDERS.values() for word in words if glance.has(word)]
    there = [
        version
        for version, (config, masks) in (*_VERSIONS.items(), ("1.1", _OLDEST))
        if glance.has(config) and any(glance.has(f"{part}/{masks}") for part in parts)
    ]
    if not there:
        return None
    data = glance.json(glance.folder / (_VERSIONS.get(there[0], _OLDEST)[0]))
    if not isinstance(data, dict) or not isinstance(data.get("labels"), list):
        return None
    also = f"; data.version={there[1]} reads the older classes" if len(there) > 1 else ""
    told = f"Mapillary Vistas {there[0]}, {len(data['labels'])} labels, parts as folders{also}"
    return Recognition(summary=told, masks=True)


def mapillary(
    root: str | os.PathLike[str], split: str = "train", *, version: str | float = "", scale: float = 1.0
) -> Pairs:
    """Open Mapillary Vistas.

    Args:
        root: folder that holds ``config_v2.0.json`` or an older one, and folders ``training`` and
            ``validation`` with ``images`` and ``v2.0/labels``.
        split: ``train``, ``val``, ``test`` or ``all``; Vistas' own test part has no masks.
        version: ``2.0``, ``1.2`` or ``1.1``; by default the newest that is there.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or a file has no partner.
        OptionError: the split is empty.
    """
    check_split("mapillary-vistas", split)
    root, known = Path(root), {**_VERSIONS, "1.1": _OLDEST}
    if version and str(version) not in known:
        raise OptionError(f"version must be {', '.join(known)}, got {version!r}")
    wanted = [known[str(version)]] if version else list(known.values())
    folders = [(part, word) for part, words in FOLDERS.items() for word in words]
    found = next(
        (
            (config, masks)
            for config, masks in wanted
            if (root / config).is_file() and any((root / word / masks).is_dir() for _, word in folders)
        ),
        None,
    )
    if found is None:
        config, masks = wanted[0]
        raise FailureError(f"{root} holds no Mapillary Vistas: expected {config} and training/{masks}")
    config, masks = found
    decode = _decoder(root / config)
    pairs = [
        (part, Pair(f"{word}/{name}", image, mask))
        for part, word in folders
        if (root / word / masks).is_dir()
        for name, image, mask in match(root / word / "images", root / word / masks)
    ]
    chosen = [pair for part, pair in pairs if split in ("all", part)]
    if not chosen:
        there = listed(sorted({part for part, _ in pairs}))
        raise OptionError(f"the split {split!r} of {root} is empty: there are masks of {there}")
    return Pairs(chosen, decode.labels, scale=scale, decode=decode)


def _decoder(path: Path) -> Lookup:
    try:
        data = json_text.read(path, most=_MOST_BYTES)
        entries = [_entry(one) for one in data["labels"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FailureError(f"{path} is no configuration of Mapillary Vistas: {error!r}") from error
    readable = [readable for readable, _, _, _ in entries]
    names = readable if len(set(readable)) == len(readable) else [name for _, name, _, _ in entries]
    used = [number for number, (*_, evaluated) in enumerate(entries) if evaluated]
    labels = Labels(
        classes=tuple(names[number] for number in used),
        palette=tuple(entries[number][2] for number in used),
        ignore_index=255,
        background=None,
    )
    meaning: dict[int, int | None] = dict.fromkeys(range(len(entries)))
    meaning |= {number: index for index, number in enumerate(used)}
    return Lookup(labels, meaning, path.name)


def _entry(one: dict[str, Any]) -> tuple[str, str, tuple[int, int, int], bool]:
    red, green, blue = (int(band) for band in one["color"])
    return (
        str(one.get("readable") or one["name"]),
        str(one["name"]),
        (red, green, blue),
        bool(one["evaluate"]),
    )
