"""``python -m segzoo``, and so ``torchrun -m segzoo train``: the command line."""

from __future__ import annotations

from segzoo.cli import main

if __name__ == "__main__":
    main()
