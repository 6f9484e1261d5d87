"""From a name to a model: which reading wins, and what is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import segzoo
from segzoo import zoo
from segzoo.errors import AmbiguousNameError, OptionError, UnknownNameError
from segzoo.weights.converted import declared, folder_for

if TYPE_CHECKING:
    from conftest import Site

SPECS = """
from segzoo.hooks import hookimpl
from segzoo.specs import DecoderSpec, EncoderSpec, LayoutSpec, ModelSpec, WeightsSpec

def encoder(name):
    return EncoderSpec(name=name, factory="segzoo.encoders.plain:PlainEncoder", options={"width": 4},
                       channels=(4, 8, 16, 32, 64), strides=(1, 2, 4, 8, 16))

def decoder(name):
    return DecoderSpec(name=name, factory="segzoo.decoders.unet:UNetDecoder")

def model(name, **options):
    return ModelSpec(name=name, decoder="unet", encoder="plain", **options)

def layout(name):
    return LayoutSpec(name=name, factory="segzoo_mine:read", signature=(name,))

def fetched(name, model):
    return WeightsSpec(name=name, url="https://example.org/x.pth", layout="smp-unet", model=model,
                       sha256="0" * 64, classes=("a", "b"))

def weights(name):
    return WeightsSpec(name=name, folder="segzoo:nowhere", model="unet", classes=("a", "b"))
"""


def brings(**kinds: str) -> str:
    functions = (f"@hookimpl\ndef segzoo_{kind}():\n    return [{what}]\n" for kind, what in kinds.items())
    return SPECS + "".join(functions)


def test_a_registered_model_wins_over_its_reading_as_a_pair() -> None:
    found = zoo.find_model("unet-vgg")
    assert not isinstance(found, zoo.Pair)
    assert found.full_name == "segzoo:unet-vgg"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("unet/vgg13_bn", "segzoo:unet/segzoo:vgg13_bn"),
        ("unet-vgg13_bn", "segzoo:unet/segzoo:vgg13_bn"),
        ("segzoo:unet/segzoo:plain", "segzoo:unet/segzoo:plain"),
        ("unet-plain", "segzoo:unet/segzoo:plain"),
        ("nested-vgg", "segzoo-nested:nested/segzoo:vgg16"),
        ("unet-convnext_tiny", "segzoo:unet/timm:convnext_tiny"),
        ("unet/timm:resnet18", "segzoo:unet/timm:resnet18"),
        ("segzoo:unet-resnet18", "segzoo:unet/timm:resnet18"),
        ("unet/tu-resnet34", "segzoo:unet/timm:resnet34"),
        ("unet-tu-resnet34", "segzoo:unet/timm:resnet34"),
        ("unet/timm/resnet18.a1_in1k", "segzoo:unet/timm:resnet18.a1_in1k"),
        ("unet/mit_b0", "segzoo:unet/segzoo:mit_b0"),
        ("unet/mit-b0", "segzoo:unet/segzoo:mit_b0"),
        ("unet/vit_tiny_patch16_224", "segzoo:unet/timm:vit_tiny_patch16_224"),
        ("unet++/plain", "segzoo-nested:nested/segzoo:plain"),
        ("deeplabv3+/plain", "segzoo-decoders:deeplabv3plus/segzoo:plain"),
        ("deeplabv3+-plain", "segzoo-decoders:deeplabv3plus/segzoo:plain"),
    ],
)
def test_a_pair_is_found_by_slash_by_hyphen_by_prefix_and_in_timm(name: str, full: str) -> None:
    found = zoo.find_model(name)
    assert found.full_name == full
    again = zoo.find_model(found.full_name)
    assert again == found


def test_two_plugins_claiming_a_name_are_both_reachable_by_prefix(site: Site) -> None:
    for name in ("alpha", "beta"):
        site.install(f"segzoo-{name}", brings(models="model('same')", encoders="encoder('thin')"))
    with pytest.raises(AmbiguousNameError, match="say 'segzoo-alpha:same' or 'segzoo-beta:same'"):
        segzoo.create("same", num_classes=2)
    with pytest.raises(AmbiguousNameError, match="say 'segzoo-alpha:thin' or 'segzoo-beta:thin'"):
        segzoo.create("unet/thin", num_classes=2)
    for name in ("alpha", "beta"):
        assert zoo.find_model(f"segzoo-{name}:same").full_name == f"segzoo-{name}:same"
        model = segzoo.create(f"unet/segzoo-{name}:thin", num_classes=2)
        assert model.segzoo_config.architecture.name == f"segzoo:unet/segzoo-{name}:thin"  # pyright: ignore


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("unet", "segzoo:unet"),
        ("same", "segzoo:unet/segzoo:plain"),  # what alpha's is made of; beta's is of beta's parts
        ("unet/thin", "segzoo:unet/segzoo-alpha:thin"),
        ("gate/plain", "segzoo-alpha:gate/segzoo:plain"),
        ("gate", "segzoo-alpha:gate/segzoo:plain"),
    ],
)
def test_weights_mean_their_own_plugin_s_model_and_else_segzoo_s(site: Site, named: str, meant: str) -> None:
    own = {"models": "model('same')", "encoders": "encoder('thin')", "decoders": "decoder('gate')"}
    taken = {"models": "model('same'), model('unet')", "encoders": "encoder('thin'), encoder('plain')"}
    site.install("segzoo-alpha", brings(**own, weights=f"fetched('given', {named!r})"))
    site.install("segzoo-beta", brings(**taken, decoders="decoder('gate'), decoder('unet')"))
    assert declared(zoo.weights.get("given")).architecture.name == meant


@pytest.mark.medium
def test_weights_mean_segzoo_s_layout_whoever_takes_its_name(site: Site) -> None:
    site.install("segzoo-alpha", brings(weights="fetched('given', 'unet')"))
    spec = zoo.weights.get("given")
    folder = folder_for(spec)
    site.install("segzoo-beta", brings(layouts="layout('smp-unet')"))
    zoo.refresh()
    assert len(zoo.layouts.find("smp-unet")) == 2
    assert folder_for(spec) == folder


@pytest.mark.medium
def test_a_model_and_weights_of_one_name_are_ambiguous(site: Site) -> None:
    site.install("segzoo-alpha", brings(models="model('same')"))
    site.install("segzoo-beta", brings(weights="weights('same')"))
    with pytest.raises(AmbiguousNameError, match="say 'segzoo-alpha:same' or 'segzoo-beta:same'"):
        zoo.find_model("same")
    assert zoo.find_model("segzoo-beta:same").full_name == "segzoo-beta:same"


def test_two_valid_hyphen_splits_are_an_error_that_gives_both_readings(site: Site) -> None:
    decoders = "decoder('two'), decoder('two-part')"
    site.install("segzoo-alpha", brings(decoders=decoders, encoders="encoder('thin'), encoder('part-thin')"))
    with pytest.raises(AmbiguousNameError, match="say 'two/part-thin' or 'two-part/thin'"):
        segzoo.create("two-part-thin", num_classes=2)
    assert zoo.find_model("two/part-thin").full_name == "segzoo-alpha:two/segzoo-alpha:part-thin"


def test_a_decoder_alone_takes_the_encoder_that_it_names(site: Site) -> None:
    site.install("segzoo-alpha", brings(decoders="decoder('lonely')"))
    assert zoo.find_model("lonely").full_name == "segzoo-alpha:lonely/segzoo:plain"


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("unett", "'unet'"),
        ("unet-resnt50", "'unet-resnet50'"),
        ("unet/vgg16bn", "'vgg16_bn'"),
        ("unet/convnextt_tiny", "'convnext_tiny'"),
        ("unett/vgg16", "'unet'"),
        ("UNet/vgg16", "'unet'"),
        ("unet/ResNet18", "'resnet18'"),
        ("unet/mitb0", "'mit_b0'"),
        ("unet/tu-resnt34", "'resnet34'"),
        ("unet/timm/resnt18", "'resnet18'"),
        ("unet/vit_base_patch14_dinov3", "'vit_base_patch16_dinov3'"),
        ("unet/dinov2", "'vit_base_patch14_dinov2'"),
        (
            "resnet34",
            "'resnet34' is a timm encoder: add a decoder, such as 'unet/resnet34'",
        ),
        ("timm/resnet34", "such as 'unet/timm/resnet34'"),
        ("mit_b0", "'mit_b0' is among the encoders"),
    ],
)
def test_an_unknown_name_lists_close_ones(name: str, close: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        segzoo.create(name, num_classes=2)
    assert close in str(caught.value)


@pytest.mark.parametrize(
    "name", ["zzz", "zzz/vgg16", "unet/zzz", "", "/", "-", ":", "unet-", "-vgg16", "a:b:c"]
)
def test_an_unknown_name_lists_plugins_that_failed_and_what_there_is(site: Site, name: str) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    with pytest.raises(UnknownNameError) as caught:
        zoo.find_model(name)
    assert "segzoo-bad (broken: RuntimeError: no licence)" in str(caught.value)
    assert "segzoo list" in str(caught.value)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
@pytest.mark.parametrize("option", ["num_classes", "in_channels"])
def test_a_number_that_cannot_be_is_named_with_its_value(option: str, wrong: object) -> None:
    with pytest.raises(OptionError, match=f"{option}.*{wrong!r}"):
        segzoo.create("unet", **{"num_classes": 2, option: wrong})  # pyright: ignore


def test_no_number_of_classes_is_told_with_the_call_that_has_one() -> None:
    with pytest.raises(OptionError, match=r"segzoo.create\('unet', num_classes=2\)"):
        segzoo.create("unet")


@pytest.mark.parametrize("name", ["unet", "unet/plain", "unet-vgg"])
def test_an_unknown_option_is_told_with_a_close_one(name: str) -> None:
    with pytest.raises(OptionError, match="no option 'upsmaple'; did you mean 'upsample'"):
        segzoo.create(name, num_classes=2, upsmaple="bilinear")


def test_an_unknown_option_of_one_part_is_told_with_the_part() -> None:
    with pytest.raises(
        OptionError, match="encoder 'segzoo:plain' has no option 'widht'; did you mean 'width'"
    ):
        segzoo.create("unet/plain", num_classes=2, encoder={"widht": 8})


def test_a_name_of_another_kind_is_told_to_be_one(site: Site) -> None:
    with pytest.raises(UnknownNameError, match="no weights are named 'unet'") as caught:
        segzoo.load("unet")
    assert "'unet' is among the models and the decoders" in str(caught.value)
    assert "no folder or file has that name" in str(caught.value)


@pytest.mark.parametrize("name", ["unet/", "/resnet18", "/", "unet/nothing"])
def test_a_pair_of_which_one_is_unknown_is_told_with_both(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"^'{name}': no (de|en)coder is named"):
        zoo.find_model(name)
