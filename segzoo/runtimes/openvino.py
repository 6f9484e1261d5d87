"""OpenVINO files, an ``.xml`` with its weights in ``.bin``, run on the CPU. By Intel, Apache-2.0."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager, redirect_stdout
from threading import Lock
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError, WeightsError, missing_extra
from segzoo.files import regular
from segzoo.machine import use_cores
from segzoo.runtimes.program import IMAGES, LOGITS, METADATA_KEY, ExportInfo, Port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

#: Number of bytes at the beginning of a file that contain its root element.
_HEAD = 4096


def open_openvino(path: Path, *, network: bool = False) -> OpenVinoProgram:
    """Open an OpenVINO file; see `segzoo.runtimes.Opener`."""
    with unheard():
        openvino = import_openvino("openvino")
    _check_files(path)
    try:
        model = openvino.Core().read_model(path)
        text = model.get_rt_info(METADATA_KEY).astype(str) if model.has_rt_info(METADATA_KEY) else None
    except Exception as error:
        raise WeightsError(
            f"{path}: OpenVINO {version_of(openvino)} cannot read it ({last_line(error)}): it is damaged, "
            "its .bin belongs to another model, or it needs a newer OpenVINO"
        ) from error
    info = None if text is None else ExportInfo.from_json(text, str(path))
    if network and info is not None and info.with_preprocessing:
        model = cut_network(openvino, model, path)
    try:
        program = OpenVinoProgram(model, info)
        if not program.outputs:
            raise WeightsError(f"{path} has no output: it is damaged")
        return program
    except (RuntimeError, ValueError, LookupError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: OpenVINO cannot compile it ({last_line(error)})") from error


class OpenVinoProgram:
    """An OpenVINO model, compiled for the CPU; see `segzoo.runtimes.Program`.

    Args:
        model: ``openvino.Model``.
        info: metadata of the file.
        hint: number type of the computation, in OpenVINO's terms.
    """

    def __init__(self, model: Any, info: ExportInfo | None = None, *, hint: str = "f32") -> None:
        openvino = import_openvino("openvino")
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": use_cores(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        with unheard():
            self._compiled = openvino.Core().compile_model(model, "CPU", settings)
        self.info = info
        self.inputs, self.outputs = (
            tuple(_port(one) for one in ports) for ports in (self._compiled.inputs, self._compiled.outputs)
        )
        kind = info.precision if info else self.inputs[0].dtype
        self.description = f"OpenVINO {version_of(openvino)} on cpu, {kind}"
        self._lock = Lock()  # the model has one set of buffers

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the input array to the array of the first output."""
        try:
            with self._lock:
                return self._compiled([images])[0]
        except RuntimeError as error:
            told = last_line(error)
            if "alloc" in told:
                raise MemoryError(told) from error
            raise FailureError(f"OpenVINO fails on images {images.shape}: {told}") from error


def cut_network(openvino: Any, model: Any, path: Path) -> Any:
    """Return the network inside a model with preprocessing: from images to logits.

    Raises:
        WeightsError: the file has no such tensors.
    """
    named = {name: one for op in model.get_ordered_ops() for one in op.outputs() for name in one.get_names()}
    if IMAGES not in named or LOGITS not in named:
        raise WeightsError(
            f"{path} contains preprocessing, and its network cannot be extracted, because its tensors "
            f"{IMAGES!r} and {LOGITS!r} are missing: export the model without preprocessing"
        )
    images = named[IMAGES]
    parameter = openvino.opset13.parameter(images.get_partial_shape(), images.get_element_type(), name=IMAGES)
    for target in images.get_target_inputs():
        target.replace_source_output(parameter.output(0))
    return openvino.Model([named[LOGITS]], [parameter], "network")


def _port(found: Any) -> Port:
    shape = tuple(side.get_length() if side.is_static else None for side in found.partial_shape)
    return Port(name=found.any_name, shape=shape, dtype=str(found.element_type.to_dtype().name))


def _check_files(path: Path) -> None:
    """Raise `WeightsError` unless a file looks like OpenVINO's, and its weights are in its folder."""
    try:
        with regular(path).open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    if b"<net" not in head or b"<!" in head:
        raise WeightsError(f"{path} is not an OpenVINO model: it does not begin with <net>")
    weights = path.with_suffix(".bin")
    folder = os.path.realpath(path.parent)
    if os.path.dirname(os.path.realpath(weights)) != folder:  # noqa: PTH120 (Path.resolve fails on loops)
        raise WeightsError(
            f"{weights} is a link that leads out of its folder: it is not opened. Copy both files together"
        )


def version_of(openvino: Any) -> str:
    """Return the version of the library, without its build."""
    return openvino.__version__.split("-")[0]


def last_line(error: Exception) -> str:
    """Return the text of an OpenVINO error; the lines before it are locations in its source."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def import_openvino(extra: str) -> Any:
    """Return the library, or raise `MissingExtraError`; ``extra`` is the extra that installs it."""
    try:
        import openvino
    except ImportError as error:
        raise missing_extra("OpenVINO is missing", extra) from error
    return openvino


@contextmanager
def unheard() -> Iterator[None]:
    """Keep OpenVINO and NNCF from drawing progress bars on standard output, and from sending telemetry.

    They send it without asking. There is no setting for programs to prevent it, but
    they do not send it when tests run.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
