"""Parts of prediction: inference engines, and kinds of output files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from segzoo.errors import UsageError
from segzoo.specs.base import PartSpec, check_callable

#: ``exact``: logits within 1e-4 of eager float32, relative to the largest; ``fast``: bf16 or fp16, if the
#: machine computes them faster; ``fastest``: int8, calibrated on images.
Precision = Literal["exact", "fast", "fastest"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class EngineSpec(PartSpec):
    """An inference engine.

    ``factory(network, device=..., precision=..., calibration=..., on_message=..., **options)`` returns a
    `segzoo.interfaces.Engine`.

    Attributes:
        precisions: which of ``exact``, ``fast`` and ``fastest`` it supports.
        extra: segzoo's extra that installs the requirements, for messages; empty for none.
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
    """An output kind: ``factory(**options)`` returns a `segzoo.prediction.outputs.Output`.

    Attributes:
        suffix: suffix added to the name of the image, such as ``"_mask.png"``, unless the user chooses
            another.
        formats: file suffixes that it supports, such as ``(".png", ".tif")``; that of ``suffix`` if empty.
        by_rows: whether it draws strips of rows one after another, for images larger than memory.
        needs: inputs in addition to the mask: ``"image"``, ``"probabilities"``, or ``"objects"``, which are
            found in the whole mask, with touching ones split.
        memory: bytes per pixel for drawing a strip.
        together: formats whose file holds all classes if they overlap: `Output.draw` then gets masks
            ``(K, H, W)``. In other formats each class has its own file, and is drawn as class 1 on
            background.
        joined: name of a file that holds this output for all images of a run, such as ``"areas.csv"``;
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
            raise UsageError(f"output {self.name!r}: joined and joins go together: set both or none")
        _, dot, ending = self.suffix.rpartition(".")
        if not self.formats:
            object.__setattr__(self, "formats", (dot + ending,))
        wrong = [one for one in self.formats if not one.startswith(".") or one != one.lower()]
        if wrong or not dot or not self.suffix.endswith(tuple(self.formats)):
            raise UsageError(
                f"output {self.name!r}: suffix {self.suffix!r} must end in one of its formats, which are "
                f"lower-case letters after a dot, got {self.formats!r}"
            )
        if set(self.together) - set(self.formats):
            raise UsageError(f"output {self.name!r}: together {self.together!r} must be some of its formats")
        if set(self.needs) - {"image", "probabilities", "objects"}:
            raise UsageError(
                f"output {self.name!r}: needs {self.needs!r} must be a tuple of 'image', 'probabilities', "
                "'objects'"
            )
