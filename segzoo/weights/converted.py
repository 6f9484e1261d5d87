"""Weights of other programs, converted once and then loaded like any segzoo folder.

They come from the catalogue (and are fetched) or from a local checkpoint. The folder's name holds a key
of everything that determines its contents: the files' hashes, the layout and its options, the catalogue's
entry, and the versions of segzoo, of the plug-ins that own the layouts, and of the libraries they require.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

from segzoo import __version__, json_text, zoo
from segzoo.errors import OptionError, WeightsError
from segzoo.files import regular, whole_folder
from segzoo.printing import command_line
from segzoo.specs import Labels, default_preprocessing
from segzoo.weights import cache
from segzoo.weights.fetch import fetch
from segzoo.weights.parts import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from segzoo.config import ModelConfig
    from segzoo.specs import WeightsSpec

#: How the classes of a program with a sigmoid per class are decided.
Multilabel = Literal["overlapping", "argmax"]

_log = logging.getLogger(__name__)

#: Fields of a spec that are written to the folder, or that decide how the file is converted.
_DECIDES = ("layout", "layout_options", "classes", "labels", "preprocessing", "licence", "data", "claimed")


def converted(spec: WeightsSpec) -> Path:
    """Return the segzoo folder of weights at a URL; fetched and converted on first use.

    Raises:
        FailureError: the file cannot be fetched; the message says what to do.
        WeightsError: the file has another hash than expected, or does not fit its layout.
    """
    folder = folder_for(spec)
    if folder is not None and folder.is_dir():
        cache.check_seal(folder, name=spec.name)
        return folder
    file = fetch(spec.url, name=spec.name, sha256=spec.sha256, size=spec.bytes)
    folder = _folder(spec, cache.sha256_of(file))
    return _made(folder, lambda part: _convert(spec, file, part), name=spec.name, source=spec.url)


def opened(
    path: Path,
    *,
    name: str = "",
    source: str = "",
    spec: WeightsSpec | None = None,
    multilabel: Multilabel | None = None,
) -> Path:
    """Return the segzoo folder of another program's local checkpoint; converted on first use.

    Args:
        path: a file, or a folder of ``config.json`` and tensors.
        name: name that the user typed, for messages; the path if it is empty.
        source: where the checkpoint comes from, to be recorded; for a repository, with the commit.
        spec: the catalogue's entry, if it has one.
        multilabel: see `segzoo.convert`; only for a checkpoint that is in no catalogue.

    Raises:
        WeightsError: the checkpoint is damaged, would run code, fits no known layout, or was written to
            during the conversion.
        OptionError: the file does not state everything that its layout needs; the message says what to do.
    """
    name = name or str(path)
    found = _hashes(path)
    versions = sorted({_version_of(entry.owner) for _, entry in zoo.registry("layouts").items()})
    decided = {"multilabel": multilabel} if multilabel else {}
    key = _key({"files": found, "segzoo": __version__, "layouts": versions, **_said(spec), **decided})
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source.partition("@")[0] or path.name).strip("-.")[-60:]
    folder = cache.home() / "folders" / f"{stem}-{key}"
    new = not folder.is_dir()
    convert = (
        partial(_convert_alone, path, source=source, multilabel=multilabel)
        if spec is None
        else partial(_convert, spec, path, source=source)
    )

    def make(part: Path) -> None:
        convert(part)
        # The folder is named after these hashes, so the content must belong to them.
        if _hashes(path) != found:
            raise WeightsError(f"{name} changed during the conversion: try again when it is complete")

    made = _made(folder, make, name=name, source=source)
    if new:
        origin = _origin_of(made)
        _log.warning("%s: converted by layout %s to %s", name, origin.get("layout"), made)
        for note in origin.get("notes", ()):
            _log.warning("%s: %s", name, note)
    return made


def _hashes(path: Path) -> dict[str, str]:
    """Return the hashes of a checkpoint's files by their names in its folder; nothing for a single file."""
    try:
        return {
            "" if file == path else file.name: cache.sha256_of(file) for file in map(regular, files_of(path))
        }
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error


def _origin_of(folder: Path) -> dict[str, Any]:
    """Return the recorded origin of a converted folder of a model or of an encoder."""
    return json_text.read(folder / "config.json").get("provenance", {})


def _convert_alone(path: Path, part: Path, *, source: str, multilabel: Multilabel | None) -> None:
    from segzoo.weights.conversion import convert
    from segzoo.weights.layouts import UnsaidError

    try:
        convert(path, part, provenance={"source": source} if source else None, multilabel=multilabel)
    except (OptionError, UnsaidError) as error:
        how = command_line("segzoo", "convert", path, "--out", "FOLDER", "--option", "KEY=VALUE")
        raise type(error)(f"{error}\nPass it yourself: `{how}`, and use FOLDER as the model") from error


def _made(folder: Path, make: Callable[[Path], object], *, name: str, source: str) -> Path:
    """Return a sealed folder of the cache; made if it is missing."""
    with cache.locked(str(folder)):
        if not folder.is_dir():
            with cache.writing(folder), whole_folder(folder) as part:
                make(part)
                cache.seal(part, name=name, source=source, segzoo=__version__)
    cache.check_seal(folder, name=name)
    return folder


def folder_for(spec: WeightsSpec) -> Path | None:
    """Return the folder of a URL's converted weights, or ``None`` while the file's hash is unknown."""
    record = cache.read_record(cache.file_for(spec.url))
    known = max((spec.sha256, record.sha256 if record else ""), key=len)
    fits = len(known) == 64 and known.startswith(spec.sha256)
    return _folder(spec, known) if fits else None


def declared(spec: WeightsSpec) -> ModelConfig:
    """Return the config of weights as their spec states it, to build the network without the weights.

    Raises:
        OptionError: the weights belong to an encoder, which alone is not a model.
    """
    from segzoo.architecture import plan
    from segzoo.config import ModelConfig

    check_model(spec)
    architecture = plan(
        _model(spec),
        num_classes=spec.class_logits + (spec.separator is not None),
        in_channels=spec.in_channels,
        encoder=spec.encoder or None,
        decoder=spec.decoder or None,
        options=spec.options,
    )
    return ModelConfig(
        architecture=architecture,
        labels=_labels(spec),
        preprocessing=spec.preprocessing or default_preprocessing(spec.in_channels),
        separator=spec.separator,
        licence=spec.licence,
        provenance=provenance(spec),
    )


def check_model(spec: WeightsSpec) -> None:
    """Raise `OptionError` if a spec's weights belong to an encoder, which alone is not a model."""
    if not spec.classes:
        raise OptionError(
            f"{spec.name!r} are weights of an encoder: use them in a model with that encoder, "
            f"segzoo.create('unet/{spec.model}', num_classes=2, weights={spec.name!r})"
        )


def provenance(spec: WeightsSpec) -> dict[str, Any]:
    """Return what a folder records about the origin of its weights."""
    said = {"source": spec.source, "data": spec.data, "claimed": spec.claimed, "homepage": spec.homepage}
    return {key: value for key, value in said.items() if value}


def owner_of(spec: WeightsSpec) -> str:
    """Return the distribution that provides these weights; segzoo if no plug-in registers them yet."""
    entries = (entry for _, entry in zoo.registry("weights").items())
    return next((entry.owner for entry in entries if entry.spec == spec), "segzoo")


def _model(spec: WeightsSpec) -> str:
    """Return the model that a spec's owner means by its name, even if others claim that name too."""
    models, decoders, owner = zoo.registry("models"), zoo.registry("decoders"), owner_of(spec)
    if spec.model in models:
        return models.meant(spec.model, owner)
    decoder, slash, encoder = spec.model.partition("/")
    encoder = zoo.registry("encoders").meant(encoder, owner)
    return f"{decoders.meant(decoder, owner)}{slash}{encoder}"


def _layout(spec: WeightsSpec) -> str:
    return zoo.registry("layouts").meant(spec.layout, owner_of(spec)) if spec.layout else ""


def _folder(spec: WeightsSpec, sha256: str) -> Path:
    key = _key(
        {
            "sha256": sha256,
            "segzoo": __version__,
            "layout_version": _version_of_layout(_layout(spec)),
            **_said(spec),
        }
    )
    return cache.home() / "folders" / f"{spec.name}-{key}"


def _said(spec: WeightsSpec | None) -> dict[str, Any]:
    """Return the fields of a spec that determine the contents of a folder."""
    return {} if spec is None else {key: value for key, value in asdict(spec).items() if key in _DECIDES}


def _key(decides: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _version_of_layout(layout: str) -> str:
    owners = {entry.owner for entry in zoo.registry("layouts").find(layout)}
    return ",".join(sorted(map(_version_of, owners)))


def _version_of(owner: str) -> str:
    """Return the version of a layouts' owner and, for a plug-in, the versions of its requirements.

    Networks of another library have the tensor names of the installed version.
    """
    versions = {record.distribution: record.version for record in zoo.plugins}
    told = [f"{owner} {versions.get(owner, '')}"]
    try:
        required = metadata.requires(owner) or ()
    except metadata.PackageNotFoundError:  # segzoo itself is distributed under another name
        required = ()
    for name in sorted({re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required}):
        with suppress(metadata.PackageNotFoundError):
            told.append(f"{name} {metadata.version(name)}")
    return " ".join(told)


def _convert(spec: WeightsSpec, file: Path, part: Path, *, source: str = "") -> None:
    from segzoo.weights.conversion import convert

    convert(
        file,
        part,
        layout=_layout(spec) or None,
        labels=_labels(spec) if spec.classes else None,
        preprocessing=spec.preprocessing,
        licence=spec.licence,
        provenance={**provenance(spec), **({"source": source} if source else {})},
        **spec.layout_options,
    )


def _labels(spec: WeightsSpec) -> Labels:
    return spec.labels or Labels(classes=spec.classes)
