"""The catalogue's entries: named networks of the right size, with classes, colours and terms."""

from __future__ import annotations

import pytest

from segzoo.testing import check_weights
from segzoo_transformers.catalogue import catalogue


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in catalogue()])
def test_an_entry_keeps_what_weights_promise(name):
    check_weights(name)
