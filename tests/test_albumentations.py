"""A file of albumentations beside a checkpoint says what became of images, and nothing in it is run."""

from __future__ import annotations

import json
import re

import pytest
from goldens.libraries import LibraryGolden

import segzoo
from segzoo.errors import WeightsError
from segzoo.weights.layouts.transforms import transforms

#: As albumentations 2.0.8 writes them, but for settings that matter to masks alone.
NORMALIZE = {
    "__class_fullname__": "Normalize",
    "p": 1.0,
    "max_pixel_value": 255.0,
    "mean": [0.485, 0.456, 0.406],
    "normalization": "standard",
    "std": [0.229, 0.224, 0.225],
}
RESIZE = {
    "__class_fullname__": "Resize",
    "p": 1.0,
    "area_for_downscale": None,
    "height": 96,
    "interpolation": 1,
    "width": 128,
}


def _pipeline(*steps):
    whole = {"__class_fullname__": "Compose", "p": 1.0, "transforms": list(steps), "bbox_params": None}
    return {"__version__": "2.0.8", "transform": whole}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smp_fpn_resnet18", "smp_unet_resnet34"])
def test_a_folder_with_a_pipeline_of_albumentations_prepares_images_as_it_says(name, tmp_path):
    folder = LibraryGolden(name).write(tmp_path)
    pipeline = _pipeline(RESIZE, NORMALIZE, {"__class_fullname__": "PadIfNeeded", "min_height": 640})
    (folder / "albumentations_config_eval.json").write_text(json.dumps(pipeline))
    model = segzoo.load(segzoo.convert(folder, tmp_path / "out"))
    preprocessing = model.segzoo_config.preprocessing
    assert preprocessing.mean == (0.485, 0.456, 0.406)
    assert preprocessing.std == (0.229, 0.224, 0.225)
    resize = preprocessing.resize
    assert (resize.mode, resize.height, resize.width, resize.antialias) == ("stretch", 96, 128, False)
    assert "PadIfNeeded, which is not repeated" in " ".join(model.segzoo_config.provenance["notes"])


@pytest.mark.parametrize(
    ("pipeline", "told"),
    [
        (_pipeline({**NORMALIZE, "mean": "grey"}), "mean must be numbers"),
        (_pipeline({**NORMALIZE, "std": [0, 1, 1]}), "std must be above 0"),
        (_pipeline({**NORMALIZE, "mean": [0.5, 0.5], "std": [0.5, 0.5]}), "2 means"),
        (_pipeline({**RESIZE, "height": "96"}), "Resize: resize height"),
        (_pipeline({**RESIZE, "interpolation": 7}), "interpolation 7 is not supported; use 0, 1 or 2"),
        ({"transform": 3}, "must hold `transform`"),
    ],
)
def test_a_pipeline_of_another_form_is_refused_with_what_is_wrong(pipeline, told):
    with pytest.raises(WeightsError, match=re.escape(told)):
        transforms(pipeline)
