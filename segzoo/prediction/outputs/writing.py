"""Write a segmentation as files, by the names of the outputs: all at once, or band by band.

Everything is written for the upright image at its own size: EXIF rotation is applied when an image is read,
and files written here do not contain it.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.errors import FailureError, OptionError, PluginError, SegzooError
from segzoo.files import refuse_taken, whole_files, writing
from segzoo.images.georeference import EXTRA, placing_tags
from segzoo.images.volumes import volume_suffix, volume_suffixes
from segzoo.labels import alone, class_index, file_words, with_background
from segzoo.plugins import resolve
from segzoo.prediction.outputs.encoding import PAGES, WHOLE, open_encoder
from segzoo.prediction.outputs.interface import Band, Output, OutputOptions
from segzoo.prediction.outputs.painting import look_up
from segzoo.prediction.segmentation import Segmentation
from segzoo.storage import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

    from segzoo.files import Keeping
    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.outputs.encoding import Encoder
    from segzoo.prediction.tiling.rows import RowSource
    from segzoo.specs import Labels, OutputSpec

#: Number of rows that are written at a time, and of those whose drawing takes more memory.
_ROWS, _DRAWN_ROWS = 64, 32
#: Bytes per pixel to distinguish combinations of classes.
_BLENDING = 16


def find_output(name: str) -> OutputSpec:
    """Return the spec of an output; raises the errors of `segzoo.registry.Registry.get`."""
    return zoo.registry("outputs").get(name)


def read_format(word: str) -> tuple[str, str]:
    """Return the output that ``mask:tif`` names, and its suffix; "" if it names no format."""
    name, _, ending = word.rpartition(":")
    if word in zoo.registry("outputs") or name not in zoo.registry("outputs"):
        return word, ""
    return name, f"{PurePath(find_output(name).suffix).stem}.{ending}"


def make_output(spec: OutputSpec) -> Output:
    """Return what draws one file.

    Raises:
        PluginError: the output cannot be made.
    """
    with blamed(spec, "cannot be made"):
        return resolve(spec.factory)(**spec.options)


@contextmanager
def blamed(spec: OutputSpec, what: str) -> Iterator[None]:
    """Turn an unexpected error of an output into a `PluginError` that names the output."""
    try:
        yield
    except (SegzooError, OSError, MemoryError, RuntimeError):
        raise  # a bad image, option or disk, or a shortage of memory
    except Exception as error:
        raise PluginError(f"output {spec.name!r} {what}: {type(error).__name__}: {error}") from error


def options_for(info: ImageInfo | None, names: Iterable[str], options: OutputOptions) -> OutputOptions:
    """Return the options of an image's outputs, with georeferenced formats if the image has a position.

    Masks of georeferenced images are TIFF (GeoTIFF), and masks of volumes are volumes if their reader can
    write them, unless a suffix was chosen. Outputs that are not masks do not change.

    Args:
        info: metadata of the image's file.
        names: names of outputs.
        options: options to start from.
    """
    suffix = "" if info is None else info.mask_suffix or (".tif" if _placing(info) else "")
    if not suffix:
        return options
    kept: dict[str, str] = {}
    for name in names:
        spec = find_output(name)
        if name not in options.suffixes and set(spec.formats) & set(PAGES):
            kept[name] = f"{PurePath(spec.suffix).stem}{suffix}"
    return replace(options, suffixes={**kept, **options.suffixes}) if kept else options


def output_path(stem: Path, name: str, options: OutputOptions) -> Path:
    """Return the path of an output: folder and name of the image, and the output's ending."""
    return stem.with_name(stem.name + options.suffixes.get(name, find_output(name).suffix))


def written_as(
    paths: Mapping[str, Path],
    labels: Labels,
    options: OutputOptions,
    specs: Mapping[str, OutputSpec] | None = None,
) -> list[tuple[str, int | None, Path]]:
    """Return every file that outputs become: one each, or one per class if classes overlap.

    For the class ``ear``, ``cat_mask.png`` becomes ``cat_ear_mask.png``; a name that a user chose, such as
    ``cat.png``, becomes ``cat_ear.png``.

    Args:
        paths: path of each output.
        labels: labels of the classes.
        options: classes to show, and suffixes.
        specs: specs of the outputs, if no plug-in registers them.

    Returns:
        The output, the class in the file (``None``: all classes), and the file.
    """
    found: list[tuple[str, int | None, Path]] = []
    wanted = [class_index(labels, name) for name in options.classes] or range(len(labels.classes))
    for name, path in paths.items():
        spec = specs[name] if specs else find_output(name)
        if not labels.overlapping or path.suffix.lower() in spec.together:
            found.append((name, None, path))
            continue
        suffix = options.suffixes.get(name, spec.suffix)
        suffix = suffix if path.name.endswith(suffix) and path.name != suffix else path.suffix
        stem, words = path.name.removesuffix(suffix), file_words(labels)
        found += [(name, index, path.with_name(f"{stem}_{words[index]}{suffix}")) for index in wanted]
    return found


def check_outputs(names: Sequence[str], options: OutputOptions | None = None) -> None:
    """Raise unless outputs can be written together; call it before the first image.

    Args:
        names: names of the outputs.
        options: options of all outputs, with their suffixes.

    Raises:
        UnknownNameError: there is no such output.
        OptionError: a suffix is not a format of its output, or two outputs would be one file.
    """
    options = options or OutputOptions()
    taken: dict[str, str] = {}
    for name in (*names, *options.suffixes):
        find_output(name)
    for name in dict.fromkeys(names):
        suffix = options.suffixes.get(name, find_output(name).suffix)
        _format(find_output(name), PurePath(f"NAME{suffix}"))
        if "/" in suffix or "\\" in suffix:
            raise OptionError(f"the suffix of {name} must not contain a folder, got {suffix!r}")
        if (other := taken.setdefault(suffix.lower(), name)) != name:
            raise OptionError(f"{other} and {name} would both be written as NAME{suffix}")


def check_by_rows(paths: Mapping[str, Path], specs: Mapping[str, OutputSpec] | None = None) -> None:
    """Raise unless all outputs can be written by rows.

    Args:
        paths: path of each output.
        specs: specs of the outputs, if no plug-in registers them.

    Raises:
        OptionError: an output cannot be written by rows; the message names those that can.
    """
    for name, path in paths.items():
        formats = _row_formats(specs[name] if specs else find_output(name))
        if path.suffix.lower() not in formats:
            what = f"{name} as {path.suffix}" if formats else name
            rows = {one: _row_formats(spec) for one, (spec, _) in zoo.registry("outputs").items()}
            known = ", ".join(f"{one} ({' '.join(suffixes)})" for one, suffixes in rows.items() if suffixes)
            raise OptionError(
                f"the image is too large for {what}, which needs the whole image in memory: leave it out, or "
                f"allow more memory. Outputs that are written by rows: {known}"
            )


def needs(names: Iterable[str], what: str) -> int:
    """Return how many outputs need ``what``: probabilities, objects, or the image, read again for each."""
    return sum(what in find_output(name).needs for name in names)


def bytes_of_outputs(
    names: Iterable[str], height: int, width: int, options: OutputOptions, *, planes: int = 1
) -> int:
    """Return the bytes that outputs take while written by rows, in addition to reading the image again.

    Args:
        names: names of outputs.
        height: height of the image.
        width: width of the image.
        options: options of the outputs.
        planes: planes of the mask: one per class if classes overlap.
    """
    bytes_a_column = 0
    for spec in map(find_output, names):
        rows = _DRAWN_ROWS + 3 * make_output(spec).reach(options, (height, width))
        memory = spec.memory + (_BLENDING + 3 * planes if planes > 1 else 0)
        bytes_a_column += 4 * _ROWS * planes + memory * min(rows, height)
    return width * bytes_a_column


def write_outputs(
    segmentation: Segmentation,
    stem: Path,
    names: Sequence[str] = ("mask", "overlay"),
    options: OutputOptions | None = None,
    *,
    source: str = "",
    keeping: Keeping | None = None,
) -> tuple[Path, ...]:
    """Write a segmentation as files next to each other: either all of them, or none.

    Args:
        segmentation: segmentation to write.
        stem: folder and name, to which each output adds its suffix: ``out/cat`` gives ``out/cat_mask.png``,
            or ``out/cat_mask.tif`` for georeferenced images.
        names: names of outputs.
        options: options of the outputs.
        source: name of the image, for outputs that contain it, such as COCO; by default, the name in
            ``stem``.
        keeping: which existing files an earlier run wrote, and what is called before the files are named.

    Returns:
        The files, in the order of the names; several for an output with one file per class.

    Raises:
        OptionError: see `check_outputs`; also if probabilities are needed and were not kept.
        FailureError: a file exists and may not be replaced (nothing is written then), or cannot be written.
    """
    options = options or OutputOptions()
    if segmentation.info is not None and segmentation.info.geo is not None:
        options = options_for(segmentation.info, names, options)
    check_outputs(names, options)
    paths = {name: output_path(stem, name, options) for name in dict.fromkeys(names)}
    _write(segmentation, paths, options, source or stem.name, keeping)
    return tuple(path for *_, path in written_as(paths, segmentation.labels, options))


def write_output(
    segmentation: Segmentation,
    path: Path,
    name: str = "mask",
    options: OutputOptions | None = None,
    *,
    source: str = "",
) -> Path:
    """Write one output to a path of your choice; the suffix of the path sets the format.

    Args:
        segmentation: segmentation to write.
        path: path of the file.
        name: name of the output.
        options: options of the output.
        source: file or address of the image, for outputs that contain it; by default, the name of the file.

    Returns:
        The file; the first one, if an output has one file per class.

    Raises:
        OptionError, FailureError: see `write_outputs`.
    """
    options = options or OutputOptions()
    _write(segmentation, {name: path}, options, source or path.name)
    return written_as({name: path}, segmentation.labels, options)[0][2]


def encode_output(
    segmentation: Segmentation, name: str = "mask", options: OutputOptions | None = None, *, source: str = ""
) -> tuple[bytes, str]:
    """Return the content of the file that `write_outputs` would write, and its suffix, such as ``".png"``.

    Args:
        segmentation: segmentation to encode.
        name: name of the output.
        options: options of the output; ``suffixes`` set its format.
        source: name of the image, for outputs that contain it.

    Raises:
        UnknownNameError: there is no such output.
        OptionError: it lacks that format, needs probabilities that were not kept, or would be several files.
    """
    options = options or OutputOptions()
    info, labels = segmentation.info, segmentation.labels
    if info is not None and info.geo is not None:
        options = options_for(info, [name], options)
    check_outputs([name], options)
    path, spec = output_path(Path("image"), name, options), find_output(name)
    every = written_as({name: path}, labels, options)
    if len(every) > 1:
        together = "".join(f", or {name}{one}" for one in spec.together).replace(f"{name}.", f"{name}:")
        raise OptionError(f"classes overlap, and {name} has one file per class: choose one class{together}")
    ((_, index, path),) = every
    files = OutputFiles(labels, segmentation.size, options, None, source or path.name, info, whole=True)
    file = _Kept()
    files.drawings.append(_Drawing(files, spec, path, _format(spec, path), file, index))
    files.write_whole(segmentation)
    files.finish()
    return file.kept, path.suffix


class _Kept(BytesIO):
    """A file in memory whose content stays when it is closed."""

    kept = b""

    def close(self) -> None:
        """Keep the content."""
        self.kept = self.kept or self.getvalue()
        super().close()


def _write(
    segmentation: Segmentation,
    paths: Mapping[str, Path],
    options: OutputOptions,
    source: str,
    keeping: Keeping | None = None,
) -> None:
    given: Any = {"options": options, "source": source, "keeping": keeping, "whole": True}
    given["info"] = segmentation.info
    with output_files(paths, segmentation.labels, segmentation.size, **given) as files:
        files.write_whole(segmentation)


@contextmanager
def output_files(
    paths: Mapping[str, Path],
    labels: Labels,
    size: tuple[int, int],
    *,
    options: OutputOptions | None = None,
    image: Callable[[], RowSource] | None = None,
    source: str = "",
    info: ImageInfo | None = None,
    keeping: Keeping | None = None,
    whole: bool = False,
    specs: Mapping[str, OutputSpec] | None = None,
) -> Iterator[OutputFiles]:
    """Open the files of one image, which are named together when the block succeeds.

    If the block fails, by Ctrl-C or a full disk for example, it leaves no new files, and existing files do
    not change.

    Args:
        paths: path of each output; folders are made. If classes overlap, see `written_as` for the files.
        labels: names and colours of the classes.
        size: (height, width) of the image.
        options: options of the outputs, and whether existing files may be replaced.
        image: opens the image's rows again, for outputs that draw on it.
        source: name of the image.
        info: metadata of its file; a TIFF gets the image's georeference.
        keeping: which existing files an earlier run wrote, and what is called before the files are named.
        whole: whether the image is written as one band.
        specs: specs of the outputs, if no plug-in registers them.

    Raises:
        OptionError: an output lacks that format, or cannot be written by rows.
        FailureError: a file exists and may not be replaced, cannot be written, or got too few rows.
    """
    files = OutputFiles(labels, size, options or OutputOptions(), image, source, info, whole=whole)
    if not whole:
        check_by_rows(paths, specs)
    specs = specs or {name: find_output(name) for name in paths}
    formats = {name: _format(specs[name], path) for name, path in paths.items()}
    for name, path in paths.items():
        if formats[name] not in specs[name].formats:
            raise OptionError(
                f"{path.name} holds the masks of all pages, which only `segzoo predict` can write"
            )
    every = written_as(paths, labels, files.options, specs)
    places, overwrite = [path for *_, path in every], files.options.overwrite
    if not any(map(is_remote, places)):  # a store is checked once, when the files are named
        refuse_taken(places, overwrite=overwrite, owns=keeping and keeping.owns)
    with whole_files(places, overwrite=overwrite, keeping=keeping) as parts, ExitStack() as stack:
        for (name, index, path), part in zip(every, parts, strict=True):
            with writing(path):
                drawing = _Drawing(files, specs[name], path, formats[name], part.open("wb"), index)
            stack.callback(drawing.close)
            files.drawings.append(drawing)
        yield files
        files.finish()


class OutputFiles:
    """The open files of one image; see `output_files` for the arguments."""

    def __init__(
        self,
        labels: Labels,
        size: tuple[int, int],
        options: OutputOptions,
        image: Callable[[], RowSource] | None,
        source: str,
        info: ImageInfo | None,
        *,
        whole: bool,
    ) -> None:
        self.labels, self.size, self.options = labels, size, options
        #: Labels of the drawn mask; classes that are not shown become background, so there must be one.
        self.drawn = with_background(labels) if options.classes and not labels.overlapping else labels
        self.image, self.source, self.info, self.whole = image, source, info, whole
        self.drawings: list[_Drawing] = []
        many = max(256, len(labels.classes))
        self._table: NDArray[Any] | None = None
        if options.classes:
            keep = [class_index(labels, wanted) for wanted in options.classes]
            if labels.overlapping:  # a plane is kept whole, or dropped
                self._table = np.zeros(len(labels.classes), np.uint8)
                self._table[keep] = 1
            else:
                self._table = np.full(many, self.drawn.background, self.drawn.index_type)
                self._table[keep] = keep
        self._planes = (len(labels.classes),) if labels.overlapping else ()
        self._found = np.zeros(*(self._planes or (many,)), np.int64)
        self._done, self._seen, self._rows = 0, 0, np.empty((*self._planes, 0, size[1]), np.uint8)

    @property
    def probabilities(self) -> _Probabilities | None:
        """Takes the probabilities of the latest rows, if an output needs them."""
        wanted = any("probabilities" in drawing.spec.needs for drawing in self.drawings)
        return _Probabilities(self) if wanted else None

    def write_whole(self, segmentation: Segmentation) -> None:
        """Write an image as one band; it must have the size and the data that the outputs need.

        Raises:
            OptionError: probabilities are needed and were not kept.
            FailureError: a file cannot be written.
        """
        self._done = self.size[0]
        segmentation = self.wanted(segmentation)
        for drawing in self.drawings:
            one = segmentation if drawing.index is None else segmentation.of_class(drawing.index)
            drawing.draw(one, slice(None))

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Add the next rows of the mask, ``(n, width)``, or ``(K, n, width)`` if classes overlap.

        Raises:
            FailureError: the rows cannot be written.
            OptionError: the rows do not have the image's width, or there are too many.
        """
        expected = (*self._planes, rows.shape[-2], self.size[1])
        if rows.shape != expected or self._done + rows.shape[-2] > self.size[0]:
            raise OptionError(
                f"rows {rows.shape} after {self._done} do not fit {self.size[0]}x{self.size[1]}"
            )
        for top in range(0, rows.shape[-2], _ROWS):
            part = rows[..., top : top + _ROWS, :]
            if self._planes:
                self._found += np.count_nonzero(part, axis=(1, 2))
            else:
                self._found += np.bincount(part.ravel(), minlength=len(self._found))
        self._rows, self._seen = rows, self._seen + rows.shape[-2]
        if self.probabilities is None:
            self.take()

    def take(self, probabilities: NDArray[np.float16] | None = None) -> None:
        """Draw the latest rows, with their probabilities ``(K, n, width)`` if an output needs them."""
        for top in range(0, self._rows.shape[-2], _ROWS):
            rows = slice(top, top + _ROWS)
            mask = self._wanted(self._rows[..., rows, :])
            pair = [mask] if probabilities is None else [mask, probabilities[:, rows]]
            for drawing in self.drawings:
                drawing.add(pair if "probabilities" in drawing.spec.needs else pair[:1])
        self._done += self._rows.shape[-2]

    def finish(self) -> None:
        """Write what follows the last row.

        Raises:
            FailureError: a file cannot be written, or rows are missing.
        """
        for drawing in self.drawings:
            if self._done < self.size[0]:
                raise FailureError(f"{drawing.path} got {self._done} of {self.size[0]} rows")
            drawing.finish()

    def wanted(self, segmentation: Segmentation) -> Segmentation:
        """Return a segmentation in which every class that is not shown is background."""
        if self._table is None:
            return segmentation
        return segmentation.with_mask(self._wanted(segmentation.mask), labels=self.drawn)

    def _wanted(self, mask: NDArray[Any]) -> NDArray[Any]:
        """Return a mask in which every class that is not shown is background."""
        if self._table is None:
            return mask
        return mask * self._table[:, None, None] if self._planes else look_up(mask, self._table)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the image that each class covers, by name, in the rows so far."""
        counts = zip(self.labels.classes, self._found.tolist(), strict=False)
        return {name: count / max(1, self._seen * self.size[1]) for name, count in counts}


class _Probabilities:
    """Takes the probabilities of the mask's latest rows."""

    def __init__(self, files: OutputFiles) -> None:
        self._files = files

    def write(self, rows: NDArray[np.float16]) -> None:
        """Take ``(K, n, width)``; raises the errors of `OutputFiles.write`."""
        self._files.take(rows)


class _Drawing:
    """One output that is being written to its file."""

    def __init__(
        self,
        files: OutputFiles,
        spec: OutputSpec,
        path: Path,
        suffix: str,
        file: BinaryIO,
        index: int | None = None,
    ) -> None:
        self.files, self.spec, self.path, self._suffix, self._file = files, spec, path, suffix, file
        #: The class that is drawn, if classes overlap and each has its own file.
        self.index = index
        self._labels = files.drawn if index is None else alone(files.labels, index)
        self._output = make_output(spec)
        self._reach = self._output.reach(files.options, files.size)
        self._step = _DRAWN_ROWS if spec.memory else _ROWS
        self._encoder: Encoder | None = None
        self._image: RowSource | None = None
        self._window: list[NDArray[Any]] = []
        self._top = self._drawn = 0

    def add(self, band: Sequence[NDArray[Any]]) -> None:
        """Add rows of the mask, ``(n, width)``, and of the probabilities, ``(K, n, width)``, if needed."""
        if self.index is not None:
            band = [band[0][self.index], *(one[self.index : self.index + 1] for one in band[1:])]
        for top in range(0, band[0].shape[-2], self._step):
            rows = [one[..., top : top + self._step, :] for one in band]
            if self._window and self._window[0].shape[-2]:
                rows = [np.concatenate(pair, axis=-2) for pair in zip(self._window, rows, strict=True)]
            self._window = rows
            self._draw_to(self._top + rows[0].shape[-2] - self._reach)

    def _draw_to(self, bottom: int) -> None:
        if bottom <= self._drawn:
            return
        mask, *probabilities = self._window
        rows = slice(self._drawn - self._top, bottom - self._top)
        image = partial(self._read, rows, mask.shape[-2:])
        self.draw(Segmentation(mask, self._labels, image, *probabilities, info=self.files.info), rows)
        self._drawn = bottom
        kept = max(bottom - self._reach, 0)
        self._window = [one[..., kept - self._top :, :].copy() for one in self._window]
        self._top = kept

    def _read(self, rows: slice, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the image of a band; it is black in the rows around, which are not drawn."""
        if self.files.image is None or "image" not in self.spec.needs:
            raise PluginError(
                f"output {self.spec.name!r} draws on the image, so its spec must have needs=('image',)"
            )
        self._image = self._image or self.files.image()
        image = np.zeros((*shape, self._image.channels), np.uint8)
        image[rows] = self._image.read(self._top + rows.start, self._top + rows.stop)
        return image

    def draw(self, segmentation: Segmentation, rows: slice) -> None:
        """Draw a part of the image, and write it without the rows around."""
        files = self.files
        band = Band(segmentation, files.options, self._suffix, files.source, files.size)
        with blamed(self.spec, f"cannot draw {files.source or self.path}"):
            drawn = self._output.draw(band)
        with writing(self.path):
            if isinstance(drawn, bytes):
                self._file.write(drawn)
                return
            pixels = np.asarray(drawn)
            planes = self._suffix in (".npy", *PAGES)
            pixels = pixels[..., rows, :] if planes else pixels[rows]
            if self._encoder is None:
                colours = self._labels.colours if self._output.palette else ()
                look: Any = {"whole": files.whole, "quality": files.options.quality}
                look["placing"] = _placing(files.info)
                self._encoder = open_encoder(self._suffix, self._file, pixels, files.size[0], colours, **look)
            self._encoder.write(pixels)

    def finish(self) -> None:
        """Draw the last rows, and write what follows them."""
        while not self.files.whole and self._drawn < self.files.size[0]:
            self._draw_to(min(self._drawn + _DRAWN_ROWS, self.files.size[0]))
        with writing(self.path):
            if self._encoder is not None:
                self._encoder.finish()
            self._file.write(self._output.finish())
            self._file.close()

    def close(self) -> None:
        """Close the file, even after an error."""
        with suppress(OSError):  # a disk that was full before fails again
            self._file.close()


def drawn_pages(
    segmentation: Segmentation, paths: Mapping[str, Path], options: OutputOptions, source: str
) -> dict[Path, NDArray[Any]]:
    """Return what outputs draw of a page, ``(H, W)``, by the volume file that it becomes a part of.

    Args:
        segmentation: segmentation of the page.
        paths: path of each output, in a volume format.
        options: options of the outputs.
        source: name of the page.
    """
    labels, size = segmentation.labels, segmentation.size
    files = OutputFiles(labels, size, options, None, source, segmentation.info, whole=True)
    segmentation = files.wanted(segmentation)
    found: dict[Path, NDArray[Any]] = {}
    for name, index, path in written_as(paths, labels, options):
        one = segmentation if index is None else segmentation.of_class(index)
        spec = find_output(name)
        with blamed(spec, f"cannot draw {source}"):
            drawn = make_output(spec).draw(Band(one, options, _format(spec, path), source, size))
        mask = np.asarray(drawn)
        found[path] = mask.astype(np.uint8) if mask.dtype == np.bool_ else mask
    return found


def _placing(info: ImageInfo | None) -> dict[int, Any]:
    """Return a TIFF's georeference tags; empty if the image was rotated, because they would be wrong then."""
    if info is None or info.geo is None or info.orientation != 1:
        return {}
    return placing_tags(info.geo, info.extra.get(EXTRA))


def _row_formats(spec: OutputSpec) -> list[str]:
    return [suffix for suffix in spec.formats if spec.by_rows and suffix not in WHOLE]


def _format(spec: OutputSpec, path: PurePath) -> str:
    suffix = path.suffix.lower()
    if set(spec.formats) & set(PAGES) and (volume := volume_suffix(path.name)):
        return volume
    if suffix not in spec.formats:
        volumes = volume_suffixes() if set(spec.formats) & set(PAGES) else ()
        formats = " or ".join((*spec.formats, *volumes))
        raise OptionError(f"{spec.name} is written as {formats}, not as {path.name}")
    return suffix
