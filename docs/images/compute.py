"""The pictures of the first pages, computed by the bundled weights.

    python docs/images/compute.py            # write them again
    python docs/images/compute.py --check    # name the ones that the weights no longer compute

`nuclei.png`, `tissue.png` and `smear.png` are images 48, 27 and 14 of the test part of the Data Science Bowl
2018 (BBBC038, CC0), as `segzoo.build.open_dataset("dsb2018", split="test")` numbers them. The weights were
not trained on them. `nuclei_mask.png` and `nuclei_overlay.png` are what `segzoo predict` writes. `spots.png`
is the example of docs/start/own-data.md, followed from its first line to its last, which takes half a minute.
docs/images/domains.py draws the picture of README.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import segzoo

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "start/own-data.md"


def pictures() -> dict[str, Image.Image]:
    """Return the mask and the overlay of `nuclei.png`, by file."""
    found = segzoo.predict(HERE / "nuclei.png", model="unet-nuclei")
    return {"nuclei_mask.png": found.index_image(), "nuclei_overlay.png": found.overlay()}


def difference(file: str, picture: Image.Image) -> float:
    """Return the share of pixels that differ from the file; 1 if there is no file or its size differs."""
    if not (HERE / file).is_file():
        return 1.0
    old, new = (np.asarray(one.convert("RGBA")) for one in (Image.open(HERE / file), picture))
    return 1.0 if old.shape != new.shape else float((old != new).any(axis=2).mean())


def spots() -> Image.Image:
    """Follow the page on your own data; return its image, the mask and the overlay, side by side."""
    text = PAGE.read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0]
    train = re.findall(r"^\$ (segzoo train .*)$", text, re.MULTILINE)[0]
    image = re.findall(r"^\$ segzoo predict (\S+)", text, re.MULTILINE)[0]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
        subprocess.run([sys.executable, "-m", *train.split()], cwd=folder, check=True)
        found = segzoo.predict(Path(folder) / image, model=f"{folder}/runs/unet")
    parts = Image.fromarray(found.image), found.colour_image(), found.overlay()
    width, height, gap = 2 * parts[0].width, 2 * parts[0].height, 16
    # The gaps are transparent, to fit light and dark pages.
    strip = Image.new("RGBA", (3 * width + 2 * gap, height))
    for number, part in enumerate(parts):
        strip.paste(part.resize((width, height), Image.Resampling.NEAREST), (number * (width + gap), 0))
    return strip


def main() -> int:
    """Write the pictures, or name the ones that would change."""
    parser = argparse.ArgumentParser(description="compute the pictures of the first pages")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    found = pictures()
    if not check:
        found["spots.png"] = spots()
    changed = [file for file, picture in found.items() if difference(file, picture) > 0]
    for file in changed:
        print(f"{file}: {'changed' if check else 'written'}")
        if not check:
            found[file].save(HERE / file, optimize=True)
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
