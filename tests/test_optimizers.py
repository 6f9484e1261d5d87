"""Optimizers by name: groups, rates, decay, and options that torch gets as they were said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import segzoo
from segzoo.errors import OptionError, UsageError
from segzoo.training.optim.optimizers import make_optimizer
from segzoo.training.parts import factories
from segzoo.training.recipe.schema import Recipe


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2, width=2, depth=2)


def make(model, name="adamw", options=None, learning_rate=1e-3, encoder_rate=1.0):
    rates = {"learning_rate": learning_rate, "encoder_rate": encoder_rate}
    return make_optimizer(model, name, options or {}, **rates)


def rates(optimizer):
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


def held(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@pytest.mark.parametrize("name", factories("optimizers"))
def test_every_optimizer_moves_every_parameter(name):
    model = segzoo.create("unet", num_classes=2, width=2, depth=2)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = make(model, name, learning_rate=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all((one != old).all() for one, old in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        (
            "adamw",
            {"betas": [0.8, 0.9]},
            lambda p: torch.optim.AdamW(p, 0.1, betas=(0.8, 0.9), weight_decay=1e-4),
        ),
        ("adam", {"weight_decay": 0.1}, lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1)),
        ("sgd", {"nesterov": True}, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
        (
            "rmsprop",
            {"weight_decay": 1e-8, "momentum": 0.999},
            lambda p: torch.optim.RMSprop(p, 0.1, weight_decay=1e-8, momentum=0.999),
        ),
    ],
)
def test_three_steps_are_those_of_torchs_optimizer(name, options, theirs):
    def follow(make):
        torch.manual_seed(1)
        layer = nn.Linear(3, 2)
        optimizer = make(layer)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
        return layer.weight.detach()

    ours = follow(lambda layer: make(layer, name, options, learning_rate=0.1))
    torch.testing.assert_close(ours, follow(lambda layer: theirs(layer.parameters())))


def test_one_group_holds_the_whole_model_where_all_of_it_has_one_rate(model):
    optimizer = make(model)
    assert rates(optimizer) == {"model": 1e-3}
    assert optimizer.param_groups[0]["weight_decay"] == 1e-4


class Wrapper(nn.Module):
    """Holds a network as data parallelism does."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def compiled_and_wrapped(module):
    return Wrapper(torch.compile(module))


@pytest.mark.parametrize(
    "wrap", [lambda m: m, Wrapper, pytest.param(compiled_and_wrapped, marks=pytest.mark.slow)]
)
def test_the_encoder_has_a_rate_of_its_own_inside_wrappers_too(model, wrap):
    optimizer = make(wrap(model), encoder_rate=0.1)
    assert rates(optimizer) == {"encoder": pytest.approx(1e-4), "rest": 1e-3}
    assert {id(one) for one in optimizer.param_groups[1]["params"]} == {
        id(one) for one in model.encoder.parameters()
    }
    assert len(held(optimizer)) == len(list(model.parameters()))


def test_norms_and_biases_are_not_decayed_on_request(model):
    optimizer = make(model, options={"decay_norms": False}, encoder_rate=0.5)
    decays = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert decays == {"rest": 1e-4, "rest, no decay": 0.0, "encoder": 1e-4, "encoder, no decay": 0.0}
    kept = {id(one) for group in optimizer.param_groups[1::2] for one in group["params"]}
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {id(norm.weight) for norm in norms} | {id(model.head.bias)} <= kept
    assert id(model.head.weight) not in kept
    assert len(held(optimizer)) == len(list(model.parameters()))


@pytest.mark.parametrize(("meant", "size", "rate"), [(4, 16, 4e-3), (4, 2, 5e-4), (0, 64, 1e-3)])
def test_the_rate_grows_with_the_batch_on_request(meant, size, rate):
    assert Recipe(data="photos", rate_batch=meant, batch_size=size).scaled_rate == rate


def test_a_rate_for_the_encoder_of_a_model_without_one_is_an_error():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    with pytest.raises(OptionError, match=r"encoder_rate=0\.1: Sequential has no part called encoder .*0, 1"):
        make(model, encoder_rate=0.1)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        (
            "adamm",
            {},
            r"no optimizer is named 'adamm'.*; did you mean 'adam' or 'adamw'\?",
        ),
        ("sgd", {"momentun": 0.9}, r"optimizer\.momentun: .*did you mean 'optimizer\.momentum'"),
        (
            "adamw",
            {"momentum": 0.9},
            r"optimizer\.momentum: 'adamw' has no such option.*it takes: weight_decay",
        ),
        ("sgd", {"momentum": "high"}, r"optimizer\.momentum must be a number, got 'high'"),
        ("sgd", {"momentum": True}, r"optimizer\.momentum must be a number, got True"),
        ("sgd", {"momentum": 1.5}, r"optimizer\.momentum must be 0 or more and below 1, got 1\.5"),
        ("sgd", {"nesterov": 1}, r"optimizer\.nesterov must be true or false, got 1"),
        ("sgd", {"nesterov": True, "momentum": 0.0}, r"optimizer\.nesterov needs optimizer\.momentum"),
        ("adam", {"betas": [0.9]}, r"optimizer\.betas must be two numbers"),
        ("adam", {"weight_decay": -1}, r"optimizer\.weight_decay must be 0 or more, got -1"),
    ],
)
def test_a_wrong_option_is_named_as_recipes_name_it(model, name, options, told):
    with pytest.raises(UsageError, match=told):
        make(model, name, options)
