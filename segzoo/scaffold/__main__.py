"""Write every kind of package into a folder: ``python -m segzoo.scaffold plugins/template``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from segzoo.scaffold import KINDS, naming, write


def main(folder: Path) -> None:
    """Write a package of every kind, each into a folder named after it, and replace existing ones."""
    for kind in KINDS:
        shutil.rmtree(folder / kind, ignore_errors=True)
        write(naming("template"), kind, folder / kind)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
