"""Trained weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from segzoo.errors import UsageError
from segzoo.specs.base import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.specs.pictures import Labels, Preprocessing, Separator


@dataclass(frozen=True, kw_only=True)
class WeightsSpec(Spec):
    """Trained weights under a name that also builds their model.

    They come from exactly one of ``folder``, ``url`` and ``hub``. A folder or a repository describes itself;
    for a ``url``, this spec contains the description, and the file only holds the tensors.

    Attributes:
        folder: a segzoo folder that ships inside a package, as ``"package:path/in/it"``.
        url: a file of another program, http or https; downloaded once and converted by ``layout``.
        hub: a Hugging Face repository at a commit, as ``"org/name@<40 digits>"``; or ``"org/name"`` if no
            commit is known, which is then pinned at first use. It may be a segzoo repository, or another
            library's, which is converted: then labels, preprocessing and licence in this spec are used.
        layout: the layout of the file at ``url``; if empty, it is recognised from the tensors.
        layout_options: options of that layout that the tensors do not show.
        bytes: approximate size of the download; 0 if unknown.
        sha256: SHA-256 of the file (of ``model.safetensors`` in a repository), or its first 8 digits or more
            if only these are published; if empty, it is pinned at first use.
        model: name of the network, as for `segzoo.create`.
        options: options of that network.
        encoder: options of its encoder.
        decoder: options of its decoder.
        num_classes: number of its logits; if 0, one per class, and one more for a separator.
        in_channels: number of channels of its images.
        classes: names of its classes; empty if these are only an encoder's weights.
        labels: classes, colours and pixel values, if ``classes`` is not enough.
        separator: meaning of its last logit for touching objects, if that logit is not a class.
        preprocessing: converts pixels to the network's input; that of the layout if ``None``.
        data: the training data.
        licence: SPDX identifier, or a sentence if none fits.
        claimed: the scores that the authors report, in words, with their contract if known.
        scores: scores measured with segzoo, each with its contract.
        homepage: web page about them.
    """

    kind: ClassVar[str] = "weights"

    folder: str = ""
    url: str = ""
    hub: str = ""
    layout: str = ""
    layout_options: Mapping[str, Any] = field(default_factory=dict)
    bytes: int = 0
    sha256: str = ""
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    decoder: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int = 0
    in_channels: int = 3
    classes: tuple[str, ...]
    labels: Labels | None = None
    separator: Separator | None = None
    preprocessing: Preprocessing | None = None
    data: str = ""
    licence: str = ""
    claimed: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    homepage: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.folder, self.url, self.hub))) != 1:
            raise UsageError(f"weights {self.name!r} need exactly one of folder, url and hub")
        if self.folder and not re.fullmatch(r"[A-Za-z_]\w*:[\w./-]+", self.folder):
            raise UsageError(f"weights {self.name!r}: folder {self.folder!r} is not 'package:path/in/it'")
        if self.url and not re.match(r"https?://[^/]+/.", self.url):
            raise UsageError(f"weights {self.name!r}: {self.url!r} is not http(s)://host/file")
        if self.hub and not re.fullmatch(r"[\w.-]+/[\w.-]+(@[0-9a-f]{40})?", self.hub):
            raise UsageError(
                f"weights {self.name!r}: hub {self.hub!r} is neither 'org/name@commit' with all 40 "
                "digits nor 'org/name', which is pinned at first use; a branch may move, a commit cannot"
            )
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{8,64}", self.sha256):
            raise UsageError(f"weights {self.name!r}: sha256 {self.sha256!r} is not 8 to 64 digits of 0-9a-f")

    @property
    def class_logits(self) -> int:
        """Number of its logits that decide the class."""
        return self.num_classes - (self.separator is not None) if self.num_classes else len(self.classes)

    @property
    def source(self) -> str:
        """Where they come from, as a location that people can follow."""
        return self.url or (f"hf-hub:{self.hub}" if self.hub else self.folder)
