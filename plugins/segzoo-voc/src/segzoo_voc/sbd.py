"""SBD, the Semantic Boundaries Dataset: masks of VOC's images in MATLAB files.

Hariharan et al., 2011, doi:10.1109/ICCV.2011.6126343.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from segzoo.errors import FailureError, MaskError, MissingExtraError
from segzoo.images import read_with_info, scaled_size
from segzoo.interfaces import Sample
from segzoo.labels import to_classes
from segzoo_voc.labels import VOC

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.datasets import Pairs


class SBD:
    """Samples of VOC followed by those that SBD adds.

    Args:
        own: samples of VOC itself.
        root: folder that holds ``img/*.jpg`` and ``cls/*.mat``.
        skip: names that are left out.
        scale: what both sides are multiplied by.

    Raises:
        MissingExtraError: SciPy, which reads MATLAB's files, is not installed.
        FailureError: the folder holds no such files.
    """

    labels = VOC

    def __init__(self, own: Pairs, root: Path, *, skip: Collection[str], scale: float) -> None:
        try:
            import scipy.io  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("SBD's masks are MATLAB files: pip install scipy") from error
        self.own, self.root, self.scale = own, root, scale
        self._added = sorted({path.stem for path in (root / "cls").glob("*.mat")} - set(skip))
        if not self._added and not any((root / "cls").glob("*.mat")):
            raise FailureError(f"{root / 'cls'} holds no .mat files")
        self.names = [*own.names, *self._added]

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files that a sample is made of."""
        if index < len(self.own):
            return self.own.files(index)
        name = self._added[index - len(self.own)]
        return self.root / "img" / f"{name}.jpg", self.root / "cls" / f"{name}.mat"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Decode one sample."""
        if index < len(self.own):
            return self.own[index]
        image_path, mask_path = self.files(index)
        image, info = read_with_info(image_path, scale=self.scale)
        mask = to_classes(_shrunk(_segmentation(mask_path), self.scale), VOC, str(mask_path))
        if mask.shape != image.shape[:2]:
            raise MaskError(f"{mask_path} is {mask.shape}, its image {image_path} is {image.shape[:2]}")
        return Sample(image=image, mask=mask, name=self.names[index], info=info)


def _segmentation(path: Path) -> NDArray[np.uint8]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    damage = (OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, MatReadError)
    try:
        data = loadmat(path, squeeze_me=True, struct_as_record=False)["GTcls"].Segmentation
    except (*damage, zlib.error) as error:
        raise MaskError(f"{path} is none of SBD's masks: {error}") from error
    return np.atleast_2d(np.asarray(data, np.uint8))


def _shrunk(mask: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return mask
    from PIL import Image

    size = scaled_size(mask.shape[1], mask.shape[0], scale)
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
