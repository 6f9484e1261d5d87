"""The checks of losses catch those that break a promise, and say which."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segzoo.errors import OptionError, PluginError
from segzoo.specs import LossSpec
from segzoo.testing import check_loss

HERE = __name__


def good_loss(*, ignore_index=None):
    def loss(logits, target):
        if logits.shape[1] == 1:
            raise OptionError("two logits or more, please")
        known = target.where(target != 255, torch.zeros_like(target))
        entropy = nn.functional.cross_entropy(logits.float(), known, reduction="none")
        counts = torch.ones_like(entropy) if ignore_index is None else (target != ignore_index).float()
        return (entropy * counts).sum() / counts.sum().clamp(min=1)

    return loss


def _spoilt(change):
    def factory(*, ignore_index=None):
        loss = good_loss(ignore_index=ignore_index)
        return lambda logits, target: change(loss, logits, target)

    return factory


def torch_loss(*, ignore_index=None):
    return nn.CrossEntropyLoss(ignore_index=-100 if ignore_index is None else ignore_index)


def no_index():
    return good_loss()


vector = _spoilt(lambda loss, logits, target: loss(logits, target).expand(2))
overflowing = _spoilt(lambda loss, logits, target: loss(logits, target) + logits.exp().mean() * 0)
hard = _spoilt(lambda loss, logits, target: loss(logits, target).detach() + 0 * logits.float().sum())
first_image = _spoilt(lambda loss, logits, target: loss(logits[:1], target[:1]))
backwards = _spoilt(lambda loss, logits, target: loss(-logits, target))
negative = _spoilt(lambda loss, logits, target: loss(logits, target) - 9)


def one_logit_only(*, ignore_index=None):
    def loss(logits, target):
        raise OptionError("seven logits, please")

    return loss


def loss_spec(factory):
    return LossSpec(name="mine", factory=f"{HERE}:{factory}")


def test_a_loss_that_keeps_its_promises_passes_though_it_takes_no_single_logit():
    check_loss(loss_spec("good_loss"))


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("torch_loss", "of .*everything ignored.* not finite|a target of ignored pixels alone it is nan"),
        ("no_index", "its factory must take ignore_index"),
        ("vector", r"a tensor of one number, got \(2,\); take the mean"),
        ("overflowing", r"of 2 logits of -10000 and 10000 as float32 .* or its gradient is not finite"),
        ("hard", "it has no gradient on random logits"),
        ("first_image", "the order of images changes it"),
        ("backwards", "right, undecided and wrong it makes .* must increase"),
        ("one_logit_only", "takes none of 1, 2, 5 logits: seven logits, please"),
    ],
)
def test_a_loss_that_breaks_a_promise_is_told_which(factory, told):
    with pytest.raises(PluginError, match=told):
        check_loss(loss_spec(factory), logits=(1, 2, 5) if factory == "one_logit_only" else (2, 5))


def test_a_loss_may_promise_never_to_fall_below_something():
    with pytest.raises(PluginError, match=r"of 2 logits it is -.*, below 0\.0"):
        check_loss(loss_spec("negative"), least=0.0)
