"""The loss keeps segzoo's contract, and has the documented values."""

import pytest
import torch

from segzoo.build import make_loss
from segzoo.testing import check_loss


def test_the_loss_keeps_its_contract():
    check_loss("template")


@pytest.mark.parametrize(("target", "wanted"), [([0, 0], 0.0), ([1, 1], 2.0), ([0, 1], 1.0)])
def test_it_is_0_where_all_is_right_and_2_where_all_is_wrong(target, wanted):
    logits = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    assert make_loss("template")(logits, torch.tensor(target).view(1, 1, 2)).item() == pytest.approx(wanted)


def test_ignored_pixels_count_for_nothing():
    logits, target = torch.randn(1, 3, 2, 2), torch.tensor([[[0, 9], [9, 2]]])
    loss = make_loss("template", ignore_index=9)
    kept = loss(logits[..., [0, 1], [0, 1]].unsqueeze(2), torch.tensor([[[0, 2]]]))
    assert loss(logits, target).item() == pytest.approx(kept.item())
