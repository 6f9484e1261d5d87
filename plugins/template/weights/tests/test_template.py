"""The weights keep segzoo's contract, and find bright rectangles."""

import torch

import segzoo
from segzoo.testing import check_weights


def test_the_weights_keep_their_contract():
    check_weights("template")


def test_they_find_a_bright_rectangle():
    image = torch.full((1, 3, 40, 50), 0.2)
    image[:, :, 10:30, 5:25] = 0.8
    model = segzoo.create("template").eval()
    found = model(image).argmax(dim=1)[0] == 1
    wanted = image[0, 0] > 0.5
    assert (found & wanted).sum() / (found | wanted).sum() > 0.8
