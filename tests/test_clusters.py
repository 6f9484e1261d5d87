"""A cluster does each image once, whatever becomes of its workers, and gives what one process gives."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.build import open_cluster, open_dataset
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError, UnknownNameError
from segzoo.evaluation import score_model
from segzoo.prediction import job as job_module
from segzoo.prediction.job import Job
from segzoo.prediction.outputs import OutputOptions
from segzoo.prediction.sharing import run_on
from segzoo.prediction.sources import find

NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"]


class Died(BaseException):
    """The end of a worker."""


class Pretended:
    """A cluster in this process, whose workers die where `Died` is raised.

    Args:
        before: called before a worker begins.
    """

    workers, description = 1, "pretended"

    def __init__(self, before=lambda: None):
        self.before, self.begun = before, 0

    def run(self, begin, tasks):
        # Backwards, since answers come in any order.
        for number, task in reversed([*enumerate(tasks)]):
            for _ in range(3):
                self.before()
                self.begun += 1
                work = pickle.loads(pickle.dumps(begin))()
                try:
                    yield number, pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(task)))))
                    break
                except Died:
                    continue


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2, width=2, depth=2, upsample="bilinear")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Eight images and a damaged one, by relative paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(NAMES):
        noise = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"photos/{name}.png")
    (tmp_path / "photos/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    return tmp_path


def job(model, out, **options):
    return Job(segzoo.Predictor(model, backend="eager"), out, outputs=["mask", "areas"], **options)


def recorded(out):
    """Return the lines of all manifests by input, without what differs from run to run."""
    lines = [json.loads(line) for path in out.glob("manifest*") for line in path.read_text().splitlines()]
    assert len(lines) == len({line["input"] for line in lines}), "an image is recorded twice"
    return {line["input"]: {k: v for k, v in line.items() if k not in ("times", "seconds")} for line in lines}


def files(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith("manifest")}


def deadly(monkeypatch, name, times):
    """Let the worker that writes an image die so many times, when others of its task are written."""
    write, left = job_module.write_outputs, [times]

    def writing(found, stem, *given, **named):
        if stem.name == name and left[0]:
            left[0] -= 1
            raise Died
        return write(found, stem, *given, **named)

    monkeypatch.setattr(job_module, "write_outputs", writing)


@pytest.mark.medium
def test_a_worker_that_dies_loses_nothing_and_does_nothing_twice(model, photos, monkeypatch):
    sources = find(["photos"]).images
    list(job(model, photos / "here").run(sources))
    deadly(monkeypatch, "f", 1)
    monkeypatch.setattr("segzoo.clusters._ROUNDS", 2)
    outcomes = list(run_on(Pretended(), job(model, photos / "there"), sources))
    assert sorted(one.source.origin for one in outcomes) == sorted(one.origin for one in sources)
    assert [one.source.name for one in outcomes if one.error] == ["bad"]
    assert recorded(photos / "there") == recorded(photos / "here")
    assert files(photos / "there") == files(photos / "here")
    assert [path.name for path in (photos / "there").glob("manifest*")] == ["manifest.jsonl"]
    again = list(job(model, photos / "there", resume=True).run(sources))
    assert sum(one.skipped for one in again) == len(NAMES)


@pytest.mark.medium
def test_a_task_that_is_repeated_after_its_answer_is_recorded_once(model, photos):
    class Repeating(Pretended):
        def run(self, begin, tasks):
            for number, answer in super().run(begin, tasks):
                yield number, answer
                yield number, begin()(tasks[number])

    sources = find(["photos"]).images
    outcomes = list(run_on(Repeating(), job(model, photos / "out"), sources))
    assert [one.source.name for one in outcomes if one.error] == ["bad"]
    assert len(recorded(photos / "out")) == len(sources) + 1
    assert [path.name for path in (photos / "out").glob("manifest*")] == ["manifest.jsonl"]


@pytest.mark.medium
def test_an_image_that_ends_every_worker_is_reported_and_the_others_are_done(model, photos, monkeypatch):
    sources = find(["photos"]).images
    deadly(monkeypatch, "c", 1000)
    monkeypatch.setattr("segzoo.clusters._ROUNDS", 2)
    outcomes = {one.source.name: one for one in run_on(Pretended(), job(model, photos / "out"), sources)}
    assert "every worker" in outcomes["c"].error
    assert {name for name, one in outcomes.items() if not one.error} == {*NAMES} - {"c"}
    assert "error" in recorded(photos / "out")["photos/c.png"]
    assert [path.name for path in (photos / "out").glob("manifest*")] == ["manifest.jsonl"]


@pytest.mark.medium
def test_a_run_that_is_stopped_goes_on_here_and_there(model, photos):
    sources = find(["photos"]).images
    outcomes = run_on(Pretended(), job(model, photos / "out"), sources)
    first = [next(outcomes).source.name for _ in range(3)]
    outcomes.close()
    there = list(run_on(Pretended(), job(model, photos / "out", resume=True), sources))
    assert {one.source.name for one in there if one.skipped} >= {*first} - {"bad"}
    assert all(not one.error or one.source.name == "bad" for one in there)
    assert len(recorded(photos / "out")) == len(NAMES) + 2  # the damaged one, and the table of all


@pytest.mark.medium
def test_other_settings_replace_what_a_run_wrote_and_nothing_else(model, photos):
    sources = [one for one in find(["photos"]).images if one.name != "bad"]
    list(job(model, photos / "out").run(sources))
    with pytest.raises(FailureError, match="exist already"):
        list(run_on(Pretended(), job(model, photos / "out"), sources))
    (photos / "out/d_mask.png").write_bytes(b"mine")
    flipped = Job(
        segzoo.Predictor(model, backend="eager", flips=["horizontal"]),
        photos / "out",
        outputs=["mask", "areas"],
        resume=True,
    )
    with pytest.raises(FailureError, match=r"d_mask\.png"):
        list(run_on(Pretended(), flipped, sources))
    (photos / "out/d_mask.png").unlink()
    assert not any(one.error or one.skipped for one in run_on(Pretended(), flipped, sources))


def test_pages_of_a_volume_go_to_one_worker(model, photos, monkeypatch):
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(0).integers(0, 255, (24, 20, 6)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), photos / "scan.nii")
    grey = segzoo.create("unet", num_classes=2, in_channels=1, width=2, depth=2)
    monkeypatch.setattr("segzoo.clusters._ROUNDS", 2)
    sources = find(["scan.nii"]).images
    given = {"outputs": ["mask"], "options": OutputOptions(suffixes={"mask": ".nii"})}
    for out, elsewhere in (("here", None), ("there", Pretended())):
        done = Job(segzoo.Predictor(grey, backend="eager"), photos / out, **given)
        list(done.run(sources) if elsewhere is None else run_on(elsewhere, done, sources))
    assert recorded(photos / "there") == recorded(photos / "here")
    assert files(photos / "there") == files(photos / "here")


def test_a_folder_that_workers_do_not_share_ends_the_run(model, photos):
    out = photos / "out"
    cluster = Pretended(before=lambda: [path.unlink() for path in out.glob("manifest-*")])
    with pytest.raises(FailureError, match="file system that all machines share"):
        list(run_on(cluster, job(model, out), find(["photos"]).images))


@pytest.mark.medium
def test_scores_are_the_same_to_the_last_bit(model, photos):
    (photos / "photos/bad.png").unlink()
    (photos / "masks").mkdir()
    for number, name in enumerate(NAMES):
        mask = np.random.default_rng(number).integers(0, 2, (20, 24), np.uint8)
        Image.fromarray(mask).save(photos / f"masks/{name}.png")
    (photos / "masks/e.png").write_bytes(b"damaged")
    dataset = open_dataset("folder", root=photos, images="photos", masks="masks", split="all")
    asked = {"metrics": ["dice", "iou", "auc"], "worst": 3, "keep_going": True}
    here = score_model(model, dataset, save_predictions=photos / "here", **asked)
    there = score_model(model, dataset, save_predictions=photos / "there", cluster=Pretended(), **asked)
    assert there.to_json() == here.to_json()
    assert len(here.unscored) == 1
    assert there.worst == here.worst
    assert files(photos / "there") == files(photos / "here")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--on", "rya"], "no cluster is named 'rya'"),
        (["--on", "ray", "--device", "cuda:1"], "leave --device out"),
    ],
)
def test_a_cluster_that_cannot_be_is_told_before_anything_is_loaded(photos, capsys, words, told):
    assert run(["predict", "photos", "-m", "none", *words]) == 2
    assert told in capsys.readouterr().err


def test_the_text_of_a_cluster_is_read_as_name_address_and_options():
    with pytest.raises(UnknownNameError):
        open_cluster("nowhere:auto")
    for text, told in (("ray,workers", "KEY=VALUE"), ("ray,cpus=1,cpus=2", "twice")):
        with pytest.raises((OptionError, UnknownNameError), match=f"{told}|no cluster"):
            open_cluster(text)
