"""``segzoo.create``: names, options and what it says of those that make no sense; frozen state-dict keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import segzoo
from segzoo import zoo
from segzoo.errors import OptionError, SegzooError, UnknownNameError, WeightsError

SNAPSHOT = Path(__file__).parent / "snapshots" / "state_dicts.json"

#: Every registered model, every decoder on its own encoder, and variants that have other tensors.
ARCHITECTURES = {
    **{name: (name, {}) for name in zoo.models.names() if zoo.models.entry(name).owner == "segzoo"},
    **{
        f"{n}/plain": (f"{n}/plain", {})
        for n in zoo.decoders.names()
        if zoo.decoders.entry(n).owner == "segzoo"
    },
    "unet bilinear": ("unet", {"upsample": "bilinear"}),
    "unet valid": ("unet", {"padding": "valid", "norm": None}),
    "unet/vgg16_bn": ("unet/vgg16_bn", {}),
    "unet/resnet18": ("unet/resnet18", {}),
    "unet/mit_b0": ("unet/mit_b0", {}),
}


def _tensors(key: str) -> dict[str, list[int]]:
    name, options = ARCHITECTURES[key]
    with torch.device("meta"):
        model = segzoo.create(name, num_classes=2, weights=None, **options)
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("key", ARCHITECTURES)
def test_the_tensors_of_every_architecture_keep_their_names_and_shapes(key):
    """Renaming one breaks people's weights; ``python tests/test_create.py`` adds a new architecture."""
    assert _tensors(key) == json.loads(SNAPSHOT.read_text())[key]


@pytest.mark.parametrize("name", ["unet/convnext_atto", "unet/resnet18", "unet/mit_b0"])
def test_a_network_without_values_draws_no_random_numbers(name):
    drawn = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            drawn.append(func.overloadpacket.__name__)
            return func(*args, **kwargs or {})

    with torch.device("meta"):
        segzoo.create(name, num_classes=2)  # which also asks timm for the channels of its encoders
        with Watch():
            segzoo.create(name, num_classes=2)
    assert "empty" in drawn
    assert {"normal", "normal_", "uniform", "uniform_", "erfinv", "erfinv_"}.isdisjoint(drawn)


def test_a_model_is_an_ordinary_module_that_knows_how_it_was_made():
    model = segzoo.create("unet", num_classes=3, width=2, depth=3)
    assert isinstance(model, torch.nn.Module)
    assert model.training
    assert model.segzoo_config.architecture.name == "segzoo:unet"
    assert model.segzoo_config.labels.classes == ("background", "class 1", "class 2")


@pytest.mark.parametrize("name", ["unet-vgg11", "unet/vgg11", "segzoo:unet/segzoo:vgg11"])
def test_decoder_and_encoder_may_be_joined_by_hyphen_slash_or_full_names(name):
    with torch.device("meta"):
        model = segzoo.create(name, num_classes=2)
    assert model.segzoo_config.architecture.name == "segzoo:unet/segzoo:vgg11"


def test_an_encoder_and_a_decoder_may_be_named_apart():
    with torch.device("meta"):
        model = segzoo.create("unet", num_classes=2, encoder="resnet18", decoder="unet")
        assert model.segzoo_config.architecture.name == "segzoo:unet/timm:resnet18"
        model = segzoo.create("unet-vgg", num_classes=2, encoder="vgg11_bn")
    assert model.segzoo_config.architecture.encoder == {}
    assert model.segzoo_config.architecture.decoder == {"norm": None}


def test_an_option_goes_to_every_part_that_has_it_and_a_mapping_to_one():
    model = segzoo.create(
        "unet/plain", num_classes=2, norm=None, encoder={"width": 2, "depth": 3}, decoder={"norm": "group"}
    )
    architecture = model.segzoo_config.architecture
    assert architecture.encoder == {"norm": None, "width": 2, "depth": 3}
    assert architecture.decoder == {"norm": "group"}
    assert not any("norm" in name for name in model.encoder.state_dict())
    assert any("norm" in name for name in model.decoder.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "say how many classes"),
        ({"num_classes": 0}, "num_classes must be an integer from 1 to 65,535, got 0"),
        ({"num_classes": 2.0}, "num_classes must be an integer"),
        ({"num_classes": True}, "num_classes must be an integer"),
        ({"num_classes": 2, "in_channels": 0}, "in_channels must be an integer from 1 to 65,535, got 0"),
        ({"num_classes": 2, "in_channels": "3"}, "in_channels must be an integer"),
        ({"num_classes": 2, "depth": 1}, "depth must be at least 2"),
        ({"num_classes": 2, "depth": 10**7}, "the maximum is 12"),
        ({"num_classes": 2, "width": 0}, "width must be an integer of at least 1, got 0"),
        ({"num_classes": 2, "widht": 8}, "'unet' has no option 'widht'; did you mean 'width'"),
        ({"num_classes": 2, "norm": "bach"}, "norm must be batch, group, instance or None, got 'bach'"),
        (
            {"num_classes": 2, "upsample": ["x"]},
            "upsample must be one of bilinear, transpose, transpose-keep",
        ),
        ({"num_classes": 2, "padding": "vlid"}, "padding must be same or valid"),
        ({"num_classes": 2, "mirror": "no"}, "mirror must be True or False, got 'no'"),
        ({"num_classes": 2, "upsample_relu": 1}, "upsample_relu must be True or False"),
        ({"num_classes": 2, "encoder": 5}, "encoder must be a name or a mapping of options, got 5"),
        ({"num_classes": 2, "encoder": {"depth": 3}}, "takes its options directly"),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_one_sentence(arguments, message):
    with pytest.raises(OptionError, match=message):
        segzoo.create("unet", **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": {"dpth": 3}}, "encoder 'segzoo:vgg16' has no option 'dpth'; did you mean 'depth'"),
        ({"encoder": {"backbone": "resnet18"}}, "has no option 'backbone'"),
        ({"encoder": {"depth": 9}}, "not depth=9"),
        ({"encoder": {"depth": 1}}, "needs 2 features or more; 'segzoo:vgg16' gives 1"),
        ({"encoder": {"depth": True}}, "depth must be an integer"),
        ({"pretrained": "yes"}, "pretrained must be True or False, got 'yes'"),
        ({"decoder": {"widths": [8] * 9}}, "9 steps, but stride 16 allows 1 to 4"),
        ({"padding": "valid"}, 'pass join="crop"'),
    ],
    ids=str,
)
def test_an_option_of_a_part_that_makes_no_sense_is_one_sentence(options, message):
    with torch.device("meta"), pytest.raises(OptionError, match=message):
        segzoo.create("unet/vgg16", num_classes=2, **options)


@pytest.mark.parametrize("name", ["unett", "", "unet-", "unet/", "nonesuch/vgg16", "unet/nonesuch"])
def test_an_unknown_name_is_told_as_such(name):
    with pytest.raises(UnknownNameError):
        segzoo.create(name, num_classes=2)


def test_a_decoder_refuses_strides_that_do_not_double():
    """A feature pyramid from stride 1 to 4 has no skip for the step between."""
    from segzoo.architecture import _check_pair

    pair = zoo.find_model("unet/plain")
    with pytest.raises(OptionError, match=r"strides that double .* has \(1, 4\)"):
        _check_pair(pair, (1, 4))


def test_every_refusal_is_an_error_of_segzoo():
    assert issubclass(OptionError, SegzooError)
    assert issubclass(OptionError, ValueError)


@pytest.fixture
def folder(tmp_path):
    model = segzoo.create("unet", num_classes=3, in_channels=2, width=2, depth=3)
    return segzoo.save(model, tmp_path / "model"), model.eval()


def test_weights_build_their_own_model(folder):
    path, model = folder
    again = segzoo.create(f"local-dir:{path}")
    images = torch.rand(1, 2, 9, 9)
    assert not again.training
    assert torch.equal(again(images), model(images))


def test_weights_of_none_give_the_architecture_untrained(folder):
    path, model = folder
    fresh = segzoo.create(f"local-dir:{path}", weights=None)
    assert fresh.training
    assert fresh.segzoo_config.architecture == model.segzoo_config.architecture
    assert not torch.equal(fresh.head.weight, model.head.weight)


def test_an_option_that_changes_no_tensor_goes_with_weights(folder):
    path, _ = folder
    model = segzoo.create(f"local-dir:{path}", mirror=False)
    assert model.segzoo_config.architecture.options["mirror"] is False


def test_weights_may_be_put_into_a_network_that_is_named(folder):
    path, model = folder
    same = segzoo.create("unet", num_classes=3, in_channels=2, width=2, depth=3, weights=f"local-dir:{path}")
    assert torch.equal(same.head.weight, model.head.weight)


def test_weights_of_another_network_are_refused_with_a_list_of_tensors(folder):
    path, _ = folder
    with pytest.raises(
        WeightsError, match=r"2 tensors:\n  head.weight is .3, 2, 1, 1., the network has .4, 2"
    ):
        segzoo.create(f"local-dir:{path}", num_classes=4)
    with pytest.raises(WeightsError, match="missing: encoder"):
        segzoo.create("unet", num_classes=3, in_channels=2, width=2, weights=f"local-dir:{path}")


@pytest.mark.parametrize("as_said", [str, Path, lambda path: f"./{path.name}", lambda path: path.name])
def test_a_path_means_the_weights_there(folder, as_said, monkeypatch):
    path, model = folder
    monkeypatch.chdir(path.parent)
    images = torch.rand(1, 2, 9, 9)
    assert torch.equal(segzoo.create(as_said(path))(images), model(images))
    assert segzoo.create(as_said(path), in_channels=5)(torch.rand(1, 5, 9, 9)).shape == (1, 3, 9, 9)
    assert segzoo.create(as_said(path), num_classes=4, weights=None).head.out_channels == 4
    with pytest.raises(WeightsError, match=r"of num_classes=3, and 4 are wanted: `segzoo train --model"):
        segzoo.create(as_said(path), num_classes=4)


def test_a_folder_hides_no_name_and_a_path_to_nothing_is_no_name(folder, monkeypatch):
    path, _ = folder
    monkeypatch.chdir(path.rename(path.parent / "unet").parent)
    assert segzoo.create("unet", num_classes=4, width=2).head.out_channels == 4
    with pytest.raises(WeightsError, match=r"there is no folder or file \.\./nowhere"):
        segzoo.create("../nowhere", num_classes=2)


def test_a_repository_without_its_scheme_is_told_how_it_is_named():
    hub = "nvidia/segformer-b0-finetuned-ade-512-512"
    for ask in (segzoo.create, segzoo.load):
        with pytest.raises(UnknownNameError, match=f"say hf-hub:{hub}, or use 'segformer-b0-ade20k'"):
            ask(hub)
    with pytest.raises(UnknownNameError, match=r"say hf-hub:acme/roads$"):
        segzoo.create("acme/roads")
    with pytest.raises(UnknownNameError) as error:
        segzoo.create("unet/nothing")
    assert "hf-hub" not in str(error.value)


def test_who_wants_a_network_pretrained_learns_which_weights_are_of_it():
    with pytest.raises(OptionError, match=r"by name: segformer-b0-ade20k, segformer-b0-cityscapes$"):
        segzoo.create("segformer-b0", num_classes=2, pretrained=True)
    with pytest.raises(OptionError, match="by name: unet-carvana"):
        segzoo.create("unet", num_classes=2, pretrained=True)


def test_no_classes_are_refused_beside_weights_too(folder):
    path, _ = folder
    with pytest.raises(OptionError, match="num_classes must be"):
        segzoo.create(f"local-dir:{path}", num_classes=0)


if __name__ == "__main__":
    stored = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    added = {key: _tensors(key) for key in ARCHITECTURES if key not in stored}
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(json.dumps({**stored, **added}, indent=0, sort_keys=True) + "\n")
