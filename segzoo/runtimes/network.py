"""An exported file as an ordinary network: images to logits, with a config for prediction."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from segzoo.blocks.sizes import mirror
from segzoo.errors import OptionError, WeightsError
from segzoo.files import read_sha256
from segzoo.plugins import resolve
from segzoo.printing import command_line
from segzoo.runtimes.program import spec_of, told_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.runtimes.program import ExportInfo, Program


def open_file(path: Path, *, network: bool = False) -> Program:
    """Return an exported file, opened in its inference engine.

    Args:
        path: path of the file.
        network: whether to open only the network inside a file with preprocessing.

    Raises:
        WeightsError: the file is damaged, or has no export format.
        MissingExtraError: its engine is not installed.
    """
    spec = spec_of(path)
    if spec is None:
        raise WeightsError(f"{path} has no export format: `segzoo list exports` shows them")
    opener: Any = resolve(spec.runtime)
    # A format need not support networks inside files.
    knows = "network" in inspect.signature(opener).parameters
    program: Program = opener(path, network=network) if knows else opener(path)
    if network and not knows and program.info is not None and program.info.with_preprocessing:
        raise WeightsError(
            f"{path} contains preprocessing, and its format does not let it be extracted: export the "
            "model without preprocessing, or as ONNX"
        )
    return program


def open_network(path: Path) -> ExportedNetwork:
    """Return the network of an exported file, without the preprocessing that the file may contain.

    Raises:
        WeightsError: the file is damaged, has no export format, or does not state how it predicts.
        MissingExtraError: its engine is not installed.
    """
    program = open_file(path, network=True)
    if program.info is None:
        raise WeightsError(unsaid(path, program))
    return ExportedNetwork(path, program, program.info)


def unsaid(path: Path, program: Program) -> str:
    """Return the error about another program's file: what it does not state, and how to add that."""
    inputs, outputs = (", ".join(map(str, ports)) for ports in (program.inputs, program.outputs))
    return (
        f"{path} was exported by another program, and states neither its classes nor the preprocessing of "
        f"its images (input: {inputs}; output: {outputs})" + _advice(path)
    )


def _advice(path: Path) -> str:
    if path.suffix.lower() != ".onnx":
        return ": use a file that `segzoo export` wrote, or an ONNX file, which `segzoo convert` completes"
    named = command_line("segzoo", "convert", path, "--out", f"{path.stem}-named.onnx", "--classes", "A,B,C")
    return (
        f"\nAdd them yourself: `{named} --option mean=0.485,0.456,0.406 --option std=0.229,0.224,0.225`, "
        f"with your classes and numbers; then use {path.stem}-named.onnx as the model"
    )


class ExportedNetwork(nn.Module):
    """A network that an exported file computes; it cannot be trained or changed.

    It has no parameters. Its state is the file's hash, so that different files have different states. Pickles
    and copies store the path, and open the file again.

    Args:
        path: path of the file.
        program: the file, opened as a network: images ``(N, C, H, W)`` to logits ``(N, K, H, W)``.
        info: metadata of the file.

    Attributes:
        fixed_size: height and width that all images must have; ``None`` if any size is accepted. Smaller
            images are mirrored at the edges, and the logits cropped; `segzoo.Predictor` cuts larger ones into
            tiles.
    """

    segzoo_config: ModelConfig
    sha256: Tensor

    def __init__(self, path: Path, program: Program, info: ExportInfo) -> None:
        super().__init__()
        self.path, self.program, self.info = path, program, info
        self.segzoo_config = info.config
        images = program.inputs[0]
        if len(images.shape) != 4 or len(program.inputs) != 1:
            raise WeightsError(
                f"{path}: one input of images (N, C, H, W) is expected, but this network takes "
                f"{', '.join(told_shape(port.shape) for port in program.inputs)}"
            )
        batch, _, height, width = images.shape
        self._batch = batch if isinstance(batch, int) else None
        fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self.fixed_size: tuple[int, int] | None = fixed
        digest = np.frombuffer(bytes.fromhex(read_sha256(path)), np.uint8).copy()
        self.register_buffer("sha256", torch.from_numpy(digest))
        self.eval()

    @property
    def num_logits(self) -> int:
        """Number of channels of the logits."""
        return self.segzoo_config.architecture.num_classes

    def extra_repr(self) -> str:
        """Return the text for ``repr``: the file, and its engine."""
        return f"{self.path}, {self.program.description}"

    def __reduce__(self) -> tuple[Callable[[Path], ExportedNetwork], tuple[Path]]:
        """Pickle and copy the path, from which the file is opened again."""
        return open_network, (self.path,)

    def train(self, mode: bool = True) -> ExportedNetwork:
        """Return the network unchanged: an exported file has only evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)`` float32, on the CPU.

        Raises:
            OptionError: the file is made for images of one size, and these are larger.
            WeightsError: the file's logits do not fit its config.
        """
        height, width = images.shape[-2:]
        taken = images.detach().to("cpu", torch.float32)
        if self.fixed_size is not None and self.fixed_size != (height, width):
            taken = self._continued(taken, *self.fixed_size)
        logits = torch.from_numpy(self._run(taken.contiguous().numpy())).float()
        expected = (len(images), self.num_logits, *taken.shape[-2:])
        if tuple(logits.shape) != expected:
            raise WeightsError(
                f"{self.path} outputs {told_shape(tuple(logits.shape))} for images {tuple(taken.shape)}, but "
                f"the logits should be {expected}: its metadata belong to another network"
            )
        return logits[..., :height, :width]

    def check_views(self, *, turns: bool, scales: Sequence[float]) -> None:
        """Raise `OptionError` if test-time augmentation gives images that do not fit the file."""
        if self.fixed_size is None:
            return
        height, width = self.fixed_size
        made = f"{self.path} is made for images of {height}x{width}"
        if turns and height != width:
            raise OptionError(f"{made}: turned images do not fit, leave out turns")
        if any(scale > 1 for scale in scales):
            raise OptionError(f"{made}: scales must be at most 1, got {max(scales):g}")

    def _continued(self, images: Tensor, height: int, width: int) -> Tensor:
        if images.shape[-2] > height or images.shape[-1] > width:
            raise OptionError(
                f"{self.path} is made for images of {height}x{width}, got "
                f"{images.shape[-2]}x{images.shape[-1]}: segzoo.Predictor cuts larger ones into tiles"
            )
        return mirror(images, height, width, 0, 0)

    def _run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Return logits, computed for as many images at a time as the file accepts."""
        images = images.astype(self.program.inputs[0].dtype, copy=False)
        if self._batch in (None, len(images)):
            return self.program(images)
        parts = []
        for start in range(0, len(images), self._batch):
            part = images[start : start + self._batch]
            # Images are repeated if there are too few; their logits are dropped.
            full = part[np.arange(self._batch) % len(part)]
            parts.append(self.program(full)[: len(part)])
        return np.concatenate(parts)
