"""What an engine is: images in, logits out, and a line that says how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: ``exact``: logits within 1e-4 of eager float32, relative to the largest; ``fast``: half the bits, where
#: the machine computes faster with them; ``fastest``: 8-bit integers, calibrated on images.
Precision = Literal["exact", "fast", "fastest"]
#: Who computes: ``eager`` is the network as PyTorch runs it, which nothing is made of; ``openvino`` and
#: ``onnxruntime`` come with an extra of the same name.
Backend = Literal["torch", "compile", "openvino", "onnxruntime", "eager"]

PRECISIONS: tuple[str, ...] = get_args(Precision)
BACKENDS: tuple[str, ...] = get_args(Backend)


class Engine(Protocol):
    """A network, ready to run."""

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        ...

    @property
    def description(self) -> str:
        """What was chosen and why, in one line."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Map preprocessed images to logits.

        Args:
            images: ``(N, C, H, W)`` float32 on any device; any height and width that the network takes.

        Returns:
            ``(N, K, H, W)`` float32 on ``device``, of any strides.
        """
        ...
