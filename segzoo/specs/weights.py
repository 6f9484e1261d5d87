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

    They come from exactly one of ``folder``, ``url`` and ``hub``. What a folder or a repository says
    about itself decides; for a ``url``, this spec says it, and the file only holds the tensors.

    Attributes:
        folder: a segzoo folder that ships inside a package, as ``"package:path/in/it"``.
        url: a file of another program, http or https; fetched once and converted by ``layout``.
        hub: a Hugging Face repository at a commit, as ``"org/name@<40 digits>"``; as ``"org/name"`` where no
            commit is known, and then it is pinned at first use. It may be segzoo's own, or another library's,
            which is converted: then this spec says labels, preprocessing and licence where it gives them.
        layout: which program wrote the file at ``url``; recognised from its tensors where empty.
        layout_options: what that layout cannot see from the tensors.
        bytes: size of the download, about; 0 where unknown.
        sha256: of the file (of ``model.safetensors`` in a repository), or its first 8 digits or more
            where no more is published; empty where nothing is, and then it is pinned at first use.
        model: what network they are, as `segzoo.create` is told.
        options: of that network.
        encoder: options of its encoder.
        decoder: options of its decoder.
        num_classes: channels of its logits; one per class where 0, and one more for a separator.
        in_channels: channels of its images.
        classes: names of the classes they tell apart; empty for the weights of an encoder alone.
        labels: classes, colours and pixel values, where there is more to say than ``classes`` does.
        separator: what its last logit says about objects that touch, where that is no class's.
        preprocessing: from pixels to the network's input; the layout's own where ``None``.
        data: what they were trained on.
        licence: SPDX identifier, or a sentence where none fits.
        claimed: what their authors say they reach, in words, with the authors' contract if known.
        scores: what was measured with segzoo, each with its contract.
        homepage: where people read about them.
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
                "digits nor 'org/name', which is pinned at first use; a branch may move, a commit does not"
            )
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{8,64}", self.sha256):
            raise UsageError(f"weights {self.name!r}: sha256 {self.sha256!r} is not 8 to 64 digits of 0-9a-f")

    @property
    def class_logits(self) -> int:
        """How many of its logits decide the class."""
        return self.num_classes - (self.separator is not None) if self.num_classes else len(self.classes)

    @property
    def source(self) -> str:
        """Where they come from, as people may follow it."""
        return self.url or (f"hf-hub:{self.hub}" if self.hub else self.folder)
