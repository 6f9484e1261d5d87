"""`torch.export` programs in ``.pt2`` files, opened without running a stranger's code.

`torch.export.load` is unsafe for strangers' files: it unpickles sample inputs and some constants, evaluates
sizes as Python (sympy), calls any function that can be reached from ``torch``, imports modules of enums, and
loads compiled libraries. So a file is first rewritten in memory from the parts that a network needs: plain
tensors, ATen operators and arithmetic, sizes made of arithmetic. Anything else is refused.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from segzoo import json_text
from segzoo.errors import FailureError, WeightsError
from segzoo.files import regular
from segzoo.machine import use_cores
from segzoo.printing import as_json
from segzoo.runtimes.program import METADATA_KEY, ExportInfo, Port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

#: The parts of an archive that are read, and their meaning.
_PARTS = {
    "archive_format": r"archive_format",
    "archive_version": r"archive_version",
    "byteorder": r"byteorder",
    "version": r"(\.data/)?version",
    "id": r"\.data/serialization_id",
    "program": r"models/model\.json",
    "inputs": r"data/sample_inputs/model\.pt",
    "tensors": r"data/(weights|constants)/model_\w+_config\.json",
    "tensor": r"data/(weights/weight|constants/tensor)_\d+",
    "metadata": r"extra/\w+",
}
#: Operators: ATen's, except those that open files; arithmetic of sizes.
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!\w*file)\w+\.\w+"
    r"|_operator\.(add|sub|mul|neg|pos|floordiv|truediv|mod|pow|lt|le|gt|ge|eq|ne|and_|or_|not_|getitem)"
    r"|torch\.sym_(max|min|int|float|ite|not|sum)|math\.(ceil|floor|trunc)"
)
#: Elements of a size expression: sympy's arithmetic, symbols, numbers; powers could take forever.
_EXPRESSION = re.compile(
    r"(?:(?:Add|Mul|Max|Min|Mod|Symbol|Integer|Rational|Float|FloorDiv|CeilDiv|CleanDiv|PythonMod|IntTrueDiv"
    r"|FloatTrueDiv|ToFloat|TruncToInt|CeilToInt|FloorToInt|RoundToInt|ModularIndexing"
    r"|Where|Piecewise|Eq|Ne|Lt|Le|Gt|Ge|StrictLessThan|StrictGreaterThan|LessThan|GreaterThan|Equality"
    r"|Unequality|And|Or|Not|true|false|True|False|positive|integer|nonnegative|real|[suz]\d+)\b"
    r"|'[suz]\d+'|\d+(?:\.\d+)?(?:e[+-]?\d+)?\b|\*(?!\*)|[()+\-/%,=<>! ])*"
)
#: Keys of a program that never contain parts of a network: objects of classes, and other programs.
_OBJECTS = frozenset({"as_custom_obj", "as_operator", "as_graph", "custom_obj", "treespec_namedtuple_fields"})
#: Largest number of bytes of the description of tensors and program, and of anything that is not a tensor.
_MOST_TEXT = 64 << 20


def open_program(path: Path, *, network: bool = False) -> TorchProgram:
    """Open a `torch.export` file; see `segzoo.runtimes.Opener`."""
    data, texts = _checked(path)
    info = ExportInfo.from_json(texts[METADATA_KEY], str(path)) if METADATA_KEY in texts else None
    if network and info is not None and info.with_preprocessing:
        raise WeightsError(
            f"{path} contains preprocessing, and the network of a torch program cannot be extracted: export "
            "the model without preprocessing, or as ONNX"
        )
    try:
        program = torch.export.load(io.BytesIO(data))
        module = program.module(check_guards=False)
    except Exception as error:  # torch may raise anything for another version's file
        raise WeightsError(
            f"{path}: torch {torch.__version__} cannot run it ({_first_line(error)}): it is damaged, or made "
            "by another torch version"
        ) from error
    return TorchProgram(module, _ports(program), info)


class TorchProgram:
    """A `torch.export` program on the CPU; see `segzoo.runtimes.Program`.

    Args:
        module: module from `torch.export`.
        ports: inputs and outputs.
        info: metadata of the file.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        ports: tuple[tuple[Port, ...], tuple[Port, ...]],
        info: ExportInfo | None,
    ) -> None:
        use_cores()
        self.info, (self.inputs, self.outputs) = info, ports
        kind = info.precision if info else self.inputs[0].dtype
        self.description = f"torch.export of torch {torch.__version__.partition('+')[0]} on cpu, {kind}"
        self._module = module

    @torch.no_grad()
    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the input array to the array of the first output."""
        try:
            found = self._module(torch.from_numpy(images))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise FailureError(f"the program fails on images {images.shape}: {_first_line(error)}") from error
        return (found if isinstance(found, torch.Tensor) else found[0]).numpy()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _ports(program: Any) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    nodes = {node.name: node for node in program.graph.nodes}
    ends = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    inputs, outputs = (tuple(_port(name, nodes[name].meta["val"]) for name in names) for names in ends)
    return inputs, outputs


def _port(name: str, value: Any) -> Port:
    sides = (None if isinstance(side, torch.SymInt) else int(side) for side in value.shape)
    return Port(name=name, shape=tuple(sides), dtype=str(value.dtype).removeprefix("torch."))


def _checked(path: Path) -> tuple[bytes, dict[str, str]]:
    """Return a file's archive, rewritten from its allowed parts, and the texts of its metadata.

    Raises:
        WeightsError: the file is not a program, is damaged, or contains code.
    """
    try:
        path = regular(path)
        path.open("rb").close()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            texts = {
                name.rpartition("/")[2]: _read(archive, name, path).decode("utf-8", "replace")
                for name, kind in members.items()
                if kind == "metadata"
            }
            return _rewritten(archive, members, path), texts
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path} is damaged, or not a torch.export file ({error})") from error


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, str]:
    """Return the kind of each member of an archive, by its name."""
    found: dict[str, str] = {}
    for member in archive.infolist():
        inner = member.filename.partition("/")[2]
        kind = next((kind for kind, known in _PARTS.items() if re.fullmatch(known, inner)), None)
        if kind is None or member.filename in found:
            raise WeightsError(
                f"{path} holds {member.filename!r}, which no exported network needs, and could be code: it "
                "is not opened"
            )
        # Tensors are stored uncompressed; compressed ones could be a zip bomb.
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise WeightsError(f"{path}: {member.filename!r} is compressed, which torch.export never does")
        found[member.filename] = kind
    if not {"program", "tensors", "inputs", "archive_version"} <= set(found.values()):
        raise WeightsError(f"{path} is not a torch.export file: it holds no program")
    return found


def _rewritten(archive: zipfile.ZipFile, members: Mapping[str, str], path: Path) -> bytes:
    # A new archive, because two readers may see different members in the same one.
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as written:
        for name, kind in members.items():
            # Sample inputs are pickled, and not needed.
            data = (
                b""
                if kind == "inputs"
                else _read(archive, name, path, most=None if kind == "tensor" else _MOST_TEXT)
            )
            if kind == "program":
                data = _program(data, path)
            elif kind == "tensors":
                _check_tensors(data, path)
            if kind != "metadata":
                written.writestr(f"archive/{name.partition('/')[2]}", data)
    return stream.getvalue()


def _read(archive: zipfile.ZipFile, name: str, path: Path, *, most: int | None = _MOST_TEXT) -> bytes:
    if most is not None and archive.getinfo(name).file_size > most:
        raise WeightsError(f"{path}: {name!r} is larger than {most >> 20} MB")
    return archive.read(name)


def _json(data: bytes, path: Path) -> Any:
    try:
        return json_text.parse(data)
    except json_text.JsonError as error:
        raise WeightsError(f"{path} is damaged: {error}") from error


def _program(data: bytes, path: Path) -> bytes:
    """Return the program without guards, which are code, and without references to source lines.

    Raises:
        WeightsError: it contains more than a network needs.
    """
    said = _json(data, path)
    for key, value in _pairs(said):
        wrong = (
            (key == "target" and not _fits(_OPERATORS, value))
            or (key == "expr_str" and not _fits(_EXPRESSION, value))
            or (key in _OBJECTS and value not in (None, [], {}))
            or (isinstance(value, str) and "__enum__" in value)
        )
        if wrong:
            raise WeightsError(
                f"{path} is not opened: {str(value)[:100]!r} in its program is no operator of a network, and "
                "could be malicious code"
            )
    try:
        for node in said["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {}
        if "guards_code" in said:
            said["guards_code"] = []
    except (KeyError, TypeError, IndexError) as error:
        raise WeightsError(f"{path} is damaged: its program has no nodes") from error
    return as_json(said).encode()


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _pairs(data: Any) -> Iterator[tuple[str, Any]]:
    """Yield all keys and values of JSON, at every depth."""
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _check_tensors(data: bytes, path: Path) -> None:
    for key, value in _pairs(_json(data, path)):
        pickled = key == "use_pickle" and value is not False
        if pickled or (key == "path_name" and not _fits(re.compile(r"(weight|tensor)_\d+"), value)):
            raise WeightsError(
                f"{path} is not opened: it holds pickled objects, which could be code; only tensors are read"
            )
