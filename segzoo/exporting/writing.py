"""From a model to a file for another runtime."""

from __future__ import annotations

import copy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo import __version__, zoo
from segzoo.config import config_of
from segzoo.errors import OptionError, did_you_mean
from segzoo.exporting.certificate import certificate_path, write_certificate
from segzoo.exporting.certifying import certify
from segzoo.exporting.exportable import Exportable, weights_sha256
from segzoo.files import give_name, part_folder, refuse_address, refuse_taken, writing
from segzoo.options import check_choice
from segzoo.plugins import resolve
from segzoo.runtimes import ExportInfo
from segzoo.weights.loading import load

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from segzoo.prediction.predictor import Model, Picture
    from segzoo.specs import ExportSpec
    from segzoo.specs.exports import ExportPrecision

_TAKEN = "choose another name, or replace it with --overwrite"

#: Height and width of the image that a network is traced with; a square one would make it one for squares.
_TRACED = 96, 128


def export(
    model: Model,
    out: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    opset: int | None = None,
    static: tuple[int, int] | None = None,
    precision: ExportPrecision = "float32",
    overwrite: bool = False,
    certificate: bool = True,
    images: Sequence[Picture] = (),
) -> Path:
    """Write a model as a file that another runtime runs, and certify that it computes what the model does.

    The file is run in its runtime and compared with the model; see `segzoo.exporting.certify`. Its
    certificate lies beside it as ``FILE.certificate.json``. Where the file is not within the tolerance, none
    is left.

    Args:
        model: weights by name, their folder, or a model that segzoo made.
        out: the file to write.
        format: a registered export format, such as ``onnx``; guessed from the suffix of ``out``.
        opset: operator set of ONNX; the exporter's own choice unless told.
        static: height and width of all images; free, as is the batch, unless told.
        precision: number type that it computes in.
        overwrite: whether files that are there may be replaced.
        certificate: whether the file is certified, which takes some seconds.
        images: real images that it is certified on, as `segzoo.Predictor` takes them.

    Returns:
        The file that was written.

    Raises:
        OptionError: there is no such format, or it has no such option.
        FailureError: a file is in the way, an operation cannot be exported, or the file does not compute what
            the model does; the text names the layer where it can be told.
        MissingExtraError: what the format needs is not installed.
    """
    out = Path(out)
    refuse_address(out)
    spec = format_of(out, format)
    check_choice("precision", precision, spec.precisions)
    refuse_taken([out], overwrite=overwrite, advice=_TAKEN)
    network = copy.deepcopy(model if isinstance(model, nn.Module) else load(model)).cpu().eval()
    name = type(model).__name__ if isinstance(model, nn.Module) else Path(model).name
    source = "" if isinstance(model, nn.Module) else name
    config = config_of(network)
    height, width = static or _TRACED
    info = ExportInfo(
        config=config,
        name=name,
        size=static,
        precision=precision,
        format=spec.name,
        versions=_versions("torch", "onnx", "onnxscript", "openvino"),
        weights=weights_sha256(network),
    )
    exportable = Exportable(
        module=network.requires_grad_(False),
        example=torch.rand(1 if static else 2, config.architecture.in_channels, height, width),
        free={} if static else {0: "batch", 2: "height", 3: "width"},
        info=info,
        opset=opset,
    )
    write: Any = resolve(spec.factory)
    with writing(out), part_folder(out.parent) as folder:
        write(exportable, folder / out.name, **spec.options)
        if certificate:
            file, beside = folder / out.name, [one for one in folder.iterdir() if one.name != out.name]
            found = certify(
                network, file, format=spec.name, beside=beside, images=images, model=source, trusted=True
            )
            found.check(str(out))
            write_certificate(found, certificate_path(file))
        _move(folder, out, overwrite=overwrite)
    return out


def _move(folder: Path, out: Path, *, overwrite: bool) -> None:
    """Give what was written its names; the file itself comes last, never to stand without the rest."""
    files = sorted(folder.iterdir(), key=lambda one: one.name == out.name)
    refuse_taken([out.parent / one.name for one in files], overwrite=overwrite, advice=_TAKEN)
    for one in files:
        give_name(one, out.parent / one.name)


def format_of(out: Path, name: str | None) -> ExportSpec:
    """Return the export format of a file.

    Raises:
        OptionError: no format has that name or suffix, or the two do not belong together.
    """
    specs = [entry.spec for _, entry in zoo.registry("exports").items()]
    told = ", ".join(f"{one.name} ({one.suffix})" for one in specs)
    if name is None:
        found = next((one for one in specs if out.name.lower().endswith(one.suffix)), None)
        if found is None:
            raise OptionError(f"{out} has the suffix of no export format: name one, of {told}")
        return found
    if name not in zoo.registry("exports"):
        close = did_you_mean(name, [one.name for one in specs])
        raise OptionError(f"no export format is named {name!r}{close}; there are {told}")
    spec = zoo.registry("exports").get(name)
    if not out.name.lower().endswith(spec.suffix):
        raise OptionError(f"files of the format {spec.name} end in {spec.suffix}, got {out}")
    return spec


def _versions(*distributions: str) -> dict[str, str]:
    found = {"segmentation-zoo": __version__}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
