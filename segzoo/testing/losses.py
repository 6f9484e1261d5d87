"""The contract of losses: ``(logits, target) -> scalar``, finite and of use whatever comes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import OptionError
from segzoo.plugins import resolve
from segzoo.specs import LossSpec
from segzoo.testing.promises import Checked, described, promise, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

_IGNORED = 255
_SIZE = (2, 6, 7)


def check_loss(
    loss: str | LossSpec,
    *,
    logits: Sequence[int] = (1, 2, 5),
    extremes: Sequence[float] = (1e4,),
    least: float = -math.inf,
    **options: Any,
) -> None:
    """Check a loss.

    The loss is a single number with a finite gradient, for one logit and for several. It stays finite if
    logits are huge or in half precision, if a class is missing or is the only one, and if everything is
    ignored. It does not depend on ignored pixels or on the order of images. It is smaller for better logits.
    If its spec declares ``overlapping``, it also takes one target per class.

    Args:
        loss: its name, or its spec if no plug-in registers it yet.
        logits: numbers of channels to try; those for which it raises `OptionError` are skipped, but at least
            one must work.
        extremes: magnitudes of logits for which it must stay finite, also in half precision, where 1e5 is
            infinite.
        least: lower bound of the loss, with a tolerance of one millionth.
        **options: options of its factory, which must also take ``ignore_index``.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    spec = described(loss, LossSpec)
    _Subject(spec, logits=logits, extremes=extremes, least=least, **options).keep()


class _Subject(Checked[LossSpec], of="loss"):
    """A loss under check."""

    def __init__(
        self,
        spec: LossSpec,
        *,
        logits: Sequence[int] = (1, 2, 5),
        extremes: Sequence[float] = (1e4,),
        least: float = -math.inf,
        **options: Any,
    ) -> None:
        super().__init__(spec, **options)
        self.tried, self.extremes, self.least = logits, extremes, least
        self.absent = () if spec.overlapping else ("overlapping",)

    def scalar(self) -> None:
        for ignore_index in (None, _IGNORED):
            loss = self._made(ignore_index)
            for channels in self._channels(loss):
                given, target = _example(channels)
                before, leaf = given.clone(), given.requires_grad_()
                result = self._result(loss, leaf, target, f"{channels} logits")
                promise(
                    leaf.grad is not None and bool((leaf.grad != 0).any()),
                    f"{self.what}: it has no gradient on random logits; compute it from the logits "
                    "themselves, not from classes that argmax chose",
                )
                promise(
                    torch.equal(leaf.detach(), before), f"{self.what}: it writes into the logits it is given"
                )
                again = float(loss(before, target))
                promise(again == float(result), f"{self.what}: it gives {float(result)} and then {again}")

    def extreme_input(self) -> None:
        loss = self._made(_IGNORED)
        for channels in self._channels(loss):
            for told, given in self._extreme_logits(channels):
                for which, target in _extreme_targets(channels):
                    leaf = given.clone().requires_grad_()
                    self._result(loss, leaf, target, f"{channels} logits {told} and a target of {which}")

    def ignored(self) -> None:
        loss = self._made(_IGNORED)
        for channels in self._channels(loss):
            given, target = _example(channels)
            target[:, :, :3] = _IGNORED
            leaf = given.clone().requires_grad_()
            wanted = self._result(loss, leaf, target, f"{channels} logits, some ignored")
            moved = given.clone()
            moved[..., :3] = -moved[..., :3] * 3
            found = float(loss(moved, target))
            promise(
                _close(found, float(wanted)) and leaf.grad is not None and not leaf.grad[..., :3].any(),
                f"{self.what}: logits of ignored pixels change it from {float(wanted)} to {found}, or have "
                "a gradient; leave out pixels where target == ignore_index",
            )
            leaf = given.clone().requires_grad_()
            nothing = self._result(loss, leaf, torch.full_like(target, _IGNORED), "everything ignored")
            promise(
                _close(float(nothing), 0.0) and (leaf.grad is None or not leaf.grad.any()),
                f"{self.what}: with everything ignored it must be 0 without a gradient, found "
                f"{float(nothing)}; divide by the pixels that count, or by 1 where none does",
            )

    def batch_order(self) -> None:
        loss = self._made(None)
        for channels in self._channels(loss):
            given, target = _example(channels)
            one, other = float(loss(given, target)), float(loss(given.flip(0), target.flip(0)))
            promise(_close(one, other), f"{self.what}: the order of images changes it from {one} to {other}")

    def right_answer(self) -> None:
        loss = self._made(None)
        for channels in self._channels(loss):
            _, target = _example(channels)
            if channels == 1:
                right = target[:, None].float() * 2 - 1
            else:
                right = torch.nn.functional.one_hot(target, channels).movedim(-1, 1).float() * 2 - 1
            sure, unsure, wrong = (float(loss(right * size, target)) for size in (20.0, 0.0, -20.0))
            promise(
                sure < unsure < wrong,
                f"{self.what}: of {channels} logits that are right, undecided and wrong it makes {sure:.4g}, "
                f"{unsure:.4g} and {wrong:.4g}, which must increase",
            )

    def overlapping(self) -> None:
        loss, classes = self._made(_IGNORED), 3
        shape = (_SIZE[0], classes, *_SIZE[1:])
        given, target = seeded(*shape, seed=1) * 4 - 2, (seeded(*shape, seed=2) * 2).long()
        right = target.float() * 2 - 1
        sure, unsure, wrong = (float(loss(right * size, target)) for size in (20.0, 0.0, -20.0))
        promise(
            sure < unsure < wrong,
            f"{self.what}: where classes overlap, of logits that are right, undecided and wrong it makes "
            f"{sure:.4g}, {unsure:.4g} and {wrong:.4g}, which must increase",
        )
        target[:, 0, :3] = _IGNORED
        leaf = given.clone().requires_grad_()
        wanted = self._result(loss, leaf, target, "classes that overlap, some pixels of one ignored")
        moved = given.clone()
        moved[:, 0, :3] = -moved[:, 0, :3] * 3
        found = float(loss(moved, target))
        promise(
            _close(found, float(wanted)) and leaf.grad is not None and not leaf.grad[:, 0, :3].any(),
            f"{self.what}: logits of pixels that are ignored for their class change it from {float(wanted)} "
            f"to {found}, or have a gradient",
        )

    def _made(self, ignore_index: int | None) -> Callable[[Tensor, Tensor], Tensor]:
        options = {**self.spec.options, **self.options}
        try:
            loss = resolve(self.spec.factory)(ignore_index=ignore_index, **options)
        except TypeError as error:
            promise(
                False, f"{self.what}: its factory must take ignore_index=None or an index, and raised {error}"
            )
            raise
        promise(callable(loss), f"{self.what} must be callable as loss(logits, target), is {loss!r}")
        return loss

    def _channels(self, loss: Callable[[Tensor, Tensor], Tensor]) -> list[int]:
        """Return how many logits it takes, of those that are tried."""
        fitting, refused = [], ""
        for channels in self.tried:
            try:
                loss(*_example(channels))
            except OptionError as error:
                refused = f": {error}"
            else:
                fitting.append(channels)
        tried = ", ".join(map(str, self.tried))
        promise(bool(fitting), f"{self.what} takes none of {tried} logits{refused}")
        return fitting

    def _result(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        logits: Tensor,
        target: Tensor,
        case: str,
    ) -> Tensor:
        """Return a loss whose gradient is in ``logits.grad``, both checked to be finite."""
        result = loss(logits, target)
        promise(
            isinstance(result, torch.Tensor) and result.ndim == 0 and result.is_floating_point(),
            f"{self.what}: of {case} it must be a tensor of one number, got "
            f"{tuple(result.shape) if isinstance(result, torch.Tensor) else result!r}; take the mean",
        )
        if result.requires_grad:
            result.backward()
        finite = bool(result.isfinite()) and (logits.grad is None or bool(logits.grad.isfinite().all()))
        promise(
            finite,
            f"{self.what}: of {case} it is {float(result.detach())}, or its gradient is not finite; compute "
            "in float32 and from logits (logsigmoid, log_softmax), and divide by no 0",
        )
        value = float(result.detach())
        promise(value >= self.least - 1e-6, f"{self.what}: of {case} it is {value}, below {self.least}")
        return result.detach()

    def _extreme_logits(self, channels: int) -> Iterator[tuple[str, Tensor]]:
        noise = seeded(_SIZE[0], channels, *_SIZE[1:]) * 2 - 1
        sizes = {"of 0": noise * 0, "in [-1, 1]": noise}
        for extreme in self.extremes:
            # Zero times infinity is no number, so signs are asked instead of multiplied.
            huge = torch.where(noise < 0, -extreme, extreme)
            sizes[f"of -{extreme:g} and {extreme:g}"] = huge
        for dtype in (torch.float32, torch.bfloat16 if channels == 2 else torch.float16):
            for told, values in sizes.items():
                yield f"{told} as {str(dtype).removeprefix('torch.')}", values.to(dtype)


def _extreme_targets(channels: int) -> Iterator[tuple[str, Tensor]]:
    last = max(channels, 2) - 1
    yield "class 0 alone", torch.zeros(_SIZE, dtype=torch.int64)
    yield f"class {last} alone", torch.full(_SIZE, last)
    yield "ignored pixels alone", torch.full(_SIZE, _IGNORED)
    mixed = _example(channels)[1]
    mixed[mixed == last] = 0
    mixed[0] = _IGNORED
    yield "an ignored image and a class that never occurs", mixed


def _example(channels: int) -> tuple[Tensor, Tensor]:
    classes = max(channels, 2)
    logits = seeded(_SIZE[0], channels, *_SIZE[1:], seed=1) * 4 - 2
    return logits, (seeded(*_SIZE, seed=2) * classes).long()


def _close(found: float, wanted: float) -> bool:
    return abs(found - wanted) <= 1e-5 * max(abs(wanted), 1.0)
