"""A plug-in of pytest for those who write plug-ins of segzoo; loaded only where it is asked for.

Ask for it in ``pyproject.toml``, and say for which distribution::

    [tool.pytest.ini_options]
    addopts = "-p segzoo.testing.pytest_plugin"
    segzoo_plugin = "segzoo-mine"
    segzoo_api = "1"
    segzoo_expected_failures = ["encoder/mine/odd-sizes: the stem needs even sides until release 2"]

Then the whole contract is one test, run once for each promise::

    def test_contract(segzoo_check):
        segzoo_check.run()

and ``pytest --segzoo-plugin segzoo-mine`` runs it even without one. What checks are to be given besides, such
as data, an oracle or options for narrow networks, a ``conftest.py`` says::

    def pytest_segzoo_arguments():
        return {"dataset/mine": {"root": "tests/tiny"}, "model/mine": {"width": 4}}

``segzoo_api`` is the interface version that the tests were written for; another one is refused. The
fixture ``isolated_zoo`` gives a test a zoo without anything else that is installed.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from segzoo.errors import PluginError, UsageError
from segzoo.hooks import API_VERSION
from segzoo.testing.checks import Check, every_check
from segzoo.testing.isolation import isolated_zoo as isolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_FIXTURE = "segzoo_check"
_CHECKS = pytest.StashKey[list[Check]]()


class Specs:
    """Hooks that a ``conftest.py`` may implement."""

    @pytest.hookspec
    def pytest_segzoo_arguments(self) -> Mapping[str, Mapping[str, Any]]:  # pyright: ignore[reportReturnType]
        """Return what checks are given, by ``kind/name``, as `segzoo.testing.every_check` takes it."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let a ``conftest.py`` say what checks are given."""
    pluginmanager.add_hookspecs(Specs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the settings."""
    group = parser.getgroup("segzoo", "plug-ins of segzoo")
    group.addoption(
        "--segzoo-plugin",
        metavar="DISTRIBUTION",
        help="run the checks of all that a distribution brings to segzoo, such as segzoo-mine",
    )
    parser.addini("segzoo_plugin", "the distribution whose checks `segzoo_check` stands for")
    parser.addini("segzoo_api", "the plug-in interface version that the tests were written for")
    parser.addini("segzoo_expected_failures", "promises known to be broken, 'id: reason'", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse tests that were written for another interface version."""
    wanted = str(config.getini("segzoo_api") or API_VERSION).strip()
    if wanted != str(API_VERSION):
        raise pytest.UsageError(
            f"these tests are for plug-in interface {wanted} (segzoo_api), and the segzoo that is installed "
            f"has interface {API_VERSION}: install one that has {wanted}, or see what changed and say "
            f"segzoo_api = {API_VERSION}"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `segzoo_check` once for each of them."""
    if _FIXTURE in metafunc.fixturenames:
        checks = _checks(metafunc.config)
        metafunc.parametrize(_FIXTURE, [pytest.param(check, id=check.id) for check in checks])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for each check where ``--segzoo-plugin`` asks for them and no test takes `segzoo_check`."""
    if config.getoption("--segzoo-plugin") and not any(_FIXTURE in _fixtures(item) for item in items):
        items += [CheckItem.from_parent(session, name=check.id, check=check) for check in _checks(config)]


class CheckItem(pytest.Item):
    """A test that is a check."""

    def __init__(self, *, check: Check, **rest: Any) -> None:
        super().__init__(**rest)
        self.check = check

    def runtest(self) -> None:
        """Run the check."""
        self.check.run()
        _tell_expected(self.check)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show a broken promise as its text, anything else as pytest does."""
        if isinstance(excinfo.value, PluginError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Say which check this is."""
        return self.path, None, f"segzoo {self.check.id}"


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[Any]:
    """Report a check that failed as expected as such."""
    result = yield
    check = pyfuncitem.funcargs.get(_FIXTURE)
    if isinstance(check, Check):
        _tell_expected(check)
    return result


@pytest.fixture
def isolated_zoo() -> Iterator[Callable[..., None]]:
    """A zoo of segzoo's own parts alone; called with plug-ins or specs, of these too.

    It is called as `segzoo.testing.isolated_zoo`, and lasts until the test ends.
    """
    with ExitStack() as stack:
        stack.enter_context(isolation())
        yield lambda *plugins, **options: stack.enter_context(isolation(*plugins, **options))


def _checks(config: pytest.Config) -> list[Check]:
    if _CHECKS not in config.stash:
        distribution = config.getoption("--segzoo-plugin") or config.getini("segzoo_plugin")
        if not distribution:
            raise pytest.UsageError(
                "say whose checks to run: --segzoo-plugin segzoo-mine, or segzoo_plugin = segzoo-mine among "
                "pytest's settings"
            )
        arguments: dict[str, Mapping[str, Any]] = {}
        for given in config.hook.pytest_segzoo_arguments():
            arguments.update(given)
        try:
            config.stash[_CHECKS] = every_check(
                str(distribution), arguments=arguments, expected_failures=_expected(config)
            )
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_CHECKS]


def _expected(config: pytest.Config) -> dict[str, str]:
    expected = {}
    for line in config.getini("segzoo_expected_failures"):
        # A reason may hold colons, and so may the name of a part.
        check, colon, reason = str(line).partition(": ")
        if not colon:
            raise pytest.UsageError(f"segzoo_expected_failures: {line!r} is not 'id: reason'")
        expected[check.strip()] = reason.strip()
    return expected


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def _tell_expected(check: Check) -> None:
    if check.expected_failure:
        pytest.xfail(check.expected_failure)
