"""``python -m tests.campaign [KIND [NUMBER...]]``: the campaign, a kind of it, or some of its cases alone.

SEGZOO_CAMPAIGN=long tries ten times as many cases; SEGZOO_CAMPAIGN_SEED=N others.
"""

from __future__ import annotations

import sys
from collections import Counter

from .kinds import NAMES, SEED, count, run
from .running import slowest, warm_up


def main(words: list[str]) -> int:
    """Run what the words name and print what fell short, with a table at the end."""
    wanted = words[:1] or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no kind is named {unknown[0]!r}: there are {', '.join(NAMES)}")
        return 2
    warm_up()
    rows, short = [], 0
    for name in wanted:
        chosen = [int(word) for word in words[1:]]
        result = run(name, chosen or range(count(name)), SEED)
        sorts = Counter(sort for report in result.short for sort in {one[0] for one in report.failures})
        print(result.words(SEED))
        print(f"{name}: slowest {slowest(result.reports)}", file=sys.stderr, flush=True)
        short += len(result.short)
        rows.append((name, len(result.reports), len(result.short), dict(sorts), result.seconds))
    print(f"\n{'KIND':<12} {'TRIED':>6} {'SHORT':>6} {'SECONDS':>8}  SORTS")
    for name, tried, fell, sorts, seconds in rows:
        told = ", ".join(f"{sort} {count}" for sort, count in sorted(sorts.items()))
        print(f"{name:<12} {tried:>6} {fell:>6} {seconds:>8.1f}  {told}")
    print(f"{'':<12} {sum(r[1] for r in rows):>6} {short:>6} {sum(r[4] for r in rows):>8.1f}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
