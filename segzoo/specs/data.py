"""Data sets, and what scores and trains on them: metrics and losses."""

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
    """A file that a data set comes in.

    Attributes:
        url: http or https; or ``kaggle:competition/file``, fetched with the user's own credentials.
        checksum: ``md5:`` or ``sha256:`` and the digits as they are published; empty where none are.
        bytes: its size, about; 0 where unknown.
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
    """A data set: ``factory(root, split=..., **options)`` gives a `segzoo.interfaces.Dataset`.

    Attributes:
        splits: names of its parts.
        labels: its classes and how masks on disk say them; ``None`` where the person must tell.
        layout: what the root must hold, in words.
        licence: the data's terms.
        homepage: where people get it.
        archives: the files that it comes in, where its terms let a program fetch them.
        by_hand: how people get it where they do not, in words.
        recognise: ``"package.module:callable"`` that looks at a folder or a file and says whether it is this
            data set; empty where only its name opens it. It is called with a `segzoo.datasets.Glance`, and
            returns a `Recognition` or ``None``. It looks at names and the beginnings of files, so that it is
            quick, and raises nothing.
        scheme: what an address of this data set begins with, such as ``"hf:"``: ``--data hf:org/name`` opens
            it with ``org/name`` as its root; empty where it lies in a folder.
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
                f"dataset {self.name!r}: scheme {self.scheme!r} must be lower case and end in a colon"
            )


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What a data set says of a folder or a file that it recognises as its own.

    Attributes:
        summary: what it is, in words that begin with the format: ``"YOLO-seg, 3 classes, train and val as
            data.yaml says"``.
        root: what to open, where it is not the place that was looked at.
        options: of the data set, that opening takes.
        masks: whether its masks are image files beside the images, so that the plain reading of the folder
            finds the same files: it is then not a second reading.
        choices: where an option must say which of several files is meant: what each choice is, in words, and
            the options that choose it.
    """

    summary: str
    root: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    masks: bool = False
    choices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(PartSpec):
    """A metric: ``factory(labels=..., **options)`` gives a `segzoo.interfaces.Metric`.

    Attributes:
        higher_is_better: which way is up.
        needs: what ``update`` must be given besides the masks: ``"probabilities"``, and
            ``"instances"`` where they are known.
        overlapping: whether it scores classes that overlap: ``update`` is then given masks ``(K, H, W)``.
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
    """A loss: ``factory(**options)`` gives a callable ``(logits, target) -> scalar``.

    Attributes:
        overlapping: whether it trains classes that overlap: its target is then ``(N, C, H, W)``.
    """

    kind: ClassVar[str] = "loss"

    overlapping: bool = False
