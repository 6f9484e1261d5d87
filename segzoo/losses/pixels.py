"""The inputs of losses: logits in single precision, class indices, and which pixels count."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import torch

from segzoo.errors import OptionError
from segzoo.options import MOST_CHANNELS, check_integer, check_number

if TYPE_CHECKING:
    from torch import Tensor

# The largest half-precision number. It replaces infinities from overflow, which would give NaN in softmax.
_LIMIT = 65504.0


class Pixels(NamedTuple):
    """Logits and their ground truth.

    Attributes:
        logits: ``(N, C, H, W)`` float32 or float64, finite.
        target: ``(N, H, W)`` int64 class indices, 0 for ignored pixels; ``(N, C, H, W)`` of 0 and 1 if
            classes overlap.
        valid: bool like ``target``, true for pixels that count.
        background_index: index of the background class; ``None`` if there is none.
    """

    logits: Tensor
    target: Tensor
    valid: Tensor
    background_index: int | None = 0

    @property
    def overlapping(self) -> bool:
        """Whether each logit is a separate class, of which a pixel may have several."""
        return self.target.ndim == 4

    @property
    def counted(self) -> Tensor:
        """Which pixels count, for each class: ``(N, 1, H, W)``, or ``(N, C, H, W)`` if classes overlap."""
        return self.valid if self.overlapping else self.valid.unsqueeze(1)

    @property
    def classes(self) -> int:
        """Number of classes: two for one logit, unless they overlap."""
        if self.overlapping:
            return self.logits.shape[1]
        return max(self.logits.shape[1], 2)

    def mean(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean of values like ``target`` over pixels that count; 0 if there are none.

        Args:
            values: one value for each pixel, such as its loss; for each class if they overlap.
            weights: weights of the mean, broadcastable to the values; 1 if ``None``.
        """
        counts = self.valid.to(values.dtype) if weights is None else self.valid * weights
        total = counts.sum()
        return (values * counts).sum() / total.where(total > 0, torch.ones_like(total))

    def probabilities(self, *, background: bool, independent: bool = False) -> tuple[Tensor, Tensor]:
        """Return probabilities and ground truth, ``(N, K, H, W)`` each, both 0 for ignored pixels.

        Args:
            background: whether the background is included, as in `scores`.
            independent: whether to use the sigmoid of each logit instead of a softmax.
        """
        scores, truth = self.scores(background=background)
        if self.logits.shape[1] > 1 and not independent and not self.overlapping:
            found = self._chosen(self.logits.softmax(dim=1), background=background)
        else:
            found = scores.sigmoid()
        return found * self.counted, truth * self.counted

    def chances(self, *, background: bool, independent: bool = False) -> tuple[Tensor, Tensor]:
        """Return ``self.probabilities(background=background, independent=independent)``; an old name."""
        warnings.warn("Pixels.chances is called probabilities now", DeprecationWarning, stacklevel=2)
        return self.probabilities(background=background, independent=independent)

    def scores(self, *, background: bool) -> tuple[Tensor, Tensor]:
        """Return logits and ground truth of the included classes, ``(N, K, H, W)`` each.

        A single logit stands for the class that is not background, for any value of ``background``; if there
        is no background, it stands for both classes, with both signs.

        Args:
            background: whether the background is included.
        """
        logits, truth = self.logits, self.truth()
        if self.overlapping:
            return logits, truth
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
        """Return the target of each logit: ``(N, C, H, W)`` of 0 and 1."""
        channels = self.logits.shape[1]
        if self.overlapping:
            return self.target.to(self.logits.dtype)
        if channels == 1:
            return self.target.unsqueeze(1).to(self.logits.dtype)
        # A comparison is several times faster than scattering ones, and F.one_hot waits for the device.
        classes = torch.arange(channels, device=self.target.device).view(1, -1, 1, 1)
        return (self.target.unsqueeze(1) == classes).to(self.logits.dtype)


def read_pixels(
    logits: Tensor, target: Tensor, ignore_index: int | None, background_index: int | None = 0
) -> Pixels:
    """Check logits ``(N, C, H, W)`` and class indices ``(N, H, W)``, and find which pixels count.

    Args:
        logits: logits of any floating-point type; the result is float32, or float64 for float64.
        target: integers of any type. ``(N, C, H, W)`` means that classes overlap: 1 for pixels of the class,
            0 for others.
        ignore_index: index of ignored pixels, if any.
        background_index: index of the background class; ``None`` if there is none.

    Raises:
        OptionError: the shapes do not fit, the background is not a class, or (checked only on a CPU, where
            it costs nothing) an index is not a class.
    """
    if logits.ndim != 4 or target.shape not in (logits.shape, (logits.shape[0], *logits.shape[2:])):
        raise OptionError(
            f"logits are {tuple(logits.shape)} and the target {tuple(target.shape)}: they need (N, C, H, W) "
            "and class indices (N, H, W), or 0 and 1 (N, C, H, W) if classes overlap"
        )
    if logits.dtype != torch.float64:
        logits = logits.float()
    logits = logits.clamp(-_LIMIT, _LIMIT)
    target = target.long()
    valid = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    target = target.where(valid, torch.zeros_like(target))
    pixels = Pixels(logits, target, valid, background_index)
    if background_index is not None and background_index >= pixels.classes and not pixels.overlapping:
        raise OptionError(
            f"background_index is {background_index}, but {pixels.classes} classes have the indices 0 to "
            f"{pixels.classes - 1}"
        )
    if target.device.type == "cpu" and target.numel() and not torch.compiler.is_compiling():
        least, most = (int(value) for value in target.aminmax())
        if pixels.overlapping and not 0 <= least <= most <= 1:
            raise OptionError(
                f"the target holds {least} to {most}, but if classes overlap it must be 1 for pixels of the "
                "class and 0 for others; set ignore_index if another value marks pixels to skip"
            )
        if not pixels.overlapping and (least < 0 or most >= pixels.classes):
            raise OptionError(
                f"the target holds the index {least if least < 0 else most}, but {pixels.classes} classes "
                f"have the indices 0 to {pixels.classes - 1}; set ignore_index if it marks pixels to skip"
            )
    return pixels


def check_background(background_index: int | None) -> None:
    """Raise `OptionError` unless it is the index of a class, or ``None``."""
    if background_index is not None:
        check_integer("background_index", background_index, 0, MOST_CHANNELS - 1)


def check_smoothing(smoothing: float) -> None:
    """Raise `OptionError` unless smoothing is a finite number of at least 0."""
    check_number("smoothing", smoothing, 0)
