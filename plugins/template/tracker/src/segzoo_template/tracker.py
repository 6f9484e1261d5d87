"""A log of a run as lines of JSON, which any program can read."""

import json
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker


class LinesTracker(GeneralTracker):
    """Writes ``log.jsonl``: the recipe's values first, then a line for each step.

    Args:
        folder: folder of the run.
    """

    name = "lines"
    requires_logging_directory = False

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.file = folder / "log.jsonl"

    @property
    def tracker(self) -> Path:
        """The file."""
        return self.file

    def start(self) -> None:
        """Create the folder; nothing is written before."""
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Write the recipe's values."""
        self._write({"recipe": values})

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Write the numbers of a step."""
        del kwargs
        self._write({"step": step, **values})

    def _write(self, line: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
