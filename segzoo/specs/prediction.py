"""Parts of prediction: engines, which run a network, and outputs, kinds of files that are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from segzoo.errors import UsageError
from segzoo.specs.base import PartSpec, check_callable

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


@dataclass(frozen=True, kw_only=True)
class OutputSpec(PartSpec):
    """An output kind: ``factory(**options)`` gives a `segzoo.prediction.outputs.Output`.

    Attributes:
        suffix: what follows the name of the image, such as ``"_mask.png"``, unless another is chosen.
        formats: suffixes that the file can have, such as ``(".png", ".tif")``; that of ``suffix`` if empty.
        by_rows: whether bands of an image are drawn one after the other, for images larger than memory.
        needs: what is drawn besides the mask: ``"image"``, ``"probabilities"``, or ``"objects"``, which are
            found in the whole mask where touching ones are split.
        memory: bytes a pixel that drawing a band takes.
        together: formats whose file holds all classes where they overlap: `Output.draw` is given masks
            ``(K, H, W)``. In other formats each class has a file of its own, and is drawn as class 1 on
            background.
        joined: the name of a file that holds this output of all images of a run, such as ``"areas.csv"``;
            empty for none.
        joins: ``"package.module:callable"`` that writes it: called with a binary file open for writing, an
            iterable of `segzoo.prediction.outputs.Written`, one for each file in the order of the images, and
            the `Labels` of the run.
    """

    kind: ClassVar[str] = "output"

    suffix: str
    formats: tuple[str, ...] = ()
    by_rows: bool = False
    needs: tuple[str, ...] = ()
    memory: int = 0
    together: tuple[str, ...] = ()
    joined: str = ""
    joins: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joins:
            check_callable(self, "joins", self.joins)
        if bool(self.joins) != bool(self.joined):
            raise UsageError(f"output {self.name!r}: joined and joins go together: say both or none")
        _, dot, ending = self.suffix.rpartition(".")
        if not self.formats:
            object.__setattr__(self, "formats", (dot + ending,))
        wrong = [one for one in self.formats if not one.startswith(".") or one != one.lower()]
        if wrong or not dot or not self.suffix.endswith(tuple(self.formats)):
            raise UsageError(
                f"output {self.name!r}: suffix {self.suffix!r} must end in one of its formats, which are "
                f"small letters after a dot, got {self.formats!r}"
            )
        if set(self.together) - set(self.formats):
            raise UsageError(f"output {self.name!r}: together {self.together!r} must be some of its formats")
        if set(self.needs) - {"image", "probabilities", "objects"}:
            raise UsageError(
                f"output {self.name!r}: needs {self.needs!r} must be a tuple of 'image', 'probabilities', "
                "'objects'"
            )
