"""The loop of a U-Net's decoder for inference: maps are freed right after use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor


class FusibleStep(Protocol):
    """A step of a decoder: an ``nn.Module`` that concatenates maps and convolves them.

    Attributes:
        convs: module whose first convolution was split, so that it takes an iterable of maps.
    """

    @property
    def convs(self) -> Callable[[Iterator[Tensor]], Tensor]:
        """Return the module that is called with the maps."""
        ...

    def parts(self, maps: list[Tensor]) -> Iterator[Tensor]:
        """Yield the maps that the step concatenates, in the order in which its convolution was split.

        Args:
            maps: the map from below and, if there is one, its skip. The list is emptied, each map as late as
                possible, to keep as few maps in memory as possible.
        """
        ...


class FusedSteps(nn.Module):
    """Steps from the deepest feature to the finest; what `segzoo.interfaces.Decoder.fused_form` may return.

    Args:
        steps: the decoder's steps, deepest first, each a `FusibleStep`.
    """

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, like the decoder; a list of features is emptied."""
        skips = list(features)
        if isinstance(features, list):
            features.clear()
        maps = [skips.pop()]
        for step in self.steps:
            maps += [skips.pop()] if skips else []
            known = cast("FusibleStep", step)
            maps.append(known.convs(known.parts(maps)))
        return maps.pop()
