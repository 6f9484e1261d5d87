"""The encoder keeps segzoo's contracts, and does what it documents."""

import segzoo
from segzoo.testing import check_encoder, check_model


def test_the_encoder_keeps_its_contract():
    check_encoder("template")


def test_a_model_with_it_keeps_its_contract():
    check_model("unet/template", encoder={"width": 2})


def test_the_width_is_that_of_the_finest_feature():
    model = segzoo.create("unet/template", num_classes=2, encoder={"width": 4})
    assert model.encoder.channels == (4, 8, 16, 32)
