"""What a run over many images did, a line of JSON each, so that it can go on where it stopped.

::

    {"input": "photos/a.jpg", "outputs": {"a_mask.png": 812}, "seconds": 0.21, "height": 1280, "width": 1918,
     "areas": {"background": 0.71, "car": 0.29}, "state": "...", "settings": "..."}

A failed image has ``error`` in place of outputs and areas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.errors import FailureError
from segzoo.files import lines_of, regular
from segzoo.printing import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Manifest:
    """The record of a run below its output folder.

    Args:
        folder: that the masks go to.
        name: of the file in it; runs that share the work have one each.
        settings: what the masks depend on besides the image: weights, precision, outputs.
        anew: whether what is recorded already is dropped; else the record is continued.

    Raises:
        FailureError: the file cannot be read or written.
    """

    def __init__(
        self, folder: Path, name: str = "manifest.jsonl", *, settings: str = "", anew: bool = False
    ) -> None:
        self.folder, self.path, self.settings = folder, folder / name, settings
        self._done: dict[str, Mapping[str, Any]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if anew:
                self.path.unlink(missing_ok=True)
            elif self.path.exists():
                text = regular(self.path).read_text(encoding="utf-8")
                self._read(text)
                if text and not text.endswith("\n"):
                    self.path.write_text(text + "\n", encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FailureError(f"the manifest {self.path} cannot be used: {error}") from error

    def has(self, origin: str, state: str) -> bool:
        """Whether an image was done with these settings, has not changed, and its outputs are whole."""
        entry = self._done.get(origin)
        if entry is None or not state or (entry["state"], entry["settings"]) != (state, self.settings):
            return False
        return all(_size(self.folder / name) == size for name, size in entry["outputs"].items())

    def add(
        self,
        origin: str,
        *,
        state: str = "",
        outputs: Sequence[Path] = (),
        seconds: float = 0.0,
        size: tuple[int, int] = (0, 0),
        areas: Mapping[str, float] | None = None,
        error: str = "",
    ) -> None:
        """Write down what became of one image.

        Args:
            origin: the image, as its source says.
            state: of the source, before it was read.
            outputs: the files that were written, below the folder.
            seconds: that it took.
            size: ``(height, width)`` of the image.
            areas: the share of the image that each class covers.
            error: why there is no mask.

        Raises:
            FailureError: the line cannot be written.
        """
        entry: dict[str, Any] = {"input": origin}
        if error:
            entry |= {"error": error}
        else:
            written = {path.relative_to(self.folder).as_posix(): _size(path) for path in outputs}
            entry |= {"outputs": written, "seconds": round(seconds, 4), "height": size[0], "width": size[1]}
            entry |= {"areas": {name: round(share, 6) for name, share in (areas or {}).items()}}
        entry |= {"state": state, "settings": self.settings}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(as_json(entry) + "\n")
        except OSError as failure:
            raise FailureError(f"cannot write {self.path}: {failure.strerror or failure}") from failure

    def _read(self, text: str) -> None:
        for line in lines_of(text):
            try:
                entry = json_text.parse(line)
                if "outputs" in entry:
                    self._done[entry["input"]] = {key: entry[key] for key in ("state", "settings", "outputs")}
            except (ValueError, KeyError, TypeError):
                continue  # a line that a crash cut off


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
