"""The loader against decoding at full size: Carvana's files at half their size, to tensors, on one core.

The other way is that of milesial's program, written from its description: decode 1918x1280, resize
with Pillow (bicubic; masks to the nearest), scale by 255 in 64-bit floats, map each mask value in a pass of
its own. Files are made up: JPEG as smooth as photographs of a studio, of about 175 kB each, and masks in GIF
of 8 kB. The more a JPEG holds, the nearer the two ways are. Both take turns, and so do samples kept on disk.

    python benchmarks/loader.py [--images 24] [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw

from segzoo.build import open_dataset
from segzoo.images import normalised
from segzoo.specs import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.interfaces import Dataset

Tensors = tuple[torch.Tensor, torch.Tensor]
WIDTH, HEIGHT, SCALE = 1918, 1280, 0.5


def make_files(root: Path, count: int) -> None:
    random = np.random.default_rng(0)
    (root / "imgs").mkdir()
    (root / "masks").mkdir()
    for number in range(count):
        photograph(random).save(root / f"imgs/car_{number:02}.jpg", quality=90)
        outline(random).save(root / f"masks/car_{number:02}_mask.gif")


def photograph(random: np.random.Generator) -> Image.Image:
    rows, columns = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    # Natural images fall off with the frequency; this one faster, as a studio is smooth.
    falloff = np.maximum(np.hypot(rows, columns), 1 / WIDTH) ** -1.8
    noise = random.normal(size=(3, HEIGHT, WIDTH))
    grey, *tints = np.fft.irfft2(np.fft.rfft2(noise) * falloff, (HEIGHT, WIDTH))
    planes = [128 + 40 * grey / grey.std() + 8 * tint / tint.std() for tint in (*tints, grey)]
    return Image.fromarray(np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8))


def outline(random: np.random.Generator) -> Image.Image:
    mask = Image.new("P", (WIDTH, HEIGHT))
    mask.putpalette([0, 0, 0, 255, 255, 255])
    angles, radii = np.linspace(0, 2 * np.pi, 90), random.uniform(350, 420, 90)
    xs, ys = WIDTH / 2 + 1.5 * radii * np.cos(angles), HEIGHT / 2 + radii * np.sin(angles)
    ImageDraw.Draw(mask).polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=1)
    return mask


def at_full_size(root: Path, name: str) -> Tensors:
    size = int(WIDTH * SCALE), int(HEIGHT * SCALE)
    image = Image.open(root / f"imgs/{name}.jpg").resize(size, Image.Resampling.BICUBIC)
    values = np.asarray(Image.open(root / f"masks/{name}_mask.gif").resize(size, Image.Resampling.NEAREST))
    mask = np.zeros(values.shape, np.int64)
    for index, value in enumerate((0, 1)):
        mask[values == value] = index
    pixels = np.asarray(image).transpose(2, 0, 1)
    if (pixels > 1).any():
        pixels = pixels / 255.0
    return torch.as_tensor(pixels.copy()).float().contiguous(), torch.as_tensor(
        mask.copy()
    ).long().contiguous()


def timed(load: Callable[[int], Tensors], count: int) -> float:
    start = time.process_time()
    for index in range(count):
        load(index)  # let go at once, as a batch lets go of its images
    return count / (time.process_time() - start)


def to_tensors(dataset: Dataset, preprocessing: Preprocessing) -> Callable[[int], Tensors]:
    def load(index: int) -> Tensors:
        sample = dataset[index]
        return torch.from_numpy(normalised(sample.image, preprocessing)), torch.from_numpy(sample.mask)

    return load


def compare(half: Callable[[int], Tensors], full: Callable[[int], Tensors], count: int) -> str:
    means, most, alike = [], 0.0, True
    for index in range(count):
        (image, mask), (wanted, truth) = half(index), full(index)
        off = (image - wanted).abs() * 255
        means.append(float(off.mean()))
        most, alike = max(most, float(off.max())), alike and torch.equal(mask.long(), truth)
    masks = "masks are equal" if alike else "masks are not equal"
    return f"pixels differ by {statistics.mean(means):.2f} of 255 on average, {most:.0f} at most; {masks}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    count = arguments.images
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_files(root, count)
        size = statistics.mean(path.stat().st_size for path in (root / "imgs").iterdir())
        opened = [
            open_dataset("carvana", root=root, split="all", scale=SCALE, cache=kept)
            for kept in (False, root / "kept")
        ]
        names = opened[0].names
        half, kept = (to_tensors(dataset, Preprocessing()) for dataset in opened)
        ways = {
            "decoded in full": lambda index: at_full_size(root, names[index]),
            "segzoo": half,
            "segzoo, kept on disk": kept,
        }
        rates = {way: [] for way in ways}
        for way, load in [pair for _ in range(arguments.runs + 1) for pair in ways.items()]:
            rates[way].append(timed(load, count))
        told = compare(half, ways["decoded in full"], count)
    files = f"{count} images of {size / 1e3:.0f} kB on average"
    print(f"{platform.machine()}, {os.cpu_count()} cores, one used; {files}")
    # The first round fills caches.
    medians = {way: statistics.median(found[1:]) for way, found in rates.items()}
    for way, rate in medians.items():
        print(f"{way:22} {rate:6.1f} images/s of a core's time   {rate / medians['decoded in full']:5.2f}")
    print(told)


if __name__ == "__main__":
    main()
