"""From the name or path of weights to a folder on this machine; fetched if necessary.

Another program's weights are converted into the cache on the way, and the conversion is logged.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.errors import OptionError, PluginError, UnknownNameError, UsageError, WeightsError, no_address
from segzoo.runtimes.program import spec_of
from segzoo.weights import converted, hub
from segzoo.weights.parts import CONFIG, is_foreign, refuse_stranger

if TYPE_CHECKING:
    from segzoo.specs import WeightsSpec

LOCAL = "local-dir:"
#: Endings of checkpoint names; a file without such an ending may have the name of a model by chance.
ENDINGS = (".pth", ".pt", ".tar", ".ckpt", ".safetensors", ".bin", ".pkl", ".model", ".weights")


def locate(source: str | os.PathLike[str], *, only_config: bool = False) -> Path:
    """Return the segzoo folder that ``source`` means.

    Args:
        source: ``local-dir:path``, ``hf-hub:org/name@revision``, a path, or registered weights. A path is a
            segzoo folder, or another program's file or folder, which is converted.
        only_config: whether only the config of a segzoo repository is needed.

    Raises:
        UsageError: the source is neither text nor a path, or is empty.
        UnknownNameError: the source is neither a name nor a path.
        WeightsError: the folder does not exist, a fetched file is not the expected one, or another program's
            file cannot be converted.
        OptionError: another program's file does not state everything that its layout needs.
        FailureError: the weights cannot be fetched; the message says what to do.
    """
    if not isinstance(source, str | os.PathLike) or not isinstance(text := os.fspath(source), str):
        raise UsageError(f"weights must be a name or a folder, got {type(source).__name__}")
    if not text.strip():
        raise UsageError("the name of the weights is empty; `segzoo list weights` shows the names")
    if text.startswith(LOCAL):
        return _existing(Path(text.removeprefix(LOCAL)).expanduser())
    if text.startswith(hub.PREFIX):
        return _of_hub(text, only_config=only_config)
    if not isinstance(source, str):
        return _existing(Path(source))
    registered = zoo.registry("weights")
    if text in registered:
        return folder_of(registered.get(text))
    if os.path.exists(text):  # noqa: PTH110 (Path raises where a name is too long)
        return _existing(Path(text))
    if spec_of(Path(text)):  # no name has such an ending
        raise WeightsError(f"there is no file {text}")
    raise UnknownNameError(
        registered.unknown(text, also=f", and no folder or file has that name{_instead(text)}")
        + zoo.of_hub(text)
    )


def _of_hub(text: str, *, only_config: bool) -> Path:
    """Return the folder of a repository, converted if it is not segzoo's."""
    place = hub.parse(text)
    folder = hub.folder(text, only_config=only_config)
    if not is_foreign(folder):
        return folder
    return converted.opened(folder, name=text, source=str(hub.Place(place.repo, folder.name)))


def _instead(text: str) -> str:
    return no_address(text, "use hf-hub:ORG/NAME, or download the checkpoint and run `segzoo convert`")


def folder_of(spec: WeightsSpec) -> Path:
    """Return the folder of registered weights: bundled, fetched and converted, or from the Hub."""
    if spec.folder:
        return in_package(spec)
    if spec.hub:
        pinned = hub.pinned(spec.hub)
        folder = hub.folder(pinned, sha256=spec.sha256, name=spec.name)
        if not is_foreign(folder):
            return folder
        place = hub.Place(hub.parse(pinned).repo, folder.name)
        return converted.opened(folder, name=spec.name, source=str(place), spec=spec)
    return converted.converted(spec)


def exported(source: str | os.PathLike[str]) -> Path | None:
    """Return the file that ``source`` means if its name has the ending of an export format."""
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    if not isinstance(text, str) or text.startswith(hub.PREFIX):
        return None
    path = Path(text.removeprefix(LOCAL)).expanduser() if text.startswith(LOCAL) else Path(text)
    if not path.suffix or not os.path.isfile(path):  # noqa: PTH113 (Path raises where a name is too long)
        return None
    return None if spec_of(path) is None else path


def is_location(name: str) -> bool:
    """Return whether ``name`` is a location of weights, by a scheme or as a file, not a registered name."""
    return name.startswith((LOCAL, hub.PREFIX)) or is_file(name)


def passed_on(source: str) -> str:
    """Return a source of weights in publishable form: for a path on this machine, only its last part."""
    path = Path(source.removeprefix(LOCAL))
    return path.resolve().name if source and path.exists() else source


def is_file(name: str) -> bool:
    """Return whether ``name`` is a local file of weights: it has one of their endings, or is a path."""
    if not os.path.isfile(name):  # noqa: PTH113 (see above)
        return False
    ends = name.lower().endswith(ENDINGS) or spec_of(Path(name)) is not None
    return ends or "/" in name or os.sep in name


def located(model: str | os.PathLike[str]) -> str:
    """Return a model's name, or, for a path to weights, that path with its scheme.

    Text is a path if a file or folder of weights exists there and it is not just the name of a model, or
    if it begins with ``/``, ``./``, ``../`` or ``~/``, as no name does.

    Raises:
        OptionError: the model is neither text nor a path.
    """
    if not isinstance(model, str | os.PathLike) or not isinstance(text := os.fspath(model), str):
        raise OptionError(
            f"the name of a model is text, such as 'unet', or a path, got {type(model).__name__}"
        )
    begins = Path(text).is_absolute() or re.match(r"(~|\.\.?)[/\\]", text)
    if begins or not isinstance(model, str) or is_file(text):
        return f"{LOCAL}{text}"
    there = bool(text) and os.path.isfile(os.path.join(text, CONFIG))  # noqa: PTH113, PTH118 (see above)
    return f"{LOCAL}{text}" if there and ("/" in text or os.sep in text or not _is_name(text)) else text


def _is_name(text: str) -> bool:
    try:
        zoo.find_model(text)
    except UnknownNameError:
        return False
    return True


def in_package(spec: WeightsSpec) -> Path:
    """Return the folder of weights that are bundled in a package.

    Raises:
        PluginError: the package does not contain it.
    """
    package, _, path = spec.folder.partition(":")
    file = import_module(package).__file__
    folder = Path(file or "").parent / path
    if file is None or not folder.is_dir():
        raise PluginError(f"weights {spec.name!r}: package {package!r} contains no folder {path!r}")
    return folder


def _existing(path: Path) -> Path:
    """Return the segzoo folder at a path, or the one converted from another program's files."""
    if not os.path.exists(path):  # noqa: PTH110 (see above)
        raise WeightsError(f"there is no folder or file {path}")
    if exported(path):
        raise WeightsError(
            f"{path} is exported, and exported models cannot be trained, published or changed: use the "
            "folder or checkpoint that it was made from. `segzoo predict`, evaluate and benchmark run it"
        )
    if not path.is_dir() or is_foreign(path):
        return converted.opened(path)
    if not (path / CONFIG).exists():
        refuse_stranger(path, str(path))
    return path
