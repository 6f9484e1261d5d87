"""Optimizers by name, with a group of parameters for each learning rate.

Papers: AdamW, Loshchilov and Hutter, 2019, arXiv:1711.05101; Adam, Kingma and Ba, 2015, arXiv:1412.6980; a
learning rate in proportion with the batch, Goyal et al., 2017, arXiv:1706.02677; rates that decay by layer,
Clark et al., 2020, arXiv:2003.10555, section 3, and for images Bao et al., 2021, arXiv:2106.08254.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo import zoo
from segzoo.errors import MissingExtraError, OptionError, UnknownNameError, did_you_mean
from segzoo.options import is_number, shown
from segzoo.specs import OptimizerSpec
from segzoo.training.optim.freezing import encoder_of, without_encoder
from segzoo.training.parts import build, check_range, options_of, read_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from segzoo.training.parts import Options

#: Options that every optimizer has.
_ALWAYS: Options = {"decay_norms": True, "decay_biases": False, "decay_positions": True, "layer_decay": 1.0}
#: Names of position embeddings in timm, transformers, MMSegmentation and segzoo.
_POSITIONS = re.compile(r"pos(ition)?_(embed|encod|block)|pos_emb|rel_pos|relative_position|position_bias")


def make_optimizer(
    model: nn.Module,
    name: str,
    given: Mapping[str, Any],
    *,
    learning_rate: float,
    encoder_rate: float = 1.0,
) -> torch.optim.Optimizer:
    """Return an optimizer for all parameters of a model.

    There is a group for each learning rate and decay. A group's ``name`` says what it holds: ``model``; or
    ``rest`` and ``encoder`` if the encoder has its own rate; or ``rest`` and ``encoder layer 0``, ``1`` ...
    and ``encoder`` if its rate decays by layer. Groups without weight decay have ``, no decay`` appended.
    Frozen parameters are included; an optimizer skips them because they have no gradient. The first group
    has ``learning_rate`` itself.

    Args:
        model: the model, or a wrapper of it.
        name: name of the optimizer.
        given: options that differ from the defaults; and for every optimizer:
            ``decay_norms``: whether weight decay applies to the weights of norms, and to biases;
            ``decay_biases``: whether it applies to biases and other vectors even if not to norms;
            ``decay_positions``: whether it applies to position embeddings;
            ``layer_decay``: in an encoder of ``n`` blocks, the rate of block ``i``, counted from 1, is the
            encoder's times ``layer_decay ** (n + 1 - i)``; modules before the blocks count as ``i = 0``,
            and modules after the last block have the encoder's rate.
        learning_rate: peak learning rate.
        encoder_rate: the encoder's learning rate, as a multiple of ``learning_rate``.

    Raises:
        OptionError: there is no such optimizer or option, a value is out of range, or the encoder gets its
            own rate but the model has none, or its layers get rates but it has no blocks.
    """
    options = optimizer_options(name, given)
    undecayed = _undecayed(model, options)
    groups: list[dict[str, Any]] = []
    for part, parameters, share in _parts(model, encoder_rate, options.pop("layer_decay")):
        kept = [one for one in parameters if one in undecayed]
        decayed = [one for one in parameters if one not in undecayed]
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
        UnknownNameError: no plug-in registers it and timm does not have it.
        OptionError: timm's optimizer needs second derivatives, which training does not compute.
        MissingExtraError: timm's optimizer needs a package that is not installed.
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
        # Its own random numbers would change when a run resumes.
        spec = replace(spec, options={**preset, "deterministic": True})
    return spec


def _place(made: type) -> str:
    return f"{made.__module__}.{made.__name__}"


def optimizer_defaults(name: str) -> Options:
    """Return all options of an optimizer with their defaults; errors as in `find_optimizer`."""
    return {**options_of(find_optimizer(name), "params", "lr"), **_ALWAYS}


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
        # Some of timm's have an alpha that is not a share.
        if is_number(options.get(key)) and 0 <= defaults[key] <= 1:
            check_range(f"optimizer.{key}", options[key], 0, 1, below=key == "momentum")
    if not 0 < options["layer_decay"] <= 1:
        raise OptionError(
            "optimizer.layer_decay is the factor of the learning rate from each layer of the encoder to the "
            f"one before: above 0, such as 0.75, and 1 for none, got {options['layer_decay']!r}"
        )
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


def _undecayed(model: nn.Module, options: Options) -> set[nn.Parameter]:
    """Return the parameters without weight decay; remove the options that define them."""
    norms, biases, positions = (options.pop(f"decay_{kind}") for kind in ("norms", "biases", "positions"))
    found: set[nn.Parameter] = set()
    for path, module in model.named_modules():
        # All libraries name their norm classes like this.
        is_norm = "norm" in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            # Norms and biases are the parameters with one dimension.
            if parameter.ndim <= 1 and not norms and (is_norm or not biases):
                found.add(parameter)
            if not positions and _POSITIONS.search(f"{path}.{name}"):
                found.add(parameter)
    return found


def _parts(
    model: nn.Module, encoder_rate: float, layer_decay: float
) -> list[tuple[str, list[nn.Parameter], float]]:
    """Return parts of the model by name, with their parameters and shares of the learning rate."""
    everything = list(model.parameters())
    if encoder_rate == 1 and layer_decay == 1:
        return [("model", everything, 1.0)]
    encoder = encoder_of(model)
    if encoder is None:
        said = (
            f"encoder_rate={encoder_rate:g}" if layer_decay == 1 else f"optimizer.layer_decay={layer_decay:g}"
        )
        raise OptionError(f"{said}: {without_encoder(model)}; leave it at 1")
    inside = set(encoder.parameters())
    rest = ("rest", [one for one in everything if one not in inside], 1.0)
    if layer_decay == 1:
        return [rest, ("encoder", [one for one in everything if one in inside], encoder_rate)]
    layers = layers_of(encoder)
    if not layers:
        raise OptionError(
            f"optimizer.layer_decay={layer_decay:g}: {type(encoder).__name__} has no list of blocks, "
            "so its layers are not known; leave it at 1, or set one rate for the encoder: encoder_rate=0.1"
        )
    shares = [encoder_rate * layer_decay ** (len(layers) - 1 - index) for index in range(len(layers))]
    names = [f"encoder layer {index}" for index in range(len(layers) - 1)]
    return [rest, *zip((*names, "encoder"), layers, shares, strict=True)]


# segzoo's own: torch's classes and defaults, except for AdamW's decay and SGD's momentum.

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


def layers_of(encoder: nn.Module) -> list[list[nn.Parameter]]:
    """Return an encoder's parameters by layer, in the order in which its modules are defined.

    A layer is a block: an element of a list of modules of one class (``nn.Sequential``, ``nn.ModuleList``)
    that contains no such list itself. Modules before the first block, such as patch and position
    embeddings, form layer 0. Modules between two blocks, such as downsampling convolutions, belong to
    the later block. Modules after the last block, such as its norm, form a layer of their own.

    Returns:
        ``n + 2`` lists for ``n`` blocks, of which the first and the last may be empty; no lists if the
        encoder has no blocks.
    """
    layers: list[list[nn.Parameter]] = [[], []]
    seen: set[nn.Parameter] = set()
    for parameters, is_block in _blocks(encoder):
        new = [one for one in parameters if one not in seen]
        seen.update(new)
        if is_block:
            # Parameters collected for this block are in its list already.
            layers[-1] += new
            layers.append([])
        else:
            layers[-1 if len(layers) > 2 else 0] += new
    return layers if len(layers) > 2 else []


def _blocks(module: nn.Module) -> Iterator[tuple[Iterable[nn.Parameter], bool]]:
    """Yield groups of parameters in order, one group for each block, and whether the group is a block."""
    if not _has_blocks(module):
        yield module.parameters(), False
        return
    yield module.parameters(recurse=False), False
    for child in module.children():
        if _is_list(module) and not _has_blocks(child):
            yield child.parameters(), True
        else:
            yield from _blocks(child)


def _has_blocks(module: nn.Module) -> bool:
    return any(map(_is_list, module.modules()))


def _is_list(module: nn.Module) -> bool:
    """Whether a module is a list of modules of one class that have children."""
    children = list(module.children())
    if not isinstance(module, nn.Sequential | nn.ModuleList) or not children:
        return False
    parts = chain.from_iterable(one.children() for one in children)
    return len({type(one) for one in children}) == 1 and any(True for _ in parts)
