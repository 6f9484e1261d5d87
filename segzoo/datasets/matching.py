"""Finds the mask of each image by name, in two folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.errors import FailureError
from segzoo.images import (
    folder_suffixes,
    has_suffix,
    is_image_folder,
    readable_suffixes,
    without_suffix,
)
from segzoo.labels import file_words
from segzoo.options import listed, many

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from segzoo.specs import Labels

#: Suffix that nnU-Net adds to the name of an image's first channel.
_FIRST = "_0000"


def match(images: Path, masks: Path, suffixes: Sequence[str] = ("",)) -> list[tuple[str, Path, Path]]:
    """Return name, image and mask of every image below ``images``.

    Args:
        images: folder that is searched with all folders in it.
        masks: folder that is searched in the same way.
        suffixes: what may follow an image's name in its mask's name; the first one that exists is used.

    Raises:
        FailureError: a file has no partner, or two have the same name; the message lists them.
    """
    of_masks = by_name(masks)
    of_images = by_name(images, lambda name: any(name + suffix in of_masks for suffix in suffixes))
    if not of_images:
        raise FailureError(f"{images} holds no images ({' '.join(sorted(readable_suffixes()))})")
    found = match_names(of_images, of_masks, suffixes)
    alone = [path for name, path in of_images.items() if name not in found]
    taken = {*found.values()}
    check_alone(images.parent, [*alone, *(path for name, path in of_masks.items() if name not in taken)])
    return [(name, of_images[name], of_masks[mask]) for name, mask in found.items()]


def match_names(images: Iterable[str], masks: Container[str], suffixes: Sequence[str]) -> dict[str, str]:
    """Return the name of each image's mask: the image's name with the first suffix that exists."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in images:
        # nnU-Net numbers the channels of an image; a single channel's number is removed.
        called = dict.fromkeys((name, name.removesuffix(_FIRST)))
        known = (one + suffix for one in called for suffix in suffixes)
        mask = next((one for one in known if one in masks and one not in taken), None)
        if mask is not None:
            found[name] = mask
            taken.add(mask)
    return found


def take_layers(
    name: str,
    files: dict[str, Path],
    words: Mapping[int, Sequence[str]],
    suffixes: Sequence[str],
    several: Mapping[str, Sequence[str]] | None = None,
) -> tuple[tuple[int, Path], ...]:
    """Remove the masks of an image's classes from files by name.

    The mask of class ``cell`` of image ``a`` is ``cell/a``, ``a/cell`` or ``a_cell``. A class without a
    file does not occur in the image.

    Args:
        name: name of the image.
        files: files by name, from which masks are removed.
        words: spellings of each class that has files, by index.
        suffixes: what may follow the class in a mask's name.
        several: names of files that differ only in a number at the end, by the common part: each is a
            separate object.
    """
    layers = []
    for index, known in words.items():
        spelled = [
            f"{one}{suffix}"
            for word in known
            for one in (f"{word}/{name}", f"{name}/{word}", f"{name}_{word}")
            for suffix in suffixes
        ]
        found = next((one for one in spelled if one in files), None)
        if found is not None:
            layers.append((index, files.pop(found)))
        numbered = (one for word in spelled for one in (several or {}).get(word, ()))
        layers += [(index, files.pop(one)) for one in numbered if one in files]
    return tuple(layers)


def class_words(labels: Labels) -> dict[int, tuple[str, ...]]:
    """Return the spellings of each class in file names: unchanged, and without forbidden characters."""
    known = zip(labels.classes, file_words(labels), strict=True)
    return {index: tuple(dict.fromkeys(words)) for index, words in enumerate(known)}


def by_name(folder: Path, whole: Callable[[str], bool] | None = None) -> dict[str, Path]:
    """Return all readable files in a folder and in those below it, by their paths without suffix.

    Args:
        folder: folder that is searched with all folders in it.
        whole: returns whether a folder name may be that of an image, such as a DICOM series or Zarr; by
            default, no folder is an image.

    Raises:
        FailureError: two files have the same name.
    """
    named: dict[str, Path] = {}
    for path in sorted(visible(folder, whole)):
        if not is_whole(path, folder, whole) and not has_suffix(path, readable_suffixes()):
            continue
        name = name_in(folder, path)
        if name in named:
            raise FailureError(
                f"{named[name]} and {path} have the same name, so it is not clear which belongs to the mask "
                "or image of that name: keep one of them"
            )
        named[name] = path
    return named


def check_alone(root: Path, alone: Sequence[Path]) -> None:
    """Raise `FailureError` with a list of files without a partner, if there are any."""
    if alone:
        shown = listed(alone)
        raise FailureError(
            f"{root}: {many(len(alone), 'file', 'have')} no partner of the same name: {shown}. Add the "
            "missing files, move these away, or set what follows the name in the masks' names: "
            "data.mask_suffix=_mask. `segzoo data check DIR` finds other layouts too, such as a folder for "
            "each class"
        )


def name_in(folder: Path, path: Path) -> str:
    """Return the name of an image or mask below a folder: its path without suffix."""
    inner = path.relative_to(folder)
    # Only paths without an image suffix are checked: most are files.
    plain = not has_suffix(path, readable_suffixes()) and path.is_dir()
    plain = plain and not has_suffix(path, folder_suffixes())
    return inner.as_posix() if plain else without_suffix(inner).as_posix()


def is_whole(path: Path, root: Path, whole: Callable[[str], bool] | None) -> bool:
    """Return whether a folder below another is an image, and its name allows it."""
    return whole is not None and path.is_dir() and whole(name_in(root, path)) and is_image_folder(path)


def visible(folder: Path, whole: Callable[[str], bool] | None = None) -> Iterator[Path]:
    """Yield all files in a folder and in those below it, except hidden ones.

    Links to folders are followed, but not into a folder that contains them. A folder that is an image is
    yielded itself, not its content.

    Args:
        folder: folder to search.
        whole: see `by_name`.
    """
    for where, folders, names in os.walk(folder, followlinks=True):
        here = Path(where).resolve()
        hidden = (".", "__MACOSX")
        folders[:] = [name for name in folders if not name.startswith(hidden) and not _leads_up(here, name)]
        images = [name for name in folders if is_whole(Path(where, name), folder, whole)]
        yield from (Path(where, name) for name in images)
        folders[:] = [name for name in folders if name not in images]
        # macOS writes ._a.png next to a.png.
        yield from (Path(where, name) for name in names if not name.startswith("."))


def _leads_up(here: Path, name: str) -> bool:
    """Return whether a folder is a link to one that contains it, which would never end."""
    inner = here / name
    return inner.is_symlink() and here.is_relative_to(inner.resolve())
