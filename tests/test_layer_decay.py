"""Layer-wise learning rates: the blocks of an encoder, each with less than the one behind it."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.optim._param_groups import param_groups_layer_decay
from torch import nn

import segzoo
from segzoo.errors import OptionError
from segzoo.training.optim.optimizers import layers_of, make_optimizer, optimizer_options


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        "beit_base_patch16_224",
        "eva02_tiny_patch14_224",
        "swin_tiny_patch4_window7_224",
        "convnext_atto",
        "resnet18",
        "efficientnet_lite0",
    ],
)
def test_layers_are_those_that_timm_tells_by_the_names_of_each_architecture(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=10)
    layers = layers_of(model)
    ours = {one: 0.75 ** (len(layers) - 1 - index) for index, layer in enumerate(layers) for one in layer}
    groups = param_groups_layer_decay(model, 0.05, layer_decay=0.75)
    theirs = {one: group["lr_scale"] for group in groups for one in group["params"]}
    # What comes behind the blocks is the encoder's here; timm counts it to the last block.
    behind = set(layers[-1])
    assert behind
    for parameter_name, parameter in model.named_parameters():
        if parameter not in behind:
            assert ours[parameter] == pytest.approx(theirs[parameter]), parameter_name


def small():
    sizes = {"depths": (1, 2, 1, 1), "widths": (4, 4, 8, 8), "heads": (1, 1, 1, 1)}
    return segzoo.create("unet/mit", num_classes=2, encoder=sizes)


def test_the_rate_of_each_block_is_a_share_of_that_of_the_next():
    model = small()
    optimizer = make_optimizer(
        model, "adamw", {"layer_decay": 0.5, "decay_norms": False}, learning_rate=1.0, encoder_rate=0.1
    )
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    for index in range(6):
        for name in (f"encoder layer {index}", f"encoder layer {index}, no decay"):
            assert rates.pop(name) == pytest.approx(0.1 * 0.5 ** (6 - index))
    assert rates == pytest.approx({"rest": 1.0, "rest, no decay": 1.0, "encoder, no decay": 0.1})
    held = [one for group in optimizer.param_groups for one in group["params"]]
    assert len(held) == len(set(held)) == len(list(model.parameters()))
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_what_stands_between_blocks_belongs_to_the_later_one():
    model = small()
    names = {parameter: name for name, parameter in model.encoder.named_parameters()}
    layers = [{names[one].split(".", 2)[1] for one in layer} for layer in layers_of(model.encoder)]
    # Stages 0 to 3; each begins with patches, before its first block.
    assert layers == [{"0"}, {"0"}, {"0", "1"}, {"1"}, {"1", "2"}, {"2", "3"}, {"3"}]


def test_a_decay_without_a_rate_of_the_encoders_own_leaves_the_last_layer_as_the_rest():
    optimizer = make_optimizer(small(), "adamw", {"layer_decay": 0.5}, learning_rate=1.0)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates["encoder"] == rates["rest"] == 1.0
    assert rates["encoder layer 5"] == 0.5


@pytest.mark.parametrize("value", [0, -0.5, 1.5, 75])
def test_a_decay_that_is_no_share_is_refused(value):
    with pytest.raises(OptionError, match=rf"optimizer.layer_decay is .* such as 0.75, .* got {value}"):
        optimizer_options("adamw", {"layer_decay": value})


@pytest.mark.slow
def test_an_encoder_without_blocks_and_a_model_without_an_encoder_say_so():
    model = segzoo.create("unet/vgg11", num_classes=2, encoder={"depth": 2})
    with pytest.raises(
        OptionError, match=r"layer_decay=0.5: VGGEncoder has no list of blocks.* encoder_rate"
    ):
        make_optimizer(model, "adamw", {"layer_decay": 0.5}, learning_rate=1.0)
    bare = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 1, 1))
    with pytest.raises(
        OptionError, match=r"optimizer.layer_decay=0.5: Sequential has no part .*leave it at 1"
    ):
        make_optimizer(bare, "adamw", {"layer_decay": 0.5}, learning_rate=1.0)


class Attentive(nn.Module):
    """Has one parameter of each kind that settings treat apart."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 2))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
        self.norm, self.linear = nn.LayerNorm(2), nn.Linear(2, 2)
        self.gamma = nn.Parameter(torch.ones(2))


POSITIONS = {"pos_embed", "relative_position_bias_table"}
VECTORS, NORMS = {"linear.bias", "gamma"}, {"norm.weight", "norm.bias"}


@pytest.mark.parametrize(
    ("options", "undecayed"),
    [
        ({}, set()),
        ({"decay_norms": False}, NORMS | VECTORS),
        ({"decay_norms": False, "decay_biases": True}, NORMS),
        ({"decay_biases": True}, set()),
        ({"decay_positions": False}, POSITIONS),
        ({"decay_norms": False, "decay_positions": False}, NORMS | VECTORS | POSITIONS),
    ],
)
def test_norms_biases_and_position_embeddings_are_not_decayed_where_that_is_asked(options, undecayed):
    model = Attentive()
    groups = make_optimizer(model, "adamw", {"weight_decay": 0.1, **options}, learning_rate=1.0).param_groups
    decays = {one: group["weight_decay"] for group in groups for one in group["params"]}
    found = {name for name, parameter in model.named_parameters() if decays[parameter] == 0}
    assert found == undecayed


def test_whether_biases_are_decayed_is_true_or_false():
    with pytest.raises(OptionError, match=r"optimizer.decay_biases must be true or false, got 'no'"):
        optimizer_options("adamw", {"decay_biases": "no"})
