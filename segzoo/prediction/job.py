"""Many images and videos in one run: segment, write the outputs, record results, continue after errors."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from segzoo.copies import named
from segzoo.datasets.naming import masks_among
from segzoo.errors import FailureError, ImageError, MissingExtraError, OptionError, SegzooError
from segzoo.files import Keeping, common_folder, refuse_taken, resolved, sweep, writable
from segzoo.images import has_suffix, readable_suffixes
from segzoo.images.volumes import volume_suffix
from segzoo.labels import class_index, found_in_words
from segzoo.prediction.concurrency import side_by_side
from segzoo.prediction.joining import join_outputs, joined_paths
from segzoo.prediction.manifest import ALL_IMAGES, MANIFEST, Manifest, written_into
from segzoo.prediction.outputs import OutputOptions, check_outputs, write_outputs
from segzoo.prediction.outputs.writing import needs, output_path, written_as
from segzoo.prediction.pipeline import Stages, run_stages
from segzoo.prediction.predictor import MEASURED, evenly
from segzoo.prediction.shortage import (
    MemoryShortageError,
    is_short_of_memory,
    release_memory,
    told_shortage,
)
from segzoo.prediction.sources import FileSource, VideoSource, files_of
from segzoo.prediction.tiling import open_rows
from segzoo.prediction.tiling.file_job import RowJob
from segzoo.prediction.tiling.rows import in_parts
from segzoo.prediction.video.segment import VideoOptions, video_note, video_output, video_path, write_video
from segzoo.prediction.volumes import Page, Volumes, divided, look_of, volume_paths
from segzoo.storage import RemotePath, listed, place

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from segzoo.prediction.pipeline import Concurrency
    from segzoo.prediction.predictor import Predictor, Prepared, Read
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.prediction.sources import Source
    from segzoo.prediction.video.segment import VideoResult
    from segzoo.specs import Labels

    #: Replaces `Job.segment`: segments the sources of a job that are not done yet.
    Elsewhere = Callable[["Job", Sequence[Source | VideoSource]], Iterator["Done"]]

#: Advice when files already exist.
_ADVICE = (
    "name another folder with --out, keep what an earlier run did with --resume, or replace the files "
    "with --overwrite"
)
_ADVICE_RESUMING = (
    "no earlier run wrote it, or it has changed since: name another folder with --out, rename the file, "
    "or replace it with --overwrite"
)
#: Images that are downloaded from a store ahead of time, and images that are uploaded at once, because stores
#: answer slowly. Downloads wait on disk, uploads in memory.
_FETCHED, _WRITTEN = 8, 4
#: Number of simultaneous requests to a store for the state of objects.
_ASKED = 16

Given = ParamSpec("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Done:
    """Outcome for one image or video.

    Attributes:
        source: the image or video.
        segmentation: the result; ``None`` for videos, for images that failed or were done before, and for
            images that ran by rows.
        written: files that were written.
        error: why the source failed; empty if it did not.
        missing: message about the missing extra, if reading the source needs one.
        skipped: whether an earlier run had done it.
        note: short summary of the result, for people.
    """

    source: Source | VideoSource
    segmentation: Segmentation | None = None
    written: tuple[Path, ...] = ()
    error: str = ""
    missing: str = ""
    skipped: bool = False
    note: str = ""


@dataclass(frozen=True)
class _Read:
    """An image that was read: either prepared, or too large for memory and opened by rows."""

    source: Source
    began: float
    state: str
    prepared: Prepared | None = None
    rows: RowJob | None = None

    def page(self, size: tuple[int, int], areas: Mapping[str, float], outputs: tuple[Path, ...] = ()) -> Page:
        """Return the record of the image, with the time taken so far."""
        return Page(self.source, self.state, outputs, time.perf_counter() - self.began, size, areas)


@dataclass(frozen=True)
class _Seen:
    """An image that was segmented: its segmentation, or the share of each class if it ran by rows."""

    read: _Read
    segmentation: Segmentation | None = None
    shares: Mapping[str, float] | None = None


class Job:
    """Segments sources with one predictor and writes the results into one folder.

    Args:
        predictor: the predictor to run.
        out: output folder, or the URL of one in a store, such as ``s3://bucket/masks``.
        outputs: names of the outputs to write for each image; `segzoo list outputs` shows them.
        options: look of the outputs, and whether existing files are replaced.
        resume: whether to skip images that an earlier run has done completely. Existing files may be replaced
            only if an earlier run wrote them and they have not changed since.
        part: suffix of the manifest's name, if several runs share the work.
        batch: how many images of one size are run together.
        save: whether to write files.
        any_size: whether to read images with more pixels than Pillow considers safe.
        films: which frames of videos are used.
        marks: the `Manifest.marks` of the other job, if this job does a share of it.

    Raises:
        OptionError: there is no such output.
        FailureError: the folder cannot be written.
        UsageError: the URL is of a place that cannot be written to.
    """

    def __init__(
        self,
        predictor: Predictor,
        out: str | os.PathLike[str],
        *,
        outputs: Sequence[str] = ("mask", "overlay"),
        options: OutputOptions | None = None,
        resume: bool = False,
        part: str = "",
        batch: int = 1,
        save: bool = True,
        any_size: bool = False,
        films: VideoOptions | None = None,
        marks: tuple[str, ...] | None = None,
    ) -> None:
        self.predictor, self.out, self.batch = predictor, place(out, writes=True), batch
        self.outputs, self.options = tuple(outputs), options or OutputOptions()
        self.save, self.resume = save, resume
        check_outputs(self.outputs, self.options)
        for name in self.options.classes:
            class_index(predictor.config.labels, name)
        self._copies: dict[str, Future[Path]] = {}
        #: Combined files of all images that the last run wrote.
        self.joined: tuple[Path, ...] = ()
        self._joins = save and not part
        self.keeps, self.any_size, self.films = (
            needs(self.outputs, "probabilities") > 0,
            any_size,
            films or VideoOptions(),
        )
        self.manifest: Manifest | None = None
        self._volumes = Volumes(
            self.out,
            self.outputs,
            self.options,
            predictor.config.labels,
            lambda pages: self._keeping(lambda: pages),
        )
        if save:
            writable(self.out)
            anew = self.options.overwrite and not resume
            name = MANIFEST.format(part=part)
            self.manifest = Manifest(self.out, name, settings=self.settings, anew=anew, marks=marks)

    def record_in(self, part: str) -> bool:
        """Record results in a separate manifest from now on; return whether it existed already.

        Args:
            part: suffix of that manifest's name.
        """
        assert self.manifest is not None
        self.manifest, begun = self.manifest.apart(MANIFEST.format(part=part))
        return begun

    @property
    def settings(self) -> str:
        """Settings as text; jobs with equal settings write equal files for an image."""
        look = str(replace(self.options, overwrite=False))
        return repr((self.predictor.settings, self.outputs, look, self.films.settings))

    def run(
        self, sources: Sequence[Source | VideoSource], *, elsewhere: Elsewhere | None = None
    ) -> Iterator[Done]:
        """Segment every source, images first; if one fails, its `Done` holds the error.

        Args:
            sources: what to segment.
            elsewhere: segments the remaining sources instead of this process, in any order.

        Raises:
            FailureError: an output file exists and may not be replaced, in which case nothing was done; or a
                store refuses the record of the run.
        """
        try:
            yield from self._run(sources, elsewhere or Job.segment)
        finally:
            if self.manifest is not None:
                self.manifest.close()

    def _run(self, sources: Sequence[Source | VideoSource], elsewhere: Elsewhere) -> Iterator[Done]:
        ahead, done = self.to_do(sources)
        if self.save:
            refuse_outputs(
                self.out,
                ahead,
                self.outputs,
                self.options,
                inputs=sources,
                owns=self._owns,
                resume=self.resume,
                labels=self.predictor.config.labels,
                joins=self._joins,
            )
        yield from done
        failed: set[str] = set()
        for one in elsewhere(self, ahead):
            if one.error:
                failed.add(one.source.origin)
            yield one
        if self._joins:
            there = [one for one in sources if not isinstance(one, VideoSource) and one.origin not in failed]
            self.joined = join_outputs(
                self.out,
                there,
                self.outputs,
                self.options,
                self.predictor.config.labels,
                self._keeping_joined,
            )
        self.predictor.tell_watched()

    def to_do(self, sources: Sequence[Source | VideoSource]) -> tuple[list[Source | VideoSource], list[Done]]:
        """Return the sources that remain to be segmented, and those that an earlier run did."""
        whole = self._done_before(sources)
        done = [Done(source, skipped=True) for source in sources if source.origin in whole]
        return [source for source in sources if source.origin not in whole], done

    def segment(self, sources: Sequence[Source | VideoSource]) -> Iterator[Done]:
        """Segment sources and record the results, images first; sources that are done are not skipped."""
        images = [one for one in sources if not isinstance(one, VideoSource)]
        if self.save:
            self._volumes.expect(images)
        stages = Stages(
            prepare=_within_memory(self._read),
            kind=_kind,
            infer=_within_memory(self._infer),
            finish=_within_memory(self._finish),
        )
        concurrency: Concurrency[_Read] | None = side_by_side(
            self.predictor,
            len(images),
            lambda read: read.prepared,
            batch=self.batch,
            probabilities=self.keeps,
        )
        writers = _WRITTEN if isinstance(self.out, RemotePath) else 1
        ahead = self._fetched(images)
        for outcome in run_stages(ahead, stages, batch=self.batch, concurrency=concurrency, writers=writers):
            yield outcome.result or self.failed(outcome.item, outcome.error)
        for video in sources:
            if isinstance(video, VideoSource):
                try:
                    yield self._film(video)
                except SegzooError as error:
                    yield self.failed(video, error)

    def _keeping_joined(self) -> Keeping:
        """Return what records a combined file of all images."""

        def naming(parts: Mapping[Path, Path]) -> None:
            if self.manifest is not None:
                self.manifest.add(ALL_IMAGES, outputs=tuple(parts), parts=parts)

        return self._kept(naming)

    def _kept(self, naming: Callable[[Mapping[Path, Path]], None]) -> Keeping:
        return Keeping(self._owns, naming, lambda: "" if self.manifest is None else self.manifest.mark)

    def _done_before(self, sources: Sequence[Source | VideoSource]) -> set[str]:
        """Return the origins of sources that an earlier run did; for volumes, all pages or none."""
        if not self.resume or self.manifest is None:
            return set()
        volumes = {source.origin: self._volumes.paths(source) for source in sources}
        sizes = self.manifest.sizes()
        known = [source for source in sources if self.manifest.knows(source.origin)]
        with ThreadPoolExecutor(_ASKED) as threads:
            states = dict(threads.map(lambda one: (one.origin, one.state()), known))
        done = {
            source.origin
            for source in sources
            if self.manifest.has(source.origin, states.get(source.origin, ""), volumes[source.origin], sizes)
        }
        missing = {path for origin, paths in volumes.items() if origin not in done for path in paths}
        return {origin for origin in done if missing.isdisjoint(volumes[origin])}

    def failed(self, source: Source | VideoSource, error: SegzooError | None) -> Done:
        """Record why a source failed."""
        told = str(error) if source.origin in str(error) else f"{source.origin}: {error}"
        if lost := self._volumes.fail(source):
            told = f"{told}. So {', '.join(map(str, lost))} is not written: it needs the masks of all pages"
        if self.manifest is not None:
            self.manifest.add(source.origin, state=source.state(), error=told)
        return Done(source, error=told, missing=str(error) if isinstance(error, MissingExtraError) else "")

    def gathers(self, source: Source) -> bool:
        """Whether the mask of a page is written into one file with the masks of the other pages."""
        return bool(self._volumes.paths(source))

    def _owns(self, path: Path) -> bool:
        return self.resume and self.manifest is not None and self.manifest.owns(path)

    def _film(self, source: VideoSource) -> Done:
        state, output = source.state(), video_output(self.outputs, save=self.save)

        def keeping(found: VideoResult) -> Keeping:
            told: dict[str, Any] = {"seconds": found.seconds, "size": found.size, "areas": found.areas}

            def naming(parts: Mapping[Path, Path]) -> None:
                if self.manifest is not None:
                    self.manifest.add(source.origin, state=state, outputs=tuple(parts), parts=parts, **told)

            kept = self._kept(naming)
            return replace(kept, owns=lambda _: False) if source.is_camera else kept

        found = write_video(
            self.predictor,
            source,
            video_path(self.out, source, output),
            output,
            self.films,
            opacity=self.options.opacity,
            overwrite=self.options.overwrite,
            keeping=keeping,
        )
        return Done(source, written=(found.path,), note=video_note(found, self.predictor.config.labels))

    def _read(self, source: Source) -> _Read:
        began, state = time.perf_counter(), source.state()
        if self.save and not isinstance(self.out, RemotePath):
            # Check again, because the run may have begun long ago. Stores are checked when files are named.
            refuse_taken(self.paths(source), overwrite=self.options.overwrite, owns=self._owns)
        if not isinstance(source, FileSource):
            prepared = prepare_source(self.predictor, source, probabilities=self.keeps)
            return _Read(source, began, state, prepared=prepared)
        copy = self._copies.pop(source.origin, None)
        here = source.here() if copy is None else copy.result()
        with named(here, source.path):
            rows = self._rows(source, here)
            if rows is not None:
                return _Read(source, began, state, rows=rows)
            prepared = prepare_source(self.predictor, source, here, probabilities=self.keeps)
            return _Read(source, began, state, prepared=prepared)

    def _fetched(self, images: Sequence[Source]) -> Iterator[Source]:
        """Yield images; download those in a store ahead of time, and only once for all pages of a file."""
        threads = ThreadPoolExecutor(_FETCHED)
        coming = iter(images)
        queue: deque[Source] = deque()
        last: tuple[Path | None, Future[Path] | None] = None, None
        try:
            while True:
                for source in islice(coming, _FETCHED - len(queue)):
                    if isinstance(source, FileSource) and isinstance(source.path, RemotePath):
                        copy = last[1] if last[0] == source.path else None
                        self._copies[source.origin] = copy = copy or threads.submit(source.here)
                        last = source.path, copy
                    queue.append(source)
                if not queue:
                    return
                yield queue.popleft()
        finally:
            threads.shutdown(cancel_futures=True)
            self._copies.clear()

    def _rows(self, source: FileSource, here: Path) -> RowJob | None:
        """Return the row job of an image, if it is too large to hold in memory with all its outputs."""
        stem, look = self.out / source.name, look_of(source, self.outputs, self.options)
        paths = {name: output_path(stem, name, look) for name in self.outputs} if self.save else {}
        return RowJob.find(
            self.predictor.tiler,
            here,
            paths,
            look,
            page=source.page,
            cleans=self.predictor.cleans,
            splits=self.predictor.splits,
            any_size=self.any_size,
        )

    def _infer(self, read: Sequence[_Read]) -> list[_Seen]:
        prepared = [one.prepared for one in read if one.prepared is not None]
        if not prepared:
            return [_Seen(one, shares=self._run_rows(one, one.rows)) for one in read if one.rows is not None]
        found = self.predictor.segment_prepared(prepared, probabilities=self.keeps)
        return [_Seen(one, segmentation) for one, segmentation in zip(read, found, strict=True)]

    def _run_rows(self, read: _Read, rows: RowJob) -> Mapping[str, float]:
        size = rows.plan.height, rows.plan.width
        path = read.source.path if isinstance(read.source, FileSource) else rows.path
        with (
            self.predictor.watch.look(read.source.origin, size, rows.rows.info) as look,
            named(rows.path, path),
        ):
            return rows.run(self._keeping(lambda: [read.page(size, rows.shares)]), look)

    def _finish(self, source: Source, seen: _Seen) -> Done:
        if seen.read.rows is not None:
            files = seen.read.rows.files
            return Done(
                source, written=files, note=found_in_words(seen.shares or {}, self.predictor.config.labels)
            )
        assert seen.segmentation is not None
        written: tuple[Path, ...] = ()
        if self.save:
            written = self._written(seen.read, seen.segmentation)
        return Done(
            source,
            seen.segmentation,
            written,
            note=found_in_words(seen.segmentation.shares, seen.segmentation.labels),
        )

    def _written(self, read: _Read, found: Segmentation) -> tuple[Path, ...]:
        """Write the files of an image, and a volume if this is its last page."""
        source, shares = read.source, found.shares
        look = look_of(source, self.outputs, self.options)
        flat, gathered = divided(self.outputs, look)
        written: tuple[Path, ...] = ()
        if flat:
            stem, keeping = self.out / source.name, self._keeping(lambda: [read.page(found.size, shares)])
            written = write_outputs(found, stem, flat, look, source=source.origin, keeping=keeping)
        if gathered:
            written += self._volumes.add(read.page(found.size, shares, written), found)
        return written

    def _keeping(self, pages: Callable[[], Sequence[Page]]) -> Keeping:
        """Return what records images, or all pages of a volume, before their files are renamed into place."""

        def naming(parts: Mapping[Path, Path]) -> None:
            if self.manifest is None:
                return
            for page in pages():
                self.manifest.add(
                    page.source.origin,
                    state=page.state,
                    outputs=(*page.outputs, *parts),
                    parts=parts,
                    seconds=page.seconds,
                    size=page.size,
                    areas=page.areas,
                )

        return self._kept(naming)

    def paths(self, source: Source | VideoSource) -> list[Path]:
        """Return the files to write for a source."""
        return _output_paths(self.out, source, self.outputs, self.options, self.predictor.config.labels)


def refuse_outputs(
    out: Path,
    ahead: Sequence[Source | VideoSource],
    outputs: Sequence[str],
    options: OutputOptions,
    *,
    inputs: Sequence[Source | VideoSource],
    owns: Callable[[Path], bool] | None = None,
    resume: bool = False,
    labels: Labels | None = None,
    joins: bool = True,
) -> None:
    """Raise if outputs would replace a file that must stay; remove stale partial files next to them.

    Args:
        out: output folder.
        ahead: sources that are to be segmented.
        outputs: outputs written for each source.
        options: look of the outputs, and whether existing files may be replaced.
        inputs: all sources; none of them is ever replaced.
        owns: whether an earlier run wrote a file; see `segzoo.files.Keeping`.
        resume: whether the run resumes an earlier one, which changes the message.
        labels: labels, which decide whether each class has its own file; ``None`` if weights are not read
            yet.
        joins: whether combined files of all images are written too.

    Raises:
        OptionError: the outputs cannot be written together.
        FailureError: an output file exists and may not be replaced, or is an input.
    """
    check_outputs(outputs, options)
    paths: list[Path] = []
    shot: list[Path] = []
    for one in ahead:
        with suppress(OptionError):  # a video with an impossible output fails later, with its own message
            camera = isinstance(one, VideoSource) and one.is_camera
            (shot if camera else paths).extend(_output_paths(out, one, outputs, options, labels))
    if joins and any(not isinstance(one, VideoSource) for one in inputs):
        paths.extend(joined_paths(out, outputs).values())
    for folder in {path.parent for path in (*paths, *shot)}:
        sweep(folder)
    # All pages of a volume share one file.
    paths = [path for path in paths if not volume_suffix(path.name)] + list(
        dict.fromkeys(path for path in paths if volume_suffix(path.name))
    )
    told: dict[str, Any] = {"overwrite": options.overwrite, "inputs": files_of(inputs)}
    told["advice"] = _ADVICE_RESUMING if resume else _ADVICE
    refuse_taken(paths, owns=owns, **told)
    # A camera's frames cannot be recorded again, so its files are never replaced.
    refuse_taken(shot, **told)


def refuse_mask_folders(
    out: Path, sources: Sequence[Source | VideoSource], outputs: Sequence[str], options: OutputOptions
) -> None:
    """Raise `FailureError` if outputs would be written into a folder of ground-truth masks.

    Otherwise the next reader of the dataset, such as `segzoo train`, would use predictions as ground truth.
    """
    folders: set[Path] = set()
    for one in sources:
        with suppress(OptionError):
            folders |= {path.parent for path in _output_paths(out, one, outputs, options)}
    inputs = files_of(sources)
    there = [path for folder in folders for path in _images_in(folder)]
    ours = written_into(out, there) if there else set()
    theirs = [path for path in there if path not in ours]
    if not theirs:
        return
    inputs = [path for path in inputs if isinstance(path, RemotePath) == isinstance(out, RemotePath)]
    real = {path: resolved(path) for path in (*theirs, *inputs)}
    root = common_folder(path.parent for path in real.values())
    if root is None:  # a dataset is never spread over several drives
        return
    for found in masks_among(sorted(set(real.values())), root).values():
        beside = set(found)
        for path in theirs:
            if real[path] in beside and real[path].parent not in {real[one].parent for one in inputs}:
                raise FailureError(
                    f"{path.parent} holds masks that segzoo did not write, such as {path.name}: predictions "
                    "could be mistaken for ground truth there. Name another folder with --out"
                )


def _images_in(folder: Path) -> list[Path]:
    if isinstance(folder, RemotePath):
        there = (one.path for one in listed(folder, deep=False))
        return [path for path in there if has_suffix(path, readable_suffixes())]
    try:
        return [path for path in folder.iterdir() if has_suffix(path, readable_suffixes())]
    except OSError:  # it does not exist yet, or writing to it will report the problem
        return []


def _output_paths(
    out: Path,
    source: Source | VideoSource,
    outputs: Sequence[str],
    options: OutputOptions,
    labels: Labels | None = None,
) -> list[Path]:
    if isinstance(source, VideoSource):
        return [video_path(out, source, video_output(outputs))]
    look = look_of(source, outputs, options)
    flat, _ = divided(outputs, look)
    paths = {name: output_path(out / source.name, name, look) for name in flat}
    alone = [*paths.values()] if labels is None else [path for *_, path in written_as(paths, labels, look)]
    return [*alone, *volume_paths(out, source, outputs, look, labels)]


def _within_memory(stage: Callable[Given, Made]) -> Callable[Given, Made]:
    """Return a stage that reports a shortage of memory as an error of its images, not of the whole run."""

    def guarded(*given: Given.args, **named: Given.kwargs) -> Made:
        try:
            return stage(*given, **named)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, SegzooError) or not is_short_of_memory(error):
                raise
            told = told_shortage(error)
        release_memory()
        raise MemoryShortageError(f"it does not fit in memory ({told}): --memory 2GB cuts it into tiles")

    return guarded


def _kind(read: _Read) -> Hashable:
    return id(read) if read.prepared is None else read.prepared.kind


def prepare_source(
    predictor: Predictor, source: Source, here: Path | None = None, *, probabilities: bool = False
) -> Prepared:
    """Read and preprocess the image of a source; see `segzoo.Predictor.prepare`.

    Args:
        predictor: predictor that will segment the image.
        source: source of the image.
        here: local file of the source, if it is known already.
        probabilities: whether probabilities will be requested.

    Raises:
        ImageError: the image cannot be read; see `segzoo.Predictor.prepare`.
    """
    given: dict[str, Any] = {"probabilities": probabilities, "name": source.origin}
    if isinstance(source, FileSource):
        # A file, unlike an open stream, may be decoded directly at the network's resolution.
        return predictor.prepare(here or source.here(), page=source.page, **given)
    pixels, info = source.read()
    return predictor.prepare_pixels(pixels, info=info, **given)


def measured_rows(sources: Sequence[Source], *, any_size: bool = False) -> Iterator[Read]:
    """Yield the images of a run, or 64 of them spread evenly, a few rows at a time.

    Used by `segzoo.Predictor.measure`. Sources that can be read only once, such as standard input, are left
    out; so are unreadable ones, which the run itself reports.

    Args:
        sources: sources of the run.
        any_size: whether to read images with more pixels than Pillow considers safe.
    """
    files = [one for one in sources if isinstance(one, FileSource)]
    for source in evenly(files, MEASURED):
        with suppress(ImageError):
            here = source.here()
            rows = open_rows(here, page=source.page, max_pixels=None if any_size else -1)
            for part in in_parts(rows):
                yield part, rows.info
