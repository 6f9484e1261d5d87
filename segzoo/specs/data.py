"""Datasets, and the metrics and losses that use them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from segzoo.errors import UsageError
from segzoo.specs.base import PartSpec, check_callable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from segzoo.specs.pictures import Labels


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A file of a dataset.

    Attributes:
        url: http or https; or ``kaggle:competition/file``, downloaded with the user's own credentials.
        checksum: ``md5:`` or ``sha256:`` and the published digits; empty if none are published.
        bytes: approximate size; 0 if unknown.
    """

    url: str
    checksum: str = ""
    bytes: int = 0

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/]+/.|kaggle:[\w-]+/[\w.-]+$", self.url):
            raise UsageError(
                f"archive {self.url!r} is neither http(s)://host/file nor kaggle:competition/file"
            )
        if self.checksum and not re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", self.checksum):
            raise UsageError(f"archive {self.url}: {self.checksum!r} is not md5: or sha256: and its digits")


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(PartSpec):
    """A dataset: ``factory(root, split=..., **options)`` returns a `segzoo.interfaces.Dataset`.

    Attributes:
        splits: names of its parts.
        labels: its classes and their values in masks on disk; ``None`` if the user must define them.
        layout: description of the required content of the root folder.
        licence: licence of the data.
        homepage: web page where people get it.
        archives: the files to download, if the licence lets a program download them.
        by_hand: instructions for a manual download, if it does not.
        recognise: ``"package.module:callable"`` that checks whether a folder or a file is this dataset; if
            empty, only its name opens it. It is called with a `segzoo.datasets.Glance` and returns a
            `Recognition` or ``None``. It must be quick, so it checks only names and the beginnings of files,
            and it must not raise errors.
        scheme: prefix of an address of this dataset, such as ``"hf:"``: ``--data hf:org/name`` opens it with
            ``org/name`` as its root; empty if it is a folder.
    """

    kind: ClassVar[str] = "dataset"

    splits: tuple[str, ...]
    labels: Labels | None = None
    layout: str = ""
    licence: str = ""
    homepage: str = ""
    archives: tuple[Archive, ...] = ()
    by_hand: str = ""
    recognise: str = ""
    scheme: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recognise:
            check_callable(self, "recognise", self.recognise)
        if self.scheme and not re.fullmatch(r"[a-z][a-z0-9+.-]*:", self.scheme):
            raise UsageError(
                f"dataset {self.name!r}: scheme {self.scheme!r} must be in lower case and end with a colon"
            )


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """The description of a folder or a file that a dataset has recognised.

    Attributes:
        summary: a description that begins with the format: ``"YOLO-seg, 3 classes, train and val as
            data.yaml says"``.
        root: the path to open, if it is not the path that was checked.
        options: options of the dataset for opening it.
        masks: whether its masks are image files next to the images, so that reading it as a plain folder
            would find the same files and does not count as a second reading.
        choices: if an option must select one of several files: a description of each choice, and the
            options that select it.
    """

    summary: str
    root: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    masks: bool = False
    choices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(PartSpec):
    """A metric: ``factory(labels=..., **options)`` returns a `segzoo.interfaces.Metric`.

    Attributes:
        higher_is_better: whether higher values are better.
        needs: inputs of ``update`` in addition to the masks: ``"probabilities"``, and ``"instances"`` if
            they are known.
        overlapping: whether it scores classes that overlap: ``update`` then gets masks ``(K, H, W)``.
    """

    kind: ClassVar[str] = "metric"

    higher_is_better: bool = True
    needs: tuple[str, ...] = ()
    overlapping: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = set(self.needs) - {"probabilities", "instances"}
        if unknown or not isinstance(self.needs, tuple):
            raise UsageError(
                f"metric {self.name!r}: needs {self.needs!r} must be a tuple of 'probabilities', 'instances'"
            )


@dataclass(frozen=True, kw_only=True)
class LossSpec(PartSpec):
    """A loss: ``factory(**options)`` returns a callable ``(logits, target) -> scalar``.

    Attributes:
        overlapping: whether it supports classes that overlap: its target is then ``(N, C, H, W)``.
    """

    kind: ClassVar[str] = "loss"

    overlapping: bool = False
