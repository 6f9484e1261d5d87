"""Registries: who has which name."""

from __future__ import annotations

import pytest

from segzoo.errors import AmbiguousNameError, PluginError, UnknownNameError
from segzoo.registry import Registry, plural
from segzoo.specs import LossSpec


def loss(name: str, *aliases: str) -> LossSpec:
    return LossSpec(name=name, aliases=aliases, factory="a.b:c")


@pytest.fixture
def losses() -> Registry[LossSpec]:
    registry = Registry(LossSpec)
    registry.add(loss("dice", "f1"), loss("focal"), owner="one")
    registry.add(loss("dice"), owner="two")
    return registry


def test_a_name_an_alias_and_a_full_name_find_the_spec(losses: Registry[LossSpec]) -> None:
    assert losses.get("focal").name == "focal"
    assert losses.entry("f1").full_name == "one:dice"
    assert losses.entry("two:dice").owner == "two"
    assert losses.entry("one:f1").owner == "one"


def test_two_owners_of_a_name_are_both_reachable_and_the_short_name_names_both(
    losses: Registry[LossSpec],
) -> None:
    with pytest.raises(AmbiguousNameError, match="2 plug-ins have a loss named 'dice'") as caught:
        losses.get("dice")
    assert "'one:dice' or 'two:dice'" in str(caught.value)
    assert {losses.entry(name).owner for name in ("one:dice", "two:dice")} == {"one", "two"}


def test_names_are_sorted_and_prefixed_only_where_they_must_be(losses: Registry[LossSpec]) -> None:
    assert losses.names() == ["focal", "one:dice", "two:dice"]
    assert len(losses) == 3


def test_one_owner_cannot_claim_a_name_twice_and_then_adds_nothing(losses: Registry[LossSpec]) -> None:
    with pytest.raises(PluginError, match="one names two losses 'f1'"):
        losses.add(loss("new"), loss("f1"), owner="one")
    assert "new" not in losses


def test_patterns_match_names_and_aliases(losses: Registry[LossSpec]) -> None:
    assert losses.match("oc") == ["focal"]
    assert losses.match("f*") == ["focal", "one:dice"]
    assert losses.match("nothing") == []


def test_an_unknown_name_is_told_with_close_ones_the_command_and_a_footnote() -> None:
    registry = Registry(LossSpec, footnote=lambda name: f"\nand {name} more")
    registry.add(loss("dice"), owner="one")
    with pytest.raises(UnknownNameError) as caught:
        registry.get("dise")
    told = "no loss is named 'dise'; did you mean 'dice'? `segzoo list losses` shows all 1\nand dise more"
    assert str(caught.value) == told
    with pytest.raises(UnknownNameError, match="'zzz'; `segzoo list losses`"):
        registry.get("zzz")


def test_something_that_is_no_text_is_not_in_a_registry(losses: Registry[LossSpec]) -> None:
    assert 3 not in losses
    assert "focal" in losses
    assert "three:dice" not in losses


@pytest.mark.parametrize(("kind", "many"), [("loss", "losses"), ("weights", "weights"), ("model", "models")])
def test_kinds_have_their_plural(kind: str, many: str) -> None:
    assert plural(kind) == many
