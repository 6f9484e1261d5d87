"""Programs of `torch.export`, in files that end in .pt2: torch runs them without the network's code."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.exporting.exportable import Exportable

#: The most that a free axis may have; what is larger is run in tiles.
_MOST = {"batch": 4096, "height": 32768, "width": 32768}


def write_program(exportable: Exportable, path: Path) -> None:
    """Write a .pt2 file; see `segzoo.exporting.Writer`."""
    from segzoo.exporting.onnx import described, not_exportable

    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                exportable.module,
                (exportable.example,),
                dynamic_shapes=dynamic_shapes(exportable),
                strict=False,
            )
    except Exception as error:  # whatever torch cannot export
        raise not_exportable(error) from error
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files=described(exportable))


def dynamic_shapes(exportable: Exportable) -> tuple[dict[int, Any]] | None:
    """Return what `torch.export` is told of the free axes of a network's input."""
    if not exportable.free:
        return None
    return ({axis: Dim(name, min=1, max=_MOST.get(name, 4096)) for axis, name in exportable.free.items()},)
