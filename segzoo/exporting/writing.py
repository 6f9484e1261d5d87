"""From a model to a file for another inference engine."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo import zoo
from segzoo.config import config_of
from segzoo.errors import OptionError, UnknownNameError
from segzoo.exporting.certificate import certificate_path, write_certificate
from segzoo.exporting.certifying import certify
from segzoo.exporting.exportable import Exportable, versions, weights_sha256
from segzoo.exporting.onnx import check_opset
from segzoo.exporting.preprocessing import LONGEST, WholeImage, bands_inside, natural_pixels
from segzoo.exporting.probing import fitted
from segzoo.files import give_name, part_folder, refuse_address, refuse_taken, writing
from segzoo.options import check_choice, check_flags, check_integer, shown
from segzoo.plugins import resolve
from segzoo.prediction.predictor import evenly, read_picture
from segzoo.prediction.preparing import network_input
from segzoo.printing import bar
from segzoo.runtimes import ExportInfo
from segzoo.runtimes.network import ExportedNetwork
from segzoo.runtimes.program import spec_of
from segzoo.specs.prediction import EXPORT_PRECISIONS, PIXELS
from segzoo.weights.loading import load
from segzoo.weights.sources import passed_on

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from torch import Tensor

    from segzoo.prediction.predictor import Model, Picture
    from segzoo.specs import ExportSpec
    from segzoo.specs.prediction import ExportPrecision, Pixels

_TAKEN = "choose another name, or replace it with --overwrite"

#: Height and width for tracing; with a square image, the network would be traced for squares.
_TRACED = 96, 128
#: Largest number of images for the calibration of int8, and the longest side of the crop used from each.
_CALIBRATING, _LONGEST = 64, 768


def export(
    model: Model,
    out: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    opset: int | None = None,
    with_preprocessing: bool = False,
    pixels: Pixels | None = None,
    static: tuple[int, int] | None = None,
    precision: ExportPrecision = "float32",
    calibration: Sequence[Picture] = (),
    overwrite: bool = False,
    certificate: bool = True,
    images: Sequence[Picture] = (),
    progress: bool = False,
) -> Path:
    """Write a model as a file for another inference engine, and certify that it computes the same.

    The file is run in its engine and compared with the model; see `segzoo.exporting.certify`. Its certificate
    is saved next to it as ``FILE.certificate.json``. If the file is outside its tolerance, it is removed.

    Args:
        model: weights by name, their folder, or a model that segzoo made.
        out: file to write.
        format: registered export format, such as ``onnx``; by default from the suffix of ``out``.
        opset: ONNX operator set; by default the exporter's choice.
        with_preprocessing: whether the file maps an unprocessed image ``(H, W, C)`` to its class map
            ``(H, W)`` (``(K, H, W)`` if classes overlap); otherwise it maps preprocessed images
            ``(N, C, H, W)`` float32 to logits ``(N, num_classes, H, W)`` float32.
        pixels: type of that image, ``uint8`` or ``uint16``; by default the one that the weights' intensity is
            made for.
        static: fixed height and width of all images; by default they are free, and so is the batch size.
        precision: number type of the computation. ``float16`` stores weights and maps in 16 bits (OpenVINO:
            the weights; the device chooses the rest); ``int8`` runs convolutions in int8. Types of input and
            output do not change.
        calibration: typical images, on which ``int8`` is calibrated, in any form that `segzoo.Predictor`
            accepts; at most 64 are used.
        overwrite: whether existing files may be replaced.
        certificate: whether the file is certified, which takes some seconds.
        images: real images for the certificate, in any form that `segzoo.Predictor` accepts; by default those
            of ``calibration``.
        progress: whether to show a progress bar, on a terminal only.

    Returns:
        The written file.

    Raises:
        OptionError: a format or option does not exist, or the network does not accept the size.
        UsageError: the preprocessing of the weights cannot be part of a file.
        FailureError: a file exists already, an operation cannot be exported, or the file does not compute the
            same as the model; the message names the layer if it is known.
        MissingExtraError: a library for the format is not installed.

    Example:
        >>> segzoo.export("unet-nuclei", "nuclei.onnx", with_preprocessing=True)
        PosixPath('nuclei.onnx')
    """
    out = Path(out)
    refuse_address(out)
    spec = format_of(out, format)
    check_flags(with_preprocessing=with_preprocessing, overwrite=overwrite, certificate=certificate)
    _check_options(spec, opset=opset, pixels=pixels, static=static, inside=with_preprocessing)
    _check_precision(spec, precision, calibration)
    refuse_taken([out, certificate_path(out)][: 1 + certificate], overwrite=overwrite, advice=_TAKEN)
    network = model if isinstance(model, nn.Module) else load(model)
    if isinstance(network, ExportedNetwork):
        raise OptionError(f"{network.path} is an exported file: export the model that it was made from")
    network = copy.deepcopy(network).cpu().float().eval()
    name = type(model).__name__ if isinstance(model, nn.Module) else Path(model).name
    source = "" if isinstance(model, nn.Module) else passed_on(str(model))
    info = ExportInfo(
        config=config_of(network),
        name=name,
        with_preprocessing=with_preprocessing,
        size=static,
        precision=precision,
        format=spec.name,
        versions=versions(),
        weights=weights_sha256(network),
    )
    exportable = replace(
        _exportable(network.requires_grad_(False), info, pixels),
        calibration=_calibrating(calibration, info),
        opset=opset,
    )
    write: Any = resolve(spec.factory)
    with writing(out), part_folder(out.parent) as folder:
        # The engines of the formats do not say how far they are.
        with bar(
            what=f"write {out.name}", unit="file", shown=None if progress else False, total=1, leave=False
        ) as done:
            write(exportable, folder / out.name, **spec.options)
            done.update()
        if certificate:
            file, beside = folder / out.name, [one for one in folder.iterdir() if one.name != out.name]
            found = certify(
                network,
                file,
                format=spec.name,
                beside=beside,
                images=images or calibration,
                model=source,
                trusted=True,
                progress=progress,
            )
            found.check(str(out))
            write_certificate(found, certificate_path(file))
        _move(folder, out, overwrite=overwrite)
    return out


def _check_options(
    spec: ExportSpec, *, opset: int | None, pixels: str | None, static: tuple[int, int] | None, inside: bool
) -> None:
    if opset is not None and spec.name != "onnx":
        raise OptionError(f"opset is an option of ONNX, but the format is {spec.name}: leave it out")
    check_opset(opset)
    if pixels is not None:
        check_choice("pixels", pixels, PIXELS)
        if not inside:
            raise OptionError("pixels is for files with preprocessing: pass with_preprocessing=True too")
    if static is not None:
        if not isinstance(static, tuple | list) or len(static) != 2:
            raise OptionError(f"static must be a height and a width, such as (512, 768), got {shown(static)}")
        for side, value in zip(("height", "width"), static, strict=True):
            check_integer(f"static {side}", value, 1, LONGEST)


def _check_precision(spec: ExportSpec, precision: str, calibration: Sequence[Picture]) -> None:
    check_choice("precision", precision, EXPORT_PRECISIONS)
    if precision not in spec.precisions:
        raise OptionError(
            f"{spec.name} files support {' or '.join(spec.precisions)}, not {precision}: choose "
            "one of these, or another format"
        )
    if precision == "int8" and not calibration:
        raise OptionError("int8 is calibrated on typical images: pass calibration=[...] (--calibrate IMAGES)")
    if precision != "int8" and calibration:
        raise OptionError(f"calibration is for int8, but the precision is {precision}: leave it out")


def _exportable(network: nn.Module, info: ExportInfo, pixels: Pixels | None) -> Exportable:
    """Return a network in the form for writers; it has been run on the size that it is made for."""
    height, width = info.size or _TRACED
    generator = torch.Generator().manual_seed(0)
    channels = info.config.architecture.in_channels
    if not info.with_preprocessing:
        count = 1 if info.size else 2
        found = Exportable(
            module=network,
            example=torch.rand(count, channels, height, width, generator=generator),
            free={} if info.size else {0: "batch", 2: "height", 3: "width"},
            info=info,
        )
    else:
        kind = pixels or natural_pixels(info.config.preprocessing.intensity)
        bands = max((one + 1 for one in bands_inside(info.config)), default=channels)
        image = torch.randint(0, 256, (height, width, bands), generator=generator)
        dtype = torch.uint8 if kind == "uint8" else torch.uint16
        found = Exportable(
            module=WholeImage(network, info.config, dtype).eval(),
            example=image.to(dtype),
            free={} if info.size else {0: "height", 1: "width"},
            input_name="image",
            output_name="mask",
            info=info,
        )
    try:
        with torch.no_grad():
            found.module(found.example)
    except (RuntimeError, ValueError, AssertionError) as error:
        told = str(error).strip().splitlines()
        advice = "" if info.size else "; choose a size that it accepts (static=(HEIGHT, WIDTH), --static HxW)"
        raise OptionError(
            f"the network does not run on images of {height}x{width}: {told[0] if told else error!r}{advice}"
        ) from error
    return found


def _calibrating(pictures: Sequence[Picture], info: ExportInfo) -> list[Tensor]:
    """Return preprocessed images for the calibration of int8: centre crops of large ones."""
    found = []
    for picture in evenly(pictures, _CALIBRATING):
        image, about = read_picture(picture)
        tensor, _ = network_input(image, info.config, info=about)
        found.append(fitted(tensor, info.size, _LONGEST).contiguous())
    return found


def _move(folder: Path, out: Path, *, overwrite: bool) -> None:
    """Move the written files to their final names; the main file last, so that it is never incomplete."""
    files = sorted(folder.iterdir(), key=lambda one: one.name == out.name)
    refuse_taken([out.parent / one.name for one in files], overwrite=overwrite, advice=_TAKEN)
    for one in files:
        give_name(one, out.parent / one.name)


def format_of(out: Path, name: str | None) -> ExportSpec:
    """Return the export format of a file.

    Raises:
        OptionError: no format has that name or suffix, or they do not fit each other.
    """
    formats = zoo.registry("exports")
    if name is None:
        found = spec_of(out)
        if found is None:
            told = ", ".join(f"{entry.spec.name} ({entry.spec.suffix})" for _, entry in formats.items())
            raise OptionError(f"{out} has no suffix of an export format: choose one of {told}")
        return found
    try:
        spec = formats.get(name)
    except UnknownNameError as error:
        raise OptionError(f"format: {error}") from error
    if not out.name.lower().endswith(spec.suffix):
        raise OptionError(f"files of the format {spec.name} end in {spec.suffix}, got {out}")
    return spec
