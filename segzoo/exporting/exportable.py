"""What a writer of an export format is given."""

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
        module: in evaluation mode, of one input and one output; with preprocessing, it holds that too.
        example: an input to trace with.
        free: name of each axis of the input that is free: ``{0: "batch", 2: "height", 3: "width"}``; empty
            for an input of one size.
        input_name: ``"images"``, or ``"image"`` with preprocessing.
        output_name: ``"logits"``, or ``"mask"`` with preprocessing.
        info: the metadata, which the writer puts into the file.
        calibration: preprocessed images ``(N, C, H, W)`` that int8 is calibrated on.
        opset: of ONNX; the exporter's own where it is ``None``.
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
        """Write the file and nothing beside it, but what the format needs (data of over 2 GB, ``.bin``).

        Args:
            exportable: the model.
            path: the file to write, in an empty hidden folder; all that is written there gets its name beside
                it in the end, or goes. The spec's options follow as keywords.

        Raises:
            FailureError: an operation cannot be exported; the text names the layer.
            MissingExtraError: a library is missing that is not installed with segzoo.
        """
        ...
