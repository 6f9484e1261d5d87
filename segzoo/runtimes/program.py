"""What an exported file says of itself, and what running it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig
    from segzoo.specs.exports import ExportPrecision


@dataclass(frozen=True, kw_only=True)
class ExportInfo:
    """What an exported file says of itself; its metadata, as one JSON text under the key ``segzoo``.

    Attributes:
        config: labels, palette, preprocessing, threshold, licence and provenance of the weights.
        name: what the model is called, for people.
        with_preprocessing: whether the file takes images as they are, ``(H, W, C)`` uint8 or uint16, and
            gives their class map ``(H, W)``; else preprocessed images ``(N, C, H, W)`` float32, and gives
            logits ``(N, num_classes, H, W)``.
        size: height and width that it is made for; ``None`` where they are free.
        precision: number type that it computes in.
        format: name of the export format that wrote it.
        versions: of segzoo, torch and the exporting library, by distribution.
        weights: sha256 of the tensors that were exported.
    """

    config: ModelConfig
    name: str
    with_preprocessing: bool = False
    size: tuple[int, int] | None = None
    precision: ExportPrecision = "float32"
    format: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    weights: str = ""


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or output of a program.

    Attributes:
        name: in the file.
        shape: of the array; a text or ``None`` stands for a free side.
        dtype: as numpy names it.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str


class Program(Protocol):
    """A file of another runtime that is open.

    Attributes:
        info: what the file says of itself; ``None`` of a file that segzoo did not write.
        inputs, outputs: its ports.
        description: runtime, version, device and number type, in one line.
    """

    info: ExportInfo | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    description: str

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the array of the one input to that of the first output."""
        ...


class Opener(Protocol):
    """Opens a file; the ``runtime`` of a `segzoo.specs.ExportSpec`."""

    def __call__(self, path: Path) -> Program:
        """Open a file, on the CPU unless the runtime has something better, with as many threads as torch has.

        Raises:
            WeightsError: the file is damaged, is none of this format, or reads data outside its folder.
            MissingExtraError: the runtime is not installed.
        """
        ...
