"""Datasets from their archives: fetched where their terms allow it, unpacked, and tried out.

Archives are not trusted: one may name files outside its folder, contain links that lead there, or unpack to
more than the disk holds. So every entry must be a regular file or a folder at a plain relative path. It is
counted and measured while it is written, in a temporary folder that is renamed only if everything is right.
"""

from __future__ import annotations

import errno
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.build import open_dataset
from segzoo.datasets import tars, zips
from segzoo.datasets.compressed import Evaluator, Limits, foreign
from segzoo.datasets.entries import folded, is_junk, refusal, steps
from segzoo.errors import FailureError, OptionError, no_address
from segzoo.files import refuse_fetching, refuse_used, whole_folder, writing
from segzoo.printing import bar
from segzoo.weights.fetch import fetch
from segzoo.weights.kaggle import fetch_from_kaggle

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from segzoo.datasets.entries import Entry
    from segzoo.specs import Archive, DatasetSpec


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready to use.

    Attributes:
        folder: root folder of the dataset.
        files: number of files that were unpacked.
        samples: number of samples of each split.
    """

    folder: Path
    files: int
    samples: dict[str, int]


def prepare(
    name: str,
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    limits: Limits | None = None,
    progress: bool = False,
) -> Prepared:
    """Unpack a dataset's archives into a new folder, and see that it opens.

    Args:
        name: name of a registered dataset.
        sources: zip or tar archives of the dataset.
        out: new folder; it must not exist, or be empty.
        limits: limits for the size and number of files that each archive may unpack.
        progress: whether to show a progress bar, on a terminal only.

    Raises:
        UnknownNameError: no dataset has that name.
        FailureError: an archive is damaged or not to be trusted, or does not hold that dataset; nothing is
            left behind then.
    """
    spec = zoo.registry("datasets").get(name)
    for source in sources:
        refuse_fetching(source)
    folder = Path(out)
    with writing(folder), whole_folder(folder) as part:
        given = limits or Limits()
        files = sum(unpack_into(Path(source), part, given, progress=progress) for source in sources)
        samples = _samples(name, spec, part, folder, sources)
    return Prepared(folder, files, samples)


def download(name: str, out: str | os.PathLike[str], *, progress: bool = False) -> Prepared:
    """Fetch a dataset whose terms allow it, and `prepare` it; archives stay in the cache.

    Args:
        name: name of a registered dataset.
        out: new folder; it must not exist, or be empty.
        progress: whether to show a progress bar while unpacking, on a terminal only.

    Raises:
        UnknownNameError: no dataset has that name.
        OptionError: its terms do not allow it, or Kaggle's credentials are missing; the message says what to
            do.
        FailureError: it cannot be fetched, or is not what it should be.
    """
    spec = zoo.registry("datasets").get(name)
    if not spec.archives:
        how = spec.by_hand or "it has no archives"
        raise OptionError(
            f"{name!r} cannot be fetched by a program: {how}. {spec.homepage}. Then:"
            f" segzoo data prepare {name} --source ARCHIVE --out DIR"
        )
    folder = Path(out)
    refuse_used(folder)
    return prepare(name, [_fetched(archive) for archive in spec.archives], out, progress=progress)


def _fetched(archive: Archive) -> Path:
    kind, _, digits = archive.checksum.partition(":")
    sha256 = digits if kind == "sha256" else ""
    if archive.url.startswith("kaggle:"):
        file = fetch_from_kaggle(archive.url.removeprefix("kaggle:"), sha256=sha256)
    else:
        file = fetch(archive.url, sha256=sha256, size=archive.bytes)
    if kind == "md5":
        _check_md5(file, digits, archive.url)
    return file


def _check_md5(file: Path, expected: str, url: str) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != expected:
        raise FailureError(
            f"{file}: its MD5 is {found}, {url} is published with {expected}: the file is damaged or has been"
            " replaced. Delete it and try again"
        )


def _samples(
    name: str, spec: DatasetSpec, part: Path, folder: Path, sources: Sequence[str | os.PathLike[str]]
) -> dict[str, int]:
    counts, refusals = {}, []
    for split in spec.splits:
        try:
            counts[split] = len(open_dataset(name, root=part, split=split))
        except OptionError:
            counts[split] = 0  # it cannot be opened without options that only the person knows
        except FailureError as error:
            refusals.append(str(error).replace(str(part), str(folder)))
    if not counts:
        archives = ", ".join(map(str, sources))
        raise FailureError(f"{archives} does not hold {name!r}: {refusals[0]}. Expected: {spec.layout}")
    return counts


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
