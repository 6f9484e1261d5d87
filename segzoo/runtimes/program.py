"""What an exported file says of itself, and what running it takes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from segzoo import config as configs
from segzoo import json_text, zoo
from segzoo.errors import WeightsError
from segzoo.options import shown
from segzoo.specs.exports import EXPORT_PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig
    from segzoo.specs.exports import ExportPrecision, ExportSpec

#: Key of the metadata under which a file holds its `ExportInfo`.
METADATA_KEY = "segzoo"

#: Names of the preprocessed images and of the logits, also inside a file with preprocessing.
IMAGES, LOGITS = "images", "logits"

#: Version of that text; a file of a later one is refused by name.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ExportInfo:
    """What an exported file says of itself; its metadata, as one JSON text under the key ``segzoo``.

    Where it lies: ``metadata_props`` of ONNX, a file ``segzoo`` among the ``extra_files`` of `torch.export`,
    ``rt_info`` of OpenVINO.

    Names in a file: without preprocessing, the input is ``images`` and the output ``logits``. With
    preprocessing, the input is ``image`` and the output ``mask``, and the two tensors between preprocessing
    and decision are called ``images`` and ``logits`` all the same, so that the network can be cut out of an
    ONNX file: ``onnx.utils.extract_model(file, network, ["images"], ["logits"])``.

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

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        data = {**asdict(self), "config": configs.to_json(self.config)}
        return json.dumps({"segzoo_export": _FORMAT, **data}, ensure_ascii=True)

    @staticmethod
    def from_json(text: str, where: str) -> ExportInfo:
        """Read what `to_json` returned.

        Args:
            text: from the metadata.
            where: names the file in errors.

        Raises:
            WeightsError: it is not such a text, or one of a later version of segzoo.
        """
        where = f"the metadata of {where}"
        try:
            data = json_text.parse(text)
        except json_text.JsonError as error:
            raise WeightsError(f"{where} cannot be read: {error}") from error
        version = data.pop("segzoo_export", None) if isinstance(data, dict) else None
        if type(version) is not int or version != _FORMAT:
            raise WeightsError(
                f"{where} has format {shown(version)}, this segzoo reads format {_FORMAT}: upgrade segzoo"
            )
        size = data.get("size")
        given = {
            "name": (data.get("name"), str),
            "with_preprocessing": (data.get("with_preprocessing"), bool),
            "precision": (data.get("precision"), str),
            "format": (data.get("format"), str),
            "versions": (data.get("versions"), dict),
            "weights": (data.get("weights"), str),
        }
        wrong = [name for name, (value, kind) in given.items() if not isinstance(value, kind)]
        if size is not None and not _is_size(size):
            wrong.append("size")
        if data.get("precision") not in EXPORT_PRECISIONS and "precision" not in wrong:
            wrong.append("precision")
        if wrong:
            raise WeightsError(f"{where}: {wrong[0]} is missing or damaged, got {shown(data.get(wrong[0]))}")
        values: dict[str, Any] = {name: value for name, (value, _) in given.items()}
        values["size"] = None if size is None else tuple(size)
        return ExportInfo(config=configs.from_json(data.get("config"), where), **values)


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

    def __str__(self) -> str:
        """Return name, shape and type for people."""
        return f"{self.name} {told_shape(self.shape)} {self.dtype}"


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

    def __call__(self, path: Path, *, network: bool = False) -> Program:
        """Open a file, on the CPU unless the runtime has something better, with as many threads as torch has.

        Args:
            path: of the file.
            network: whether the network inside a file with preprocessing is opened alone: preprocessed images
                ``(N, C, H, W)`` to logits. An opener may lack this argument; its files with preprocessing
                are then no networks.

        Raises:
            WeightsError: the file is damaged, is none of this format, or reads data outside its folder; or
                its network cannot be cut out.
            MissingExtraError: the runtime is not installed.
        """
        ...


def told_shape(shape: Sequence[int | str | None]) -> str:
    """Return a shape for people, such as ``(batch, 3, height, width)``."""
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"


def _is_size(value: object) -> bool:
    """Whether a value is a height and a width."""
    return isinstance(value, list) and len(value) == 2 and all(type(one) is int and one > 0 for one in value)


def spec_of(path: Path) -> ExportSpec | None:
    """Return the export format whose ending a file's name has, if there is one."""
    specs = (entry.spec for _, entry in zoo.registry("exports").items())
    return next((spec for spec in specs if path.name.lower().endswith(spec.suffix)), None)
