"""``python docs/_ext/zoo_readme.py --write``: the table of bundled weights in README.md and README.zh-CN.md.

The table stands between ``<!-- zoo:begin -->`` and ``<!-- zoo:end -->``. ``--check`` writes nothing and exits
with 1 if a file differs from the registry. Without an option, the English table is printed.
"""

from __future__ import annotations

import argparse
import sys

from zoo_pages import readme


def main() -> int:
    """Write, check or print the table."""
    parser = argparse.ArgumentParser(description="write the table of bundled weights into the READMEs")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write it")
    what.add_argument("--check", action="store_true", help="name the files that would change")
    options = parser.parse_args()
    if not (options.write or options.check):
        print(readme.table())
        return 0
    changed = readme.write(check=options.check)
    for name in changed:
        print(f"{name}: {'differs from the registry' if options.check else 'written'}")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
