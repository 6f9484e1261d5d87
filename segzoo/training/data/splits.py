"""Divides a recipe's data into training and validation.

Without ``split`` these are the dataset's own ``train`` and ``val``. With it, samples are divided by a share,
by folds, or by a file, or two of the dataset's own parts are used unchanged:

    [split]
    share = 0.1            # share that validates; order = "shuffled", "hash" or "contiguous"
    folds = 5, fold = 0    # order = "contiguous" or "shuffled"
    train = "trainaug"     # a part, or several; the same for val; the defaults are "train" and "val"
    file = "split.csv"     # columns name and split; or JSON; or "train.txt, val.txt", one name per line
    group = "^(.*)_"       # samples with the same match stay together; or a CSV file; by default pages
                           # of a stack, slices, patches and frames stay together, by their names
    seed = 0               # seed of the shuffling
    same = true            # validate on the training images, for a single image: scores are not reliable
    of = "train"           # which of the dataset's own parts are divided, such as "train, val"

Parts that ``of`` leaves out stay unseen, so a dataset's own ``test`` never trains unless it is named. A
folder without parts is divided as a whole, and so is data that a file divides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.build import open_dataset
from segzoo.datasets.cached import Cached
from segzoo.datasets.splits import FOLDERS, divided, part_named
from segzoo.datasets.subset import Subset
from segzoo.errors import ImageError, OptionError, did_you_mean
from segzoo.files import name_bytes, regular
from segzoo.images import count_pages, has_suffix, is_image_folder, may_have_pages, readable_suffixes
from segzoo.options import as_names
from segzoo.recognition import chosen
from segzoo.specs import IGNORED
from segzoo.training.augmentation import make_augmentation
from segzoo.training.data.split_files import read_groups, read_split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from segzoo.interfaces import Dataset
    from segzoo.training.recipe.schema import DataSource, Recipe


#: Ways of dividing, which exclude each other, and the keys that each takes.
WAYS = {
    "share": ("of", "order", "seed", "group"),
    "folds": ("fold", "of", "order", "seed", "group"),
    "file": ("of",),
    "train": ("val",),
    "same": ("of",),
}
_KEYS = tuple(dict.fromkeys(key for way, others in WAYS.items() for key in (way, *others)))


def splits_of(recipe: Recipe) -> tuple[Dataset, Dataset]:
    """Open the training and validation data of a recipe; errors as in `open_splits`."""
    objects = bool(recipe.separator) or make_augmentation(recipe.augment, ignore_index=IGNORED).uses_objects
    return open_splits(recipe.source, recipe.split, metrics=recipe.metrics, objects=objects)


def open_splits(
    source: DataSource, split: Mapping[str, Any], *, metrics: Sequence[str] = (), objects: bool = False
) -> tuple[Dataset, Dataset]:
    """Open the training and validation data; each sample is kept in memory after it is decoded.

    If the options have ``cache``, it defines where samples are kept.

    Args:
        source: the data.
        split: how it is divided, see above.
        metrics: metrics of the validation; only some need objects, which are dropped for the others.
        objects: whether training needs objects.

    Raises:
        ImageError: something that is not a file has the name of one, or a TIFF cannot be opened; the message
            lists all of them.
        MissingExtraError: a TIFF needs tifffile, which is not installed.
        OptionError: a key of ``split`` is unknown, out of range, or excludes another; or a side is empty.
        FailureError: a file of ``split`` cannot be read, or does not fit the data.
    """
    registry = zoo.registry("metrics")
    objects = objects or any("instances" in registry.get(name).needs for name in metrics)
    opened = _opened(source, split, objects)
    _check_files(opened)
    return opened


def files_of(datasets: Iterable[Any]) -> Iterator[Path]:
    """Yield the files of all samples, for datasets that list them."""
    for dataset in datasets:
        for index in range(len(dataset)) if hasattr(dataset, "files") else ():
            yield from dataset.files(index)


def _check_files(datasets: Sequence[Any]) -> None:
    """Check that files can be opened, before hours are spent; damage inside is found when they are read."""
    bad: dict[Path, str] = {}
    for path in files_of(datasets):
        try:
            if not is_image_folder(path):
                regular(path)
            # A sample's files may include those of an annotation tool, which hold no image.
            if has_suffix(path, readable_suffixes()) and may_have_pages(path):
                count_pages(path)
        except ImageError as error:
            bad[path] = str(error)
        except OSError as error:
            bad[path] = f"{path} cannot be read: {error.strerror or error}"
    if bad:
        raise ImageError(
            "\n".join([*bad.values(), "`segzoo data check DIR --fix OUT` leaves such files out"])
        )


def _opened(source: DataSource, split: Mapping[str, Any], objects: bool) -> tuple[Dataset, Dataset]:
    check_split_options(split)
    if not split or _by_parts(split):
        training, validation = (
            _together(source, split.get(side, side), objects) for side in ("train", "val")
        )
        return training, validation
    if "same" in split:
        both = _together(source, split.get("of", "all"), objects)
        return both, both
    opened = [_own(source, part, objects) for part in _divided(source, split)]
    places = [(part, index) for part, (bare, _) in enumerate(opened) for index in range(len(bare))]
    # The bare dataset lists names; the cached one may not, and is used only for its samples.
    known = Subset([bare for bare, _ in opened], places)
    sides = _sides(split, known.names, known.groups)
    kept = [dataset for _, dataset in opened]
    training, validation = (
        Subset(kept, [place for place, side in zip(places, sides, strict=True) if side == wanted])
        for wanted in ("train", "val")
    )
    return training, validation


def _by_parts(split: Mapping[str, Any]) -> bool:
    """Whether the dataset's own parts are used unchanged."""
    return "train" in split or "val" in split


def _together(source: DataSource, parts: str | Sequence[str], objects: bool) -> Dataset:
    """Return one part of the dataset, or several as one."""
    opened = [_own(source, part, objects)[1] for part in _listed(parts)]
    if len(opened) == 1:
        return opened[0]
    places = [(part, index) for part, dataset in enumerate(opened) for index in range(len(dataset))]
    return Subset(opened, places)


def _listed(parts: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(as_names(parts))


def check_split_options(split: Mapping[str, Any]) -> None:
    """Raise `OptionError` unless the keys of ``split`` are known, fit together, and have valid values."""
    for key in split:
        if key not in _KEYS:
            told = f"known are {', '.join(_KEYS)}"
            raise OptionError(f"split.{key} is unknown{did_you_mean(key, _KEYS, told)}")
    ways = [key for key in WAYS if key in split or (key == "train" and "val" in split)]
    if split and len(ways) != 1:
        if not ways:
            needs = "split.folds" if "fold" in split else "split.share, split.folds or split.file"
            raise OptionError(f"split.{next(iter(split))} has no effect without {needs}")
        said = [way if way in split else "val" for way in ways]
        raise OptionError(" and ".join(f"split.{way}" for way in said) + " exclude each other: keep one")
    for key in split:
        if key not in (*ways, *WAYS[ways[0]]):
            raise OptionError(f"split.{key} does not go with split.{ways[0]}: leave one of the two out")
    for key, value in split.items():
        _check_value(key, value, split)
    both = {*_listed(split.get("train", "train"))} & {*_listed(split.get("val", "val"))}
    if both and _by_parts(split):
        raise OptionError(f"split.train and split.val both name {min(both)!r}: use different parts")
    if ways and "seed" in split and _order(split) == "contiguous":
        raise OptionError("split.seed has no effect if split.order is 'contiguous': leave one of the two out")


def _check_value(key: str, value: Any, split: Mapping[str, Any]) -> None:
    orders = FOLD_ORDERS if "folds" in split else SHARE_ORDERS
    folds: Any = split.get("folds")
    right, wanted = {
        "share": (_number(value) and 0 < value < 1, "a number between 0 and 1, such as 0.1"),
        "folds": (_whole(value, 2), "a whole number of 2 or more"),
        "fold": (
            _whole(value) and _whole(folds) and value < folds,
            f"one of 0 to {folds - 1}, as split.folds is {folds}" if _whole(folds) else "a whole number",
        ),
        "order": (value in orders, " or ".join(map(repr, orders))),
        "seed": (_whole(value), "a whole number of 0 or more"),
        "group": (_word(value), "a regular expression with one group, or a CSV file"),
        "of": (_word(value) or _words(value), "a split of the dataset, or a list of them"),
        "train": (_word(value) or _words(value), "a split of the dataset, or a list of them"),
        "val": (_word(value) or _words(value), "a split of the dataset, or a list of them"),
        "file": (bool(value), "a CSV or JSON file, or two files of names"),
        "same": (value is True, "true, or left out"),
    }[key]
    if not right:
        raise OptionError(f"split.{key} must be {wanted}, got {value!r}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _word(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _words(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_word, value))


def _order(split: Mapping[str, Any]) -> str:
    return split.get("order", "contiguous" if "folds" in split else "shuffled")


def _sides(split: Mapping[str, Any], names: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return ``train``, ``val`` or ``test`` for each name."""
    if "file" in split:
        return read_split(split["file"], names)
    if "group" in split:
        groups = read_groups(split["group"], names)
    elif len(set(groups)) == 1:  # a single group is divided anyway
        groups = names
    order, seed = _order(split), split.get("seed", 0)
    if "share" in split:
        validates = validating_share(groups, split["share"], order, seed)
    else:
        validates = validating_fold(groups, split["folds"], split.get("fold", 0), order, seed)
    return ["val" if one else "train" for one in validates]


def _divided(source: DataSource, split: Mapping[str, Any]) -> Sequence[str]:
    """Return the dataset's own parts whose samples are divided."""
    of = split.get("of")
    if of is not None:
        return _listed(of)
    if "file" not in split:
        return ("all",) if nobody_divided(source) else ("train",)
    try:
        _bare(source, "all")
    except OptionError:
        own = zoo.registry("datasets").get(chosen(source.data, source.root).name).splits
        return [part for part in FOLDERS if part in own] or ("train",)
    return ("all",)


def nobody_divided(source: DataSource) -> bool:
    """Whether the dataset's parts are those that `segzoo.datasets.divided` derives from all names."""
    try:
        everything, training = (_whole_of(_bare(source, part)) for part in ("all", "train"))
    except OptionError:  # it has no such part, or that is empty
        return False
    told = [getattr(part, "undivided", None) for part in everything.parts]
    if told[0] is not None:
        return bool(told[0])
    names = everything.names
    if any("/" in name and part_named(name.partition("/")[0]) for name in names):
        return False
    parts = divided(names, everything.groups)
    return training.names == [name for name, part in zip(names, parts, strict=True) if part == "train"]


def _whole_of(dataset: Dataset) -> Subset:
    return Subset([dataset], [(0, index) for index in range(len(dataset))])


def _own(source: DataSource, part: str, objects: bool) -> tuple[Dataset, Dataset]:
    """Return a part without a cache, and one that keeps its samples, with or without objects."""
    bare = _bare(source, part)
    if not len(bare):
        raise OptionError(f"the split {part!r} of {source.data!r} is empty: it needs at least one image")
    # If the options define where samples are kept, they are not also kept in memory.
    if "cache" in source.options:
        return bare, open_dataset(source.data, root=source.root, split=part, **source.options)
    return bare, Cached(bare, instances=objects)


def _bare(source: DataSource, part: str) -> Dataset:
    return open_dataset(source.data, root=source.root, split=part, **source.without("cache").options)


# Decides which samples train and which validate, from their names only.
#
# The order comes from a hash of a seed and a name, not from a generator: the division is the same on every
# machine, with every version of NumPy, in any order of the files on disk. Samples of one group, such as the
# slices of one patient, are never divided.

#: The order in which a share and a fold are taken.
SHARE_ORDERS = ("shuffled", "hash", "contiguous")
FOLD_ORDERS = ("contiguous", "shuffled")


def validating_share(groups: Sequence[str], share: float, order: str, seed: int) -> list[bool]:
    """Return for every sample whether it validates.

    Args:
        groups: group of each sample, which stays together; its name if it has no group.
        share: share of the samples that validate, above 0 and below 1.
        order: ``shuffled`` takes the exact share at random; ``hash`` decides for each group by its own name
            only, so that a new image moves no other one, and the share is met on average; ``contiguous``
            takes the last ones.
        seed: random seed.

    Raises:
        OptionError: one of the two sides would be empty.
    """
    if order == "hash":
        chosen = {group for group in groups if _chance(group, seed) < share}
    else:
        units = list(dict.fromkeys(groups))
        units = units[::-1] if order == "contiguous" else _shuffled(units, seed)
        # At least one group is left to train, for any share.
        chosen = set(_first(units[:-1] or units, Counter(groups), share * len(groups)))
    validates = [group in chosen for group in groups]
    if all(validates) or not any(validates):
        side = "training" if all(validates) else "validation"
        kinds = len(set(groups))
        what = f"{len(groups)} samples" + ("" if kinds == len(groups) else f" in {kinds} groups")
        advice = (
            "; hash decides for each sample separately: split.order='shuffled' takes the exact share"
            if order == "hash" and kinds > 1
            else ": at least two are needed"
        )
        raise OptionError(f"split.share={share:g} leaves nothing for {side}, of {what}{advice}")
    return validates


def validating_fold(groups: Sequence[str], folds: int, fold: int, order: str, seed: int) -> list[bool]:
    """Return for every sample whether it is in fold ``fold``, which validates.

    Folds differ by at most one sample, the first ones being larger; with groups, by as little as their
    order allows.

    Raises:
        OptionError: there are fewer groups than folds.
    """
    units = list(dict.fromkeys(groups))
    if folds > len(units):
        what = "samples" if len(units) == len(groups) else f"groups, of {len(groups)} samples"
        raise OptionError(f"split.folds={folds} is too many: there are {len(units)} {what}")
    if order == "shuffled":
        units = _shuffled(units, seed)
    chosen = set(_cut(units, Counter(groups), folds)[fold])
    return [group in chosen for group in groups]


def _cut(units: list[str], sizes: Counter[str], folds: int) -> list[list[str]]:
    """Cut units into consecutive folds with nearly equal numbers of samples, none empty."""
    cut: list[list[str]] = []
    rest = list(units)
    for left in range(folds, 1, -1):
        wanted = -(-sum(sizes[unit] for unit in rest) // left)
        most = rest[: len(rest) - left + 1]
        taken = max(_first(most, sizes, wanted), most[:1], key=len)
        cut.append(taken)
        rest = rest[len(taken) :]
    return [*cut, rest]


def _first(units: Sequence[str], sizes: Counter[str], wanted: float) -> list[str]:
    """Return the first units whose samples come closest to the wanted number, at least one unit."""
    taken, count = list(units[:1]), sizes[units[0]] if units else 0
    for unit in units[1:]:
        if abs(count + sizes[unit] - wanted) >= abs(count - wanted):
            break
        taken.append(unit)
        count += sizes[unit]
    return taken


def _shuffled(units: Sequence[str], seed: int) -> list[str]:
    return sorted(units, key=lambda unit: (_digest(unit, seed), unit))


def _chance(name: str, seed: int) -> float:
    return int.from_bytes(_digest(name, seed)[:8], "big") / 2**64


def _digest(name: str, seed: int) -> bytes:
    return hashlib.sha256(name_bytes(f"{seed}\n{name}")).digest()


# Parts of a recipe's data, opened for scoring instead of training.

#: Options of how samples are loaded, which scoring chooses itself.
LOADING = ("cache", "scale")


def open_part(source: DataSource, split: Mapping[str, Any], part: str) -> Dataset:
    """Open a part of data at the size of its files, without keeping anything in memory.

    Args:
        source: the data.
        split: how ``train`` and ``val`` are divided, if not by the dataset itself.
        part: one of these, or another split of the dataset.

    Raises:
        OptionError: there is no such part, or it is empty.
    """
    source = source.without(*LOADING)
    if split and part in ("train", "val"):
        return open_splits(source.without(cache=False), split)[("train", "val").index(part)]
    return open_dataset(source.data, root=source.root, split=part, **source.options)
