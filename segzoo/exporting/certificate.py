"""Certificate of an exported file: what was measured where it ran, as data, as JSON, and as a table.

It lies beside the file as ``FILE.certificate.json``. A file that does not hold its tolerance gets none, as it
is not left either.
"""

from __future__ import annotations

import math

# Types of fields, by which a certificate is read from JSON.
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
from segzoo.specs.exports import ExportPrecision  # noqa: TC001

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

#: What is added to the name of a file for that of its certificate.
SUFFIX = ".certificate.json"
#: Version of the certificate's own format.
FORMAT = 1
#: Two classes tie at a pixel where their logits differ by less than this share of the largest logit.
TIE = 1e-3
#: Two classes tie at a pixel where their probabilities differ by less than this; a file with preprocessing
#: gives no logits to compare.
TIE_PROBABILITY = 0.01
#: Columns of `Certificate.rows`.
HEADER = ("image", "input", "largest difference", "of the largest logit", "other class", "not near a tie")


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a file may be from its model.

    Attributes:
        relative: largest difference of a logit, as a share of the largest logit of the same images; without
            meaning for a file with preprocessing, which gives no logits.
        disagreement: share of the pixels of all images that may have another class although two classes do
            not nearly tie there.
        random: whether random images are held to it too where there are real ones. A network of int8 is
            calibrated on images like those to come, and noise is none of them.
    """

    relative: float
    disagreement: float
    random: bool = True

    def __post_init__(self) -> None:
        for name in ("relative", "disagreement"):
            check_number(name, getattr(self, name))
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"the tolerance's {name} must be from 0 to 1, got {getattr(self, name)}")


#: What is asked of a file, by its number type.
TOLERANCES: Mapping[ExportPrecision, Tolerance] = {
    "float32": Tolerance(relative=1e-4, disagreement=0.0),
    "float16": Tolerance(relative=2e-2, disagreement=0.005),
    "int8": Tolerance(relative=0.25, disagreement=0.02, random=False),
}
#: Share of pixels that may have another class where a file resizes images itself: a value of 8 bits that lies
#: between two whole ones may be rounded to the other.
RESIZING = 0.001


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An image, or a batch of them, that the file and the model were both given.

    Attributes:
        source: name of the image's file; ``random`` for one that was made up.
        shape: of the file's input.
        seed: of `segzoo.exporting.probing.random_image`; ``None`` for a real image.
        held: whether it must hold the tolerance.
        largest: largest absolute logit of the model; 0 for a file with preprocessing.
        difference: largest absolute difference of a logit.
        pixels: how many the class map has, in all classes where they overlap.
        differing: pixels of another class.
        clear: those of them where two classes do not nearly tie; see `TIE` and `TIE_PROBABILITY`.
        points: the model's output at places that are spread evenly over it, for random images; they let the
            file be verified where the model is not at hand.
        trouble: what went wrong instead; nothing was compared then.
        note: what a reader must know of it.
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
        """What the images are called in a text."""
        return f"{told(self.shape)} ({self.source})"

    @property
    def relative(self) -> float:
        """Largest difference of a logit, as a share of the largest logit."""
        return self.difference / self.largest if self.largest else 0.0


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Latency of the file and of the model, one after the other in turn, on the same images and threads.

    With one thread it is processor time, else wall-clock time.

    Attributes:
        shape: of the input.
        threads: of the CPU, for both.
        repeats: how often each was measured.
        runtime_ms: median of the file in its runtime.
        eager_ms: median of the model as PyTorch runs it, in float32; with preprocessing, that of
            `segzoo.Predictor`.
    """

    shape: tuple[int, ...]
    threads: int
    repeats: int
    runtime_ms: float
    eager_ms: float

    @property
    def ratio(self) -> float:
        """How many times as fast as PyTorch the file is."""
        return self.eager_ms / self.runtime_ms if self.runtime_ms else math.inf


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """A file, as it was certified.

    Attributes:
        name: without its folder.
        bytes: its size.
        sha256: of its contents.
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
    """What was measured of an exported file, and whether it holds.

    Attributes:
        files: the file itself, then those that it reads, such as OpenVINO's ``.bin``.
        format: name of the export format.
        precision: number type that the file computes in.
        with_preprocessing: whether images go in and class maps come out; then `segzoo.Predictor` is what it
            is compared with, else the network.
        size: height and width that it is made for; ``None`` where they are free.
        opset: of ONNX; ``None`` for other formats.
        model: what `segzoo.load` calls the model; empty where nobody said it.
        weights: sha256 of the tensors that were exported, as the file's own metadata says.
        tolerance: what it was held to.
        probes: the images.
        speed: against PyTorch; ``None`` where there was no PyTorch model to measure.
        runtime: library, version, device and number type that ran it.
        versions: of libraries, by distribution.
        machine: where it ran.
        created: when, in UTC, as ISO 8601 has it.
        notes: what a reader must know.
        layer: where a file that does not hold first goes apart; empty where it holds, or nobody looked.
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
        """The images that must hold the tolerance."""
        return tuple(probe for probe in self.probes if probe.held)

    @property
    def largest_difference(self) -> float:
        """Largest absolute difference of a logit over the images that are held to the tolerance."""
        return max((probe.difference for probe in self.held), default=0.0)

    @property
    def largest_relative(self) -> float:
        """The same as a share of the largest logit of the same images."""
        return max((probe.relative for probe in self.held), default=0.0)

    @property
    def disagreement(self) -> float:
        """Share of pixels with another class where two do not nearly tie."""
        pixels = sum(probe.pixels for probe in self.held)
        return sum(probe.clear for probe in self.held) / pixels if pixels else 0.0

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the file does not hold; empty where it does."""
        wrong = [f"{probe.named}: {probe.trouble}" for probe in self.probes if probe.trouble]
        for probe in self.held:
            if probe.relative > self.tolerance.relative:
                wrong.append(
                    f"{probe.named}: logits differ by {probe.relative:.1e} of the "
                    f"largest, {self.tolerance.relative:.0e} is allowed for {self.precision}"
                )
        if self.disagreement > self.tolerance.disagreement:
            wrong.append(
                f"{self.disagreement:.3%} of the pixels have another class where two do not nearly tie, "
                f"{self.tolerance.disagreement:.3%} is allowed for {self.precision}"
            )
        if not self.held:
            wrong.append("no image was compared")
        return tuple(wrong)

    @property
    def holds(self) -> bool:
        """Whether the file computes what the model does, within the tolerance."""
        return not self.failures

    def check(self, what: str) -> None:
        """Raise `FailureError` unless the file holds.

        Args:
            what: names the file, and begins the text.
        """
        if not self.holds:
            more = f"; they first differ at layer {self.layer}" if self.layer else ""
            raise FailureError(f"{what} does not compute what the model does: {self.failures[0]}{more}")

    def to_json(self) -> dict[str, Any]:
        """Return what is written: the measured figures, and beside them what follows from them."""
        return {
            "segzoo_certificate": FORMAT,
            "holds": self.holds,
            "largest_difference": self.largest_difference,
            "largest_relative": self.largest_relative,
            "disagreement": self.disagreement,
            **asdict(self),
        }

    def rows(self) -> list[list[str]]:
        """Return a row of text for each image, as `HEADER` names them."""
        return [_row(probe, logits=not self.with_preprocessing) for probe in self.probes]

    def remarks(self) -> list[str]:
        """Return, a line each, what the table does not say."""
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
            f"{self.tolerance.disagreement:.3%} of pixels with another class where two do not nearly tie"
        )
        if not self.with_preprocessing:
            allowed = f"{self.tolerance.relative:.0e} of the largest logit, {allowed}"
        lines.append(f"allowed: {allowed}")
        lines += self.notes
        lines += [f"failed: {one}" for one in self.failures]
        if self.layer:
            lines.append(f"they first differ at layer {self.layer}")
        return lines


def certificate_path(path: Path) -> Path:
    """Return where the certificate of a file lies."""
    return path.with_name(path.name + SUFFIX)


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Write a certificate.

    Args:
        certificate: of a file.
        path: of the certificate itself.

    Raises:
        FailureError: it cannot be written.
    """
    text = as_json(certificate.to_json(), indent=2) + "\n"
    write_whole(path, text.encode())


#: Keys of the JSON that follow from others.
_DERIVED = ("segzoo_certificate", "holds", "largest_difference", "largest_relative", "disagreement")


def read_certificate(path: str | os.PathLike[str]) -> Certificate:
    """Return the certificate of a file.

    Args:
        path: of the certificate itself.

    Raises:
        UsageError: there is none.
        WeightsError: it is damaged, or something else.
    """
    try:
        data = json_text.read(Path(path))
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no certificate {path}: it is written beside the file by `segzoo export`; copy it with "
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
        raise WeightsError(f"{path} has format {version}, this segzoo reads format {FORMAT}: upgrade segzoo")
    rest = {key: value for key, value in data.items() if key not in _DERIVED}
    found = read_object(Certificate, rest, str(path), "")
    plain = all(PurePath(one.name).name == one.name for one in found.files)
    if not found.files or not plain or found.precision not in TOLERANCES:
        raise WeightsError(f"{path} is damaged: it names no file beside it, or an unknown precision")
    return found


def told(shape: Sequence[int]) -> str:
    """Return a shape in words, such as ``2x3x75x101``."""
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
