"""How well the recipe `unet-nuclei` finds nuclei of a source that it never saw: leave one source out.

A source of ``dsb2018`` is a stain and an image size, such as ``purple on white 320x256``. For each source of
at least ten images, a network is trained by the recipe `unet-nuclei` on the training part without that source
(``data.without``), and scored on all images of that source. The runs are shorter than that of the bundled
weights; ``--steps`` sets their length. Images of smaller sources are always in the training part.

A source that is done (``source.json``) is not trained again, so the benchmark can be stopped and continued.

    python benchmarks/nuclei_sources.py OUT --root path/to/dsb2018 [--steps 400] [--threads 2]
                                        [--sources SOURCE ...] [KEY=VALUE ...]

KEY=VALUE changes the recipe.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from auto import environment, trained

_FEWEST = 10
_METRICS = ("iou", "dice", "ap", "aji")
_COLUMNS = ("iou_per_image", "iou_pooled", "dice_per_image", "ap_per_image", "aji_per_image")


def sources_of(root: Path) -> dict[str, int]:
    """Return the sources of the data with their number of images, the largest first."""
    from segzoo.build import open_dataset

    tags = open_dataset("dsb2018", root=root, split="all").tags
    return dict(Counter(one["source"] for one in tags).most_common())


def done(folder: Path, source: str, root: Path, steps: int, words: list[str], threads: int) -> dict[str, Any]:
    """Train without a source, score on it, and return the scores."""
    folder.mkdir(parents=True, exist_ok=True)
    said = ["--root", str(root), "--steps", str(steps), f"data.without={source}", *words]
    seconds = round(trained(folder / "run", "unet-nuclei", said, threads))
    metrics = [word for metric in _METRICS for word in ("--metric", metric)]
    report = subprocess.run(
        [
            sys.executable, "-m", "segzoo", "evaluate", str(folder / "run"), "--data", "dsb2018",
            "--root", str(root), "--split", "all", "--data-option", f"only={source}",
            "--data-option", "without=",
            *metrics, "--json",
        ],
        check=True, stdout=subprocess.PIPE, text=True, env=environment(threads),
    )  # fmt: skip
    (folder / "report.json").write_text(report.stdout)
    found = json.loads(report.stdout)
    scores = {
        f"{one['metric']}_{name}": {"value": value, "interval": one.get("intervals", {}).get(name)}
        for one in found["scores"]
        for name, value in one["values"].items()
    }
    told = {"source": source, "images": len(found["images"]), "seconds": seconds, "steps": steps, **scores}
    (folder / "source.json").write_text(json.dumps(told, indent=1))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sources", nargs="+")
    options = parser.parse_intermixed_args()
    counts = sources_of(options.root)
    chosen = options.sources or [source for source, images in counts.items() if images >= _FEWEST]
    rows = []
    for source in chosen:
        folder = options.out / source.replace(" ", "-")
        if (folder / "source.json").is_file():
            rows.append(json.loads((folder / "source.json").read_text()))
        else:
            rows.append(done(folder, source, options.root, options.steps, options.words, options.threads))
        print(f"{source}: {rows[-1]['iou_per_image']['value']:.3f}", flush=True)
    _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    """Print a row for each source, and their mean over sources and over images."""
    import segzoo
    from segzoo.machine import machine_in_words

    print(f"segzoo {segzoo.__version__}, {machine_in_words()}")
    print(
        f"{'left out':<28}{'images':>7}{'steps':>7}{'seconds':>9}" + "".join(f"{one:>16}" for one in _COLUMNS)
    )
    for row in rows:
        values = "".join(f"{row[one]['value']:>16.3f}" for one in _COLUMNS)
        print(f"{row['source']:<28}{row['images']:>7}{row['steps']:>7}{row['seconds']:>9}{values}")
    images = sum(row["images"] for row in rows)
    for name, weights in (
        ("mean over sources", [1 / len(rows)] * len(rows)),
        ("mean over images", [row["images"] / images for row in rows]),
    ):
        means = [
            sum(weight * row[one]["value"] for weight, row in zip(weights, rows, strict=True))
            for one in _COLUMNS
        ]
        print(f"{name:<28}{images:>7}{'':>16}" + "".join(f"{one:>16.3f}" for one in means))


if __name__ == "__main__":
    main()
