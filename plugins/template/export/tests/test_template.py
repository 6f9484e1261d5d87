"""The format keeps segzoo's contract, and an exported model can be loaded again."""

from pathlib import Path

import numpy as np

import segzoo
from segzoo.testing import check_format


def test_the_format_keeps_its_contract():
    check_format("template")


def test_a_file_predicts_as_the_model_does(tmp_path: Path):
    model = segzoo.create("unet", num_classes=2, width=4, depth=2)
    file = segzoo.export(model, tmp_path / "model.template", certificate=False)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    found, wanted = segzoo.predict(image, model=file), segzoo.predict(image, model=model)
    assert (found.mask == wanted.mask).mean() > 0.999
