"""Texts have none of the phrases that `plain_words` lists, but for those files that still do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plain_words import BANNED, ROOMS, ROOT, files_of, findings

if TYPE_CHECKING:
    from pathlib import Path

#: Files that still have such phrases, mostly in messages that tests quote. A clean file leaves the list.
LEFT = {
    "benchmarks/nuclei_shifts.py",
    "docs/inventories/write.py",
    "docs/plugins/readers.md",
    "plugins/segzoo-formats/src/segzoo_formats/__init__.py",
    "plugins/segzoo-formats/src/segzoo_formats/coco_index.py",
    "plugins/segzoo-formats/src/segzoo_formats/qupath.py",
    "plugins/segzoo-formats/src/segzoo_formats/yolo.py",
    "plugins/segzoo-formats/tests/test_ade20k.py",
    "plugins/segzoo-formats/tests/test_yolo.py",
    "plugins/segzoo-medical/src/segzoo_medical/weights/unet-vessels/README.md",
    "plugins/segzoo-medical/tests/test_drive_and_isbi.py",
    "segzoo/labels.py",
    "segzoo/words.py",
}


def test_a_banned_phrase_is_found_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Fine.\nThe weights are loaded as they are.\n```\nas they are\n```\n", encoding="utf-8")
    code = tmp_path / "code.py"
    code.write_text(
        'def f(path):\n    """Read.\n\n    Args:\n        path: of the file.\n    """\n', encoding="utf-8"
    )
    assert [(one.line, one.phrase) for one in findings(page)] == [(2, "as they are")]
    assert [(one.line, one.phrase) for one in findings(code)] == [(5, "path: of …")]
    assert "unchanged" in BANNED[r"\bas it is\b|\bas they are\b"]


@pytest.mark.medium
def test_no_other_file_has_a_banned_phrase() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in files_of(ROOT / room for room in ROOMS)
        if next(findings(path), None)
    }
    assert found == LEFT
