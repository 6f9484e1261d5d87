"""``segzoo.create``: one call from a name to a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.architecture import Choice, build, plan
from segzoo.config import Architecture, ModelConfig
from segzoo.errors import OptionError
from segzoo.specs import WeightsSpec, default_preprocessing, numbered_labels
from segzoo.weights.converted import check_model, declared
from segzoo.weights.folder import TENSORS, fill, load, read_config
from segzoo.weights.sources import folder_of, is_location, locate

if TYPE_CHECKING:
    from torch import nn


def create(
    name: str,
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
            or weights, which build their own model (``"unet-nuclei"``, ``"local-dir:path"``,
            ``"hf-hub:org/name@revision"``).
        num_classes: channels of the logits; 1 means two classes told apart by a sigmoid. Needed but
            for weights, which know it.
        in_channels: channels of the images, 3 unless weights know better.
        encoder: another encoder's name, or a mapping of options for the encoder alone.
        decoder: another decoder's name, or a mapping of options for the decoder alone.
        weights: ``"default"`` loads those that ``name`` means, if any; ``None`` loads none; otherwise
            weights that fit this network, by name, as ``local-dir:path`` or ``hf-hub:org/name``.
        **options: each goes to every part that has an option of that name, such as
            ``upsample="transpose"``, ``norm="group"``, ``pretrained=True`` or ``mirror=False``.

    Returns:
        The model, in evaluation mode if weights were loaded, else in training mode.

    Raises:
        UnknownNameError: nothing has that name; the text lists close matches.
        OptionError: no part has such an option, or not with that value.
        WeightsError: the weights are damaged or those of another network; the text lists the tensors.

    Example:
        >>> model = create("unet", num_classes=2, width=8, upsample="bilinear")
        >>> model(torch.rand(1, 3, 75, 101)).shape
        torch.Size([1, 2, 75, 101])
    """
    stored = _stored_config(name, wanted=weights == "default")
    own = stored is not None and weights == "default"
    if stored is not None and own and not (options or encoder or decoder or num_classes or in_channels):
        return load(name)
    if stored is not None:
        architecture = _changed(stored.architecture, num_classes, in_channels, encoder, decoder, options)
        labels = stored.labels if architecture.num_classes == stored.architecture.num_classes else None
    else:
        if num_classes is None:
            raise OptionError(f"say how many classes: segzoo.create({name!r}, num_classes=2)")
        channels = 3 if in_channels is None else in_channels
        architecture = plan(
            name,
            num_classes=num_classes,
            in_channels=channels,
            encoder=encoder,
            decoder=decoder,
            options=options,
        )
        labels = None
    model = build(architecture)
    config = ModelConfig(
        architecture=_without_pretraining(architecture),
        labels=labels or numbered_labels(architecture.num_classes),
        preprocessing=default_preprocessing(architecture.in_channels),
    )
    if stored is not None:
        config = replace(stored, architecture=config.architecture, labels=config.labels)
    model.segzoo_config = config  # pyright: ignore[reportArgumentType]
    source = name if own else weights
    if source is None or source == "default":
        return model
    fill(model, locate(source) / TENSORS)
    return model.eval()


def _stored_config(name: str, *, wanted: bool) -> ModelConfig | None:
    """Return the config of what ``name`` means if that is weights, ``None`` if it is an architecture.

    Nothing is fetched, but for the config of a repository, where the weights are not ``wanted``.
    """
    if is_location(name):
        return read_config(locate(name, only_config=not wanted))
    found = zoo.find_model(name)
    if isinstance(found, zoo.Pair) or not isinstance(found.spec, WeightsSpec):
        return None
    check_model(found.spec)
    if wanted or found.spec.folder:
        return read_config(folder_of(found.spec))
    return declared(found.spec)


def _changed(
    old: Architecture,
    num_classes: int | None,
    in_channels: int | None,
    encoder: Choice,
    decoder: Choice,
    options: dict[str, Any],
) -> Architecture:
    """Return the architecture of weights with other options, for those who want it untrained or altered."""
    pair = "/" in old.name
    return plan(
        old.name,
        num_classes=old.num_classes if num_classes is None else num_classes,
        in_channels=old.in_channels if in_channels is None else in_channels,
        encoder={**old.encoder, **encoder}
        if pair and not isinstance(encoder, str | None)
        else encoder or (old.encoder if pair else None),
        decoder={**old.decoder, **decoder}
        if pair and not isinstance(decoder, str | None)
        else decoder or (old.decoder if pair else None),
        options={**old.options, **options},
    )


def _without_pretraining(architecture: Architecture) -> Architecture:
    """Return the architecture that a saved folder states: its own tensors hold what pretraining gave."""
    parts = {
        part: {key: value for key, value in getattr(architecture, part).items() if key != "pretrained"}
        for part in ("options", "encoder", "decoder")
    }
    return replace(architecture, **parts)
