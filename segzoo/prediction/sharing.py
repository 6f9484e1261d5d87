"""Run a job whose images are segmented by the workers of a cluster.

Workers read the images and write the files; all machines must find both under the same paths. This process
writes the record of the run: one manifest, as if this machine had done all the work. Until the result of a
task is in it, the worker keeps a separate manifest of the task, ``manifest-RUN-TASK.jsonl``, next to it. If a
worker dies, the worker that repeats the task learns from it which files exist already; and if this process
dies, so does a later run with ``--resume``.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from segzoo.clusters import DEADLY, Begin, Task, beginning, spread
from segzoo.errors import FailureError, OptionError
from segzoo.files import sweep
from segzoo.prediction.job import Done, Job
from segzoo.prediction.manifest import MANIFEST
from segzoo.prediction.sources import FileSource, VideoSource
from segzoo.prediction.sources.source import StreamSource
from segzoo.prediction.video.segment import VideoOptions
from segzoo.storage import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from segzoo.interfaces import Cluster
    from segzoo.prediction.manifest import Manifest
    from segzoo.prediction.sources import Source
    from segzoo.prediction.watching import Watched


def run_on(cluster: Cluster, job: Job, sources: Sequence[Source | VideoSource]) -> Iterator[Done]:
    """Run a job on a cluster; see `Job.run`. Outcomes come in any order and hold no segmentation.

    Args:
        cluster: cluster whose context is entered.
        job: job to run.
        sources: files that workers find under the same paths, or addresses.

    Raises:
        OptionError: a source is available only on this machine.
        FailureError: an output file exists and may not be replaced; nothing was done.
    """
    for source in sources:
        if isinstance(source, StreamSource) or (isinstance(source, VideoSource) and source.is_camera):
            raise OptionError(
                f"{source.origin} can be read only on this machine, not on a cluster: leave out --on"
            )
    share = _Share(job, uuid.uuid4().hex[:12])
    token = None
    if job.save and not isinstance(job.out, RemotePath):
        token = job.out / MANIFEST.format(part=f"-{share.run}")
        token.touch()
    try:
        begin = beginning(share)
        if job.resume and job.manifest is not None and not job.manifest.knows_settings:
            # Settings name the device, which only a worker knows; so ask one.
            for _, answer in cluster.run(begin, [Task(-1, ())]):
                job.manifest.settings = answer.settings
        yield from job.run(sources, elsewhere=partial(_segmented, cluster, begin, share.run))
    finally:
        if token is not None:
            with suppress(OSError):
                token.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Item:
    """Sources of one task: an image, or all pages of a file whose masks form a volume.

    Attributes:
        sources: the sources, in order.
        files: existing output files that may be replaced because a run wrote them.
    """

    sources: tuple[Source | VideoSource, ...]
    files: Mapping[Path, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    """Result of a task.

    Attributes:
        done: outcome of each source.
        settings: settings of the worker's job.
        lines: lines of the task's manifest.
        watched: images that are very different from the training data.
        messages: messages of the worker.
    """

    done: tuple[Done, ...]
    settings: str
    lines: bytes
    watched: Watched
    messages: tuple[str, ...]


class _Share:
    """Everything a worker needs to segment its share of a job's sources; called in the worker."""

    def __init__(self, job: Job, run: str) -> None:
        self.run, self.out, self.predictor = run, job.out, job.predictor
        marks = job.manifest.marks if job.manifest is not None else ()
        # Files of earlier runs may be replaced only if requested; files of this run, always.
        self.marks = marks if job.resume else marks[:1]
        self.given: dict[str, Any] = {
            "outputs": job.outputs,
            "options": job.options,
            "batch": job.batch,
            "save": job.save,
            "any_size": job.any_size,
            "films": replace(job.films, on_message=VideoOptions().on_message, progress=None),
        }

    def __call__(self) -> _Worker:
        return _Worker(self)


class _Worker:
    """Segments tasks, and records each in a separate manifest."""

    def __init__(self, share: _Share) -> None:
        if share.given["any_size"]:
            Image.MAX_IMAGE_PIXELS = None
        part = f"-{share.run}"
        token = share.out / MANIFEST.format(part=part)
        if share.given["save"] and not isinstance(share.out, RemotePath) and not token.exists():
            raise FailureError(
                f"a worker does not find {token}, which this run has written: --out must be on a file system "
                "that all machines share, under the same path"
            )
        self._run, self._messages = share.run, list[str]()
        share.predictor.watch.on_message = self._messages.append
        self._job = Job(share.predictor, share.out, resume=True, part=part, marks=share.marks, **share.given)
        self._settings = self._job.settings

    def __call__(self, task: Task[_Item]) -> _Answer:
        job, lines = self._job, b""
        sources = [source for item in task.items for source in item.sources]
        if job.save and sources:
            begun = job.record_in(_part(self._run, task.number))
            if begun:  # but not ended: the worker may have left partial files
                for folder in {path.parent for source in sources for path in job.paths(source)}:
                    sweep(folder)
            assert job.manifest is not None
            for item in task.items:
                job.manifest.trust(item.files)
        ahead, before = job.to_do(sources)
        done = [replace(one, skipped=False, note="done before its worker ended") for one in before]
        done += [replace(one, segmentation=None) for one in job.segment(ahead)]
        if job.save and sources and job.manifest is not None:
            lines = job.manifest.text()
        messages, self._messages[:] = tuple(self._messages), []
        return _Answer(tuple(done), self._settings, lines, job.predictor.watch.drained(), messages)


def _part(run: str, number: int) -> str:
    return f"-{run}-{number}"


def _segmented(
    cluster: Cluster, begin: Begin, run: str, job: Job, sources: Sequence[Source | VideoSource]
) -> Iterator[Done]:
    """Segment sources on a cluster, and record them in the job's manifest."""
    told = False
    journals: list[Path] = []
    items = [_Item(whole, _owned(job, whole)) for whole in _whole(job, sources)]
    for task, answer in spread(cluster, begin, items, again=partial(_again, job, run)):
        journal = job.out / MANIFEST.format(part=_part(run, task.number))
        journals.append(journal)
        if job.manifest is not None:
            job.manifest.take(journal, b"" if answer is None else answer.lines)
        if answer is None:
            for source in (source for item in task.items for source in item.sources):
                yield job.failed(source, FailureError(DEADLY))
            continue
        job.predictor.watch.add(answer.watched)
        if answer.messages and not told:
            job.predictor.watch.on_message(answer.messages[0])
            told = True
        yield from answer.done
    # A task may be repeated although its answer was taken: its second record says nothing new.
    if job.manifest is not None:
        for journal in journals:
            job.manifest.take(journal, b"")


def _whole(job: Job, sources: Sequence[Source | VideoSource]) -> list[tuple[Source | VideoSource, ...]]:
    """Return the sources that must be segmented together: the pages of a file whose masks form a volume."""
    found: dict[Path | str, list[Source | VideoSource]] = {}
    for source in sources:
        whole = source.path if isinstance(source, FileSource) and job.gathers(source) else source.origin
        found.setdefault(whole, []).append(source)
    return [tuple(together) for together in found.values()]


def _owned(job: Job, sources: Sequence[Source | VideoSource]) -> dict[Path, tuple[int, int]]:
    """Return existing output files that may be replaced because a run wrote them."""
    if not job.resume or job.manifest is None or isinstance(job.out, RemotePath):
        return {}
    return _facts(job, job.manifest, sources)


def _facts(
    job: Job, manifest: Manifest, sources: Sequence[Source | VideoSource]
) -> dict[Path, tuple[int, int]]:
    paths = {path for source in sources for path in job.paths(source) if path.exists()}
    return {path: facts for path in paths if (facts := manifest.facts(path)) is not None}


def _again(job: Job, run: str, task: Task[_Item]) -> list[_Item]:
    """Return the items of a task whose workers died; files that these wrote may be replaced."""
    if job.manifest is None or isinstance(job.out, RemotePath):
        return list(task.items)
    manifest, _ = job.manifest.apart(MANIFEST.format(part=_part(run, task.number)))
    items = [replace(one, files={**one.files, **_facts(job, manifest, one.sources)}) for one in task.items]
    job.manifest.take(manifest.path, b"")
    return items
