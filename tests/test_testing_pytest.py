"""The plug-in of pytest: it runs every check of a distribution, and only where it is asked for."""

from __future__ import annotations

import pytest

from segzoo.hooks import API_VERSION

pytest_plugins = ["pytester"]

METRIC = """
import math
from segzoo.hooks import hookimpl
from segzoo.specs import MetricSpec

@hookimpl
def segzoo_metrics():
    return [MetricSpec(name="mine", factory="segzoo.metrics.scores:class_score"{})]
"""
CONTRACT = "def test_contract(segzoo_check):\n    segzoo_check.run()\n"
NAME = "-psegzoo.testing.pytest_plugin"


@pytest.fixture
def author(pytester, site):
    """The folder of an author whose plug-in is installed."""
    site.install("segzoo-mine", METRIC.format(""))
    return pytester


@pytest.mark.slow
def test_all_checks_run_without_a_test_file(author):
    done = author.runpytest_inprocess(NAME, "--segzoo-plugin", "segzoo-mine", "-v")
    done.assert_outcomes(passed=9)
    done.stdout.fnmatch_lines(["*metric/mine/merge PASSED*"])


@pytest.mark.slow
def test_one_test_stands_for_all_checks(author):
    author.makepyfile(CONTRACT)
    author.makeini(f"[pytest]\nsegzoo_plugin = segzoo-mine\nsegzoo_api = {API_VERSION}\n")
    done = author.runpytest_inprocess(NAME, "--strict-config", "-k", "not listing")
    done.assert_outcomes(passed=8, deselected=1)
    # The option wins, and adds nothing to the test.
    done = author.runpytest_inprocess(NAME, "--segzoo-plugin", "segzoo-mine", "-k", "merge or loads")
    done.assert_outcomes(passed=2, deselected=7)


@pytest.mark.medium
def test_a_broken_promise_is_shown_as_its_text(author, site):
    site.install("segzoo-upside", METRIC.replace("mine", "upside").format(", higher_is_better=False"))
    done = author.runpytest_inprocess(NAME, "--segzoo-plugin", "segzoo-upside", "-k", "perfect")
    done.assert_outcomes(failed=1, deselected=8)
    done.stdout.fnmatch_lines(["metric 'upside': per_image of a perfect prediction is 1.0, of another 0.*"])


@pytest.mark.medium
def test_an_expected_failure_is_shown_with_its_reason(author, site):
    site.install("segzoo-upside", METRIC.replace("mine", "upside").format(", higher_is_better=False"))
    author.makepyfile(CONTRACT)
    author.makeini(
        "[pytest]\nsegzoo_plugin = segzoo-upside\n"
        "segzoo_expected_failures =\n    metric/upside/perfect: the spec: to be mended\n"
    )
    done = author.runpytest_inprocess(NAME, "-rx", "-k", "not listing")
    done.assert_outcomes(passed=7, xfailed=1, deselected=1)
    done.stdout.fnmatch_lines(["XFAIL *metric/upside/perfect* the spec: to be mended"])


@pytest.mark.medium
def test_a_conftest_says_what_checks_are_given(author):
    author.makeconftest(
        "def pytest_segzoo_arguments():\n"
        "    return {'metric/mine': {'oracle': lambda labels, examples: {'pooled': 7.0}}}\n"
    )
    done = author.runpytest_inprocess(NAME, "--segzoo-plugin", "segzoo-mine", "-k", "oracle")
    done.assert_outcomes(failed=1, deselected=9)
    done.stdout.fnmatch_lines(["*by its oracle 7.0*"])


def test_tests_for_another_interface_version_are_refused(author):
    author.makeini(f"[pytest]\nsegzoo_api = {API_VERSION + 1}\n")
    done = author.runpytest_inprocess(NAME)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(
        [f"*for plug-in interface {API_VERSION + 1} (segzoo_api)*interface {API_VERSION}*"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("", "say whose checks to run: --segzoo-plugin"),
        ("segzoo_plugin = segzoo-mien", "did you mean 'segzoo-mine'"),
        ("segzoo_plugin = segzoo-mine\nsegzoo_expected_failures = metric/mine/merge", "is not 'id: reason'"),
        (
            "segzoo_plugin = segzoo-mine\nsegzoo_expected_failures = metric/mine/marge: why",
            "did you mean 'metric/mine/merge'",
        ),
    ],
)
def test_a_wrong_setting_is_told(author, settings, told):
    author.makepyfile(CONTRACT)
    author.makeini(f"[pytest]\n{settings}\n")
    done = author.runpytest_inprocess(NAME)
    assert done.ret != 0
    assert told in done.stdout.str() + done.stderr.str()


@pytest.mark.medium
def test_a_test_may_have_a_zoo_of_its_own(author):
    author.makepyfile(
        "from segzoo import zoo\n"
        "from segzoo.specs import LossSpec\n"
        "def test_alone(isolated_zoo):\n"
        "    assert 'mine' not in zoo.metrics and 'dice' in zoo.metrics\n"
        "    isolated_zoo(LossSpec(name='other', factory='a:b'), builtin=False)\n"
        "    assert zoo.losses.names() == ['other'] and 'dice' not in zoo.metrics\n"
        "def test_after():\n"
        "    assert 'mine' in zoo.metrics\n"
    )
    author.runpytest_inprocess(NAME).assert_outcomes(passed=2)


def test_nobody_gets_the_plugin_who_has_not_asked_for_it(author):
    author.makepyfile(CONTRACT)
    done = author.runpytest_inprocess()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*fixture 'segzoo_check' not found"])
