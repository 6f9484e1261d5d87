"""What losses compare: logits in single precision, class indices, and which pixels count."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from segzoo.errors import OptionError
from segzoo.options import MOST_CHANNELS, check_integer, check_number

if TYPE_CHECKING:
    from torch import Tensor

# The largest half. What overflowed to infinity in the network is taken as this, or softmax gives NaN.
_LIMIT = 65504.0


class Pixels(NamedTuple):
    """Logits and their truth.

    Attributes:
        logits: ``(N, C, H, W)`` float32 or float64, finite.
        target: ``(N, H, W)`` int64 class indices; 0 where pixels do not count.
        valid: ``(N, H, W)`` bool, which pixels count.
        background_index: the class that stands for nothing of interest; ``None`` if every class is something.
    """

    logits: Tensor
    target: Tensor
    valid: Tensor
    background_index: int | None = 0

    @property
    def classes(self) -> int:
        """How many classes there are: two for one logit."""
        return max(self.logits.shape[1], 2)

    def mean(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean over pixels that count of values ``(N, H, W)``; 0 where none does.

        Args:
            values: one for each pixel, such as its loss.
            weights: ``(N, H, W)``, of a weighted mean; all 1 without.
        """
        counts = self.valid.to(values.dtype) if weights is None else self.valid * weights
        total = counts.sum()
        return (values * counts).sum() / total.where(total > 0, torch.ones_like(total))

    def chances(self, *, background: bool, independent: bool = False) -> tuple[Tensor, Tensor]:
        """Return probabilities and truth, ``(N, K, H, W)`` each, both 0 where pixels do not count.

        Args:
            background: whether the background takes part, as in `scores`.
            independent: the sigmoid of each logit instead of a softmax.
        """
        scores, truth = self.scores(background=background)
        if self.logits.shape[1] > 1 and not independent:
            chances = self._chosen(self.logits.softmax(dim=1), background=background)
        else:
            chances = scores.sigmoid()
        valid = self.valid.unsqueeze(1)
        return chances * valid, truth * valid

    def scores(self, *, background: bool) -> tuple[Tensor, Tensor]:
        """Return logits and truth of the classes that take part, ``(N, K, H, W)`` each.

        One logit speaks for the class that is something, whatever ``background`` says: for both classes, with
        both signs, if there is no background.

        Args:
            background: whether the background takes part.
        """
        logits, truth = self.logits, self.truth()
        if logits.shape[1] > 1:
            return self._chosen(logits, background=background), self._chosen(truth, background=background)
        if self.background_index is None:
            return torch.cat([-logits, logits], dim=1), torch.cat([1 - truth, truth], dim=1)
        return (logits, truth) if self.background_index == 0 else (-logits, 1 - truth)

    def _chosen(self, values: Tensor, *, background: bool) -> Tensor:
        index = self.background_index
        if background or index is None:
            return values
        return values[:, 1:] if index == 0 else torch.cat([values[:, :index], values[:, index + 1 :]], dim=1)

    def truth(self) -> Tensor:
        """Return what each logit should say: ``(N, C, H, W)`` of 0 and 1."""
        channels = self.logits.shape[1]
        if channels == 1:
            return self.target.unsqueeze(1).to(self.logits.dtype)
        # Comparing is several times faster than scattering ones, and F.one_hot waits for the device.
        classes = torch.arange(channels, device=self.target.device).view(1, -1, 1, 1)
        return (self.target.unsqueeze(1) == classes).to(self.logits.dtype)


def read_pixels(
    logits: Tensor, target: Tensor, ignore_index: int | None, background_index: int | None = 0
) -> Pixels:
    """Check logits ``(N, C, H, W)`` and class indices ``(N, H, W)``, and say which pixels count.

    Args:
        logits: of any floating-point type; what is returned is float32, or float64 as it was.
        target: of any type of whole numbers.
        ignore_index: the index that does not count, if any.
        background_index: the class that stands for nothing of interest; ``None`` if every class is something.

    Raises:
        OptionError: the shapes do not fit, the background is none of the classes, or (where looking costs
            nothing, on a CPU) an index is not one of the classes.
    """
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise OptionError(
            f"logits are {tuple(logits.shape)} and the target {tuple(target.shape)}: "
            "they need (N, C, H, W) and class indices (N, H, W)"
        )
    if logits.dtype != torch.float64:
        logits = logits.float()
    logits = logits.clamp(-_LIMIT, _LIMIT)
    target = target.long()
    valid = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    target = target.where(valid, torch.zeros_like(target))
    pixels = Pixels(logits, target, valid, background_index)
    if background_index is not None and background_index >= pixels.classes:
        raise OptionError(
            f"background_index is {background_index}, but {pixels.classes} classes have the indices 0 to "
            f"{pixels.classes - 1}"
        )
    if target.device.type == "cpu" and target.numel() and not torch.compiler.is_compiling():
        least, most = (int(value) for value in target.aminmax())
        if least < 0 or most >= pixels.classes:
            raise OptionError(
                f"the target holds the index {least if least < 0 else most}, but {pixels.classes} classes "
                f"have the indices 0 to {pixels.classes - 1}; say ignore_index if it marks pixels to skip"
            )
    return pixels


def check_background(background_index: int | None) -> None:
    """Raise `OptionError` unless it is the index of a class, or ``None``."""
    if background_index is not None:
        check_integer("background_index", background_index, 0, MOST_CHANNELS - 1)


def check_smoothing(smoothing: float) -> None:
    """Raise `OptionError` unless smoothing is a finite number of at least 0."""
    check_number("smoothing", smoothing, 0)
