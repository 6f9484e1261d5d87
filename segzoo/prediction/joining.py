"""Combined files: one file for all images of a run, for outputs that have one.

``areas.csv`` is a table of a whole folder; annotation tools import a single file, such as COCO's
``annotations.json``. The combined file is written at the end of a run from the files of the images, one after
the other, including those that ``--resume`` skipped. Failed images have no file and are left out. If several
runs share the work, none of them sees all images, so none writes a combined file; a later run with
``--resume`` and without a share does.
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
    """Return the combined file of each output that has one.

    Args:
        out: output folder of the run.
        outputs: names of the outputs written for each image.
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
    """Write the combined files of all images, without holding them in memory.

    Args:
        out: output folder of the run.
        sources: images whose files exist, in order.
        outputs: names of the outputs written for each image.
        options: look of the outputs, and whether existing files are replaced.
        labels: labels of the masks.
        keeping: returns which files may be replaced, and what records a file before it is named.

    Returns:
        The files that were written.

    Raises:
        FailureError: a file cannot be written, or exists and may not be replaced.
        PluginError: an output of a plug-in cannot combine its files.
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
