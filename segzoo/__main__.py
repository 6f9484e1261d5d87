"""``python -m segzoo``, and so ``torchrun -m segzoo train``: the command line."""

from __future__ import annotations

import sys

from segzoo.distribution import displacement
from segzoo.printing import echo_message

if __name__ == "__main__":
    # Half of segzoo may lie beside another program's files: then no command would do what it says.
    if told := displacement():
        echo_message("error", told)
        sys.exit(1)
    from segzoo.cli import main

    main()
