"""Datasets from their archives: fetched where their terms allow it, unpacked, and tried out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.build import open_dataset
from segzoo.datasets.unpack import Limits, unpack_into
from segzoo.errors import FailureError, OptionError
from segzoo.files import refuse_fetching, refuse_used, whole_folder, writing
from segzoo.weights.fetch import fetch
from segzoo.weights.kaggle import fetch_from_kaggle

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

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
