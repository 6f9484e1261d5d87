"""The decoder keeps segzoo's contracts, and does what it documents."""

import segzoo
from segzoo.testing import check_decoder, check_model


def test_the_decoder_keeps_its_contract():
    check_decoder("template")


def test_a_model_with_it_keeps_its_contract():
    check_model("template/plain", encoder={"width": 4, "depth": 3}, decoder={"width": 8})


def test_the_width_is_that_of_the_map():
    model = segzoo.create("template/plain", num_classes=2, decoder={"width": 8})
    assert model.decoder.out_channels == 8
