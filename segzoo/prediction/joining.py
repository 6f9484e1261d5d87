"""One file of all images of a run, where an output has such a file beside those of single images.

``areas.csv`` is a table of a folder; annotation tools import one file, such as COCO's ``annotations.json``.
It is written at the end of a run from the files of the images, one after the other, those that ``--resume``
has left as they are among them. An image that failed has no file, so it is left out. Of runs that share the
work none sees all images, so none writes it: a run with ``--resume`` and without a share does.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from segzoo.copies import fetched
from segzoo.files import whole_file, writing
from segzoo.labels import with_background
from segzoo.plugins import resolve
from segzoo.prediction.outputs.interface import Written
from segzoo.prediction.outputs.writing import blamed, find_output, output_path, written_as
from segzoo.prediction.volumes import divided, look_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from segzoo.files import Keeping
    from segzoo.prediction.outputs import OutputOptions
    from segzoo.prediction.sources import Source
    from segzoo.specs import Labels


def joined_paths(out: Path, outputs: Sequence[str]) -> dict[str, Path]:
    """Return the file of all images of each output that has one.

    Args:
        out: the folder of the run.
        outputs: names of what is written for each image.
    """
    return {name: out / joined for name in outputs if (joined := find_output(name).joined)}


def join_outputs(
    out: Path,
    sources: Sequence[Source],
    outputs: Sequence[str],
    options: OutputOptions,
    labels: Labels,
    keeping: Callable[[], Keeping],
) -> tuple[Path, ...]:
    """Write the files of all images; nothing of them is held in memory.

    Args:
        out: the folder of the run.
        sources: the images whose files are there, in order.
        outputs: names of what was written for each image.
        options: how, and whether files that exist are replaced.
        labels: of the masks.
        keeping: returns what may be replaced, and what records a file before it gets its name.

    Returns:
        The files that were written.

    Raises:
        FailureError: a file cannot be written, or exists and may not be replaced.
        PluginError: an output cannot join its files.
    """
    paths = joined_paths(out, outputs) if sources else {}
    drawn = with_background(labels) if options.classes and not labels.overlapping else labels
    for name, path in paths.items():
        spec = find_output(name)
        files = _files(out, sources, name, options, labels)
        with (
            whole_file(path, overwrite=options.overwrite, keeping=keeping()) as part,
            writing(path),
            blamed(spec, f"cannot join {path}"),
            part.open("wb") as file,
        ):
            resolve(spec.joins)(file, files, drawn)
    return tuple(paths.values())


def _files(
    out: Path, sources: Iterable[Source], name: str, options: OutputOptions, labels: Labels
) -> Iterator[Written]:
    for source in sources:
        look = look_of(source, [name], options)
        if divided([name], look)[0]:
            path = output_path(out / source.name, name, look)
            image = PurePath(source.name).with_name(PurePath(source.origin).name).as_posix()
            yield from (Written(image, fetched(one)) for *_, one in written_as({name: path}, labels, look))
