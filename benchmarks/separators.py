"""Which separator tells the objects of a data set apart best, before anything is trained.

Each kind's target is made of the true objects, blurred as a network's answer would be, and the true mask is
split by it. What is lost here no network can win back. ``none`` are connected components, ``shape`` splits
without a separator.

    python benchmarks/separators.py [--data dsb2018] [--root DIR] [--split val] [--images 40]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from segzoo.build import open_dataset
from segzoo.labels import foreground
from segzoo.prediction.postprocessing import find_instances
from segzoo.prediction.splitting import split_instances
from segzoo.training.separation import DEEPEST, Separation

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviations of the blur, in pixels.
BLURS = (0.0, 1.0, 1.5)
KINDS: dict[str, Separation] = {
    **{f"touching {one}": Separation(kind="boundary", width=one) for one in (1, 2, 3)},
    **{f"rim {one}": Separation(kind="boundary", where="rim", width=one) for one in (1, 2)},
    "distance": Separation(kind="distance"),
}


def blurred(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if not sigma:
        return values
    side = 2 * int(3 * sigma) + 1
    return gaussian_blur(torch.from_numpy(values)[None], [side, side], [sigma, sigma])[0].numpy()


def matched(found: NDArray[Any], true: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many objects are right at an IoU above 0.5, found for nothing, and missed."""
    numbers, others = int(found.max()), int(true.max())
    pairs = found.astype(np.int64) * (others + 1) + true
    common = np.bincount(pairs.ravel(), minlength=(numbers + 1) * (others + 1)).reshape(numbers + 1, -1)
    either = common.sum(axis=1)[1:, None] + common.sum(axis=0)[None, 1:] - common[1:, 1:]
    right = int((common[1:, 1:] > 0.5 * either).sum())
    return np.array([right, numbers - right, others - right])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="dsb2018")
    parser.add_argument("--root")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=40)
    given = parser.parse_args()
    data = open_dataset(given.data, root=given.root, split=given.split)
    counts: dict[tuple[str, float], NDArray[np.int64]] = {}

    def count(name: str, blur: float, found: NDArray[Any], true: NDArray[Any]) -> None:
        counts[name, blur] = counts.get((name, blur), np.zeros(3, np.int64)) + matched(found, true)

    step = max(1, len(data) // given.images)
    for index in range(0, len(data), step):
        sample = data[index]
        assert sample.instances is not None
        numbers = np.unique(sample.instances, return_inverse=True)[1].reshape(sample.mask.shape)
        true = np.where(foreground(sample.mask, data.labels), numbers, 0)
        count("none", 0.0, find_instances(sample.mask, data.labels).numbers, true)
        count("shape", 0.0, split_instances(sample.mask, data.labels).numbers, true)
        for name, kind in KINDS.items():
            target = kind.target(true, None).astype(np.float32)
            target /= 1 if kind.kind == "boundary" else DEEPEST
            for blur in BLURS:
                told = {"separation": blurred(target, blur), "separator": kind.spec}
                count(name, blur, split_instances(sample.mask, data.labels, **told).numbers, true)
    print(f"{given.data} {given.split}: {len(range(0, len(data), step))} images, AP of objects at IoU 0.5")
    print(f"{'':<12}" + "".join(f"  blur {blur:g} px" for blur in BLURS))
    for name in ("none", "shape", *KINDS):
        found = [counts[name, blur] for blur in BLURS if (name, blur) in counts]
        print(f"{name:<12}" + "".join(f"  {one[0] / one.sum():9.3f}" for one in found))


if __name__ == "__main__":
    main()
