"""The mean absolute error of probabilities, which is robust against wrong labels.

Paper: Ghosh et al., 2017, arXiv:1712.09482.
"""

from torch import Tensor, nn

from segzoo.losses import read_pixels


class AbsoluteError(nn.Module):
    """``sum over classes |probability - truth|``, averaged over pixels: 0 is perfect, 2 is the maximum.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all pixels count.
    """

    def __init__(self, *, ignore_index: int | None = None) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` and class indices ``(N, H, W)``; 0 without pixels.

        One logit stands for two classes, separated by a sigmoid.
        """
        pixels = read_pixels(logits, target, self.ignore_index)
        probabilities, truth = pixels.probabilities(background=True)
        error = (probabilities - truth).abs().sum(dim=1)
        return pixels.mean(2 * error if logits.shape[1] == 1 else error)
