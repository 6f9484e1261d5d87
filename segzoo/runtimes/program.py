"""The metadata of an exported file, and the interface for running it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from segzoo import config as configs
from segzoo import json_text, zoo
from segzoo.errors import WeightsError
from segzoo.options import shown
from segzoo.specs.prediction import EXPORT_PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig
    from segzoo.specs.prediction import ExportPrecision, ExportSpec

#: Key of the metadata with a file's `ExportInfo`.
METADATA_KEY = "segzoo"

#: Names of the preprocessed images and of the logits, also inside a file with preprocessing.
IMAGES, LOGITS = "images", "logits"

#: Version of that text; files with a later version are refused.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ExportInfo:
    """Metadata of an exported file, stored as one JSON text under the key ``segzoo``.

    It is stored in ``metadata_props`` of ONNX, in a file ``segzoo`` among the ``extra_files`` of
    `torch.export`, and in ``rt_info`` of OpenVINO.

    Names in a file: without preprocessing, the input is ``images`` and the output ``logits``. With
    preprocessing, the input is ``image`` and the output ``mask``, and the two tensors between preprocessing
    and decision are also called ``images`` and ``logits``, so that the network can be extracted from an
    ONNX file: ``onnx.utils.extract_model(file, network, ["images"], ["logits"])``.

    Attributes:
        config: labels, palette, preprocessing, threshold, licence and provenance of the weights.
        name: name of the model, for people.
        with_preprocessing: whether the file maps unprocessed images, ``(H, W, C)`` uint8 or uint16, to class
            maps ``(H, W)``; otherwise it maps preprocessed images ``(N, C, H, W)`` float32 to logits
            ``(N, num_classes, H, W)``.
        size: height and width that it is made for; ``None`` if it accepts any.
        precision: number type of the computation.
        format: name of the export format that wrote it.
        versions: versions of segzoo, torch and the exporting library, by distribution.
        weights: sha256 of the exported tensors.
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
            text: text from the metadata.
            where: name of the file for errors.

        Raises:
            WeightsError: the text is invalid, or from a later version of segzoo.
        """
        where = f"the metadata of {where}"
        try:
            data = json_text.parse(text)
        except json_text.JsonError as error:
            raise WeightsError(f"{where} cannot be read: {error}") from error
        version = data.pop("segzoo_export", None) if isinstance(data, dict) else None
        if type(version) is not int or version != _FORMAT:
            raise WeightsError(
                f"{where} has format {shown(version)}, but this segzoo reads format {_FORMAT}: upgrade segzoo"
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
        name: name in the file.
        shape: shape of the array; a text or ``None`` stands for a free side.
        dtype: numpy's name of the type.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str

    def __str__(self) -> str:
        """Return name, shape and type for people."""
        return f"{self.name} {told_shape(self.shape)} {self.dtype}"


class Program(Protocol):
    """An opened exported file.

    Attributes:
        info: metadata of the file; ``None`` for a file that segzoo did not write.
        inputs, outputs: its inputs and outputs.
        description: engine, version, device and number type, in one line.
    """

    info: ExportInfo | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    description: str

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the input array to the array of the first output."""
        ...


class Opener(Protocol):
    """Opens a file; the ``runtime`` of a `segzoo.specs.ExportSpec`."""

    def __call__(self, path: Path, *, network: bool = False) -> Program:
        """Open a file, on the CPU unless the engine has something better, with as many threads as torch uses.

        Args:
            path: path of the file.
            network: whether to open only the network inside a file with preprocessing: preprocessed images
                ``(N, C, H, W)`` to logits. An opener without this argument does not support networks inside
                files with preprocessing.

        Raises:
            WeightsError: the file is damaged, has another format, or reads data outside its folder; or its
                network cannot be extracted.
            MissingExtraError: the engine is not installed.
        """
        ...


def told_shape(shape: Sequence[int | str | None]) -> str:
    """Return a shape for people, such as ``(batch, 3, height, width)``."""
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"


def _is_size(value: object) -> bool:
    """Return whether a value is a height and a width."""
    return isinstance(value, list) and len(value) == 2 and all(type(one) is int and one > 0 for one in value)


def spec_of(path: Path) -> ExportSpec | None:
    """Return the export format for the ending of a file's name, if there is one."""
    specs = (entry.spec for _, entry in zoo.registry("exports").items())
    return next((spec for spec in specs if path.name.lower().endswith(spec.suffix)), None)
