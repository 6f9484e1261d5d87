"""Parts of prediction: image readers, inference engines, output and export files, and clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from segzoo.errors import UsageError
from segzoo.options import check_integer
from segzoo.specs.base import PartSpec, check_callable, check_suffix

#: Maximum number of bytes that are read to recognise a file's format.
MOST_MAGIC = 4096


@dataclass(frozen=True, kw_only=True)
class ReaderSpec(PartSpec):
    """A reader of image files.

    ``factory(path, **options)`` is a `segzoo.interfaces.ImageReader`.

    A file is opened by the first reader whose ``magic`` matches its beginning, else by the first with its
    suffix. Readers of plug-ins are tried before segzoo's own, and a reader with ``claims`` takes only files
    for which it returns true.

    Attributes:
        suffixes: suffixes of its files, in lower case and with the dot, such as ``".nii.gz"``.
        searched: whether folders are searched for files with these suffixes.
        magic: possible first bytes of its files; empty if the first bytes do not identify them.
        offset: position of ``magic``, in bytes from the start of the file.
        folders: whether it reads folders that are one image, identified by ``claims`` or a suffix.
        claims: ``"package.module:callable"``, called with a path with the right magic, suffix or folder, that
            returns whether it is this reader's. It must be quick, and raise no errors.
        extra: segzoo's extra that installs the requirements, for messages; empty for none.
        writes: ``"package.module:callable"`` that writes the masks of all pages of an image as one file in
            this format, with the image's location; empty for none. It is called with a binary file that is
            open for writing, an array ``(pages, H, W)`` of uint8 or uint16, the image's
            `segzoo.interfaces.ImageInfo`, and the suffix.
    """

    kind: ClassVar[str] = "reader"

    suffixes: tuple[str, ...] = ()
    searched: bool = True
    magic: tuple[bytes, ...] = ()
    offset: int = 0
    folders: bool = False
    claims: str = ""
    extra: str = ""
    writes: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for suffix in self.suffixes:
            check_suffix(self, suffix)
        for magic in self.magic:
            if not isinstance(magic, bytes) or not magic:
                raise UsageError(f"reader {self.name!r}: magic {magic!r} must be bytes, at least one")
        check_integer(f"reader {self.name!r}: offset", self.offset, 0, MOST_MAGIC)
        if any(self.offset + len(magic) > MOST_MAGIC for magic in self.magic):
            raise UsageError(f"reader {self.name!r}: magic must lie within the first {MOST_MAGIC} bytes")
        if not (self.suffixes or self.magic or self.claims):
            raise UsageError(
                f"reader {self.name!r} needs suffixes, magic or claims to know which files it opens"
            )
        for field in ("claims", "writes"):
            if value := getattr(self, field):
                check_callable(self, field, value)
        if self.writes and not self.suffixes:
            raise UsageError(f"reader {self.name!r} writes masks: it needs the suffixes of their files")


#: ``exact``: logits within 1e-4 of eager float32, relative to the largest; ``fast``: bf16 or fp16, if the
#: machine computes them faster; ``fastest``: int8, calibrated on images.
Precision = Literal["exact", "fast", "fastest"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class EngineSpec(PartSpec):
    """An inference engine.

    ``factory(network, device=..., precision=..., calibration=..., on_message=..., **options)`` returns a
    `segzoo.interfaces.Engine`.

    Attributes:
        precisions: which of ``exact``, ``fast`` and ``fastest`` it supports.
        extra: segzoo's extra that installs the requirements, for messages; empty for none.
    """

    kind: ClassVar[str] = "engine"

    precisions: tuple[str, ...] = ("exact",)
    extra: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = [one for one in self.precisions if one not in PRECISIONS]
        if wrong or not self.precisions:
            raise UsageError(
                f"engine {self.name!r}: precisions {self.precisions!r} must be of {', '.join(PRECISIONS)}"
            )


@dataclass(frozen=True, kw_only=True)
class OutputSpec(PartSpec):
    """An output kind: ``factory(**options)`` returns a `segzoo.prediction.outputs.Output`.

    Attributes:
        suffix: suffix added to the name of the image, such as ``"_mask.png"``, unless the user chooses
            another.
        formats: file suffixes that it supports, such as ``(".png", ".tif")``; that of ``suffix`` if empty.
        by_rows: whether it draws strips of rows one after another, for images larger than memory.
        needs: inputs in addition to the mask: ``"image"``, ``"probabilities"``, or ``"objects"``, which are
            found in the whole mask, with touching ones split.
        memory: bytes per pixel for drawing a strip.
        together: formats whose file holds all classes if they overlap: `Output.draw` then gets masks
            ``(K, H, W)``. In other formats each class has its own file, and is drawn as class 1 on
            background.
        joined: name of a file that holds this output for all images of a run, such as ``"areas.csv"``;
            empty for none.
        joins: ``"package.module:callable"`` that writes it: called with a binary file open for writing, an
            iterable of `segzoo.prediction.outputs.Written`, one for each file in the order of the images, and
            the `Labels` of the run.
    """

    kind: ClassVar[str] = "output"

    suffix: str
    formats: tuple[str, ...] = ()
    by_rows: bool = False
    needs: tuple[str, ...] = ()
    memory: int = 0
    together: tuple[str, ...] = ()
    joined: str = ""
    joins: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joins:
            check_callable(self, "joins", self.joins)
        if bool(self.joins) != bool(self.joined):
            raise UsageError(f"output {self.name!r}: joined and joins go together: set both or none")
        _, dot, ending = self.suffix.rpartition(".")
        if not self.formats:
            object.__setattr__(self, "formats", (dot + ending,))
        wrong = [one for one in self.formats if not one.startswith(".") or one != one.lower()]
        if wrong or not dot or not self.suffix.endswith(tuple(self.formats)):
            raise UsageError(
                f"output {self.name!r}: suffix {self.suffix!r} must end in one of its formats, which are "
                f"lower-case letters after a dot, got {self.formats!r}"
            )
        if set(self.together) - set(self.formats):
            raise UsageError(f"output {self.name!r}: together {self.together!r} must be some of its formats")
        if set(self.needs) - {"image", "probabilities", "objects"}:
            raise UsageError(
                f"output {self.name!r}: needs {self.needs!r} must be a tuple of 'image', 'probabilities', "
                "'objects'"
            )


@dataclass(frozen=True, kw_only=True)
class ClusterSpec(PartSpec):
    """A cluster: ``factory(address, **options)`` returns a `segzoo.interfaces.Cluster`.

    The address is the text after the name and a colon in ``--on NAME:ADDRESS``, or empty.

    Attributes:
        addresses: description of valid addresses, such as ``"auto or HOST:PORT"``.
    """

    kind: ClassVar[str] = "cluster"

    addresses: str = ""


#: Number type of an exported model's weights and computation.
ExportPrecision = Literal["float32", "float16", "int8"]
EXPORT_PRECISIONS: tuple[str, ...] = get_args(ExportPrecision)
#: Type of the image that a file with preprocessing takes.
Pixels = Literal["uint8", "uint16"]
PIXELS: tuple[str, ...] = get_args(Pixels)


@dataclass(frozen=True, kw_only=True)
class ExportSpec(PartSpec):
    """An export format: ``factory(exportable, path, **options)`` writes the file.

    The factory is a `segzoo.exporting.Writer`.

    Attributes:
        suffix: suffix of the file's name, such as ``".onnx"``.
        runtime: ``"package.module:callable"`` that opens such a file to run it: a `segzoo.runtimes.Opener`.
        precisions: number types in which it can be written.
        extra: segzoo's extra that installs the requirements; empty for none.
    """

    kind: ClassVar[str] = "export"

    suffix: str
    runtime: str
    precisions: tuple[ExportPrecision, ...] = ("float32",)
    extra: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_callable(self, "runtime", self.runtime)
        check_suffix(self, self.suffix)
        wrong = [one for one in self.precisions if one not in EXPORT_PRECISIONS]
        if wrong or not self.precisions:
            raise UsageError(
                f"export {self.name!r}: precisions {self.precisions!r} must be of "
                f"{', '.join(EXPORT_PRECISIONS)}"
            )
