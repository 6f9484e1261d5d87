"""The input of a writer of an export format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from segzoo.runtimes import ExportInfo


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """A network ready to be written.

    Attributes:
        module: module in evaluation mode, with one input and one output, including preprocessing if
            requested.
        example: input for tracing.
        free: names of the input's axes of free size: ``{0: "batch", 2: "height", 3: "width"}``; empty for an
            input of fixed size.
        input_name: ``"images"``, or ``"image"`` with preprocessing.
        output_name: ``"logits"``, or ``"mask"`` with preprocessing.
        info: metadata, which the writer stores in the file.
        calibration: preprocessed images ``(N, C, H, W)`` for the calibration of int8.
        opset: ONNX operator set; the exporter's default if ``None``.
    """

    module: nn.Module
    example: Tensor
    free: Mapping[int, str] = field(default_factory=dict)
    input_name: str = "images"
    output_name: str = "logits"
    info: ExportInfo
    calibration: Sequence[Tensor] = ()
    opset: int | None = None


class Writer(Protocol):
    """Writes a model; the factory of a `segzoo.specs.ExportSpec`."""

    def __call__(self, exportable: Exportable, path: Path) -> None:
        """Write the file, and no other except those that the format needs (data over 2 GB, ``.bin``).

        Args:
            exportable: model to write.
            path: file to write, in an empty hidden folder; what is written there is finally moved next to it
                or removed. The spec's options follow as keywords.

        Raises:
            FailureError: an operation cannot be exported; the message names the layer.
            MissingExtraError: a library is missing that segzoo does not install.
        """
        ...
