"""The best epochs' weights: the best as the run folder itself, the best few in ``best/epoch-012``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.options import check_positive
from segzoo.training.checkpoints import remove

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping


class Best:
    """Keeps the weights of the best epochs of one training.

    The run folder holds the best epoch's. Where more are kept, ``best/epoch-012`` in it holds each of
    them, the best too, so that nothing need be moved when a better one comes.

    Args:
        out: the run folder.
        keep: of how many epochs.
        higher_is_better: of scores.

    Raises:
        OptionError: ``keep`` is below 1.

    Example:
        >>> best = Best(Path("runs/unet"), keep=3)
        >>> best.offer(0.81, 1, lambda folder: segzoo.weights.folder.save(model, folder))
        True
    """

    def __init__(self, out: str | os.PathLike[str], keep: int = 1, *, higher_is_better: bool = True) -> None:
        check_positive(keep=keep)
        self.out, self.keep, self.higher_is_better = Path(out), keep, higher_is_better
        self._kept: list[tuple[float, int]] = []  # best first

    @property
    def score(self) -> float | None:
        """The best score; ``None`` before there is any."""
        return self._kept[0][0] if self._kept else None

    @property
    def epoch(self) -> int:
        """The epoch that gave it, from 1; 0 before there is any."""
        return self._kept[0][1] if self._kept else 0

    @property
    def epochs(self) -> list[int]:
        """The epochs whose weights are kept, best first."""
        return [epoch for _, epoch in self._kept]

    def offer(self, score: float, epoch: int, save: Callable[[Path], object] | None = None) -> bool:
        """Take an epoch's weights where its score is among the best; return whether it is the best.

        NaN is no score, and of two equal ones the earlier epoch's stays ahead.

        Args:
            score: of the validation.
            epoch: from 1; an epoch that was offered before is judged anew.
            save: writes the weights to a folder; ``None`` in processes that write nothing.

        Raises:
            FailureError: the weights cannot be written.
        """
        others = [(held, at) for held, at in self._kept if at != epoch]
        kept = others if math.isnan(score) else [*others, (score, epoch)]
        kept = sorted(kept, key=self._rank)[: self.keep]
        taken = (score, epoch) in kept
        first = taken and kept[0] == (score, epoch)
        if save is not None:
            if taken and self.keep > 1:
                save(self._place(epoch))
            if first:
                save(self.out)
            for at in {epoch, *self.epochs} - {at for _, at in kept}:
                remove(self._place(at))
        self._kept = kept
        return first

    def state_dict(self) -> dict[str, Any]:
        """Return the scores and epochs that are kept, as plain data."""
        return {"kept": [[score, epoch] for score, epoch in self._kept]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`; what was kept beyond ``keep`` is forgotten, but not deleted."""
        kept = [(float(score), int(epoch)) for score, epoch in state["kept"]]
        self._kept = sorted(kept, key=self._rank)[: self.keep]

    def _rank(self, entry: tuple[float, int]) -> tuple[float, int]:
        score, epoch = entry
        return (-score if self.higher_is_better else score), epoch

    def _place(self, epoch: int) -> Path:
        return self.out / "best" / f"epoch-{epoch:03d}"
