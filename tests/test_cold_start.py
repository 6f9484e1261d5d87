"""From the shell to a mask on disk nothing is imported that a mask does not need."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

#: Each takes longer to import than an image of 256x256 takes to be segmented.
NOT_NEEDED = ("torchvision", "timm", "accelerate", "scipy", "openvino", "nncf", "onnx", "onnxruntime")


@pytest.mark.slow
def test_one_mask_of_a_plain_unet_needs_no_package_beside_torch(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    arguments = ["predict", str(tmp_path / "a.png"), "--model", "unet-nuclei-1", "--out", str(tmp_path)]
    program = (
        "import sys; from segzoo.cli import run\n"
        f"code = run({arguments!r})\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = done.stdout.splitlines()[-1].split()
    assert "torch" in imported
    assert sorted(set(NOT_NEEDED) & set(imported)) == []
    assert Image.open(tmp_path / "a_mask.png").size == (256, 256)
