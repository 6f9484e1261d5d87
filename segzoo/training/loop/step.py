"""One step of the optimizer: forward, loss, backward, update; in smaller parts if memory is short."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from segzoo.errors import FailureError
from segzoo.prediction.shortage import is_short_of_memory, release_memory, told_shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from accelerate import Accelerator
    from torch import Tensor, nn

    from segzoo.training.data.loader import Batch
    from segzoo.training.optim.freezing import Freezing


@dataclass(frozen=True)
class Step:
    """Result of a step.

    Attributes:
        loss: mean over this process's images, on the device.
        norm: norm of the gradient before clipping, on the device; ``None`` without clipping.
        indices: indices of the samples.
    """

    loss: Tensor
    norm: Tensor | None
    indices: Tensor


class TrainStep:
    """Takes steps with one model, optimizer and loss.

    Args:
        model: model, as prepared by Accelerate; returns a list of logits.
        optimizer: optimizer, as prepared by Accelerate.
        loss: ``(list of logits, *targets) -> scalar``, with the targets of `Batch.targets`.
        accelerator: scales, synchronises and clips gradients.
        freezing: drops the gradients of frozen parameters.
        accumulate: number of parts that a batch is divided into.
        clip: the largest norm of the gradient; 0 turns clipping off.
        channels_last: whether images are stored with channels last in memory.
        on_message: called when a batch is divided further.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        loss: Callable[..., Tensor],
        accelerator: Accelerator,
        *,
        freezing: Freezing,
        accumulate: int = 1,
        clip: float = 0.0,
        channels_last: bool = True,
        on_message: Callable[[str], None],
    ) -> None:
        self.model, self.optimizer, self.loss, self.accelerator = model, optimizer, loss, accelerator
        self.freezing, self.on_message = freezing, on_message
        self.accumulate, self.clip = accumulate, clip
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        #: Seconds of each part of the last step, if the clock runs.
        self.clock = Clock(accelerator.device)

    def step(self, batch: Batch) -> Step:
        """Train on a batch; if memory is short, divide it, report this, and try again.

        Raises:
            FailureError: not even a single image fits into memory.
        """
        while True:
            try:
                return self._step(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_short_of_memory(error):
                    raise
                told = told_shortage(error)
            # Outside the handler, whose traceback would keep all activations in memory.
            self._divide(len(batch.images), told)

    def _step(self, batch: Batch) -> Step:
        total = torch.zeros((), device=self.accelerator.device)
        pieces = min(self.accumulate, len(batch.images))
        for number, part in enumerate(batch.parts(pieces)):
            with self._synchronised(last=number == pieces - 1):
                total += self._backward(part, share=len(part.images) / len(batch.images))
        norm = self._update()
        return Step(total, norm, batch.indices)

    def _backward(self, part: Batch, *, share: float) -> Tensor:
        device = self.accelerator.device
        images = part.images.to(device, non_blocking=True, memory_format=self.layout)
        targets, others = (
            [one.to(device, non_blocking=True).long() for one in some] for some in (part.targets, part.others)
        )
        with self.clock("forward"):
            outputs = self.model(images)
            if part.shares is None:
                loss = self.loss(outputs, *targets) * share
            else:
                loss = blended_loss(self.loss, outputs, targets, others, part.shares.tolist()) * share
        with self.clock("backward"):
            self.accelerator.backward(loss)
        return loss.detach()

    def _update(self) -> Tensor | None:
        with self.clock("optimizer"):
            self.freezing.drop_gradients()
            norm = None
            if self.clip:
                norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return cast("Tensor | None", norm)

    def _synchronised(self, *, last: bool) -> AbstractContextManager[Any]:
        """Exchange gradients between processes once a step, after its last part."""
        if last or self.accelerator.num_processes == 1:
            return nullcontext()
        return self.accelerator.no_sync(self.model)

    def _divide(self, images: int, told: str) -> None:
        if self.accelerator.num_processes > 1:
            raise FailureError(
                f"a process ran out of memory ({told}), and the others wait for it: start again with "
                f"accumulate={self.accumulate * 2}"
            )
        if self.accumulate >= images:
            raise FailureError(too_large(told))
        self.accumulate *= 2
        self.optimizer.zero_grad()
        release_memory()
        self.on_message(
            f"memory is short ({told}): every batch of {images} is now processed in {self.accumulate} parts; "
            "the result of a step is the same, except for batch norms"
        )


def blended_loss(
    loss: Callable[..., Tensor],
    outputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    others: Sequence[Tensor],
    shares: Sequence[float],
) -> Tensor:
    """Return the loss of a batch in which some images are blends of two (mixup).

    Each blend is scored separately, against both of its masks in their shares. The other images are scored
    together, as without blends.

    Args:
        loss: ``(list of logits, *targets) -> scalar``.
        outputs: logits ``(N, C, H, W)``, one or more.
        targets: ``(N, ...)`` tensors, such as masks.
        others: targets of the images that were blended in.
        shares: weight of ``targets`` for each image; 1 if nothing was blended in.
    """

    def of(rows: list[int], truth: Sequence[Tensor]) -> Tensor:
        return len(rows) * loss([one[rows] for one in outputs], *(one[rows] for one in truth))

    whole = [row for row, share in enumerate(shares) if share >= 1]
    losses = [of(whole, targets)] if whole else []
    for row, share in enumerate(shares):
        if share < 1:
            losses.append(share * of([row], targets) + (1 - share) * of([row], others))
    return torch.stack(losses).sum() / len(shares)


class Clock:
    """Sums the seconds of named parts of a step; costs nothing until it is started.

    Args:
        device: device to wait for at the end of every part.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.runs = device, False
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str) -> AbstractContextManager[None]:
        """Add the time within the context to ``part``."""
        return self._measured(part) if self.runs else nullcontext()

    @contextmanager
    def _measured(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begun


def too_large(told: str) -> str:
    """Return the error message if not even one image fits."""
    return (
        f"not even one image fits into memory ({told}): make augment.crop.size smaller, or set "
        "checkpointing=true or precision=bf16"
    )
