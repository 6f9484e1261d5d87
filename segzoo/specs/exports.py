"""Export formats of models, for runtimes other than torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from segzoo.errors import UsageError
from segzoo.specs.base import PartSpec, check_callable, check_suffix

#: Number type of an exported model's weights and computation.
ExportPrecision = Literal["float32", "float16", "int8"]
EXPORT_PRECISIONS: tuple[str, ...] = get_args(ExportPrecision)
#: Type of the image that a file with preprocessing takes.
Pixels = Literal["uint8", "uint16"]
PIXELS: tuple[str, ...] = get_args(Pixels)


@dataclass(frozen=True, kw_only=True)
class ExportSpec(PartSpec):
    """An export format: ``factory(exportable, path, **options)`` writes the file.

    The factory is a `segzoo.exporting.Writer`.

    Attributes:
        suffix: suffix of the file's name, such as ``".onnx"``.
        runtime: ``"package.module:callable"`` that opens such a file to run it: a `segzoo.runtimes.Opener`.
        precisions: number types in which it can be written.
        extra: segzoo's extra that installs the requirements; empty for none.
    """

    kind: ClassVar[str] = "export"

    suffix: str
    runtime: str
    precisions: tuple[ExportPrecision, ...] = ("float32",)
    extra: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_callable(self, "runtime", self.runtime)
        check_suffix(self, self.suffix)
        wrong = [one for one in self.precisions if one not in EXPORT_PRECISIONS]
        if wrong or not self.precisions:
            raise UsageError(
                f"export {self.name!r}: precisions {self.precisions!r} must be of "
                f"{', '.join(EXPORT_PRECISIONS)}"
            )
