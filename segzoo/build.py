"""Datasets, metrics, losses and clusters, built by name."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import json_text, zoo
from segzoo.errors import (
    FailureError,
    OptionError,
    PluginError,
    SegzooError,
    did_you_mean,
)
from segzoo.interfaces import Dataset
from segzoo.options import shown
from segzoo.plugins import resolve
from segzoo.plugins.guard import building
from segzoo.recognition import chosen
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segzoo.interfaces import Cluster, Metric
    from segzoo.specs import Labels, LossSpec, MetricSpec, PartSpec

#: What a part is given besides options of people.
_OURS = ("labels", "split", "ignore_index", "background_index")


def open_dataset(
    data: str,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str = "train",
    cache: bool | str | os.PathLike[str] = False,
    **options: Any,
) -> Dataset:
    """Open a dataset.

    Args:
        data: name of a registered dataset; or a folder or file in a format that one of them recognises, such
            as two folders of images and masks or a COCO file; or an address, such as ``hf:org/name``.
        root: folder of a registered dataset; by default the folder with its name in ``$SEGZOO_DATA``.
        split: part of the dataset to open.
        cache: whether to keep decoded samples in memory; or the folder to keep them in on disk.
        **options: options of the dataset.

    Raises:
        UnknownNameError: ``data`` is neither a name nor a folder or file that is recognised.
        OptionError: ``data`` can be read in several ways; the message names them.
        FailureError: the root does not hold the data.
    """
    reading = chosen(data, root)
    if not isinstance(cache, bool | str | os.PathLike) or cache == "":
        raise OptionError(f"cache must be true, false or a folder, got {shown(cache)}")
    spec = zoo.registry("datasets").get(reading.name)
    options = {**reading.options, **options}
    place: Any = reading.root if spec.scheme else _root(reading.name, reading.root)
    made = _build(spec, place, split=split, **options)
    if not isinstance(made, Dataset):
        raise PluginError(f"dataset {spec.name!r}: {type(made).__name__} has no labels, length or items")
    if cache is False:
        return made
    from segzoo.datasets.cached import Cached

    where = str(place) if spec.scheme else str(place.resolve())
    key = repr((spec.factory, where, split, sorted({**spec.options, **options}.items())))
    return Cached(made, None if cache is True else cache, key=key)


def place_of(data: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder of a dataset, or ``None`` if the dataset is at an address.

    Raises the same errors as `open_dataset`.

    Args:
        data: dataset to look up; see `open_dataset`.
        root: folder of a registered dataset; see `open_dataset`.
    """
    reading = chosen(data, root)
    if zoo.registry("datasets").get(reading.name).scheme and not Path(str(reading.root)).exists():
        return None
    place = _root(reading.name, reading.root)
    return place.parent if place.is_file() else place


def make_metric(name: str, labels: Labels, **options: Any) -> Metric:
    """Build a registered metric for masks with these labels; the options are the metric's own.

    Args:
        name: name of a registered metric.
        labels: labels of the masks.
        **options: options of the metric; ``segzoo info NAME`` shows them.
    """
    spec = zoo.registry("metrics").get(name)
    _check_overlapping(spec, labels)
    return _build(spec, labels=labels, **options)


def make_loss(name: str, labels: Labels | None = None, **options: Any) -> Callable[..., Any]:
    """Build a registered loss, a callable ``(logits, target) -> scalar``.

    Args:
        name: name of a registered loss.
        labels: labels of the masks. They define which index is ignored and, for losses that need it, which
            class is the background.
        **options: options of the loss; ``segzoo info NAME`` shows them.
    """
    spec = zoo.registry("losses").get(name)
    if labels is not None:
        _check_overlapping(spec, labels)
        options["ignore_index"] = IGNORED if labels.overlapping else labels.ignore_index
        if "background_index" in inspect.signature(resolve(spec.factory)).parameters:
            options["background_index"] = labels.background
    return _build(spec, **options)


def open_cluster(text: str) -> Cluster:
    """Make the cluster that a text names; entering it starts it or connects to it.

    Args:
        text: ``NAME[:ADDRESS][,KEY=VALUE...]``, such as ``ray:auto,workers=4``; values are JSON or words.

    Raises:
        UnknownNameError: no cluster has that name.
        OptionError: it has no such option, or not with that value; or a part is no ``KEY=VALUE``.
    """
    where, *settings = text.split(",")
    words = where.split(":")
    known = zoo.registry("clusters")
    count = 2 if len(words) > 1 and ":".join(words[:2]) in known else 1
    spec, address = known.get(":".join(words[:count])), ":".join(words[count:])
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or not key or key in options:
            told = "stands twice" if key in options else "is not KEY=VALUE"
            raise OptionError(
                f"{shown(setting)} {told}: say NAME:ADDRESS,KEY=VALUE, such as ray:auto,workers=4"
            )
        options[key] = json_text.value(value)
    return _build(spec, address, **options)


def _check_overlapping(spec: MetricSpec | LossSpec, labels: Labels) -> None:
    """Raise `OptionError` where classes overlap, and a metric or loss has one class a pixel."""
    if not labels.overlapping or spec.overlapping:
        return
    kind = f"{spec.kind}s" if spec.kind == "metric" else "losses"
    fitting = ", ".join(name for name, (other, _) in zoo.registry(kind).items() if other.overlapping)
    raise OptionError(
        f"{spec.kind} {spec.name!r} has one class a pixel, and these classes overlap: take {fitting}"
    )


def _check_known(spec: PartSpec, factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise `OptionError` that names an option which a part does not have, with those that are close."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # what is written in C need not say
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    known = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    for name in options:
        if name not in known and name not in _OURS:
            takes = ", ".join(one for one in known if one not in ("root", "labels")) or "none"
            close = did_you_mean(name[:99], known)
            raise OptionError(
                f"{spec.kind} {spec.name!r} has no option {shown(name)}{close} (it takes {takes})"
            )


def _build(spec: PartSpec, *arguments: Any, **options: Any) -> Any:
    with building(f"{spec.kind} {spec.name!r}"):
        return _made(spec, arguments, options)


def _made(spec: PartSpec, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    factory = resolve(spec.factory)
    _check_known(spec, factory, options)
    try:
        return factory(*arguments, **{**spec.options, **options})
    except TypeError as error:
        raise OptionError(f"{spec.kind} {spec.name!r}: {error}{_told(options)}") from error
    except (AttributeError, ArithmeticError, LookupError, ValueError) as error:
        # What a part makes of options that it does not check; without any, it is the part's own fault.
        if isinstance(error, SegzooError) or not options:
            raise
        told = f"{type(error).__name__}: {error}{_told(options)}"
        raise OptionError(f"{spec.kind} {spec.name!r}: {told}") from error


def _told(options: Mapping[str, Any]) -> str:
    """Return which options a part was given, to stand behind what it says of one of them."""
    given = ", ".join(f"{key}={shown(value)}" for key, value in options.items() if key not in _OURS)
    return f" (with {given})" if given else ""


def _root(name: str, root: str | os.PathLike[str] | None) -> Path:
    if root is None and "SEGZOO_DATA" in os.environ:
        root = Path(os.environ["SEGZOO_DATA"]) / name
    if root is None:
        raise OptionError(f"say where {name!r} lies: root=..., --root, or $SEGZOO_DATA/{name}")
    root = Path(root)
    if not root.exists():
        raise FailureError(f"there is no {root}")
    return root
