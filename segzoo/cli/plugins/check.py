"""``segzoo plugins check``: run the contracts over all parts of a plug-in."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli.table import echo_json
from segzoo.discovery import in_folder
from segzoo.errors import MissingExtraError, PluginError, UsageError
from segzoo.printing import echo, printable
from segzoo.testing.checks import every_check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segzoo.testing.checks import Check

_HEADER = ("PART", "CHECK", "RESULT", "SECONDS", "REASON")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Result of one check.

    Attributes:
        distribution: distribution that provides the part.
        part: kind and name of the part.
        check: name of the promise.
        result: whether the promise is kept.
        seconds: duration of the check.
        reason: reason why the check failed or was skipped.
    """

    distribution: str
    part: str
    check: str
    result: Literal["ok", "failed", "skipped"]
    seconds: float = 0.0
    reason: str = ""


@click.command("check")
@click.argument("target", required=False, metavar="[DIST|PATH]", shell_complete=offers.plugins)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every field of each result.")
@click.pass_context
def command(ctx: click.Context, target: str | None, as_json: bool) -> None:
    """Test whether plug-ins keep the contracts of their parts.

    DIST is an installed distribution. PATH is a folder with a pyproject.toml, which need not be installed.
    Without either, every plug-in except segzoo's own is checked. Nothing is downloaded: only the spec of
    remote weights is checked, and datasets are checked if SEGZOO_DATA has them. The exit code is 1 if a
    check fails.
    """
    # A plug-in that the environment forbids is an error only if it was named.
    forbidden = {one.distribution: one.error for one in zoo.plugins if one.status == "blocked" and not target}
    plan = [(owner, [] if owner in forbidden else every_check(owner)) for owner in _owners(target)]
    if not plan:
        echo(
            "there is no plug-in except segzoo's own; to check that, use `segzoo plugins check segzoo`",
            err=True,
        )
    findings = []
    widths = _widths([check for _, checks in plan for check in checks])
    for owner, checks in plan:
        if not as_json:
            echo(f"{owner}\n{_line(_HEADER, widths)}")
        for finding in _findings(owner, checks, forbidden.get(owner, "")):
            findings.append(finding)
            if not as_json:
                echo(_line(_row(finding), widths))
        if not as_json:
            echo()
    if as_json:
        echo_json([asdict(finding) for finding in findings])
    elif findings:
        echo(_summary(findings))
    if any(finding.result == "failed" for finding in findings):
        ctx.exit(1)


def _owners(target: str | None) -> list[str]:
    """Return the distributions to check."""
    if target is None:
        found = dict.fromkeys(record.distribution for record in zoo.plugins)
        return [owner for owner in found if owner != "segzoo"]
    if not Path(target).is_dir():
        return [target]
    folder = Path(target)
    if not (folder / "pyproject.toml").is_file():
        raise UsageError(f"{folder} holds no pyproject.toml: name the folder of a package, or a distribution")
    owners = list(dict.fromkeys(candidate.distribution for candidate in in_folder(folder.resolve())))
    if not owners:
        raise UsageError(
            f'{folder / "pyproject.toml"} names no plug-in: add [project.entry-points."segzoo.plugins"] with '
            'name = "package"'
        )
    zoo.add_folder(folder)
    return owners


def _findings(owner: str, checks: Sequence[Check], forbidden: str) -> Iterator[Finding]:
    if forbidden:
        yield _skipped(owner, f"plugin {owner}", "loads", forbidden)
    for check in checks:
        start = time.perf_counter()
        result, reason = _outcome(check)
        yield Finding(
            distribution=owner,
            part=_part(check),
            check=check.promise,
            result=result,
            seconds=round(time.perf_counter() - start, 3),
            reason=reason,
        )
    yield from _left_out(owner, {check.id for check in checks})


def _outcome(check: Check) -> tuple[Literal["ok", "failed", "skipped"], str]:
    try:
        with redirect_stdout(sys.stderr):  # parts may print, and stdout is for the rows
            check.run()
    except MissingExtraError as error:
        return "skipped", " ".join(str(error).split())
    except PluginError as error:
        return "failed", " ".join(str(error).split())
    return "ok", ""


def _left_out(owner: str, done: set[str]) -> Iterator[Finding]:
    """Yield the checks that need data or a network connection."""
    for kind, promise, reason in (
        ("dataset", "samples", "there is no data: set SEGZOO_DATA to the folder that holds {name}/"),
        ("weights", "folder", "nothing is downloaded: {source}"),
    ):
        for _, entry in zoo.registry("weights" if kind == "weights" else "datasets").items():
            name = entry.spec.name
            if entry.owner == owner and f"{kind}/{name}/{promise}" not in done:
                told = reason.format(name=name, source=getattr(entry.spec, "source", ""))
                yield _skipped(owner, f"{kind} {name}", promise, told)


def _skipped(owner: str, part: str, check: str, reason: str) -> Finding:
    return Finding(distribution=owner, part=part, check=check, result="skipped", reason=reason)


def _part(check: Check) -> str:
    return f"{check.kind} {check.name}"


def _widths(checks: Sequence[Check]) -> tuple[int, ...]:
    """Return the widths of columns, so that each row can be printed when its check ends."""
    parts = [len(_part(check)) for check in checks]
    promises = [len(check.promise) for check in checks]
    return (max([4, *parts]), max([7, *promises]), 7, 7, 0)


def _row(finding: Finding) -> tuple[str, ...]:
    seconds = f"{finding.seconds:7.2f}" if finding.result != "skipped" else f"{'-':>7}"
    return (finding.part, finding.check, finding.result, seconds, finding.reason)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(printable(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _summary(findings: Sequence[Finding]) -> str:
    counts = {result: sum(one.result == result for one in findings) for result in ("ok", "failed", "skipped")}
    seconds = sum(finding.seconds for finding in findings)
    told = ", ".join(f"{count} {result}" for result, count in counts.items())
    return f"{len(findings)} checks: {told}; {seconds:.1f} s"
