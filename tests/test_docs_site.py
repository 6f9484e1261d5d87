"""The site is built without a warning, the network or extras, and none of its links leads nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(docs_site: Path) -> None:
    assert (docs_site / "index.html").is_file()
    assert (docs_site / "searchindex.js").is_file()
