"""Many images and videos in one run: segment, write what was asked for, record it, go on after a bad one."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError, OptionError, SegzooError
from segzoo.files import refuse_existing, writable
from segzoo.prediction.classes import class_index
from segzoo.prediction.films import FilmOptions, film_note, film_output, film_path, write_film
from segzoo.prediction.large import PICTURES, to_spare
from segzoo.prediction.manifest import Manifest
from segzoo.prediction.pipeline import Stages, run_stages
from segzoo.prediction.rendering import OUTPUTS, OutputOptions, check_outputs, write_outputs
from segzoo.prediction.sources import FileSource, VideoSource
from segzoo.prediction.tiling import open_rows, open_sink

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Iterator, Sequence

    from segzoo.prediction.predictor import Predictor, Prepared
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.prediction.sources import Source
    from segzoo.prediction.tiling import Plan, RowSource


@dataclass(frozen=True)
class Done:
    """What became of one image or video.

    Attributes:
        source: where it came from.
        segmentation: what was found; ``None`` of a video, and of an image that failed, was done before, or
            went by rows.
        written: the files.
        error: why there is none.
        skipped: whether an earlier run had done it.
        note: what a person should know.
    """

    source: Source | VideoSource
    segmentation: Segmentation | None = None
    written: tuple[Path, ...] = ()
    error: str = ""
    skipped: bool = False
    note: str = ""


@dataclass(frozen=True)
class _Read:
    """An image on its way: prepared, or too large to be held, with its plan."""

    source: Source
    began: float
    state: str
    prepared: Prepared | None = None
    rows: RowSource | None = None
    plan: Plan | None = None


@dataclass(frozen=True)
class _Seen:
    """An image that was segmented: what was found, or the file that its rows went to."""

    read: _Read
    segmentation: Segmentation | None = None
    streamed: Path | None = None


class Job:
    """Segments sources with one predictor into one folder.

    Args:
        predictor: ready to run.
        out: the folder.
        outputs: names of what is written for each image, of `segzoo.prediction.rendering.OUTPUTS`.
        options: how that looks, and whether files that exist are replaced.
        resume: whether what an earlier run did and is whole is left as it is.
        part: sets apart the manifest of one of several runs that share the work.
        batch: how many images of one size are run together.
        save: whether anything is written at all.
        any_size: whether images of more pixels than Pillow takes for harmless are read.
        films: which frames of videos are taken.

    Raises:
        OptionError: there is no such output.
        FailureError: the folder cannot be written.
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
        films: FilmOptions | None = None,
    ) -> None:
        self.predictor, self.out, self.outputs, self.batch = predictor, Path(out), tuple(outputs), batch
        self.options, self.save, self.resume = options or OutputOptions(), save, resume
        check_outputs(self.outputs, self.options)
        for name in self.options.classes:
            class_index(predictor.config.labels, name)
        self.keeps, self.any_size, self.films = (
            "probabilities" in self.outputs,
            any_size,
            films or FilmOptions(),
        )
        look = str(replace(self.options, overwrite=False))
        told = (predictor.settings, self.outputs, look, self.films.settings)
        self.manifest: Manifest | None = None
        if save:
            writable(self.out)
            name = f"manifest{part}.jsonl"
            self.manifest = Manifest(
                self.out, name, settings=repr(told), anew=self.options.overwrite and not resume
            )

    def run(self, sources: Sequence[Source | VideoSource]) -> Iterator[Done]:
        """Segment every source, images first; what goes wrong with one is told in its `Done`."""
        images: list[Source] = []
        videos: list[VideoSource] = []
        for source in sources:
            if self.resume and self.manifest is not None and self.manifest.has(source.origin, source.state()):
                yield Done(source, skipped=True)
            elif isinstance(source, VideoSource):
                videos.append(source)
            else:
                images.append(source)
        stages = Stages(prepare=self._read, kind=_kind, infer=self._infer, finish=self._finish)
        for outcome in run_stages(images, stages, batch=self.batch):
            yield outcome.result or self._failed(outcome.item, str(outcome.error))
        for video in videos:
            try:
                yield self._film(video)
            except SegzooError as error:
                yield self._failed(video, str(error))

    def _failed(self, source: Source | VideoSource, told: str) -> Done:
        if self.manifest is not None:
            self.manifest.add(source.origin, state=source.state(), error=told)
        return Done(source, error=told)

    def _film(self, source: VideoSource) -> Done:
        state, output = source.state(), film_output(self.outputs, save=self.save)
        found = write_film(
            self.predictor,
            source,
            film_path(self.out, source, output),
            output,
            self.films,
            opacity=self.options.opacity,
            # What a camera showed cannot be had again.
            overwrite=self.options.overwrite and not (source.is_camera and self.resume),
        )
        if self.manifest is not None:
            told: dict[str, Any] = {"seconds": found.seconds, "size": found.size, "areas": found.areas}
            self.manifest.add(source.origin, state=state, outputs=(found.path,), **told)
        return Done(source, written=(found.path,), note=film_note(found))

    def _read(self, source: Source) -> _Read:
        began, state = time.perf_counter(), source.state()
        if self.save and not self.options.overwrite:
            for path in self._paths(source):
                refuse_existing(path)
        if isinstance(source, FileSource) and source.page is None:
            rows, plan = self._large(source)
            if plan is not None:
                return _Read(source, began, state, rows=rows, plan=plan)
            # A file that is handed over as such may be decoded at the size that the network sees.
            return _Read(source, began, state, prepared=self.predictor.prepare(source.path))
        return _Read(source, began, state, prepared=self.predictor.prepare(source.read()))

    def _large(self, source: FileSource) -> tuple[RowSource | None, Plan | None]:
        """Return the rows and the plan of an image that is too large to be held with all its pictures."""
        tiler = self.predictor.tiler
        if tiler.config.preprocessing.resize is not None:
            return None, None
        rows = open_rows(source.path, max_pixels=None if self.any_size else -1)
        pictures = rows.height * rows.width * PICTURES
        if pictures <= (to_spare() if tiler.memory is None else tiler.memory):
            return None, None
        size = (rows.height, rows.width)
        return rows, tiler.plan(*size, channels=rows.channels, resident=rows.resident)

    def _infer(self, read: Sequence[_Read]) -> list[_Seen]:
        prepared = [one.prepared for one in read if one.prepared is not None]
        if not prepared:
            return [_Seen(one, streamed=self._stream(one)) for one in read]
        found = self.predictor.segment_prepared(prepared, probabilities=self.keeps)
        return [_Seen(one, segmentation) for one, segmentation in zip(read, found, strict=True)]

    def _stream(self, read: _Read) -> Path:
        """Run an image by tiles, from the rows of its file to those of its mask's."""
        rows, plan = read.rows, read.plan
        assert rows is not None
        assert plan is not None
        if "mask" not in self.outputs or self.predictor.cleans or not self.save:
            raise OptionError(
                f"{read.source.origin} ({rows.height}x{rows.width}) goes by rows, which gives the mask as "
                "the network finds it: ask for the output mask, without smallest objects or holes, or give "
                "more memory"
            )
        path = self._paths(read.source)[self.outputs.index("mask")]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FailureError(f"cannot write to {path.parent}: {error.strerror}") from error
        labels = self.predictor.config.labels
        with open_sink(path, rows.height, rows.width, labels, overwrite=self.options.overwrite) as sink:
            self.predictor.tiler.run(rows, sink, plan)
        return path

    def _finish(self, source: Source, seen: _Seen) -> Done:
        if seen.streamed is not None:
            assert seen.read.plan is not None
            size = (seen.read.plan.height, seen.read.plan.width)
            self._record(source, seen.read, (seen.streamed,), size, {})
            left = ", ".join(name for name in self.outputs if name != "mask")
            note = f"too large for {left}: the mask alone was written" if left else ""
            return Done(source, written=(seen.streamed,), note=note)
        assert seen.segmentation is not None
        written: tuple[Path, ...] = ()
        if self.save:
            stem = self.out / source.name
            written = write_outputs(seen.segmentation, stem, self.outputs, self.options, source=source.origin)
        height, width = seen.segmentation.mask.shape
        self._record(source, seen.read, written, (height, width), seen.segmentation.shares)
        return Done(source, seen.segmentation, written)

    def _record(
        self, source: Source, read: _Read, written: tuple[Path, ...], size: tuple[int, int], areas: Any
    ) -> None:
        if self.manifest is not None:
            seconds = time.perf_counter() - read.began
            self.manifest.add(
                source.origin, state=read.state, outputs=written, seconds=seconds, size=size, areas=areas
            )

    def _paths(self, source: Source) -> list[Path]:
        stem = self.out / source.name
        suffixes = [self.options.suffixes.get(name, OUTPUTS[name].suffix) for name in self.outputs]
        return [stem.with_name(stem.name + suffix) for suffix in suffixes]


def _kind(read: _Read) -> Hashable:
    return id(read) if read.prepared is None else read.prepared.kind
