"""How the weights and gradients of a network are distributed, for histograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

#: Values of a tensor that are counted; of more, about as many at equal distances.
COUNTED = 100_000

_BARS = 64


@dataclass(frozen=True)
class Distribution:
    """The values of a tensor in bars.

    Attributes:
        counts: ``(bars,)``: how many values lie in each.
        edges: ``(bars + 1,)``: where they begin and end.
        values: ``(n,)`` float64: those that were counted, finite.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    values: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """Return what TensorBoard's ``add_histogram_raw`` takes."""
        return {
            "min": float(self.values.min()),
            "max": float(self.values.max()),
            "num": len(self.values),
            "sum": float(self.values.sum()),
            "sum_squares": float(np.square(self.values).sum()),
            "bucket_limits": self.edges[1:].tolist(),
            "bucket_counts": self.counts.tolist(),
        }


def distributions(model: nn.Module) -> dict[str, Distribution]:
    """Return those of ``weights/NAME`` and, where there are gradients, ``gradients/NAME``.

    Tensors without a finite value are left out.
    """
    found = {name: _distribution(tensor) for name, tensor in _tensors(model)}
    return {name: one for name, one in found.items() if one is not None}


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        yield f"weights/{name}", parameter.detach()
        if parameter.grad is not None:
            yield f"gradients/{name}", parameter.grad.detach()


def _distribution(tensor: Tensor) -> Distribution | None:
    flat = tensor.flatten()
    stride = max(-(-len(flat) // COUNTED), 1)
    values = flat[::stride].to(device="cpu", dtype=torch.float32).numpy().astype(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    counts, edges = np.histogram(values, bins=_BARS)
    return Distribution(counts, edges, values)
