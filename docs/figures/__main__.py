"""Write every figure and generated page of the guides again: ``python docs/figures``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from files import DOCS, FILES

if __name__ == "__main__":
    for name, made in FILES.items():
        text, path = made(), DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
