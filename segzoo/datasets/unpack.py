"""Unpacks archives to folders, without trusting them.

An archive may name files outside its folder, contain links that lead there, or unpack to more than the disk
holds. So every entry must be a regular file or a folder at a plain relative path. It is counted and measured
while it is written, in a temporary folder that is renamed only if everything is right.
"""

from __future__ import annotations

import errno
import zipfile
from typing import TYPE_CHECKING

from segzoo.datasets import tars, zips
from segzoo.datasets.compressed import Evaluator, Limits, foreign
from segzoo.datasets.entries import folded, is_junk, refusal, steps
from segzoo.errors import FailureError, no_address
from segzoo.files import whole_folder, writing
from segzoo.printing import bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from segzoo.datasets.entries import Entry

#: Errors that systems report for invalid names.
_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


def unpack(sources: Sequence[Path], folder: Path, limits: Limits | None = None) -> int:
    """Unpack zip and tar archives, of any compression, into a new folder.

    Args:
        sources: the archives, unpacked one over the other.
        folder: target folder, which must not exist or must be empty.
        limits: limits for each archive.

    Returns:
        The number of files.

    Raises:
        FailureError: an archive cannot be read, breaks a limit, or has an entry that is not allowed; nothing
            is left behind then.
    """
    with writing(folder), whole_folder(folder) as part:
        return sum(unpack_into(source, part, limits or Limits()) for source in sources)


def unpack_into(source: Path, folder: Path, limits: Limits, *, progress: bool = False) -> int:
    """Unpack one archive into a folder; errors as in `unpack`, but files that are written stay.

    Args:
        source: the archive.
        folder: the folder, which exists.
        limits: limits for the archive.
        progress: whether to show a progress bar, on a terminal only.
    """
    if not source.is_file():
        raise FailureError(
            f"{source} is not a regular file: name an archive"
            if source.exists()
            else f"there is no archive {source}{no_address(source)}"
        )
    with bar(
        what=f"unpack {source.name}",
        unit="B",
        unit_scale=True,
        shown=None if progress else False,
        total=source.stat().st_size,
    ) as shown:
        tally = Evaluator(source, limits, on_read=shown.update)
        for entry in _entries(source, tally):
            if entry.pieces is None:
                steps(source, entry.name, folder=True)
            elif is_junk(entry.name):
                for _ in entry.pieces:  # checked like the others
                    pass
            else:
                _write(entry, entry.pieces, folder, tally)
        shown.update(shown.total - shown.n)  # headers and tables were not counted
    return tally.files


def _entries(source: Path, tally: Evaluator) -> Iterator[Entry]:
    try:
        with source.open("rb") as file:
            head = file.read(512)
        # Tar first: a tar archive that contains a zip may look like a zip.
        if tars.is_tar(head):
            return tars.entries(source, tally)
        if zipfile.is_zipfile(source):
            return zips.entries(source, tally)
    except OSError as error:
        raise FailureError(f"{source} cannot be read: {error.strerror or error}") from error
    if kind := foreign(head):
        raise FailureError(f"{source} is compressed with {kind}, which is not supported: unpack it yourself")
    raise FailureError(f"{source} is neither a zip nor a tar archive, or is cut short: download it again")


def _write(entry: Entry, pieces: Iterator[bytes], folder: Path, tally: Evaluator) -> None:
    parts = steps(tally.source, entry.name)
    if (name := folded(parts)) in tally.names:
        what = "exists twice, or differs from another only in letter case"
        raise FailureError(refusal(tally.source, entry.name, what))
    tally.names.add(name)
    tally.files += 1
    for depth in range(1, len(parts)):
        if (above := "/".join(parts[:depth])) not in tally.folders:
            tally.folders.add(above)
            tally.entered()
    path = folder.joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise FailureError(refusal(tally.source, entry.name, "is both a file and a folder")) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _NAMES:
            raise
        raise FailureError(
            refusal(tally.source, entry.name, "has a name that this system refuses")
        ) from error
