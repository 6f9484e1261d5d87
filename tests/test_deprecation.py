"""Old names still work, and say what they are called now."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch

from segzoo.deprecation import renamed
from segzoo.losses import Pixels
from segzoo.specs import LayoutSpec


@renamed(tell="on_message")
def work(count, *, on_message=None):
    return count, on_message


def test_an_old_argument_is_taken_with_a_warning():
    with pytest.warns(DeprecationWarning, match="tell is called on_message now"):
        assert work(3, tell=4) == (3, 4)  # pyright: ignore[reportCallIssue]


def test_the_new_argument_warns_of_nothing_and_is_the_one_that_is_shown(recwarn):
    assert work(3, on_message=4) == (3, 4)
    assert not recwarn
    assert list(inspect.signature(work).parameters) == ["count", "on_message"]


def test_both_names_of_one_argument_are_a_mistake():
    with pytest.warns(DeprecationWarning, match="tell"), pytest.raises(TypeError, match="give one of them"):
        work(3, tell=4, on_message=5)  # pyright: ignore[reportCallIssue]


def test_a_loss_still_gets_its_chances():
    pixels = Pixels(
        torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), torch.ones(1, 2, 2, dtype=torch.bool)
    )
    with pytest.warns(DeprecationWarning, match="chances is called probabilities now"):
        (old, _), (new, _) = pixels.chances(background=True), pixels.probabilities(background=True)
    assert torch.equal(old, new)


def test_a_layout_still_takes_and_has_marks():
    with pytest.warns(DeprecationWarning, match="marks is called signature now"):
        old = LayoutSpec(name="old", factory="here:make", marks=("net.a",))  # pyright: ignore[reportCallIssue]
    assert old == LayoutSpec(name="old", factory="here:make", signature=("net.a",))
    assert replace(old, name="new").signature == ("net.a",)
    with pytest.warns(DeprecationWarning, match="marks"):
        assert old.marks == ("net.a",)  # pyright: ignore[reportAttributeAccessIssue]
