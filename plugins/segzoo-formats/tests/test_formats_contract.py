"""What segzoo-formats brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.testing import every_check


@pytest.mark.parametrize("check", every_check("segzoo-formats"), ids=str)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


@pytest.mark.slow
def test_files_of_an_annotation_tool_are_trained_on(tmp_path):
    image = np.zeros((32, 32, 3), np.uint8)
    for number in range(4):
        part = tmp_path / ("train" if number < 2 else "val")
        part.mkdir(exist_ok=True)
        Image.fromarray(image).save(part / f"{number}.png")
        square = {"label": "x", "points": [[4, 4], [20, 4], [20, 20]], "shape_type": "polygon"}
        said = {"shapes": [square], "imagePath": f"{number}.png", "imageData": None}
        (part / f"{number}.json").write_text(json.dumps(said))
    said = {"model": "unet", "crop": 32, "batch_size": 2}
    run = segzoo.train(
        data=str(tmp_path), out=str(tmp_path / "run"), epochs=1, device="cpu", progress=False, **said
    )
    assert run.epoch == 1
