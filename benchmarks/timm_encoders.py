"""Which of timm's backbones are encoders of segzoo, and why the others are not; nothing is downloaded.

    python benchmarks/timm_encoders.py [PATTERN] [--write FILE.json]

Every backbone is built on the meta device and given images of 1x1 and 75x101 pixels there. Some
1400 of them take an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import timm
import torch

import segzoo
from segzoo import zoo
from segzoo.errors import SegzooError


def look_at(name: str) -> tuple[str, str]:
    """Return what a backbone becomes (``pyramid``, ``vit``, ``refused`` or ``failed``), and why not more."""
    try:
        spec = zoo.find_encoder(f"timm:{name}").spec
        with torch.device("meta"):
            encoder = segzoo.create(f"linear/timm:{name}", num_classes=2).eval()
            for height, width in ((1, 1), (75, 101)):
                if encoder(torch.empty(1, 3, height, width)).shape != (1, 2, height, width):
                    return "failed", f"gives another size than {height}x{width}"
    except SegzooError as error:
        return "refused", str(error).splitlines()[0]
    except Exception as error:  # whatever a backbone does that is not foreseen is what this looks for
        return "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    return ("vit" if spec.factory.endswith("ViTEncoder") else "pyramid"), ""


def main() -> None:
    """Look at all backbones, and print how many are encoders and which are not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern of timm's names")
    parser.add_argument("--write", type=Path, help="write what was found of each as JSON")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    started, found = time.perf_counter(), {}
    for name in timm.list_models(given.pattern):
        found[name] = look_at(name)
        if found[name][1]:
            print(name, *found[name], flush=True)
    print(
        dict(Counter(kind for kind, _ in found.values())),
        f"{time.perf_counter() - started:.0f} s",
        sys.version,
    )
    if given.write:
        given.write.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
