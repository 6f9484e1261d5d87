"""The network of an exported file, which runs in the file's own runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from segzoo.machine import parse_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from segzoo.runtimes.network import ExportedNetwork
    from segzoo.specs.prediction import Precision


def make_exported(
    network: ExportedNetwork,
    device: str | torch.device | None,
    precision: Precision,
    backend: str,
    on_message: Callable[[str], None],
) -> ExportedEngine:
    """Make an engine; one message names the options that do not apply to a file. See `make_engine`."""
    asked = {
        "backend": "" if backend in ("torch", "eager") or _runs_on(network, backend) else backend,
        "precision": precision if precision != "exact" else "",
        "device": str(device) if device is not None and parse_device(device).type != "cpu" else "",
    }
    told = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value)
    if told:
        on_message(
            f"{network.path} runs as exported, on {network.program.description}; {told} does not apply to it"
        )
    return ExportedEngine(network)


def _runs_on(network: ExportedNetwork, backend: str) -> bool:
    """Whether a backend is named after the file's own runtime."""
    return network.program.description.replace(" ", "").lower().startswith(backend.lower())


class ExportedEngine:
    """Runs an exported file; see `segzoo.prediction.engines.Engine`."""

    def __init__(self, network: ExportedNetwork) -> None:
        self.device = torch.device("cpu")
        self.description = network.program.description
        self._network = network

    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` float32 to logits ``(N, K, H, W)`` float32."""
        return self._network(images)
