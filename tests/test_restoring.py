"""Masks decided on at the image's size are those of logits resized in full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import segzoo
from segzoo.images import Placement, normalised
from segzoo.prediction.decision import Decision
from segzoo.prediction.preparing import normalised_tensor
from segzoo.specs import Preprocessing, Resize

SIZE = (150, 211)


def config(classes, **changes):
    made = segzoo.create("unet", num_classes=classes, width=1, depth=2).segzoo_config
    preprocessing = Preprocessing(resize=Resize(mode="stretch", height=40, width=50, **changes))
    return replace(made, preprocessing=preprocessing, threshold=0.4 if classes == 1 else 0.5)


def smooth(classes):
    random = torch.Generator().manual_seed(classes)
    return F.interpolate(torch.randn(1, classes, 9, 11, generator=random), (40, 50), mode="bicubic")[0]


def slow_mask(logits, config, restore):
    chances = logits.sigmoid() if len(logits) == 1 else logits.softmax(0)
    scores = chances if restore == "probabilities" else logits
    wide = F.interpolate(scores[None], SIZE, mode="bilinear", align_corners=False)[0]
    if len(wide) > 1:
        return wide.argmax(0)
    return (wide if restore == "probabilities" else wide.sigmoid())[0] > config.threshold


@pytest.mark.parametrize("restore", ["logits", "probabilities"])
@pytest.mark.parametrize("classes", [1, 2, 5, 21])
def test_a_mask_is_that_of_all_logits_resized(classes, restore):
    settings, logits = config(classes, restore=restore), smooth(classes)
    placement = Placement(0, 0, 40, 50)
    (mask,) = Decision(settings).whole(logits, placement, SIZE)
    assert mask.shape == SIZE
    assert mask.dtype == torch.uint8
    wrong = (mask != slow_mask(logits, settings, restore)).float().mean()
    assert wrong < 1e-4  # where two classes are equal to the last bit
    again, chances = Decision(settings, keeps=torch.float32).whole(logits, placement, SIZE)
    assert chances.shape == (classes, *SIZE)
    assert (again != mask).float().mean() < 1e-4


def test_bars_around_the_image_are_cut_off_first():
    logits = torch.full((3, 60, 60), -9.0)
    logits[0] = 0
    logits[2, 10:50, 5:55] = 5
    settings = config(3)
    assert (Decision(settings).whole(logits, Placement(10, 5, 40, 50), SIZE)[0] == 2).all()


@pytest.mark.parametrize("mean", [(0.0,), (0.1, 0.2, 0.3)])
def test_tensors_are_normalised_as_arrays_are(mean):
    preprocessing = Preprocessing(mean=mean, std=tuple(0.5 + value for value in mean))
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    tensor = normalised_tensor(image, preprocessing)
    assert np.array_equal(tensor[0].numpy(), normalised(image, preprocessing))
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(normalised_tensor(image[:, ::-1], preprocessing)[0].numpy(), tensor[0].flip(-1))
