"""What an epoch adds up to while it runs: loss, images, seconds, pixels of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.training.data import Batch
    from segzoo.training.step import Step


class Totals:
    """Sums over the steps of an epoch, of this process.

    Args:
        classes: how many there are.
        device: of the losses, so that adding them waits for nothing.

    Attributes:
        steps: how many steps were added.
        pixels: ``(classes,)``, of the masks after augmentation.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self._device = device
        self.pixels = torch.zeros(classes, dtype=torch.int64)
        self.clear()

    def clear(self) -> None:
        """Begin an epoch."""
        self.steps, self.waited, self.took = 0, 0.0, 0.0
        self._loss = torch.zeros((), device=self._device)
        self.pixels.zero_()

    @property
    def loss(self) -> torch.Tensor:
        """Mean of the steps."""
        return self._loss / max(self.steps, 1)

    def add(self, batch: Batch, step: Step, *, waited: float, took: float) -> None:
        """Add a step that waited for its batch and then took so many seconds."""
        self.steps += 1
        self._loss += step.loss
        self.waited += waited
        self.took += took
        # Of 16 bits torch counts nothing.
        masks = batch.masks.flatten()
        counts = torch.bincount(masks if masks.itemsize == 1 else masks.int(), minlength=len(self.pixels))
        self.pixels += counts[: len(self.pixels)]

    def rates(self, batch_size: int) -> dict[str, float]:
        """Return images per second, with the wait for data and without."""
        images = self.steps * batch_size
        return {
            "images_per_second": images / max(self.took + self.waited, 1e-9),
            "images_per_second_computing": images / max(self.took, 1e-9),
        }

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        kept = {"steps": self.steps, "waited": self.waited, "took": self.took}
        return {**kept, "loss": self._loss.clone(), "pixels": self.pixels.clone()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with an epoch."""
        self.steps, self.waited, self.took = state["steps"], state["waited"], state["took"]
        self._loss = state["loss"].to(self._device)
        self.pixels = state["pixels"]
