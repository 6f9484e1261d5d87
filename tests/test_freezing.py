"""Freezing: for the first epochs nothing moves in the encoder, not even what its norms count."""

from __future__ import annotations

import pytest
import torch
from torch import distributed, nn

import segzoo
from segzoo.errors import OptionError
from segzoo.training.optim.freezing import Freezing, encoder_of
from segzoo.training.optim.optimizers import make_optimizer


@pytest.fixture
def model():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=1, width=2, depth=2)


def tensors(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module, before):
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def train(model, freezing, epoch):
    """Train for a step of an epoch as the engine does; return what `begin` told."""
    optimizer = make_optimizer(model, "adamw", {"weight_decay": 0.5}, learning_rate=1e-3)
    model.train()
    told = freezing.begin(epoch)
    model(torch.rand(2, 3, 8, 8)).square().mean().backward()
    freezing.drop_gradients()
    optimizer.step()
    optimizer.zero_grad()
    return told


@pytest.mark.parametrize("toggle", [True, False])
def test_the_encoder_and_its_statistics_stay_until_the_epochs_are_over(model, toggle):
    freezing = Freezing(model, 2, toggle=toggle)
    encoder, decoder = tensors(model.encoder), tensors(model.decoder)
    assert train(model, freezing, 1) == "the encoder is frozen up to epoch 2"
    assert train(model, freezing, 2) == ""
    assert freezing.frozen
    assert not changed(model.encoder, encoder)
    assert changed(model.decoder, decoder) == set(decoder)
    assert train(model, freezing, 3) == "the encoder is trained from epoch 3 on"
    assert train(model, freezing, 4) == ""
    assert not freezing.frozen
    assert changed(model.encoder, encoder) == set(encoder)


def test_frozen_parameters_need_no_gradient_and_those_of_the_rest_do(model):
    freezing = Freezing(model, 1)
    freezing.begin(1)
    assert not any(one.requires_grad for one in model.encoder.parameters())
    assert all(one.requires_grad for one in model.decoder.parameters())
    freezing.begin(2)
    assert all(one.requires_grad for one in model.parameters())


def test_under_data_parallelism_all_parameters_keep_their_gradient(model):
    freezing = Freezing(model, 1, toggle=False)
    freezing.begin(1)
    assert all(one.requires_grad for one in model.parameters())
    model(torch.rand(2, 3, 8, 8)).mean().backward()
    freezing.drop_gradients()
    assert all(one.grad is None for one in model.encoder.parameters())
    assert all(one.grad is not None for one in model.head.parameters())


def test_what_was_frozen_for_good_is_not_thawed(model):
    first = next(model.encoder.parameters())
    first.requires_grad_(False)
    freezing = Freezing(model, 1)
    freezing.begin(1)
    freezing.begin(2)
    assert [one for one in model.parameters() if not one.requires_grad] == [first]


def test_a_training_resumed_after_the_frozen_epochs_hears_nothing_of_them(model):
    freezing = Freezing(model, 2)
    model.train()
    assert freezing.begin(5) == ""
    assert all(module.training for module in model.encoder.modules())


def test_a_training_resumed_within_the_frozen_epochs_goes_on_frozen(model):
    before = tensors(model.encoder)
    assert train(model, Freezing(model, 3), 2) == "the encoder is frozen up to epoch 3"
    assert not changed(model.encoder, before)


def test_without_frozen_epochs_any_model_will_do():
    freezing = Freezing(nn.Conv2d(3, 1, 1), 0)
    assert freezing.begin(1) == ""
    freezing.drop_gradients()
    assert not freezing.frozen


def test_a_model_without_an_encoder_is_refused_with_its_parts():
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(3, 2, 1))
    model.add_module("top", nn.Conv2d(2, 1, 1))
    with pytest.raises(OptionError, match=r"freeze=3: Sequential has no part .*\(its parts: stem, top\)"):
        Freezing(model, 3)


def test_a_model_that_data_parallelism_wraps_is_frozen_without_its_noticing(model, tmp_path):
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        freezing = Freezing(wrapped, 1, toggle=False)
        before = tensors(model.encoder)
        train(wrapped, freezing, 1)
        assert not changed(model.encoder, before)
        train(wrapped, freezing, 2)
        assert changed(model.encoder, before) == set(before)
    finally:
        distributed.destroy_process_group()


def test_a_backbone_inside_a_strangers_wrapper_is_frozen_too():
    network = nn.Module()
    network.backbone, network.classifier = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 1, 1)
    wrapper = nn.Module()
    wrapper.network = network
    Freezing(wrapper, 1).begin(1)
    assert [one.requires_grad for one in network.parameters()] == [False, False, True, True]


@pytest.mark.parametrize("name", ["encoder", "backbone"])
def test_the_encoder_of_another_librarys_network_is_frozen_by_its_usual_name(name):
    network = nn.Sequential()
    network.add_module(name, nn.Conv2d(3, 2, 1))
    network.add_module("top", nn.Conv2d(2, 4, 1))
    model = segzoo.Adapted(network, num_classes=4)
    assert encoder_of(model) is model.backbone is network[0]
    assert encoder_of(nn.Sequential(model)) is network[0]
    Freezing(model, 1).begin(1)
    assert [one.requires_grad for one in network.parameters()] == [False, False, True, True]
    groups = make_optimizer(model, "adamw", {}, learning_rate=1.0, encoder_rate=0.1).param_groups
    assert {group["name"]: group["lr"] for group in groups} == {"rest": 1.0, "encoder": 0.1}


def test_another_librarys_network_without_an_encoder_says_so_with_its_parts():
    network = nn.Sequential()
    network.add_module("layers", nn.Conv2d(3, 2, 1))
    network.add_module("top", nn.Conv2d(2, 4, 1))
    model = segzoo.Adapted(network, num_classes=4)
    assert model.backbone is None
    with pytest.raises(OptionError, match=r"no part called encoder or backbone \(its parts: layers, top\)"):
        Freezing(model, 1)
    with pytest.raises(OptionError, match=r"encoder_rate=0.1: .*; leave it at 1"):
        make_optimizer(model, "adamw", {}, learning_rate=1.0, encoder_rate=0.1)


def test_the_base_model_of_a_network_of_transformers_is_its_encoder():
    class Library(nn.Module):
        """As transformers' networks are: the base model is a part, or the network itself."""

        prefix = "vit"

        def __init__(self) -> None:
            super().__init__()
            self.vit, self.head = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 4, 1)

        @property
        def base_model(self) -> nn.Module:
            return getattr(self, self.prefix, self)

    named, bare = Library(), Library()
    bare.prefix = "absent"
    assert encoder_of(segzoo.Adapted(named, num_classes=4)) is named.vit
    assert encoder_of(segzoo.Adapted(bare, num_classes=4)) is None
