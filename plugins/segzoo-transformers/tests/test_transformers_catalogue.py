"""The catalogue's entries: named networks of the right size, with classes, colours and terms."""

from __future__ import annotations

import pytest

from segzoo import zoo
from segzoo.testing import check_weights
from segzoo_transformers.catalogue import catalogue

ENTRIES = {one.name: one for one in catalogue()}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "segformer-b0-ade20k")) for n in ENTRIES]
)
def test_an_entry_keeps_what_weights_promise(name):
    check_weights(name)


def test_terms_that_forbid_commerce_are_said_where_people_choose():
    segformers = [one for one in ENTRIES.values() if one.name.startswith("segformer")]
    assert len(segformers) == 12
    assert all("non-commercial" in one.licence and "commercial" in one.summary for one in segformers)
    assert all("mIoU" in one.claimed and "arXiv" in one.claimed for one in segformers)


def test_listing_them_needs_no_torch():
    assert {one.name for one in catalogue()} <= set(zoo.registry("weights").names())
