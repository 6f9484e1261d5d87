"""Scores of `segzoo train auto` and of the recipe `default`, in equal minutes on the same data.

Each arm is one run in a separate process, `segzoo train auto --minutes M` or `segzoo train default
--minutes M`; both measure their steps to fit the time. The arm ``small`` is `default` with the settings that
the docs suggest without a GPU (model.width=16 crop=128 batch_size=4). Weights are scored on a test part that
was used neither to train, nor to choose the epoch, nor to plan. The data lies in $SEGZOO_DATA:

    dsb2018          its own division; the seed differs from fold to fold
    isbi2012         its own five folds of neighbouring slices
    chase_db1        folds by child: both eyes of three or four children are the test; the first observer
    facades_coco     parts of the dataset `facades`, which share no photograph; the seed differs
    nanoshapes_coco  the five folds of the dataset `nanoshapes`, without mosaics

An arm that is done (``arm.json``) is not trained again, so the benchmark can be stopped and continued; an
interrupted arm begins anew. Let nothing else run on the machine. The table shows the mean IoU of all
classes, per image and pooled, and the Dice of all but the background.

    python benchmarks/auto.py OUT [--minutes 3] [--data NAME ...] [--folds 1] [--arms auto default]
                              [--threads 1] [KEY=VALUE ...]

KEY=VALUE changes the arm ``auto``; ``--suffix NAME`` makes it an arm of its own, to try a rule.
``--on val`` shows the scores on the validation images, by which rules are chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_SMALL = ["model.width=16", "crop=128", "batch_size=4"]
_FOLDS = {"chase_db1": 4, "nanoshapes_coco": 5, "isbi2012": 5}
DATA = ("dsb2018", "isbi2012", "chase_db1", "facades_coco", "nanoshapes_coco")


def prepared(name: str, fold: int, out: Path) -> tuple[str, list[str]]:
    """Return the value of ``--data`` for a fold, and further words; make a folder of links where needed."""
    source = Path(os.environ["SEGZOO_DATA"]) / name
    if name == "chase_db1":
        folder = out / "data" / f"{name}-{fold}"
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _chase(source, fold, part)
            part.rename(folder)
        # These folders have no part that validates.
        return str(folder), ["split.share=0.15", "split.of=train", "split.group=Image_(\\d+)"]
    word = f"data.fold={fold}" if name in _FOLDS else f"seed={fold}"
    return name.removesuffix("_coco"), [f"root={source}", word]


def _chase(source: Path, fold: int, out: Path) -> None:
    for image in sorted(source.glob("Image_*.jpg")):
        child = int(image.stem[6:8]) - 1
        part = out / ("test" if child % _FOLDS["chase_db1"] == fold else "train")
        for kind, file, suffix in (
            ("images", image, ".jpg"),
            ("masks", source / f"{image.stem}_1stHO.png", ".png"),
        ):
            (part / kind).mkdir(parents=True, exist_ok=True)
            (part / kind / f"{image.stem}{suffix}").symlink_to(file.resolve())


def trained(folder: Path, recipe: str, words: list[str], threads: int) -> float:
    """Train in a separate process, with the log next to the run folder; return the seconds that it took."""
    command = [sys.executable, "-m", "segzoo", "train", recipe, "--out", str(folder), "--overwrite", *words]
    begun = time.perf_counter()
    with (folder.with_suffix(".log")).open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env=environment(threads))
    return time.perf_counter() - begun


def environment(threads: int) -> dict[str, str]:
    """Return the variables of a process that uses so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def scored(folder: Path, part: str) -> dict[str, Any]:
    """Score the weights of an arm."""
    import segzoo
    from segzoo.evaluation import score_model
    from segzoo.training.data.splits import open_part
    from segzoo.training.recipe.reading import recipe_as_written

    recipe = recipe_as_written(folder / "recipe.toml")
    dataset = open_part(recipe.source, recipe.split, part)
    found = score_model(segzoo.load(str(folder)), dataset, metrics=["miou", "dice"], resamples=0)
    values = {f"{one.metric}_{name}": value for one in found.scores for name, value in one.values.items()}
    values |= {f"iou of {one.name}": one.iou for one in found.classes}
    return {"images": len(found.images), **values, "steps": recipe.steps, "model": recipe.model}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--folds", type=int, default=1, help="how many folds, or seeds, of each dataset")
    parser.add_argument("--arms", nargs="+", default=["auto", "default"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--suffix", default="")
    parser.add_argument("--on", default="test", choices=("test", "val"))
    options = parser.parse_intermixed_args()
    for fold in range(options.folds):
        for name in options.data:
            if fold >= _FOLDS.get(name, fold + 1):
                continue
            data, words = prepared(name, fold, options.out.resolve())
            for arm in options.arms:
                called = arm + (f"-{options.suffix}" if arm == "auto" and options.suffix else "")
                folder = options.out / f"{options.minutes:g}min" / f"{name}-{fold}-{called}"
                if not (folder / "arm.json").is_file():
                    more = {"auto": options.words, "small": _SMALL}.get(arm, [])
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    recipe = "default" if arm == "small" else arm
                    said = ["--data", data, "--minutes", str(options.minutes), *words, *more]
                    seconds = trained(folder, recipe, said, options.threads)
                    told: dict[str, Any] = {part: scored(folder, part) for part in ("val", "test")}
                    told |= {"data": name, "fold": fold, "arm": called, "seconds": round(seconds)}
                    (folder / "arm.json").write_text(json.dumps(told, indent=1))
                    print(
                        f"{folder}: {told[options.on]['miou_per_image']:.4f} in {seconds:.0f} s", flush=True
                    )
    _tell(options.out / f"{options.minutes:g}min", options.on)


def _tell(folder: Path, part: str) -> None:
    """Print the table of all arms that are done."""
    import segzoo
    from segzoo.machine import machine_in_words

    done = [json.loads(path.read_text()) for path in sorted(folder.glob("*/arm.json"))]
    print(f"segzoo {segzoo.__version__}, {machine_in_words()}, {folder.name}, scored on {part}")
    values = ("miou_per_image", "miou_pooled", "dice_per_image", "dice_pooled")
    header = "  ".join(f"{one:>14}" for one in values)
    print(f"{'data':<16}{'fold':>5}  {'arm':<20}{'seconds':>8}{'steps':>7}  {header}")
    for one in sorted(done, key=lambda one: (DATA.index(one["data"]), one["fold"], one["arm"])):
        found = one[part]
        told = "  ".join(f"{found.get(value, float('nan')):>14.4f}" for value in values)
        arm = f"{one['data']:<16}{one['fold']:>5}  {one['arm']:<20}"
        print(f"{arm}{one['seconds']:>8}{found['steps']:>7}  {told}")


if __name__ == "__main__":
    main()
