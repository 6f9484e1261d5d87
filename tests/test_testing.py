"""Checks as values: ids, expected failures, whole distributions; and the isolated zoo."""

from __future__ import annotations

from types import ModuleType

import pytest
from test_testing_losses import loss_spec
from test_testing_metrics import metric, slow_accuracy
from test_testing_networks import encoder

from segzoo import discovery, zoo
from segzoo.errors import PluginError, UnknownNameError, UsageError
from segzoo.hooks import hookimpl
from segzoo.testing import check_listing, check_plugin, checks_of, every_check, isolated_zoo


def test_every_promise_is_a_check_with_an_id():
    checks = checks_of(metric("Accuracy"), oracle=slow_accuracy)
    assert [check.id for check in checks][:2] == ["metric/mine/contract", "metric/mine/names"]
    assert checks[-1].promise == "oracle"
    assert str(checks[0]) == checks[0].id
    for check in checks:
        check.run()


def test_an_expected_failure_passes_while_it_fails_and_fails_once_it_passes():
    with isolated_zoo(metric("Errors"), owner="segzoo-mine"):
        broken = {"metric/mine/perfect": "lower is better, and the spec cannot say so yet"}
        checks = every_check("segzoo-mine", expected_failures=broken)
        (expected,) = (check for check in checks if check.expected_failure)
        expected.run()
        check_plugin("segzoo-mine", expected_failures=broken)
        with pytest.raises(PluginError, match=r"metric/mine/merge is expected to fail \(why\) and does not"):
            check_plugin("segzoo-mine", expected_failures={**broken, "metric/mine/merge": "why"})
        with pytest.raises(PluginError, match=r"1 of \d+ checks failed:\n  metric/mine/perfect: "):
            check_plugin("segzoo-mine")


def test_an_expected_failure_needs_a_reason_and_a_check():
    with isolated_zoo(metric("Accuracy"), owner="segzoo-mine"):
        with pytest.raises(UsageError, match="say why"):
            every_check("segzoo-mine", expected_failures={"metric/mine/merge": " "})
        with pytest.raises(UnknownNameError, match="did you mean 'metric/mine/merge'"):
            every_check("segzoo-mine", expected_failures={"metric/mine/marge": "why"})
        with pytest.raises(UnknownNameError, match="no part 'metric/other'"):
            every_check("segzoo-mine", arguments={"metric/other": {}})
        with pytest.raises(UnknownNameError, match=r"'segzoo-other' was found.*install it first"):
            every_check("segzoo-other")


def test_without_a_distribution_ids_say_whose_a_part_is():
    with isolated_zoo(metric("Accuracy"), owner="segzoo-mine", builtin=False):
        assert "metric/segzoo-mine:mine/merge" in [check.id for check in every_check()]


@pytest.mark.medium
def test_a_distribution_that_does_not_load_fails_as_a_whole(site):
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    with pytest.raises(PluginError, match=r"plugin/segzoo-bad/loads: .* is broken: RuntimeError: no licence"):
        check_plugin("segzoo-bad")


LOUD = """
{}
from segzoo.hooks import hookimpl
from segzoo.specs import LossSpec

@hookimpl
def segzoo_losses():
    return [LossSpec(name="l", factory="a:b")]
"""


@pytest.mark.medium
@pytest.mark.parametrize(
    ("code", "told"),
    [("import numpy", "listing imports numpy; keep"), ("print('welcome')", "prints 'welcome'")],
)
def test_a_plugin_that_is_heavy_or_loud_to_list_is_told(site, code, told):
    site.install("segzoo-loud", LOUD.format(code))
    with pytest.raises(PluginError, match=told):
        check_listing("segzoo-loud")


# The isolated zoo.


def plugin(name="segzoo_mine"):
    module = ModuleType(name)

    @hookimpl
    def segzoo_losses():
        return [loss_spec("good_loss")]

    module.__dict__["segzoo_losses"] = segzoo_losses
    return module


def test_an_isolated_zoo_holds_what_it_is_given_and_nothing_that_is_installed():
    before = zoo.registry("encoders")
    with isolated_zoo(plugin(), encoder("GoodEncoder")):
        assert {record.distribution for record in zoo.plugins} == {"segzoo", "segzoo-mine", "isolated"}
        assert zoo.losses.entry("mine").owner == "segzoo-mine"
        assert zoo.encoders.entry("mine").owner == "isolated"
        assert "plain" in zoo.encoders
        with isolated_zoo(builtin=False):
            assert len(zoo.encoders) == 0
        assert "mine" in zoo.encoders
    assert zoo.registry("encoders") is before


def test_an_isolated_zoo_refuses_to_look_for_plugins(tmp_path):
    looks = (discovery.installed, lambda: discovery.in_folder(tmp_path), lambda: zoo.add_folder(tmp_path))
    with isolated_zoo(plugin()):
        for look in looks:
            with pytest.raises(PluginError, match="the zoo is isolated"):
                look()
        zoo.refresh()
        assert "mine" in zoo.losses
    assert tmp_path not in zoo.folders()
    assert isinstance(discovery.installed(), list)


def test_an_isolated_zoo_is_left_when_a_test_fails_in_it():
    with pytest.raises(ZeroDivisionError), isolated_zoo(plugin()):
        _ = 1 / 0
    assert not zoo.isolated()
    assert "mine" not in zoo.losses


@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        ([ModuleType("empty")], "it has no hook"),
        ([loss_spec("a"), loss_spec("b")], "names two losses 'mine'"),
        ([plugin("segzoo_banned")], "is blocked: named by SEGZOO_DISABLE_PLUGINS"),
    ],
)
def test_a_plugin_that_breaks_a_rule_is_told_at_once(monkeypatch, plugins, told):
    monkeypatch.setenv("SEGZOO_DISABLE_PLUGINS", "segzoo-banned")
    with pytest.raises(PluginError, match=told), isolated_zoo(*plugins):
        pass
    assert not zoo.isolated()
