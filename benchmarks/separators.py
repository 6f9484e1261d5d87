"""Which kind of separator splits the objects of a dataset best, measured without training.

The target of each kind is computed from the true objects and blurred, like a network's output, and the true
mask is split by it. This is an upper bound for a network. ``none`` uses connected components,
``shape`` splits without a separator.

    python benchmarks/separators.py [--data dsb2018] [--root DIR] [--split val] [--images 40]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from segzoo.build import make_metric, open_dataset
from segzoo.labels import foreground
from segzoo.prediction.postprocessing import find_instances
from segzoo.prediction.splitting import split_instances
from segzoo.specs import numbered_labels
from segzoo.training.separation import DEEPEST, Separation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.interfaces import Metric

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="dsb2018")
    parser.add_argument("--root")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=40)
    given = parser.parse_args()
    data = open_dataset(given.data, root=given.root, split=given.split)
    # An object is one whatever its class.
    scores: dict[tuple[str, float], Metric] = defaultdict(lambda: make_metric("ap", numbered_labels(2)))

    def score(name: str, blur: float, found: NDArray[Any], true: NDArray[Any]) -> None:
        masks = ((one > 0).astype(np.uint8) for one in (found, true))
        scores[name, blur].update(*masks, instances=(found, true))

    step = max(1, len(data) // given.images)
    for index in range(0, len(data), step):
        sample = data[index]
        assert sample.instances is not None
        numbers = np.unique(sample.instances, return_inverse=True)[1].reshape(sample.mask.shape)
        true = np.where(foreground(sample.mask, data.labels), numbers, 0)
        score("none", 0.0, find_instances(sample.mask, data.labels).numbers, true)
        score("shape", 0.0, split_instances(sample.mask, data.labels).numbers, true)
        for name, kind in KINDS.items():
            target = kind.target(true, None).astype(np.float32)
            target /= 1 if kind.kind == "boundary" else DEEPEST
            for blur in BLURS:
                told = {"separation": blurred(target, blur), "separator": kind.spec}
                score(name, blur, split_instances(sample.mask, data.labels, **told).numbers, true)
    print(f"{given.data} {given.split}: {len(range(0, len(data), step))} images, AP of objects at IoU 0.5")
    print(f"{'':<12}" + "".join(f"  blur {blur:g} px" for blur in BLURS))
    for name in ("none", "shape", *KINDS):
        found = [scores[name, blur].compute()["pooled"] for blur in BLURS if (name, blur) in scores]
        print(f"{name:<12}" + "".join(f"  {one:9.3f}" for one in found))


if __name__ == "__main__":
    main()
