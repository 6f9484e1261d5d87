"""Stains in histology: changes the concentration of each stain, which differs between laboratories.

Papers: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution, 2001, for the
colours of stains; Tellez et al., 2019, arXiv:1902.06543, for the perturbation of their concentrations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segzoo.training.augmentation.colour import has_hue, recoloured
from segzoo.training.augmentation.step import Step, option, read_limit, read_share, white

if TYPE_CHECKING:
    from segzoo.training.augmentation.colour import Plane
    from segzoo.training.augmentation.step import Pixels

#: Optical density of haematoxylin, eosin and DAB, a row each, in red, green and blue.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)

#: An image is coloured if this share of its pixels differs by more than this many levels between channels.
_SHARE, _CHROMA = 0.01, 10


@dataclass(frozen=True, kw_only=True)
class Stain(Step):
    """Multiplies and shifts the concentrations of haematoxylin, eosin and DAB.

    Concentrations are measured in optical density, the negative natural logarithm of the transmitted light.
    Grey images, and images that are not RGB, do not change.

    Attributes:
        concentration: maximum difference of a stain's factor from 1, or ``[minimum, maximum]``.
        shift: maximum optical density to add to or subtract from a stain, or ``[minimum, maximum]``.
        probability: probability of applying the step.
    """

    concentration: tuple[float, float] = option(read_limit(1), 0.2)
    shift: tuple[float, float] = option(read_limit(1), 0.05)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with changed concentrations of its stains."""
        factors, shifts = 1 + random.uniform(*self.concentration, 3), random.uniform(*self.shift, 3)
        if not has_hue(image) or _is_grey(image):
            return image
        # Separating stains, changing each and recombining them is one affine map of densities.
        matrix = (np.linalg.inv(STAINS) * factors @ STAINS).T.astype(np.float32)
        added = (shifts @ STAINS).astype(np.float32)[:, None]
        most = 255 if image.dtype == np.uint8 else None

        def change(planes: Plane) -> Plane:
            # Adding one level keeps black finite.
            densities = np.log(np.float32(256) / (planes.reshape(3, -1) + 1))
            light = np.exp(-(matrix @ densities + added)) * 256 - 1
            return light.clip(0, most).reshape(planes.shape)

        return recoloured(image, change)


def _is_grey(image: Pixels) -> bool:
    """Return whether red, green and blue hardly differ."""
    red, green, blue = image.transpose(2, 0, 1)
    # Many times as fast as a maximum along an axis.
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return bool((chroma > _CHROMA / 255 * white(image)).mean() < _SHARE)
