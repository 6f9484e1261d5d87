"""``python docs/_ext/zoo_readme.py --write``: the tables of the zoo in README.md and README.zh-CN.md.

They stand between ``<!-- zoo:begin -->`` and ``<!-- zoo:end -->``. ``--check`` writes nothing, and exits
with 1 where a file is not what the registry says; without either, the English tables are printed.
"""

from __future__ import annotations

import argparse
import sys

from zoo_pages import readme


def main() -> int:
    """Do what the options say."""
    parser = argparse.ArgumentParser(description="write the tables of the zoo into the READMEs")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write them")
    what.add_argument("--check", action="store_true", help="say which files would change")
    options = parser.parse_args()
    if not (options.write or options.check):
        print(readme.tables())
        return 0
    changed = readme.write(check=options.check)
    for name in changed:
        print(f"{name}: {'not what the registry says' if options.check else 'written'}")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
