"""Optimizers by name, with a group of parameters for each learning rate.

Papers: AdamW, Loshchilov and Hutter, 2019, arXiv:1711.05101; Adam, Kingma and Ba, 2015, arXiv:1412.6980; a
learning rate in proportion with the batch, Goyal et al., 2017, arXiv:1706.02677.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from segzoo import zoo
from segzoo.errors import MissingExtraError, OptionError, UnknownNameError, did_you_mean
from segzoo.options import is_number, shown
from segzoo.specs import OptimizerSpec
from segzoo.training.optim.freezing import encoder_of, without_encoder
from segzoo.training.parts import build, check_range, options_of, read_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from segzoo.training.parts import Options


def make_optimizer(
    model: nn.Module,
    name: str,
    given: Mapping[str, Any],
    *,
    learning_rate: float,
    encoder_rate: float = 1.0,
) -> torch.optim.Optimizer:
    """Return an optimizer for all parameters of a model.

    There is a group for each learning rate and decay, and each says as ``name`` what it holds: ``model``, or
    ``rest`` and ``encoder`` where the encoder has a rate of its own; with ``, no decay`` behind it for norms
    and biases where ``optimizer.decay_norms`` is false. Parameters that are frozen belong too: a frozen one
    has no gradient, and then it is left alone. The first group has the rate itself.

    Args:
        model: what is trained; a wrapper of it will do.
        name: of the optimizer.
        given: those of its options that are not the defaults, and ``decay_norms``.
        learning_rate: at its height.
        encoder_rate: the encoder's, as a multiple of it.

    Raises:
        OptionError: there is no such optimizer or option, a value is out of range, or the encoder is given a
            rate and the model has none.
    """
    options = optimizer_options(name, given)
    decay_norms = options.pop("decay_norms")
    groups: list[dict[str, Any]] = []
    for part, parameters, share in _parts(model, encoder_rate):
        # Norms and biases are the parameters with one dimension.
        kept = [one for one in parameters if one.ndim <= 1 and not decay_norms]
        decayed = [one for one in parameters if one.ndim > 1 or decay_norms]
        if decayed:
            groups.append({"name": part, "params": decayed, "lr": learning_rate * share})
        if kept:
            group = {"name": f"{part}, no decay", "params": kept, "lr": learning_rate * share}
            groups.append({**group, "weight_decay": 0.0})
    if not groups:
        raise OptionError(f"{type(model).__name__} has no parameters, so there is nothing to train")
    return build(find_optimizer(name), groups, lr=learning_rate, **options)


def find_optimizer(name: str) -> OptimizerSpec:
    """Return the optimizer ``name``: a registered one, else timm's (also as ``timm:name``).

    Raises:
        UnknownNameError: no plug-in registers it and timm does not know it.
        OptionError: timm's needs second derivatives, which a training does not compute.
        MissingExtraError: timm's is that of a package which is not installed.
    """
    registry = zoo.registry("optimizers")
    if name in registry:
        return registry.get(name)
    import timm.optim

    library: Any = timm.optim
    short = name.removeprefix("timm:")
    if short not in library.list_optimizers():
        close = did_you_mean(name, registry.names()) or did_you_mean(short, library.list_optimizers())
        raise UnknownNameError(
            f"no optimizer is named {shown(name)}, by a plug-in or by timm{close or ';'} "
            f"`segzoo list optimizers` shows all {len(registry)} of plug-ins"
        )
    info = library.get_optimizer_info(short)
    if info.second_order:
        raise OptionError(f"optimizer {name!r} needs second derivatives, which training does not compute")
    made = info.opt_class if isinstance(info.opt_class, str) else _place(info.opt_class)
    package, factory = made.partition(".")[0], ":".join(made.rsplit(".", 1))
    if find_spec(package) is None:
        raise MissingExtraError(f"optimizer {name!r} needs {package}: pip install {package}")
    preset = {**({"momentum": 0.9} if info.has_momentum else {}), **(info.defaults or {})}
    spec = OptimizerSpec(name=short, factory=factory, options=preset, summary=info.description)
    if "deterministic" in options_of(spec):
        # Numbers that it drew itself would be others after a training was resumed.
        spec = replace(spec, options={**preset, "deterministic": True})
    return spec


def _place(made: type) -> str:
    return f"{made.__module__}.{made.__name__}"


def optimizer_defaults(name: str) -> Options:
    """Return all options of an optimizer with their defaults; errors as those of `find_optimizer`."""
    return {**options_of(find_optimizer(name), "params", "lr"), "decay_norms": True}


def optimizer_options(name: str, given: Mapping[str, Any]) -> Options:
    """Return all options of an optimizer.

    Raises:
        OptionError: there is no such optimizer or option, or a value is out of range.
    """
    defaults = optimizer_defaults(name)
    options = read_options("optimizer", name, defaults, given)
    for key in ("weight_decay", "eps"):
        if is_number(options.get(key)):
            check_range(f"optimizer.{key}", options[key], 0, float("inf"))
    for key in ("momentum", "alpha", "dampening"):
        # Some of timm's have an alpha that is no share.
        if is_number(options.get(key)) and 0 <= defaults[key] <= 1:
            check_range(f"optimizer.{key}", options[key], 0, 1, below=key == "momentum")
    if "betas" in options:
        if len(options["betas"]) != len(defaults["betas"]):
            count = {2: "two"}.get(len(defaults["betas"]), len(defaults["betas"]))
            raise OptionError(f"optimizer.betas must be {count} numbers, got {options['betas']!r}")
        for beta in options["betas"]:
            check_range("optimizer.betas", beta, 0, 1, below=True)
    if options.get("nesterov") and not options.get("momentum", 1):
        raise OptionError("optimizer.nesterov needs optimizer.momentum above 0, such as 0.9")
    if options.get("nesterov") and options.get("dampening"):
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


# segzoo's own: torch's classes and defaults, but for AdamW's decay and SGD's momentum.

Groups = Iterable[dict[str, Any]]


def adamw(
    params: Groups,
    *,
    lr: float,
    weight_decay: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    amsgrad: bool = False,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Return torch's AdamW."""
    more = {"betas": betas, "eps": eps, "amsgrad": amsgrad, "fused": fused}
    return torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay, **more)


def adam(
    params: Groups,
    *,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    amsgrad: bool = False,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Return torch's Adam."""
    more = {"betas": betas, "eps": eps, "amsgrad": amsgrad, "fused": fused}
    return torch.optim.Adam(params, lr=lr, weight_decay=weight_decay, **more)


def sgd(
    params: Groups,
    *,
    lr: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Return torch's SGD."""
    more = {"nesterov": nesterov, "dampening": dampening, "weight_decay": weight_decay, "fused": fused}
    return torch.optim.SGD(params, lr=lr, momentum=momentum, **more)


def rmsprop(
    params: Groups,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return torch's RMSprop."""
    more = {"momentum": momentum, "centered": centered, "weight_decay": weight_decay}
    return torch.optim.RMSprop(params, lr=lr, alpha=alpha, eps=eps, **more)
