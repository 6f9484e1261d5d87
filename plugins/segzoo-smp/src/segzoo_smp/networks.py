"""The networks of segmentation_models.pytorch, for images of any size.

Library: Iakubovskii, https://github.com/qubvel-org/segmentation_models.pytorch. The networks are the
library's own modules. What differs: they return logits, layers that a network never runs are left out, and
batch norms after global pooling can be trained on one image.
"""

from __future__ import annotations

import inspect
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from segzoo import Adapted
from segzoo.blocks import PooledBatchNorm, check_flags, check_positive, is_symbolic, larger
from segzoo.errors import MissingExtraError, OptionError, WeightsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from torch import Tensor

#: Arguments of the library's classes that are no options of a network: segzoo decides them.
_DECIDED = ("self", "encoder_weights", "in_channels", "classes", "activation", "aux_params", "kwargs")
#: How often a decoder halves the encoder's coarsest map.
_HALVINGS = {"PAN": 3}
#: The stride to which DPT brings the coarsest map of an encoder that is finer.
_DPT_STRIDE = 32


def library() -> ModuleType:
    """Return the package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import segmentation_models_pytorch
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "segzoo-smp runs the networks of segmentation_models.pytorch, which cannot be imported "
            f"({error}): pip install 'segmentation-models-pytorch>=0.5'"
        ) from error
    return segmentation_models_pytorch


class Schedules(TorchFunctionMode):
    """Makes the numbers of `torch.linspace` for real, on the meta device too, where networks ask for them."""

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch."""
        given = kwargs or {}
        return func(*args, **({**given, "device": "cpu"} if func is torch.linspace else given))


class SmpNetwork(Adapted):
    """A network of the library that takes images of every size.

    Args:
        network: the library's.
        num_classes: channels of its logits.
        multiple: what the sides of its images must be multiples of; 1 where it takes every size.
        coarsest: stride of its coarsest map.
        in_channels: channels of its images.
    """

    def __init__(
        self, network: nn.Module, *, num_classes: int, multiple: int, coarsest: int, in_channels: int
    ) -> None:
        run = _Run(network, in_channels, 2 * coarsest)
        #: Names of the library's tensors that are left out.
        self.idle = run.leave_out_idle()
        run.spare_pooled()
        run.order_exported()
        super().__init__(network, num_classes=num_classes, multiple=multiple, coarsest=coarsest)
        self._resized = run.resizes

    def _wanted(self, size: int) -> int:
        """Return the size to continue to; two coarsest pixels, as in exported graphs, unless it is taken."""
        taken = not is_symbolic(size) and size >= self._coarsest and size % self._multiple == 0
        if taken and not self.training:
            return super()._wanted(size)
        wanted: Any = larger(size, 2 * self._coarsest)
        return super()._wanted(wanted)


class _Run:
    """What a network does with an image: which layers it calls, and what comes out.

    Args:
        network: it is left in the mode in which it was, without gradients.
        in_channels: channels of the image.
        side: height and width of the image; a size that the network takes.
    """

    def __init__(self, network: nn.Module, in_channels: int, side: int) -> None:
        self._network, self._called = network, set[nn.Module]()
        self._pooled: list[nn.BatchNorm2d] = []
        self._permuted: list[nn.Module] = []
        training, first = network.training, next(network.parameters())
        hooks = [module.register_forward_hook(self._note) for module in network.modules()]
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():
                images = torch.zeros(1, in_channels, side, side, dtype=first.dtype, device=first.device)
                logits = network.eval()(images)
                logits.sum().backward()
        finally:
            for hook in hooks:
                hook.remove()
            network.train(training)
        self.resizes = tuple(logits.shape[-2:]) != (side, side)
        self._reached = {parameter for parameter in network.parameters() if parameter.grad is not None}
        network.zero_grad()

    def _note(self, module: nn.Module, given: tuple[Any, ...], made: object) -> None:
        self._called.add(module)
        if isinstance(made, torch.Tensor) and made.ndim == 4 and not made.is_contiguous():
            self._permuted.append(module)
        if type(module) is nn.BatchNorm2d and given[0].shape[2:] == (1, 1):
            self._pooled.append(module)

    def spare_pooled(self) -> None:
        """Let batch norms of maps of one pixel be trained on one image."""
        for norm in self._pooled:
            norm.__class__ = PooledBatchNorm

    def order_exported(self) -> None:
        """Make permuted maps contiguous in an export: exporters cannot infer the sizes of others."""
        for module in self._permuted:
            module.register_forward_hook(_ordered)

    def leave_out_idle(self) -> tuple[str, ...]:
        """Replace layers that take no part in the logits; return the names of their tensors.

        Encoders have more stages than some networks use.
        """
        whole = list(self._network.state_dict())
        for parent, name in list(self._idle(self._network)):
            parent.add_module(name, nn.Identity())
        for parameter in self._network.parameters():
            if parameter not in self._reached:
                parameter.requires_grad_(False)
        used = self._network.state_dict()
        return tuple(name for name in whole if name not in used)

    def _idle(self, parent: nn.Module) -> Iterator[tuple[nn.Module, str]]:
        for name, module in parent.named_children():
            own = list(module.parameters())
            if not own:
                continue
            if not self._reached.intersection(own) and not self._called.intersection(module.modules()):
                yield parent, name
            else:
                yield from self._idle(module)


def _ordered(module: nn.Module, given: object, made: Tensor) -> Tensor:
    return made.contiguous() if is_symbolic(*made.shape) else made


@dataclass(frozen=True)
class Factory:
    """Makes the networks of one of the library's classes; its options are that class's arguments.

    Attributes:
        class_name: name of the class, such as ``"FPN"``.
    """

    class_name: str

    @cached_property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of the class that are options, with the library's defaults."""
        known = inspect.signature(getattr(library(), self.class_name)).parameters
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return {
            name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in known.items()
            if name not in _DECIDED and parameter.kind not in kinds
        }

    @property
    def __signature__(self) -> inspect.Signature:
        own = list(inspect.signature(self._call).parameters.values())
        return inspect.Signature([*own[:2], *self.arguments.values(), *own[2:-1]])

    def __call__(self, *, num_classes: int, in_channels: int = 3, **options: Any) -> SmpNetwork:
        """Build a network: see `_call` and the library's class for its options."""
        return self._call(num_classes=num_classes, in_channels=in_channels, **options)

    def _call(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        pretrained: bool = False,
        encoder_weights: str = "imagenet",
        encoder_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> SmpNetwork:
        """Build a network.

        Args:
            num_classes: channels of the logits.
            in_channels: channels of the images.
            pretrained: whether to fetch weights of the encoder.
            encoder_weights: which, where the library has several; those of ``tu-...`` are part of the name.
            encoder_options: further ones of a timm encoder (``tu-...``), such as ``drop_path_rate``.
            **options: the class's own arguments.
        """
        check_flags(pretrained=pretrained)
        network = self.network(
            num_classes=num_classes,
            in_channels=in_channels,
            weights=encoder_weights if pretrained else None,
            encoder_options=encoder_options,
            **options,
        )
        stride = int(network.encoder.output_stride)
        coarsest = stride << _HALVINGS.get(self.class_name, 0)
        if self.class_name == "DPT":
            # The halved map is upsampled again and added to the original one.
            stride = coarsest = stride if stride >= _DPT_STRIDE else 2 * stride
        elif not getattr(network, "requires_divisible_input_shape", True):
            stride = 1
        side = _side_of(options.get("encoder_name", self.arguments["encoder_name"].default))
        if side and not encoder_options:
            stride = coarsest = side
        # Sizes are segzoo's to see to, and the check stops exporters.
        network.requires_divisible_input_shape = False
        return SmpNetwork(
            network,
            num_classes=num_classes,
            multiple=stride,
            coarsest=coarsest,
            in_channels=in_channels,
        )

    def network(
        self,
        *,
        num_classes: int,
        in_channels: int,
        weights: str | None = None,
        encoder_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Return the library's network, unchanged.

        Raises:
            OptionError: there is no such encoder, or it has no such weights.
            WeightsError: its weights could not be fetched.
        """
        check_positive(num_classes=num_classes, in_channels=in_channels)
        for name, value in options.items():
            _check_kind(name, value, self.arguments[name].default if name in self.arguments else None)
        default = self.arguments["encoder_name"].default
        encoder = checked_encoder(options.get("encoder_name", default), self.class_name)
        given = {**_sizes_free(encoder), **checked_options(encoder, encoder_options or {})}
        made = getattr(library(), self.class_name)
        arguments = {"in_channels": in_channels, "classes": num_classes, **options, **given}
        with warnings.catch_warnings(), Schedules():
            warnings.simplefilter("ignore")  # of arguments that old configs have
            if weights is None:
                return _all_on_meta(made(encoder_weights=None, **arguments))
            return _with_weights(made, encoder, weights, arguments)


def _check_kind(name: str, value: object, default: object) -> None:
    """Raise `OptionError` if an option's value is not of the kind that its default shows."""
    if name.endswith("use_norm") or (default is None and value is None):
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits, kind = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        fits, kind = number and isinstance(value, int) and value > 0, "a whole number above 0"
    elif isinstance(default, float):
        fits, kind = number, "a number"
    elif isinstance(default, str):
        fits, kind = isinstance(value, str), "a text"
    elif isinstance(default, tuple | list):
        fits = isinstance(value, tuple | list) and all(type(one) is int and one > 0 for one in value)
        kind = "a list of whole numbers above 0"
    else:
        return
    if not fits:
        raise OptionError(f"{name} must be {kind}, such as {default!r}, got {value!r:.80}")


def _all_on_meta(network: nn.Module) -> nn.Module:
    """Return a network of the meta device wholly there: the library makes stems of other bands elsewhere."""
    if any(one.is_meta for one in network.parameters()):
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if not parameter.is_meta:
                    setattr(module, name, nn.Parameter(torch.empty_like(parameter, device="meta")))
    return network


def _with_weights(made: Any, encoder: str, weights: str, arguments: Mapping[str, Any]) -> Any:
    known = library().encoders.encoders.get(encoder, {}).get("pretrained_settings")
    if known is not None and weights not in known:
        told = f"it has {', '.join(known)}" if known else "it has none"
        raise OptionError(f"encoder {encoder!r} has no weights {weights!r}: {told}")
    try:
        return made(encoder_weights=weights if known is not None else True, **arguments)
    except OSError as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(
            f"the weights {weights!r} of encoder {encoder!r} could not be fetched or read ({reason}); check "
            "the connection or the cache, or leave pretrained out"
        ) from error


def checked_encoder(name: object, class_name: str = "") -> str:
    """Return the name of an encoder that the library has.

    Raises:
        OptionError: it has none of that name, or the class does not take it.
    """
    encoders = library().encoders.encoders
    if isinstance(name, str) and name.startswith("tu-"):
        if timm.is_model(name.removeprefix("tu-").partition(".")[0]):
            return name
        known = [f"tu-{one}" for one in timm.list_models()]
        hint = did_you_mean(name, known)
        raise OptionError(f"encoder {name!r}: timm has no such model{hint}; tu-NAME is timm's NAME")
    universal = isinstance(name, str) and name.startswith("timm-")
    if not isinstance(name, str) or (name not in encoders and not universal):
        hint = did_you_mean(str(name)[:99], list(encoders))
        raise OptionError(
            f"segmentation_models.pytorch has no encoder {name!r}{hint}; it has {len(encoders)} of its own, "
            "such as resnet34 and mit_b0, and timm's as tu-NAME"
        )
    if class_name == "DPT":
        raise OptionError(f"DPT takes timm's vision transformers, tu-vit_... and others, not {name!r}")
    return name


def checked_options(encoder: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for timm that make a network and nothing else: a file might name others to be read.

    Raises:
        OptionError: an option is no number, flag or list of numbers, or the encoder is not timm's.
    """
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        if name == "pretrained" or not all(isinstance(one, bool | int | float) for one in values):
            raise OptionError(
                f"encoder_options takes numbers, flags and lists of numbers for timm's networks, got {name}="
                f"{value!r:.80}"
            )
    if options and not encoder.startswith("tu-"):
        raise OptionError(f"encoder_options are for timm's encoders, tu-NAME; {encoder!r} takes none")
    return dict(options)


@lru_cache(maxsize=64)
def _sizes_free(encoder: str) -> Mapping[str, bool]:
    """Return what makes a timm network of a fixed size take others; at its own it computes the same."""
    name = encoder.removeprefix("tu-")
    config = timm.get_pretrained_cfg(name) if encoder.startswith("tu-") else None
    if config is not None and config.fixed_input_size:
        for option in ("dynamic_img_size", "strict_img_size"):
            free: dict[str, Any] = {option: option.startswith("dynamic")}
            with suppress(TypeError), torch.device("meta"):
                timm.create_model(name, **free)
                return free
    return {}


def _side_of(encoder: str) -> int:
    """Return the side that images of a timm network of windows are multiples of, 0 where it takes others."""
    name = encoder.removeprefix("tu-")
    config = timm.get_pretrained_cfg(name) if encoder.startswith("tu-") else None
    if config is None or not config.fixed_input_size or _sizes_free(encoder):
        return 0
    return max(config.input_size[1:])


unet = Factory("Unet")
unetplusplus = Factory("UnetPlusPlus")
manet = Factory("MAnet")
linknet = Factory("Linknet")
fpn = Factory("FPN")
pspnet = Factory("PSPNet")
deeplabv3 = Factory("DeepLabV3")
deeplabv3plus = Factory("DeepLabV3Plus")
pan = Factory("PAN")
upernet = Factory("UPerNet")
segformer = Factory("Segformer")
dpt = Factory("DPT")

#: By the names of the library's classes.
FACTORIES = {
    made.class_name: made
    for made in (
        unet,
        unetplusplus,
        manet,
        linknet,
        fpn,
        pspnet,
        deeplabv3,
        deeplabv3plus,
        pan,
        upernet,
        segformer,
        dpt,
    )
}
