"""Readers, which open image files of one or a few formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
