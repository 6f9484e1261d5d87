"""The network keeps segzoo's contracts, and does what it documents."""

import segzoo
from segzoo.testing import check_export, check_model


def test_the_network_keeps_its_contract():
    check_model("template", width=4)


def test_the_network_can_be_exported():
    check_export(segzoo.create("template", num_classes=2, width=4))


def test_the_depth_is_how_many_layers_there_are():
    assert len(segzoo.create("template", num_classes=2, depth=3).layers) == 3
