"""The optimizer keeps segzoo's contract, and makes the documented steps."""

import torch
from segzoo_template.optimizer import SignDescent

from segzoo.testing import check_optimizer


def test_the_optimizer_keeps_its_contract():
    check_optimizer("template")


def test_every_weight_moves_by_the_rate():
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    weight.grad = torch.tensor([5.0, -0.1])
    SignDescent([weight], lr=0.5).step()
    assert weight.tolist() == [0.5, 1.5]
