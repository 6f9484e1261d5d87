"""``segzoo.create``: one call from a name to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.architecture import Choice, build, plan
from segzoo.config import ModelConfig, pretraining_of, undecided
from segzoo.errors import OptionError, WeightsError
from segzoo.printing import command_line
from segzoo.specs import WeightsSpec, default_preprocessing, numbered_labels
from segzoo.weights.converted import check_model, declared
from segzoo.weights.encoders import fill_encoder, is_encoder, learnt_scale
from segzoo.weights.folder import TENSORS, empty, fill, read_config
from segzoo.weights.loading import load
from segzoo.weights.sources import folder_of, is_location, locate, located

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from torch import nn


def create(
    name: str | os.PathLike[str],
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    encoder: Choice = None,
    decoder: Choice = None,
    weights: str | None = "default",
    **options: Any,
) -> nn.Module:
    """Build a model: an ordinary ``nn.Module``, images ``(N, C, H, W)`` to logits ``(N, num_classes, H, W)``.

    Args:
        name: a model (``"unet"``), a decoder and an encoder (``"unet/vgg16_bn"``, ``"unet-resnet50"``),
            or weights, which build their own model (``"unet-nuclei"``, a path to a file or folder,
            ``"local-dir:path"``, ``"hf-hub:org/name@revision"``).
        num_classes: channels of the logits; 1 means two classes told apart by a sigmoid. Needed but
            for weights, which know it and are taken with theirs alone, unless ``weights=None``.
        in_channels: bands of the images, 3 unless weights know better. Weights of another number have their
            first convolution spread over them, as timm does with pretrained encoders.
        encoder: another encoder's name, or a mapping of options for the encoder alone.
        decoder: another decoder's name, or a mapping of options for the decoder alone.
        weights: ``"default"`` loads those that ``name`` means, if any; ``None`` loads none; otherwise
            weights that fit this network, by name, as ``local-dir:path`` or ``hf-hub:org/name``.
        **options: each goes to every part that has an option of that name, such as
            ``upsample="transpose"``, ``norm="group"``, ``pretrained=True`` or ``mirror=False``.

    Returns:
        The model, in evaluation mode if weights of all of it were loaded, else in training mode.

    Raises:
        UnknownNameError: nothing has that name; the message lists close matches.
        OptionError: no part has such an option, or not with that value.
        WeightsError: the weights are damaged or those of another network; the message lists the tensors.

    Example:
        >>> model = create("unet", num_classes=2, width=8, upsample="bilinear")
        >>> model(torch.rand(1, 3, 75, 101)).shape
        torch.Size([1, 2, 75, 101])
    """
    name = located(name)
    stored = _stored_config(name, wanted=weights == "default")
    source = weights if stored is None or weights != "default" else name
    asked = (num_classes, in_channels, encoder, decoder)
    if stored is None:
        config = _planned(name, *asked, options)
    elif source == name and asked == (None, None, None, None) and not options:
        return load(name)
    else:
        config = _changed(stored, *asked, options)
    folder = None if source is None or source == "default" else locate(source)
    if folder is None or is_encoder(folder):
        model = build(config.architecture)
        if folder is not None:
            fill_encoder(model, folder, in_channels=config.architecture.in_channels)
            config = _scaled(config, folder)
        elif (learnt := pretraining_of(model)) is not None and stored is None:
            config = replace(config, preprocessing=learnt.preprocessing)
        trained = replace(config, architecture=config.architecture.without_pretraining())
        model.segzoo_config = trained  # pyright: ignore[reportArgumentType]
        return model
    bands = _other_bands(config, folder)
    model = empty(config, None if bands else folder / TENSORS)
    try:
        fill(model, folder / TENSORS, bands=bands)
    except WeightsError as error:
        raise WeightsError(f"{error}{_other_classes(config, folder, source)}") from error
    return model.eval()


def _other_classes(config: ModelConfig, folder: Path, source: Any) -> str:
    """Return how to begin with weights of other classes; "" where their number is not other."""
    old, new = read_config(folder).architecture.num_classes, config.architecture.num_classes
    if old == new:
        return ""
    train = command_line("segzoo", "train", "--model", str(source))
    return (
        f"\nthe weights are of num_classes={old}, and {new} are wanted: `{train}` begins with all tensors "
        "that fit and a new head; weights=None builds the network with fresh ones"
    )


def _scaled(config: ModelConfig, folder: Path) -> ModelConfig:
    """Return the config with the mean and std of the encoder's training images, if their bands match."""
    mean, std = learnt_scale(folder)
    if len(mean) not in (1, config.architecture.in_channels):
        return config
    return replace(config, preprocessing=replace(config.preprocessing, mean=mean, std=std))


def is_weights(name: str | os.PathLike[str]) -> bool:
    """Whether a model's name means trained weights, which know their network, rather than an architecture.

    Raises:
        UnknownNameError: nothing has that name.
    """
    name = located(name)
    if is_location(name):
        return True
    found = zoo.find_model(name)
    return not isinstance(found, zoo.Pair) and isinstance(found.spec, WeightsSpec)


def _other_bands(config: ModelConfig, folder: Path) -> tuple[int, int] | None:
    """Return how many bands the weights in a folder were trained on, and how many are wanted, if others."""
    old, new = read_config(folder).architecture.in_channels, config.architecture.in_channels
    return None if old == new else (old, new)


def _stored_config(name: str, *, wanted: bool) -> ModelConfig | None:
    """Return the config of what ``name`` means if that is weights, ``None`` if it is an architecture.

    Nothing is fetched, but for the config of a repository, where the weights are not ``wanted``.
    """
    if is_location(name):
        return read_config(locate(name, only_config=not wanted))
    if not is_weights(name):
        return None
    found: Any = zoo.find_model(name)
    check_model(found.spec)
    if wanted or found.spec.folder:
        return read_config(folder_of(found.spec))
    return declared(found.spec)


def _planned(
    name: str,
    num_classes: int | None,
    in_channels: int | None,
    encoder: Choice,
    decoder: Choice,
    options: Mapping[str, Any],
) -> ModelConfig:
    """Return the config of a network that has no weights of its own."""
    if num_classes is None:
        raise OptionError(f"say how many classes: segzoo.create({name!r}, num_classes=2)")
    architecture = plan(
        name,
        num_classes=num_classes,
        in_channels=3 if in_channels is None else in_channels,
        encoder=encoder,
        decoder=decoder,
        options=options,
    )
    return ModelConfig(
        architecture=architecture,
        labels=numbered_labels(architecture.num_classes),
        preprocessing=default_preprocessing(architecture.in_channels),
    )


def _changed(
    stored: ModelConfig,
    num_classes: int | None,
    in_channels: int | None,
    encoder: Choice,
    decoder: Choice,
    options: Mapping[str, Any],
) -> ModelConfig:
    """Return the config of weights with other options, for those who want it untrained or altered."""
    old = stored.architecture
    pair = "/" in old.name
    architecture = plan(
        old.name,
        num_classes=old.num_classes if num_classes is None else num_classes,
        in_channels=old.in_channels if in_channels is None else in_channels,
        encoder=_altered(old.encoder, encoder) if pair else encoder,
        decoder=_altered(old.decoder, decoder) if pair else decoder,
        options={**old.options, **options},
    )
    changes: dict[str, Any] = {"architecture": architecture}
    if architecture.num_classes != old.num_classes:
        # All logits of a new head are classes, and nothing was chosen for it.
        stored = undecided(stored)
        changes |= {"labels": numbered_labels(architecture.num_classes), "separator": None}
    if architecture.in_channels != old.in_channels:
        # Mean and std were those of other channels.
        plain = default_preprocessing(architecture.in_channels)
        changes["preprocessing"] = replace(plain, resize=stored.preprocessing.resize)
        changes["statistics"] = ()
    return replace(stored, **changes)


def _altered(old: Mapping[str, Any], choice: Choice) -> Choice:
    """Return what to ask of a part: another one if it is named, else the old one with options changed."""
    if choice is None:
        return old
    return {**old, **choice} if isinstance(choice, Mapping) else choice
