"""`torch.export` programs: files that end in .pt2, and the source of ONNX files."""

from __future__ import annotations

import copy
import logging
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.export import Dim

from segzoo.errors import FailureError
from segzoo.exporting.exportable import described
from segzoo.exporting.preprocessing import LONGEST, WholeImage
from segzoo.segmenter import SegmentationModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor
    from torch.export import ExportedProgram

    from segzoo.exporting.exportable import Exportable

#: Largest number of images in a batch.
_MANY = 4096


def write_program(exportable: Exportable, path: Path) -> None:
    """Write a .pt2 file; see `segzoo.exporting.Writer`."""
    module = in_half(exportable.module) if exportable.info.precision == "float16" else exportable.module
    found = traced(module, [exportable.example], [exportable.free])
    with path.open("wb") as file:
        torch.export.save(found, file, extra_files=described(exportable))


def traced(
    module: nn.Module, examples: Sequence[Tensor], free: Sequence[Mapping[int, str]]
) -> ExportedProgram:
    """Return a module as a program.

    Args:
        module: module in evaluation mode.
        examples: example inputs.
        free: names of the free axes, for each input.

    Raises:
        FailureError: an operation cannot be exported; the message names the layer.
    """
    shapes = tuple(
        {axis: Dim.DYNAMIC(max=_MANY if name == "batch" else LONGEST) for axis, name in axes.items()}
        for axes in free
    )
    with layers_named(module) as layers:
        try:
            with torch.no_grad(), quiet():
                return torch.export.export(
                    module,
                    tuple(examples),
                    dynamic_shapes=shapes if any(shapes) else None,
                    strict=False,
                )
        except Exception as error:  # torch raises anything when it cannot export
            raise not_exportable(error, layers[-1] if layers else "") from error


class Half(nn.Module):
    """A network in 16 bits, with float32 images and logits.

    Args:
        network: float32 network; a copy of it is converted.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()
        for module in self.network.modules():
            if isinstance(module, SegmentationModel):
                module.float32_logits = True

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to logits, both float32."""
        return self.network(images.half()).float()


def in_half(module: nn.Module) -> nn.Module:
    """Return a network in 16 bits; preprocessing around it keeps its type."""
    if not isinstance(module, WholeImage):
        return Half(module).eval()
    whole = copy.copy(module)
    whole._modules = {**module._modules, "network": Half(module.network).eval()}
    return whole


@contextmanager
def layers_named(module: nn.Module) -> Iterator[list[str]]:
    """Yield the names of the layers that are running, outermost first; they remain if one of them fails."""
    running: list[str] = []
    handles = []
    for name, layer in module.named_modules():
        if not name:
            continue
        told = f"{name} ({type(layer).__name__})"
        handles += [
            layer.register_forward_pre_hook(lambda *_, told=told: running.append(told)),
            layer.register_forward_hook(lambda *_: (running.pop(), None)[1]),
        ]
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


def not_exportable(error: Exception, layer: str, how: str = "torch.export") -> FailureError:
    """Return the error for something that could not be exported.

    Args:
        error: raised exception.
        layer: layer in which it happened; empty if unknown.
        how: what failed.
    """
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    told = f"{type(cause).__name__}: {lines[0] if lines else ''}"
    where = f"its layer {layer}" if layer else "the network"
    return FailureError(
        f"{where} cannot be exported by {how} ({told[:300]}): write that layer with other operations, or try "
        "a single size (static=(HEIGHT, WIDTH), --static HxW)"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output, warnings and log entries of exporters."""
    root = logging.getLogger()
    root.addFilter(_refuse)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(_refuse)


def _refuse(_: logging.LogRecord) -> bool:
    """Reject entries of the root logger itself, where ONNX Runtime logs."""
    return False
