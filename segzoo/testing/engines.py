"""The contract of engines: the network's own logits, for images of any size, and a line that says how."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo import zoo
from segzoo.machine import default_device
from segzoo.plugins import resolve
from segzoo.prediction.engines.probing import deviation
from segzoo.segmenter import Segmenter
from segzoo.specs import EngineSpec
from segzoo.testing.promises import Checked, described, promise, seeded

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.interfaces import Engine

#: The most by which logits may differ, relative to the largest, by precision.
TOLERANCES = {"exact": 1e-4, "fast": 0.2, "fastest": 0.5}
#: Batch, height and width of what is run.
_IMAGES = ((1, 32, 32), (2, 45, 70), (1, 32, 32))


def check_engine(engine: str | EngineSpec, **options: Any) -> None:
    """Check an engine, with a small U-Net.

    For each precision that it declares, its logits equal the network's within the tolerance, for several
    sizes and for batches. It names its device, and describes in one line what it did. It does not change the
    network from which it was built.

    Args:
        engine: its name, or its spec if no plug-in registers it yet.
        **options: options of its factory.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(engine, EngineSpec), **options).keep()


class _Subject(Checked[EngineSpec], of="engine"):
    """An engine under check."""

    @cached_property
    def exact(self) -> Engine:
        return self._made(self.spec.precisions[0])

    @cached_property
    def _network(self) -> nn.Module:
        torch.manual_seed(0)
        encoder = resolve(zoo.encoders.get("plain").factory)(in_channels=3, width=4, depth=2)
        decoder = resolve(zoo.decoders.get("unet").factory)(encoder.channels, encoder.strides)
        return Segmenter(encoder, decoder, num_classes=2).to(default_device()).eval()

    def logits(self) -> None:
        for precision in self.spec.precisions:
            engine = self.exact if precision == self.spec.precisions[0] else self._made(precision)
            for size in _IMAGES:
                images = _images(*size)
                found = engine(images)
                with torch.no_grad():
                    expected = self._network(images.to(default_device())).cpu()
                promise(
                    found.dtype is torch.float32 and found.shape == expected.shape,
                    f"{self.what}: of images {tuple(images.shape)} it makes logits {tuple(found.shape)} of "
                    f"{found.dtype}, expected {tuple(expected.shape)} of torch.float32",
                )
                off = deviation(found.cpu(), expected)
                promise(
                    off <= TOLERANCES[precision],
                    f"{self.what}: with precision={precision!r} its logits of images {tuple(images.shape)} "
                    f"differ by {off:.1e} relative to the largest, more than {TOLERANCES[precision]}",
                )

    def description(self) -> None:
        device, text = self.exact.device, self.exact.description
        promise(
            isinstance(device, torch.device),
            f"{self.what}: its device must be a torch.device, got {device!r}",
        )
        promise(
            isinstance(text, str) and bool(text) and "\n" not in text,
            f"{self.what}: its description must be a line that says what was chosen, got {text!r}",
        )

    def network(self) -> None:
        before = copy.deepcopy(self._network.state_dict())
        self._network.train()
        try:
            self._made(self.spec.precisions[0])(_images(*_IMAGES[0]))
            promise(
                self._network.training and all(one.requires_grad for one in self._network.parameters()),
                f"{self.what}: it changes the mode or the gradients of the network; work on a copy",
            )
        finally:
            self._network.eval()
        after = self._network.state_dict()
        promise(
            all(torch.equal(before[name], after[name]) for name in before),
            f"{self.what}: it changes the weights of the network; work on a copy",
        )

    def _made(self, precision: str) -> Engine:
        return resolve(self.spec.factory)(
            self._network,
            device=default_device(),
            precision=precision,
            calibration=[_images(1, 32, 32)],
            on_message=lambda message: None,
            **{**self.spec.options, **self.options},
        )


def _images(batch: int, height: int, width: int) -> Tensor:
    return seeded(batch, 3, height, width, seed=height)
