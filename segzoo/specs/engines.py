"""Inference engines: what runs a network when masks are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from segzoo.errors import UsageError
from segzoo.specs.base import PartSpec

#: ``exact``: logits within 1e-4 of eager float32, relative to the largest; ``fast``: half the bits, where
#: the machine computes faster with them; ``fastest``: 8-bit integers, calibrated on images.
Precision = Literal["exact", "fast", "fastest"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class EngineSpec(PartSpec):
    """An inference engine.

    ``factory(network, device=..., precision=..., calibration=..., on_message=..., **options)`` gives a
    `segzoo.interfaces.Engine`.

    Attributes:
        precisions: which of ``exact``, ``fast`` and ``fastest`` it takes.
        extra: the extra of segzoo's distribution that brings what it needs, for people; empty for none.
    """

    kind: ClassVar[str] = "engine"

    precisions: tuple[str, ...] = ("exact",)
    extra: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = [one for one in self.precisions if one not in PRECISIONS]
        if wrong or not self.precisions:
            raise UsageError(
                f"engine {self.name!r}: precisions {self.precisions!r} must be of {', '.join(PRECISIONS)}"
            )
