"""What the bar of a training says beside its length."""

from __future__ import annotations

import math


def progress_text(
    loss: float,
    learning_rate: float,
    images_per_second: float,
    images_per_second_computing: float,
    best: float | None = None,
) -> str:
    """Return the text of a moment.

    Args:
        loss: mean of the last steps.
        learning_rate: of the next step.
        images_per_second: by the clock.
        images_per_second_computing: without the time in which the device waited for data.
        best: score so far; ``None`` before the first validation.

    Example:
        >>> progress_text(0.4123, 1e-3, 31.2, 33.04, 0.81)
        'loss 0.412, lr 1.0e-03, 31.2 images/s (33.0 without loading), best 0.8100'
    """
    speed = f"{_rate(images_per_second)} images/s"
    if math.isfinite(images_per_second_computing):
        speed += f" ({_rate(images_per_second_computing)} without loading)"
    parts = [f"loss {loss:.3f}", f"lr {learning_rate:.1e}", speed]
    if best is not None and math.isfinite(best):
        parts.append(f"best {best:.4f}")
    return ", ".join(parts)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
