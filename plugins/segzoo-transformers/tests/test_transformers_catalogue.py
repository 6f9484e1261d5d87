"""The catalogue's entries: named networks of the right size, with classes, colours and terms."""

from __future__ import annotations

import pytest

from segzoo import zoo
from segzoo.testing import check_weights
from segzoo_transformers.catalogue import catalogue
from segzoo_transformers.classes import ADE20K, CITYSCAPES

ENTRIES = {one.name: one for one in catalogue()}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "segformer-b0-ade20k")) for n in ENTRIES]
)
def test_an_entry_keeps_what_weights_promise(name):
    check_weights(name)


def test_classes_are_those_of_the_data():
    assert (len(ADE20K.classes), ADE20K.classes[0], ADE20K.classes[149]) == (150, "wall", "flag")
    assert ADE20K.palette[:3] == ((120, 120, 120), (180, 120, 120), (6, 230, 230))
    assert (len(CITYSCAPES.classes), CITYSCAPES.classes[0], CITYSCAPES.palette[0]) == (
        19,
        "road",
        (128, 64, 128),
    )
    assert ADE20K.background is None
    assert ADE20K.ignore_index == CITYSCAPES.ignore_index == 255


def test_terms_that_forbid_commerce_are_said_where_people_choose():
    segformers = [one for one in ENTRIES.values() if one.name.startswith("segformer")]
    assert len(segformers) == 12
    assert all("non-commercial" in one.licence and "commercial" in one.summary for one in segformers)
    assert all("mIoU" in one.claimed and "arXiv" in one.claimed for one in segformers)


def test_listing_them_needs_no_torch():
    assert {one.name for one in catalogue()} <= set(zoo.registry("weights").names())
