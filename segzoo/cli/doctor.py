"""``segzoo doctor``: check this installation and this machine for problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segzoo.cli.help import progress_option
from segzoo.cli.table import echo_json, table
from segzoo.printing import echo, echo_table
from segzoo.resources import told_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a bug report; it contains no secrets.")
@progress_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check this installation and this machine for problems.

    Prints versions and extras, the chosen device and the reason, cores and memory, caches, environment
    variables and plug-ins; then every problem and its solution. The command changes and downloads nothing.
    To check images and masks, use `segzoo data check`.

    The exit code is 1 if a problem stops segzoo from working, else 0.
    """
    from segzoo.installation import examine

    report = examine(progress=True)
    told = report.to_json()
    if as_json:
        echo_json(told)
    else:
        for name, text in _sections(told):
            if text:
                echo_table(f"{name}\n{text}\n")
        findings = told["findings"]
        echo(_verdict(findings), style="" if findings else "good")
    ctx.exit(0 if report.ok else 1)


def _sections(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the heading and the text of each part, or the reason why a part could not be examined."""
    parts = {
        "installation": _installation,
        "packages": _packages,
        "extras": _extras,
        "machine": _machine,
        "device": _device,
        "caches": _caches,
        "environment": _environment,
        "plugins": _plugins,
    }
    for name, tell in parts.items():
        facts = told[name]
        yield name, f"  {facts['trouble']}" if facts.get("trouble") else tell(facts)


def _installation(facts: Mapping[str, Any]) -> str:
    return _rows(
        [
            ("segzoo", f"{facts['segzoo']}, {facts['imported_from']}"),
            ("Python", f"{facts['python']}, {facts['executable']}"),
            ("platform", facts["platform"]),
        ]
    )


def _packages(facts: Mapping[str, Any]) -> str:
    words = {True: "ok", False: "broken", None: "not tried"}
    rows = []
    for one in facts["required"]:
        missing = one["version"] is None and not one["imports"]
        version = "missing" if missing else one["version"] or "?"
        rows.append((one["name"], version, "-" if missing else words[one["imports"]], one["needs"]))
    return _rows(rows, header=("NAME", "VERSION", "IMPORTS", "NEEDED"))


def _extras(facts: Mapping[str, Any]) -> str:
    rows = []
    for name, extra in facts.items():
        there = ", ".join(f"{package} {version}" for package, version in extra["packages"].items())
        missing = f"{f'has {there}; ' if there else ''}missing: {extra['install']}"
        rows.append((name, there if extra["installed"] else missing))
    return _rows(rows)


def _machine(facts: Mapping[str, Any]) -> str:
    limit = facts["memory_limit_bytes"]
    memory = f"{told_bytes(facts['memory_bytes'])}, {told_bytes(facts['free_memory_bytes'])} free"
    return _rows(
        [
            ("cores", f"{facts['usable_cores']} of {facts['cores']} may be used"),
            ("memory", memory + (f", limited to {told_bytes(limit)}" if limit else "")),
        ]
    )


def _device(facts: Mapping[str, Any]) -> str:
    rows = [("chosen", f"{facts['chosen']}: {facts['why']}")]
    for number, one in enumerate(facts["accelerators"]):
        shown = f"{one['name']}, {told_bytes(one['memory_bytes'])}, capability {one['capability']}"
        rows.append((f"GPU {number}", shown))
    instructions = ", ".join(facts["cpu"]["instructions"])
    rows.append(("CPU", f"{facts['cpu']['name']}{f': {instructions}' if instructions else ''}"))
    rows.append(("fast", f"{facts['fast']}: {facts['fast_why']}"))
    rows.append(("threads", str(facts["threads"])))
    return _rows(rows)


def _caches(facts: Mapping[str, Any]) -> str:
    rows = [(one["name"], _weight(one), _state(one), one["folder"]) for one in facts["folders"]]
    network = "switched off by the environment" if facts["offline"] else "may be used"
    return f"{_rows(rows)}\n  network: {network}"


def _weight(cache: Mapping[str, Any]) -> str:
    return f"{'' if cache['counted'] else 'at least '}{told_bytes(cache['bytes'])}"


def _state(cache: Mapping[str, Any]) -> str:
    if not cache["writable"]:
        return "not writable"
    return "writable" if cache["exists"] else "not made yet"


def _environment(facts: Mapping[str, Any]) -> str:
    return _rows(list(facts["variables"].items())) or "  no variable that segzoo reads is set"


def _plugins(facts: Mapping[str, Any]) -> str:
    from segzoo import zoo
    from segzoo.cli.plugins import overview

    return overview(zoo.plugins, indent=2)


def _verdict(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the problems, numbered, each with its solution."""
    if not findings:
        return "no problem was found"
    lines = ["problems"]
    for number, one in enumerate(findings, start=1):
        lines += [f"{number:>3}. {one['level']}: {one['text']}", f"     solution: {one['cure']}"]
    errors = sum(one["level"] == "error" for one in findings)
    counts = f"{errors} of {len(findings)} stop" if errors != 1 else f"1 of {len(findings)} stops"
    return "\n".join([*lines, "", f"{counts} segzoo from working" if errors else "segzoo works all the same"])


def _rows(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    return table(rows, header=header, indent=2) if rows else ""
