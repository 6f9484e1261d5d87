"""Weights of other programs, fetched and converted once, then loaded as any segzoo folder.

The folder's name holds a key of all that decides its contents: the file's hash, the layout and its
options, what the catalogue says, and the versions of segzoo and of the plug-in that owns the layout.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segzoo import __version__, zoo
from segzoo.errors import OptionError
from segzoo.files import whole_folder
from segzoo.specs import Labels, default_preprocessing
from segzoo.weights import cache
from segzoo.weights.fetch import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.config import ModelConfig
    from segzoo.specs import WeightsSpec

#: What of a spec goes into the folder, or decides how the file becomes one.
_DECIDES = ("layout", "layout_options", "classes", "labels", "preprocessing", "licence", "data", "claimed")


def converted(spec: WeightsSpec) -> Path:
    """Return the segzoo folder of weights at a URL; fetched and converted if this is the first time.

    Raises:
        FailureError: the file cannot be fetched; the text says what to do.
        WeightsError: it is not the file that it should be, or not of its layout.
    """
    folder = folder_for(spec)
    if folder is None or not folder.is_dir():
        file = fetch(spec.url, name=spec.name, sha256=spec.sha256, size=spec.bytes)
        folder = _folder(spec, cache.sha256_of(file))
        with cache.locked(str(folder)):
            if not folder.is_dir():
                _convert(spec, file, folder)
    cache.check_seal(folder, name=spec.name)
    return folder


def folder_for(spec: WeightsSpec) -> Path | None:
    """Return where a URL's weights are once converted, ``None`` while nobody knows the file's hash."""
    record = cache.read_record(cache.file_for(spec.url))
    known = max((spec.sha256, record.sha256 if record else ""), key=len)
    fits = len(known) == 64 and known.startswith(spec.sha256)
    return _folder(spec, known) if fits else None


def declared(spec: WeightsSpec) -> ModelConfig:
    """Return the config of weights as their spec states it, for those who want the network without them.

    Raises:
        OptionError: they are weights of an encoder, which alone is no model.
    """
    from segzoo.architecture import plan
    from segzoo.config import ModelConfig

    check_model(spec)
    architecture = plan(
        _model(spec),
        num_classes=spec.num_classes or len(spec.classes),
        in_channels=spec.in_channels,
        encoder=spec.encoder or None,
        decoder=spec.decoder or None,
        options=spec.options,
    )
    return ModelConfig(
        architecture=architecture,
        labels=_labels(spec),
        preprocessing=spec.preprocessing or default_preprocessing(spec.in_channels),
        licence=spec.licence,
        provenance=provenance(spec),
    )


def check_model(spec: WeightsSpec) -> None:
    """Raise `OptionError` if a spec's weights are those of an encoder, which alone is no model."""
    if not spec.classes:
        raise OptionError(
            f"{spec.name!r} are weights of an encoder: give them to a model that has it, "
            f"segzoo.create('unet/{spec.model}', num_classes=2, weights={spec.name!r})"
        )


def provenance(spec: WeightsSpec) -> dict[str, Any]:
    """Return what a folder says of where its weights come from."""
    said = {"source": spec.source, "data": spec.data, "claimed": spec.claimed, "homepage": spec.homepage}
    return {key: value for key, value in said.items() if value}


def owner_of(spec: WeightsSpec) -> str:
    """Return the distribution that brings these weights; segzoo where no plug-in registers them yet."""
    entries = (entry for _, entry in zoo.registry("weights").items())
    return next((entry.owner for entry in entries if entry.spec == spec), "segzoo")


def _model(spec: WeightsSpec) -> str:
    """Return what a spec's owner means by the model that it names, whoever else claims that name."""
    models, decoders, owner = zoo.registry("models"), zoo.registry("decoders"), owner_of(spec)
    if spec.model in models:
        return models.meant(spec.model, owner)
    decoder, slash, encoder = spec.model.partition("/")
    encoder = zoo.registry("encoders").meant(encoder, owner)
    return f"{decoders.meant(decoder, owner)}{slash}{encoder}"


def _layout(spec: WeightsSpec) -> str:
    return zoo.registry("layouts").meant(spec.layout, owner_of(spec)) if spec.layout else ""


def _folder(spec: WeightsSpec, sha256: str) -> Path:
    decides = {
        "sha256": sha256,
        "segzoo": __version__,
        "layout_version": _version_of_layout(_layout(spec)),
        **{name: value for name, value in asdict(spec).items() if name in _DECIDES},
    }
    key = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return cache.home() / "folders" / f"{spec.name}-{key}"


def _version_of_layout(layout: str) -> str:
    owners = {entry.owner for entry in zoo.registry("layouts").find(layout)}
    versions = {record.distribution: record.version for record in zoo.plugins}
    return ",".join(sorted(f"{owner} {versions.get(owner, '')}" for owner in owners))


def _convert(spec: WeightsSpec, file: Path, folder: Path) -> None:
    from segzoo.weights.conversion import convert

    with cache.writing(folder), whole_folder(folder) as part:
        convert(
            file,
            part,
            layout=_layout(spec) or None,
            labels=_labels(spec) if spec.classes else None,
            preprocessing=spec.preprocessing,
            licence=spec.licence,
            provenance=provenance(spec),
            **spec.layout_options,
        )
        cache.seal(part, name=spec.name, source=spec.url, segzoo=__version__)


def _labels(spec: WeightsSpec) -> Labels:
    return spec.labels or Labels(classes=spec.classes)
