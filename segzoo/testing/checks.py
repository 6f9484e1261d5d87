"""Checks as values: every promise of every part of a distribution, to run one by one or all at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.discovery import normalise
from segzoo.distribution import owner_of
from segzoo.errors import PluginError, UnknownNameError, UsageError, did_you_mean
from segzoo.registry import plural
from segzoo.testing.listing import check_listing
from segzoo.testing.promises import CHECKED, checking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from segzoo.registry import Entry
    from segzoo.specs import Spec
    from segzoo.testing.promises import Promises

    #: What checks are given, by ``kind/name``.
    Arguments = Mapping[str, Mapping[str, Any]]


#: Promises of the part that was checked last. Its checks run one after the other and share the network that
#: they build; other parts are dropped, so that a list of checks does not fill the memory.
_CHECKED: dict[object, Promises] = {}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise of one part.

    Attributes:
        id: ``kind/name/promise``, such as ``encoder/mine/gradients``.
        kind: kind of the part: ``encoder``, ...; ``plugin`` for promises of a whole distribution.
        name: name of the part, or of the distribution.
        promise: name of the promise.
        expected_failure: why the promise is known to be broken; empty if it must be kept.
        run: checks the promise, and raises `segzoo.errors.PluginError` if it is broken, or if it is kept
            although its failure is expected.
    """

    id: str
    kind: str
    name: str
    promise: str
    expected_failure: str = ""
    run: Callable[[], None] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.id


def checks_of(spec: Spec, *, name: str = "", **arguments: Any) -> list[Check]:
    """Return the checks of one part, one for each promise.

    Args:
        spec: spec of the part; a model must be registered, other parts need not be.
        name: name of the part in the zoo, if it differs from the spec's name.
        **arguments: arguments of the check, such as ``width=4`` for a model, or ``oracle=`` for a metric.

    Example:
        >>> [check.promise for check in checks_of(zoo.metrics.get("dice"))]
        ['contract', 'names', 'nothing-counted', 'ignored', 'merge', 'perfect', 'refusals', 'overlapping']
    """
    return _checks(spec, spec.name, name or spec.name, arguments)


def every_check(
    distribution: str | None = None,
    *,
    arguments: Arguments | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Check]:
    """Return the checks of everything that a distribution provides, or that the zoo holds.

    Args:
        distribution: distribution to check, such as ``segzoo-mine``; ``None`` checks everything in the zoo,
            and the ids then include the distribution.
        arguments: further arguments for the check of a part, by ``kind/name``, such as
            ``{"dataset/mine": {"root": "tests/tiny"}, "metric/mine": {"oracle": slow_version}}``.
        expected_failures: reason why a promise is known to be broken, by id. The check fails if the promise
            is kept.

    Raises:
        UnknownNameError: no plug-in of that distribution is known, or there is no such check or part.

    Example:
        >>> @pytest.mark.parametrize("check", every_check("segzoo-mine"), ids=str)
        ... def test_what_we_bring_keeps_its_promises(check):
        ...     check.run()
    """
    arguments, expected = dict(arguments or {}), dict(expected_failures or {})
    checks = list(_whole(distribution))
    parts: set[str] = set()
    for called, name, entry in _entries(distribution):
        key = f"{entry.spec.kind}/{called}"
        parts.add(key)
        checks += _checks(entry.spec, called, name, arguments.get(key, {}))
    _check_known("part", arguments, parts)
    _check_known("check", expected, {check.id for check in checks})
    return [_expecting(check, expected[check.id]) if check.id in expected else check for check in checks]


def check_plugin(
    distribution: str,
    *,
    arguments: Arguments | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Run every check of a distribution, and report all that fail.

    Args:
        distribution: name of the package that users install, such as ``segzoo-mine``.
        arguments: further arguments of checks, by ``kind/name``; see `every_check`.
        expected_failures: reason why a check may fail, by the id of the check.

    Raises:
        PluginError: promises are broken; the message lists them.
        UnknownNameError: no plug-in of that distribution is known.
    """
    failed = []
    checks = every_check(distribution, arguments=arguments, expected_failures=expected_failures)
    for check in checks:
        try:
            check.run()
        except PluginError as error:
            failed.append(f"{check.id}: {error}")
    if failed:
        told = "\n  ".join(failed)
        raise PluginError(f"{distribution}: {len(failed)} of {len(checks)} checks failed:\n  {told}")


def _entries(distribution: str | None) -> Iterator[tuple[str, str, Entry[Any]]]:
    """Yield what a check calls a part, a name that finds it, and its entry."""
    for kind in zoo.KINDS:
        for _, entry in zoo.registry(kind).items():
            if distribution is None:
                yield entry.full_name, entry.full_name, entry
            elif entry.owner == owner_of(normalise(distribution)):
                yield entry.spec.name, entry.full_name, entry


def _checks(spec: Spec, called: str, name: str, arguments: Mapping[str, Any]) -> list[Check]:
    many = plural(spec.kind)
    if many not in zoo.KINDS:
        raise UsageError(f"there are no checks of a {spec.kind}; there are of {', '.join(zoo.KINDS)}")
    # Imported when there is a part to check, since most need torch.
    import_module(f"segzoo.testing.{many}")
    # A model is made by name; all others are made from their specs.
    made = partial(CHECKED[spec.kind], name if spec.kind == "model" else spec, **arguments)
    part = object()

    def run(promise: str) -> None:
        with checking(f"{spec.kind} {called!r}", promise):
            if part not in _CHECKED:
                _CHECKED.clear()
                _CHECKED[part] = made().promises()
            _CHECKED[part][promise]()

    return [
        Check(
            id=f"{spec.kind}/{called}/{promise}",
            kind=spec.kind,
            name=called,
            promise=promise,
            run=partial(run, promise),
        )
        for promise in made().promises()
    ]


def _whole(distribution: str | None) -> Iterator[Check]:
    """Yield what a distribution promises as a whole."""
    known = Counter(record.distribution for record in zoo.plugins)
    owners = list(known) if distribution is None else [owner_of(normalise(distribution))]
    for owner in owners:
        if owner not in known:
            shown = ", ".join(sorted(known)) or "none"
            hint = did_you_mean(owner, known)
            raise UnknownNameError(
                f"no plug-in of a distribution {owner!r} was found{hint} (found: {shown}); install it first"
            )
        promises: Promises = {"loads": partial(_check_loads, owner)}
        if not zoo.isolated():  # else a new process would not find it
            promises["listing"] = partial(check_listing, owner)
        for name, run in promises.items():
            yield Check(id=f"plugin/{owner}/{name}", kind="plugin", name=owner, promise=name, run=run)


def _check_loads(distribution: str) -> None:
    for record in zoo.plugins:
        if record.distribution == distribution and record.status not in ("ok", "shadowed"):
            raise PluginError(f"plug-in {record.name!r} of {distribution} is {record.status}: {record.error}")


def _check_known(what: str, given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(sorted(known)[:8])}, ..."
            raise UnknownNameError(f"there is no {what} {name!r}{hint}")


def _expecting(check: Check, reason: str) -> Check:
    if not reason.strip():
        raise UsageError(f"say why {check.id!r} is expected to fail: expected_failures={{id: reason}}")

    def run() -> None:
        try:
            check.run()
        except PluginError:
            return
        raise PluginError(
            f"{check.id} is expected to fail ({reason}) and does not: take it out of expected_failures"
        )

    return Check(
        id=check.id,
        kind=check.kind,
        name=check.name,
        promise=check.promise,
        expected_failure=reason,
        run=run,
    )
