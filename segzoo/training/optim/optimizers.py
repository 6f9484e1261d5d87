"""Optimizers by name, with a group of parameters for each learning rate.

Papers: AdamW, Loshchilov and Hutter, 2019, arXiv:1711.05101; Adam, Kingma and Ba, 2015, arXiv:1412.6980; a
learning rate in proportion with the batch, Goyal et al., 2017, arXiv:1706.02677.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import OptionError
from segzoo.training.optim.freezing import encoder_of, without_encoder
from segzoo.training.optim.options import check_range, read_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from segzoo.training.recipe.schema import Recipe

_ADAM: Mapping[str, Any] = {
    "weight_decay": 0.0,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "amsgrad": False,
    "fused": False,
    "decay_norms": True,
}
#: The options of each optimizer, with defaults: torch's own but for AdamW's decay and SGD's momentum.
OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "adamw": {**_ADAM, "weight_decay": 1e-4},
    "adam": _ADAM,
    "sgd": {
        "momentum": 0.9,
        "nesterov": False,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "fused": False,
        "decay_norms": True,
    },
    "rmsprop": {
        "alpha": 0.99,
        "eps": 1e-8,
        "momentum": 0.0,
        "centered": False,
        "weight_decay": 0.0,
        "decay_norms": True,
    },
}
_CLASSES: Mapping[str, Any] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


def make_optimizer(
    model: nn.Module, recipe: Recipe, *, batch_size: int | None = None
) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe for all parameters of a model.

    There is a group for each learning rate and decay, and each says as ``name`` what it holds: ``model``, or
    ``rest`` and ``encoder`` where the encoder has a rate of its own; with ``, no decay`` behind it for norms
    and biases where ``optimizer.decay_norms`` is false. Parameters that are frozen belong too: a frozen one
    has no gradient, and then it is left alone. The first group has the recipe's own rate.

    Args:
        model: what is trained; a wrapper of it will do.
        recipe: says ``optimizer`` and its options, ``learning_rate``, ``encoder_rate`` and ``rate_batch``.
        batch_size: images a step, of all processes together; the recipe's where ``None``.

    Raises:
        OptionError: there is no such optimizer or option, a value is out of range, or the encoder is given a
            rate and the model has none.
    """
    options = optimizer_options(recipe)
    decay_norms = options.pop("decay_norms")
    rate = scaled_rate(recipe, batch_size)
    groups: list[dict[str, Any]] = []
    for name, parameters, share in _parts(model, recipe.encoder_rate):
        # Norms and biases are the parameters with one dimension.
        kept = [one for one in parameters if one.ndim <= 1 and not decay_norms]
        decayed = [one for one in parameters if one.ndim > 1 or decay_norms]
        if decayed:
            groups.append({"name": name, "params": decayed, "lr": rate * share})
        if kept:
            group = {"name": f"{name}, no decay", "params": kept, "lr": rate * share, "weight_decay": 0.0}
            groups.append(group)
    if not groups:
        raise OptionError(f"{type(model).__name__} has no parameters, so there is nothing to train")
    try:
        return _CLASSES[recipe.optimizer](groups, lr=rate, **options)
    except (ValueError, RuntimeError) as error:
        raise OptionError(f"optimizer {recipe.optimizer!r}: {error}") from error


def scaled_rate(recipe: Recipe, batch_size: int | None = None) -> float:
    """Return the learning rate, in proportion with the batch where ``rate_batch`` says for which it is."""
    size = recipe.batch_size if batch_size is None else batch_size
    return recipe.learning_rate * (size / recipe.rate_batch if recipe.rate_batch else 1.0)


def optimizer_options(recipe: Recipe) -> dict[str, Any]:
    """Return all options of a recipe's optimizer.

    Raises:
        OptionError: there is no such optimizer or option, or a value is out of range.
    """
    options = read_options("optimizer", recipe.optimizer, OPTIMIZERS, recipe.optimizer_options)
    for key in ("weight_decay", "eps"):
        if key in options:
            check_range(f"optimizer.{key}", options[key], 0, float("inf"))
    for key in ("momentum", "alpha", "dampening"):
        if key in options:
            check_range(f"optimizer.{key}", options[key], 0, 1, below=key == "momentum")
    if "betas" in options:
        if len(options["betas"]) != 2:
            raise OptionError(f"optimizer.betas must be two numbers, got {options['betas']!r}")
        for beta in options["betas"]:
            check_range("optimizer.betas", beta, 0, 1, below=True)
    if options.get("nesterov") and not options["momentum"]:
        raise OptionError("optimizer.nesterov needs optimizer.momentum above 0, such as 0.9")
    if options.get("nesterov") and options["dampening"]:
        raise OptionError("optimizer.nesterov needs optimizer.dampening=0")
    return options


def _parts(model: nn.Module, encoder_rate: float) -> list[tuple[str, list[nn.Parameter], float]]:
    """Return parts of the model by name, with their parameters and shares of the learning rate."""
    everything = list(model.parameters())
    if encoder_rate == 1:
        return [("model", everything, 1.0)]
    encoder = encoder_of(model)
    if encoder is None:
        raise OptionError(f"encoder_rate={encoder_rate:g}: {without_encoder(model)}; leave it at 1")
    inside = {id(one) for one in encoder.parameters()}
    return [
        ("rest", [one for one in everything if id(one) not in inside], 1.0),
        ("encoder", [one for one in everything if id(one) in inside], encoder_rate),
    ]
