"""Names of what the zoo holds, as timm's users list models: `list_models` and relatives.

Nothing here imports torch, except `list_encoders` with ``timm=True``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.errors import OptionError
from segzoo.registry import matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    #: A part of a name or a shell pattern such as ``unet-*``; of several, any may match.
    Pattern = str | Sequence[str]

__all__ = [
    "list_datasets",
    "list_decoders",
    "list_encoders",
    "list_losses",
    "list_metrics",
    "list_models",
    "list_recipes",
    "list_weights",
]


def list_models(pattern: Pattern = "", *, pretrained: bool = False, exclude: Pattern = ()) -> list[str]:
    """Return the names of models that `segzoo.create` takes, sorted.

    Args:
        pattern: part of a name or alias, or a shell pattern such as ``unet*``; of several, any may match.
        pretrained: list trained weights instead, which `segzoo.load` and `segzoo.predict` take.
        exclude: patterns of names to leave out.

    Example:
        >>> segzoo.list_models("unet*", exclude="*resnet*")
        ['nested', 'unet', 'unet-vgg']
        >>> segzoo.list_models("*nuclei", pretrained=True)
        ['nested-nuclei', 'unet-nuclei']
    """
    return _names("weights" if pretrained else "models", pattern, exclude)


def list_weights(pattern: Pattern = "", *, exclude: Pattern = ()) -> list[str]:
    """Return the names of trained weights, sorted.

    Args:
        pattern: part of a name, or a shell pattern; see `list_models`.
        exclude: patterns of names to leave out.
    """
    return _names("weights", pattern, exclude)


def list_encoders(pattern: Pattern = "", *, timm: bool = False, exclude: Pattern = ()) -> list[str]:
    """Return the names of encoders, sorted.

    Args:
        pattern: part of a name, or a shell pattern; see `list_models`.
        timm: list timm's backbones too, most of which can be encoders; this imports torch.
        exclude: patterns of names to leave out.
    """
    names = _names("encoders", pattern, exclude)
    if timm:
        names += [name for name in _chosen(zoo.timm_names(), pattern, exclude) if name not in names]
    return sorted(names)


def list_decoders(pattern: Pattern = "", *, exclude: Pattern = ()) -> list[str]:
    """Return the names of decoders, sorted.

    Args:
        pattern: part of a name, or a shell pattern; see `list_models`.
        exclude: patterns of names to leave out.
    """
    return _names("decoders", pattern, exclude)


def list_datasets(pattern: Pattern = "", *, exclude: Pattern = ()) -> list[str]:
    """Return the names of datasets, sorted.

    Args:
        pattern: part of a name, or a shell pattern; see `list_models`.
        exclude: patterns of names to leave out.
    """
    return _names("datasets", pattern, exclude)


def list_metrics(pattern: Pattern = "", *, exclude: Pattern = ()) -> list[str]:
    """Return the names of metrics, sorted.

    Args:
        pattern: part of a name, or a shell pattern; see `list_models`.
        exclude: patterns of names to leave out.
    """
    return _names("metrics", pattern, exclude)


def list_losses(pattern: Pattern = "", *, exclude: Pattern = ()) -> list[str]:
    """Return the names of losses, sorted.

    Args:
        pattern: part of a name, or a shell pattern; see `list_models`.
        exclude: patterns of names to leave out.
    """
    return _names("losses", pattern, exclude)


def list_recipes(pattern: Pattern = "", *, exclude: Pattern = ()) -> list[str]:
    """Return the names of recipes, sorted.

    Args:
        pattern: part of a name, or a shell pattern; see `list_models`.
        exclude: patterns of names to leave out.
    """
    return _names("recipes", pattern, exclude)


def _names(kind: str, pattern: Pattern, exclude: Pattern) -> list[str]:
    registry = zoo.registry(kind)
    found = {name for one in _patterns("pattern", pattern) or ("",) for name in registry.match(one)}
    left_out = {name for one in _patterns("exclude", exclude) for name in registry.match(one)}
    return sorted(found - left_out)


def _chosen(names: Sequence[str], pattern: Pattern, exclude: Pattern) -> list[str]:
    wanted, unwanted = _patterns("pattern", pattern) or ("",), _patterns("exclude", exclude)
    return [
        name
        for name in names
        if any(matches(name, one) for one in wanted) and not any(matches(name, one) for one in unwanted)
    ]


def _patterns(option: str, given: Pattern) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else tuple(given)
    for one in patterns:
        if not isinstance(one, str):
            raise OptionError(f"{option} takes names or patterns such as 'unet*', got {one!r}")
    return tuple(filter(None, patterns))


def engine_runs() -> list[str]:
    """Return every way to run a network that `segzoo benchmark` measures, such as ``openvino:fast``."""
    engines = zoo.registry("engines").items()
    pairs = [(name, how) for name, entry in engines for how in entry.spec.precisions if name != "eager"]
    return ["eager", *(f"{name}:{how}" for name, how in pairs)]
