"""Certify an exported file, and verify one that was certified elsewhere."""

from __future__ import annotations

import statistics
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

import segzoo
from segzoo import zoo
from segzoo.config import config_of
from segzoo.errors import FailureError, OptionError, SegzooError, UsageError, WeightsError
from segzoo.exporting.apart import ProgramApart, clock
from segzoo.exporting.certificate import (
    RESIZING,
    TOLERANCES,
    Certificate,
    FileFacts,
    Probe,
    Speed,
    Tolerance,
    certificate_path,
    read_certificate,
)
from segzoo.exporting.exportable import versions, weights_sha256
from segzoo.exporting.layers import first_apart
from segzoo.exporting.probing import (
    Given,
    Reference,
    compare_points,
    failed,
    random_input,
    random_inputs,
    real_inputs,
    run_on,
)
from segzoo.machine import machine_in_words, use_cores
from segzoo.options import check_integer
from segzoo.prediction.engines.native import copied
from segzoo.printing import bar
from segzoo.weights.loading import load

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

    from torch import nn

    from segzoo.config import ModelConfig
    from segzoo.prediction.predictor import Model, Picture
    from segzoo.runtimes import ExportInfo

Item = TypeVar("Item")
#: The speed is measured at least this often, and not again after this many seconds.
_LEAST, _SECONDS = 3, 10.0
#: Images of a source tree used as real ones if no images are given.
_IMAGES = ("nuclei.png", "smear.png", "tissue.png")


def certify(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    format: str,  # noqa: A002
    beside: Sequence[Path] = (),
    images: Sequence[Picture] = (),
    model: str = "",
    tolerance: Tolerance | None = None,
    repeats: int = 5,
    trusted: bool = False,
    progress: bool = False,
) -> Certificate:
    """Run an exported file in its inference engine, and compare it with its model.

    The engine runs in a separate process; see `segzoo.exporting.apart`.

    Args:
        network: the model, with its config. It is compared in float32 on the CPU, and not changed.
        path: the exported file.
        format: name of its export format.
        beside: files that it reads, such as OpenVINO's ``.bin``.
        images: real images, in any form that `segzoo.Predictor` accepts. Without any, those of segzoo's
            source tree are used if it is there and the network takes three bands; the certificate mentions
            it.
        model: name of the model for `segzoo.load`.
        tolerance: required tolerance; by default that of its number type in `segzoo.exporting.TOLERANCES`.
        repeats: largest number of speed measurements.
        trusted: whether this process wrote the file; see `segzoo.exporting.layers.first_apart`.
        progress: whether to show a progress bar, on a terminal only.

    Returns:
        The certificate, which also states whether the file meets its tolerance: call its `Certificate.check`.
            Nothing is written.

    Raises:
        WeightsError: the engine cannot open the file, or segzoo did not write it.
        ImageError: an image cannot be read, or its bands do not fit the network.
        MissingExtraError: the engine is not installed.
        FailureError: the engine crashed.

    Example:
        >>> certificate = segzoo.exporting.certify(network, "unet.onnx", format="onnx")
        >>> certificate.largest_relative, certificate.disagreement
        (3.1e-06, 0.0)
    """
    check_integer("repeats", repeats, 1, 10_000)
    path = Path(path)
    network = copied(network, torch.device("cpu")).float()
    with _opened(path, format) as program:
        info = _info_of(program, path)
        reference = Reference(network, with_preprocessing=info.with_preprocessing)
        given, notes = _images(images, program, network)
        probes: list[Probe] = []
        for one in _counted(given, progress=progress):
            found = run_on(program, one)
            probes.append(failed(one, found) if isinstance(found, str) else reference.compare(one, found))
        held = tolerance or _tolerance(info)
        if not held.random and any(probe.seed is None for probe in probes):
            probes = [probe if probe.seed is None else replace(probe, held=False) for probe in probes]
            notes.append(f"{info.precision} is calibrated on images: random ones need not meet the tolerance")
        certificate = Certificate(
            files=tuple(map(FileFacts.of, (path, *beside))),
            tolerance=held,
            probes=tuple(probes),
            speed=_speed(program, reference, given, probes, repeats),
            model=model,
            opset=_opset(path, format),
            **_about(info, format, program, [*notes, *_notes_of(probes)]),
        )
    if not certificate.holds:
        certificate = replace(certificate, layer=_layer(certificate, path, network, given, trusted=trusted))
    return certificate


def verify(
    path: str | os.PathLike[str],
    *,
    model: Model | None = None,
    images: Sequence[Picture] = (),
    on_message: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Certificate:
    """Measure an exported file again on this machine, using its certificate.

    The certificate ``FILE.certificate.json`` is read from next to the file, and the file must be the
    certified one, byte for byte. If the model that it names cannot be loaded here, the file is compared with
    the values of the model's output in the certificate.

    Args:
        path: the exported file.
        model: weights by name, their folder, or a model that segzoo made; by default the one that the
            certificate names.
        images: real images, as for `certify`.
        on_message: called with a message if the file is not compared with the model itself.
        progress: whether to show a progress bar, on a terminal only.

    Returns:
        A new certificate, measured here; `Certificate.check` raises if the file is outside its tolerance.

    Raises:
        UsageError: there is no such file, or no certificate next to it.
        WeightsError: the file was changed, its certificate belongs to another file, or one of them is
            damaged.
        FailureError: the model's weights differ from the exported ones.
        MissingExtraError: the engine is not installed.

    Example:
        >>> segzoo.exporting.verify("unet.onnx").holds
        True
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no file {path}: give one that `segzoo export` wrote")
    stored = read_certificate(certificate_path(path))
    beside = _unchanged(path, stored)
    network = _network(model, stored, on_message)
    if network is not None:
        found = certify(
            network,
            path,
            format=stored.format,
            beside=beside,
            images=images,
            model=stored.model,
            tolerance=stored.tolerance,
            progress=progress,
        )
    elif images:
        raise OptionError("real images need a model to compare with: pass model=")
    else:
        found = _verified_by_points(path, stored, beside, progress=progress)
    elsewhere = f"it was certified on {stored.created}, in {stored.runtime}; {stored.machine}"
    return replace(found, notes=(*found.notes, elsewhere))


def _counted(items: Sequence[Item], *, progress: bool) -> Iterable[Item]:
    return bar(items, what="compare", unit="image", shown=None if progress else False, leave=False)


def _opened(path: Path, format: str) -> ProgramApart:  # noqa: A002
    use_cores()  # as engines do in the child process: both use the same number
    return ProgramApart(path, zoo.registry("exports").get(format).runtime, threads=torch.get_num_threads())


def _info_of(program: ProgramApart, path: Path) -> ExportInfo:
    if program.info is None:
        raise WeightsError(
            f"{path} has no segzoo metadata, so what it should compute is unknown: export it with segzoo"
        )
    return program.info


def _tolerance(info: ExportInfo) -> Tolerance:
    found = TOLERANCES[info.precision]
    if info.with_preprocessing and info.config.preprocessing.resize is not None:
        return replace(found, disagreement=max(found.disagreement, RESIZING))
    return found


def _images(
    images: Sequence[Picture], program: ProgramApart, network: nn.Module
) -> tuple[list[Given], list[str]]:
    """Return the inputs of file and model, and their descriptions for the certificate."""
    notes: list[str] = []
    real = list(real_inputs(images or _own_images(config_of(network)), program, network, skip=not images))
    if not images:
        notes.append(
            "no images were given: the real ones are from segzoo's documentation"
            if real
            else "no images were given: only random ones were compared"
        )
    return [*real, *random_inputs(program, network)], notes


def _own_images(config: ModelConfig) -> list[Path]:
    folder = Path(segzoo.__file__).parents[1] / "docs" / "images"
    files = [folder / name for name in _IMAGES]
    return [file for file in files if file.is_file()] if config.architecture.in_channels == 3 else []


def _about(
    info: ExportInfo,
    format: str,  # noqa: A002
    program: ProgramApart,
    notes: Iterable[str],
) -> dict[str, Any]:
    return {
        "format": format,
        "precision": info.precision,
        "with_preprocessing": info.with_preprocessing,
        "size": info.size,
        "weights": info.weights,
        "runtime": program.description,
        "versions": versions(),
        "machine": machine_in_words(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": tuple(notes),
    }


def _notes_of(probes: Iterable[Probe]) -> list[str]:
    return list(dict.fromkeys(probe.note for probe in probes if probe.note))


def _opset(path: Path, format: str) -> int | None:  # noqa: A002
    if format != "onnx":
        return None
    import onnx

    model = onnx.load(path, load_external_data=False)
    return next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), None)


def _speed(
    program: ProgramApart,
    reference: Reference,
    given: Sequence[Given],
    probes: Sequence[Probe],
    repeats: int,
) -> Speed | None:
    """Measure both alternately on the first images that worked, so that other work slows both equally."""
    whole = [one for one, probe in zip(given, probes, strict=True) if not probe.trouble]
    if not whole:
        return None
    images, now = whole[0].images, clock()
    runtime, eager = list[float](), list[float]()
    for number in range(repeats + 1):
        if len(runtime) >= _LEAST and sum(runtime) + sum(eager) > _SECONDS:
            break
        taken = program.timed(images)[1]
        begun = now()
        reference(images)
        if number:  # the first run of each is a warm-up
            runtime.append(taken)
            eager.append(now() - begun)
    return Speed(
        shape=tuple(images.shape),
        threads=torch.get_num_threads(),
        repeats=len(runtime),
        runtime_ms=statistics.median(runtime) * 1e3,
        eager_ms=statistics.median(eager) * 1e3,
    )


def _layer(
    certificate: Certificate, path: Path, network: nn.Module, given: Sequence[Given], *, trusted: bool
) -> str:
    """Return the layer at which the smallest of the differing images first differs."""
    apart = [
        one
        for one, probe in zip(given, certificate.probes, strict=True)
        if probe.held
        and not probe.trouble
        and (probe.relative > certificate.tolerance.relative or probe.clear)
    ]
    if not apart:
        return ""
    images = min((one.images for one in apart), key=lambda array: array.size)
    return first_apart(
        path,
        network,
        images,
        format=certificate.format,
        tolerance=certificate.tolerance.relative,
        trusted=trusted,
    )


def _unchanged(path: Path, stored: Certificate) -> list[Path]:
    """Return the files that a file reads; raise `WeightsError` unless all are the certified ones."""
    paths = [path, *(path.with_name(one.name) for one in stored.files[1:])]
    for file, facts in zip(paths, stored.files, strict=True):
        try:
            now = FileFacts.of(file)
        except OSError as error:
            raise WeightsError(f"{file} cannot be read: {error.strerror or error}") from error
        if now.sha256 != facts.sha256:
            raise WeightsError(
                f"{file}: sha256 is {now.sha256}, its certificate says {facts.sha256} for {facts.name}: the "
                "file was changed after certification, or the certificate belongs to another file. Copy both "
                "again, or export again"
            )
    return paths[1:]


def _network(model: Model | None, stored: Certificate, on_message: Callable[[str], None]) -> nn.Module | None:
    """Return the model to compare with; nothing if it is not available."""
    if isinstance(model, torch.nn.Module):
        network, name = model, type(model).__name__
    elif model is not None:
        network, name = load(model), str(model)
    elif not stored.model:
        on_message("the certificate names no model: the file is compared with the values in the certificate")
        return None
    else:
        name = stored.model
        try:
            network = load(name)
        except SegzooError as error:
            reason = str(error).splitlines()[0]
            on_message(f"the model cannot be loaded here ({reason}): the values in the certificate are used")
            return None
    found = weights_sha256(network)
    if stored.weights and found != stored.weights:
        raise FailureError(
            f"{name} has other weights than the exported ones: sha256 {found} instead of "
            f"{stored.weights}. Name the model that was exported"
        )
    return network


def _verified_by_points(
    path: Path, stored: Certificate, beside: Sequence[Path], *, progress: bool
) -> Certificate:
    kept = [probe for probe in stored.probes if probe.held and probe.points and probe.seed is not None]
    if not kept:
        raise FailureError(f"the certificate of {path} contains no values to compare with: name the model")
    probes = []
    with _opened(path, stored.format) as program:
        info = _info_of(program, path)
        for probe in _counted(kept, progress=progress):
            assert probe.seed is not None
            images = random_input(probe.shape, probe.seed, program.inputs[0], info.config)
            given = Given(images, probe.source, seed=probe.seed)
            found = run_on(program, given)
            compared = failed(given, found) if isinstance(found, str) else compare_points(given, found, probe)
            probes.append(compared)
        points = sum(len(probe.points) for probe in kept)
        note = f"the model was not available: {points} of its values in the certificate were compared"
        return Certificate(
            files=tuple(map(FileFacts.of, (path, *beside))),
            tolerance=stored.tolerance,
            probes=tuple(probes),
            model=stored.model,
            opset=stored.opset,
            **_about(info, stored.format, program, [note]),
        )
