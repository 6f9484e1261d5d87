"""Certificate of an exported file: the measurements in its inference engine, as data, JSON and a table.

It is saved next to the file as ``FILE.certificate.json``. A file outside its tolerance is removed and gets
no certificate.
"""

from __future__ import annotations

import math

# The types of fields are used to read a certificate from JSON.
from collections.abc import Mapping  # noqa: TC003
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.config import read_object
from segzoo.errors import FailureError, OptionError, UsageError, WeightsError
from segzoo.files import read_sha256, write_whole
from segzoo.options import check_number
from segzoo.printing import as_json
from segzoo.resources import told_bytes
from segzoo.specs.prediction import ExportPrecision  # noqa: TC001

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

#: Ending that turns the name of a file into that of its certificate.
SUFFIX = ".certificate.json"
#: Version of the certificate's own format.
FORMAT = 1
#: Two classes are tied at a pixel if their logits differ by less than this share of the largest logit.
TIE = 1e-3
#: Two classes are tied at a pixel if their probabilities differ by less than this; a file with preprocessing
#: outputs no logits to compare.
TIE_PROBABILITY = 0.01
#: Columns of `Certificate.rows`.
HEADER = ("image", "input", "largest difference", "of the largest logit", "other class", "not near a tie")


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Largest allowed differences between a file and its model.

    Attributes:
        relative: largest difference of a logit, as a share of the largest logit of the same images; not used
            for a file with preprocessing, which outputs no logits.
        disagreement: share of all pixels that may have another class although no two classes are nearly tied
            there.
        random: whether random images must meet it even if there are real images. An int8 network is
            calibrated on images of its task, which noise does not resemble.
    """

    relative: float
    disagreement: float
    random: bool = True

    def __post_init__(self) -> None:
        for name in ("relative", "disagreement"):
            check_number(name, getattr(self, name))
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"the tolerance's {name} must be from 0 to 1, got {getattr(self, name)}")


#: Tolerance for each number type.
TOLERANCES: Mapping[ExportPrecision, Tolerance] = {
    "float32": Tolerance(relative=1e-4, disagreement=0.0),
    "float16": Tolerance(relative=2e-2, disagreement=0.005),
    "int8": Tolerance(relative=0.25, disagreement=0.02, random=False),
}
#: Share of pixels that may have another class if a file resizes images itself: an 8-bit value halfway
#: between two integers may be rounded either way.
RESIZING = 0.001


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An image, or a batch of images, that both the file and the model processed.

    Attributes:
        source: name of the image's file; ``random`` for a generated one.
        shape: shape of the file's input.
        seed: seed of `segzoo.exporting.probing.random_image`; ``None`` for a real image.
        held: whether it must meet the tolerance.
        largest: largest absolute logit of the model; 0 for a file with preprocessing.
        difference: largest absolute difference of a logit.
        pixels: number of pixels in the class map; if classes overlap, in the maps of all classes.
        differing: number of pixels with another class.
        clear: number of those where no two classes are nearly tied; see `TIE` and `TIE_PROBABILITY`.
        points: for random images, values at places spread evenly over the model's output; they allow
            verifying the file without the model.
        trouble: what went wrong; nothing was compared in that case.
        note: remark for the reader.
    """

    source: str
    shape: tuple[int, ...]
    seed: int | None = None
    held: bool = True
    largest: float = 0.0
    difference: float = 0.0
    pixels: int = 0
    differing: int = 0
    clear: int = 0
    points: tuple[float, ...] = ()
    trouble: str = ""
    note: str = ""

    @property
    def named(self) -> str:
        """Description of the images in a text."""
        return f"{told(self.shape)} ({self.source})"

    @property
    def relative(self) -> float:
        """Largest difference of a logit, as a share of the largest logit."""
        return self.difference / self.largest if self.largest else 0.0


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Latency of the file and of the model, measured alternately, on the same images and threads.

    With one thread it is processor time, otherwise wall-clock time.

    Attributes:
        shape: shape of the input.
        threads: number of CPU threads, for both.
        repeats: number of measurements of each.
        runtime_ms: median of the file in its engine.
        eager_ms: median of the model in PyTorch, in float32; with preprocessing, the median of
            `segzoo.Predictor`.
    """

    shape: tuple[int, ...]
    threads: int
    repeats: int
    runtime_ms: float
    eager_ms: float

    @property
    def ratio(self) -> float:
        """Speed of the file relative to PyTorch."""
        return self.eager_ms / self.runtime_ms if self.runtime_ms else math.inf


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Facts about a certified file.

    Attributes:
        name: name without its folder.
        bytes: size of the file.
        sha256: hash of its contents.
    """

    name: str
    bytes: int
    sha256: str

    @staticmethod
    def of(path: Path) -> FileFacts:
        """Return the facts of the file at a path."""
        return FileFacts(name=path.name, bytes=path.stat().st_size, sha256=read_sha256(path))


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The measurements of an exported file, and whether it meets its tolerance.

    Attributes:
        files: the file itself, then the files that it reads, such as OpenVINO's ``.bin``.
        format: name of the export format.
        precision: number type of the file's computation.
        with_preprocessing: whether the file maps images to class maps; it is then compared with
            `segzoo.Predictor`, otherwise with the network.
        size: height and width that it is made for; ``None`` if it accepts any.
        opset: ONNX operator set; ``None`` for other formats.
        model: the model's name for `segzoo.load`; empty if unknown.
        weights: sha256 of the exported tensors, from the file's metadata.
        tolerance: required tolerance.
        probes: the compared images.
        speed: speed relative to PyTorch; ``None`` if there was no PyTorch model to measure.
        runtime: library, version, device and number type that ran it.
        versions: versions of libraries, by distribution.
        machine: machine that ran it.
        created: time in UTC, in ISO 8601.
        notes: remarks for the reader.
        layer: first layer whose output differs, for a file outside its tolerance; empty otherwise, or if
            unknown.
    """

    files: tuple[FileFacts, ...]
    format: str
    precision: ExportPrecision
    with_preprocessing: bool
    size: tuple[int, int] | None = None
    opset: int | None = None
    model: str = ""
    weights: str = ""
    tolerance: Tolerance
    probes: tuple[Probe, ...]
    speed: Speed | None = None
    runtime: str
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    created: str = ""
    notes: tuple[str, ...] = ()
    layer: str = ""

    @property
    def held(self) -> tuple[Probe, ...]:
        """The images that must meet the tolerance."""
        return tuple(probe for probe in self.probes if probe.held)

    @property
    def largest_difference(self) -> float:
        """Largest absolute difference of a logit over the images that must meet the tolerance."""
        return max((probe.difference for probe in self.held), default=0.0)

    @property
    def largest_relative(self) -> float:
        """Largest difference as a share of the largest logit of the same images."""
        return max((probe.relative for probe in self.held), default=0.0)

    @property
    def disagreement(self) -> float:
        """Share of pixels with another class where no two classes are nearly tied."""
        pixels = sum(probe.pixels for probe in self.held)
        return sum(probe.clear for probe in self.held) / pixels if pixels else 0.0

    @property
    def failures(self) -> tuple[str, ...]:
        """Reasons why the file is outside its tolerance; empty if it is within."""
        wrong = [f"{probe.named}: {probe.trouble}" for probe in self.probes if probe.trouble]
        for probe in self.held:
            if probe.relative > self.tolerance.relative:
                wrong.append(
                    f"{probe.named}: logits differ by {probe.relative:.1e} of the "
                    f"largest, but {self.tolerance.relative:.0e} is allowed for {self.precision}"
                )
        if self.disagreement > self.tolerance.disagreement:
            wrong.append(
                f"{self.disagreement:.3%} of the pixels have another class where no two are nearly tied, but "
                f"{self.tolerance.disagreement:.3%} is allowed for {self.precision}"
            )
        if not self.held:
            wrong.append("no image was compared")
        return tuple(wrong)

    @property
    def holds(self) -> bool:
        """Whether the file computes the same as the model, within the tolerance."""
        return not self.failures

    def check(self, what: str) -> None:
        """Raise `FailureError` unless the file meets its tolerance.

        Args:
            what: name of the file; the text begins with it.
        """
        if not self.holds:
            more = f"; they first differ at layer {self.layer}" if self.layer else ""
            raise FailureError(f"{what} does not compute the same as the model: {self.failures[0]}{more}")

    def to_json(self) -> dict[str, Any]:
        """Return the data to write: the measured figures, and values derived from them."""
        return {
            "segzoo_certificate": FORMAT,
            "holds": self.holds,
            "largest_difference": self.largest_difference,
            "largest_relative": self.largest_relative,
            "disagreement": self.disagreement,
            **asdict(self),
        }

    def rows(self) -> list[list[str]]:
        """Return a row of text for each image, with the columns of `HEADER`."""
        return [_row(probe, logits=not self.with_preprocessing) for probe in self.probes]

    def remarks(self) -> list[str]:
        """Return the facts that the table does not contain, one per line."""
        sizes = ", ".join(f"{one.name} {told_bytes(one.bytes)}" for one in self.files)
        lines = [
            f"{self.format}, {self.precision}{f', opset {self.opset}' if self.opset else ''}: {sizes}",
            f"ran in {self.runtime}; {self.machine}",
        ]
        if self.speed is not None:
            lines.append(
                f"{told(self.speed.shape)}: {self.speed.runtime_ms:.1f} ms, PyTorch "
                f"{self.speed.eager_ms:.1f} ms ({self.speed.ratio:.2f} times as fast; median of "
                f"{self.speed.repeats}, {self.speed.threads} thread{'s' * (self.speed.threads != 1)} each)"
            )
        allowed = (
            f"{self.tolerance.disagreement:.3%} of pixels with another class where no two are nearly tied"
        )
        if not self.with_preprocessing:
            allowed = f"{self.tolerance.relative:.0e} of the largest logit, {allowed}"
        lines.append(f"allowed: {allowed}")
        lines += self.notes
        lines += [f"failed: {one}" for one in self.failures]
        if self.layer:
            lines.append(f"they differ first at layer {self.layer}")
        return lines


def certificate_path(path: Path) -> Path:
    """Return the path of a file's certificate."""
    return path.with_name(path.name + SUFFIX)


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Write a certificate.

    Args:
        certificate: certificate of a file.
        path: path of the certificate itself.

    Raises:
        FailureError: the certificate cannot be written.
    """
    text = as_json(certificate.to_json(), indent=2) + "\n"
    write_whole(path, text.encode())


#: Keys of the JSON that are derived from others.
_DERIVED = ("segzoo_certificate", "holds", "largest_difference", "largest_relative", "disagreement")


def read_certificate(path: str | os.PathLike[str]) -> Certificate:
    """Return the certificate in a file.

    Args:
        path: path of the certificate itself.

    Raises:
        UsageError: there is no such file.
        WeightsError: the certificate is damaged, or the file is something else.
    """
    try:
        data = json_text.read(Path(path))
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no certificate {path}: `segzoo export` writes it next to the file; copy it with "
            "the file, or export again"
        ) from error
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except json_text.JsonError as error:
        raise WeightsError(f"{path} is not a certificate: {error}") from error
    version = data.get("segzoo_certificate") if isinstance(data, dict) else None
    if version is None:
        raise WeightsError(f"{path} is not a certificate: it has no key 'segzoo_certificate'")
    if version != FORMAT:
        raise WeightsError(
            f"{path} has format {version}, but this segzoo reads format {FORMAT}: upgrade segzoo"
        )
    rest = {key: value for key, value in data.items() if key not in _DERIVED}
    found = read_object(Certificate, rest, str(path), "")
    plain = all(PurePath(one.name).name == one.name for one in found.files)
    if not found.files or not plain or found.precision not in TOLERANCES:
        raise WeightsError(f"{path} is damaged: it names no file next to it, or an unknown precision")
    return found


def told(shape: Sequence[int]) -> str:
    """Return a shape as text, such as ``2x3x75x101``."""
    return "x".join(map(str, shape))


def _row(probe: Probe, *, logits: bool) -> list[str]:
    start = [probe.source, told(probe.shape)]
    if probe.trouble:
        return [*start, probe.trouble, "", "", ""]
    figures = [f"{probe.difference:.2e}", f"{probe.relative:.1e}"] if logits else ["-", "-"]
    pixels = max(probe.pixels, 1)
    return [
        *start,
        *figures,
        f"{probe.differing / pixels:.4%}",
        f"{probe.clear / pixels:.4%}{'' if probe.held else ' (not held to the tolerance)'}",
    ]
