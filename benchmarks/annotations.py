"""Masks from COCO's polygons and runs against pycocotools, and against masks that are PNG files already.

The same objects are written as polygons, as compressed runs and as PNG masks. Each way makes the mask of
every image, the smaller object on the larger: segzoo through its dataset, without decoding the image;
``pycocotools`` through ``COCO.annToMask``, painted in the same order; ``PNG`` through ``read_mask``. segzoo
reads the annotations in the file for every image, and numbers the objects too. Ways take turns in one process
on one thread; times are medians of CPU time in milliseconds an image. segzoo's masks are held against
pycocotools' to the pixel.

    python benchmarks/annotations.py [--scale 4] [--images 60] [--runs 5]

The images are those of ``$SEGZOO_DATA/facades_coco``, enlarged by ``--scale``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pycocotools.mask
from PIL import Image
from pycocotools.coco import COCO

from segzoo.build import open_dataset
from segzoo.labels import read_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.datasets import AnnotatedImages


def written(folder: Path, scale: int, count: int) -> dict[str, Path]:
    """Write the first images of the facades as polygons and as runs, enlarged."""
    if "SEGZOO_DATA" not in os.environ:
        raise SystemExit("say where the data lies: SEGZOO_DATA=DIR, which holds facades_coco")
    source = Path(os.environ["SEGZOO_DATA"]) / "facades_coco/valid"
    data = json.loads((source / "_annotations.coco.json").read_text())
    images = data["images"][:count]
    (folder / "images").mkdir()
    for image in images:
        image["height"], image["width"] = image["height"] * scale, image["width"] * scale
        Image.new("RGB", (image["width"], image["height"])).save(folder / "images" / image["file_name"])
    sizes = {image["id"]: (image["height"], image["width"]) for image in images}
    notes = [note for note in data["annotations"] if note["image_id"] in sizes]
    files = {}
    for kind in ("polygons", "runs"):
        for note in notes:
            if kind == "polygons":
                note["segmentation"] = [[value * scale for value in one] for one in note["segmentation"]]
                note["bbox"] = [value * scale for value in note["bbox"]]
            else:
                parts = pycocotools.mask.frPyObjects(note["segmentation"], *sizes[note["image_id"]])
                runs = pycocotools.mask.merge(parts)
                note["segmentation"] = runs | {"counts": runs["counts"].decode()}
        files[kind] = folder / f"{kind}.json"
        files[kind].write_text(json.dumps(data | {"images": images, "annotations": notes}))
    return files


def by_segzoo(data: AnnotatedImages) -> list[np.ndarray]:
    masks = []
    for image in data.images:
        assert image.size is not None
        masks.append(data._mask(data._drawn(image, image.size), image.size)[0])
    return masks


def by_pycocotools(coco: COCO, data: AnnotatedImages) -> list[np.ndarray]:
    masks, index = [], {name: number for number, name in enumerate(data.labels.classes)}
    for number, image in coco.imgs.items():
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        drawn = [(note, coco.annToMask(note)) for note in coco.imgToAnns[number]]
        for note, inside in sorted(drawn, key=lambda one: -int(one[1].sum())):
            mask[inside > 0] = index[coco.cats[note["category_id"]]["name"]]
        masks.append(mask)
    return masks


def seconds(way: Callable[[], object]) -> float:
    start = time.process_time()
    way()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ways: dict[str, Callable[[], object]] = {}
        for kind, path in written(folder, chosen.scale, chosen.images).items():
            data = open_dataset("coco", root=path, split="all")
            with contextlib.redirect_stdout(io.StringIO()):
                coco = COCO(path)
            names = {image["file_name"]: number for number, image in enumerate(coco.imgs.values())}
            theirs = by_pycocotools(coco, data)
            for image, mask in zip(data.images, by_segzoo(data), strict=True):
                np.testing.assert_array_equal(mask, theirs[names[image.image.name]])
            ways[f"segzoo, {kind}"] = lambda data=data: by_segzoo(data)
            ways[f"pycocotools, {kind}"] = lambda coco=coco, data=data: by_pycocotools(coco, data)
        pngs = [folder / f"{number}.png" for number in range(len(theirs))]
        for png, mask in zip(pngs, theirs, strict=True):
            Image.fromarray(mask).save(png)
        ways["segzoo, PNG masks"] = lambda: [read_mask(png) for png in pngs]
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(chosen.runs):
            for name, way in ways.items():
                times[name].append(seconds(way) / len(pngs) * 1e3)
        regions = sum(len(one.regions()) for one in data.images)
        side = 384 * chosen.scale
        print(f"{len(pngs)} images of {side} x {side}, {regions} objects; {platform.machine()}\n")
        print("| way | ms an image | against PNG masks |\n|---|---|---|")
        least = statistics.median(times["segzoo, PNG masks"])
        for name, values in times.items():
            print(f"| {name} | {statistics.median(values):.2f} | {statistics.median(values) / least:.1f} |")


if __name__ == "__main__":
    main()
