"""TorchScript: a trace of the network, and segzoo's metadata in the same file."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segzoo.errors import WeightsError
from segzoo.exporting import Exportable
from segzoo.runtimes import METADATA_KEY, ExportInfo, Port


def write(exportable: Exportable, path: Path) -> None:
    """Write a file.

    Args:
        exportable: the network, an image for tracing, and the metadata.
        path: file to write; files written next to it belong to the export.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls tracing deprecated
        trace: Any = torch.jit.trace(exportable.module, (exportable.example,), check_trace=False)
        torch.jit.save(trace, path, _extra_files={METADATA_KEY: exportable.info.to_json()})


def open_file(path: Path, *, network: bool = False) -> "Program":
    """Open a file for prediction.

    Args:
        path: the file.
        network: whether to open only the network of a file with preprocessing.

    Raises:
        WeightsError: the file is damaged or has another format.
    """
    texts = {METADATA_KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(path, "cpu", _extra_files=texts)
    except RuntimeError as error:
        raise WeightsError(f"{path} is damaged, or not a TorchScript file") from error
    info = ExportInfo.from_json(texts[METADATA_KEY], str(path)) if texts[METADATA_KEY] else None
    if network and info is not None and info.with_preprocessing:
        raise WeightsError(f"{path} contains preprocessing: export the model without it")
    return Program(module, info)


class Program:
    """An open file.

    Args:
        module: the trace.
        info: metadata of the file.
    """

    def __init__(self, module: Any, info: ExportInfo | None) -> None:
        self.module, self.info = module, info
        self.description = f"TorchScript of torch {torch.__version__} on cpu"
        with_preprocessing = info is not None and info.with_preprocessing
        height, width = info.size if info is not None and info.size else (None, None)
        channels = info.config.architecture.in_channels if info is not None else None
        if with_preprocessing:
            self.inputs = (Port(name="image", shape=(height, width, channels), dtype="uint8"),)
            self.outputs = (Port(name="mask", shape=(height, width), dtype="uint8"),)
        else:
            self.inputs = (Port(name="images", shape=(None, channels, height, width), dtype="float32"),)
            self.outputs = (Port(name="logits", shape=(None, None, height, width), dtype="float32"),)

    @torch.no_grad()
    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the input array to the output array."""
        return np.asarray(self.module(torch.from_numpy(images)))
