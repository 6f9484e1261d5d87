"""Small images are segmented several at once on a CPU, with the masks that each has by itself."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.evaluation import score_model
from segzoo.interfaces import Sample
from segzoo.prediction import Predictor
from segzoo.prediction.concurrency import side_by_side
from segzoo.prediction.job import Job
from segzoo.prediction.sources import find
from segzoo.specs import Labels


@pytest.fixture
def threads():
    """Let torch have four threads, and say how many it has."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield torch.get_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2, width=4, depth=2).eval()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(9):
        side = (48, 64, 80)[number % 3]
        noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    return folder


def watched(predictor):
    """Return the predictor, and of each image that it segments the thread and how many torch had there."""
    seen, segment = [], predictor.segment_prepared

    def segment_prepared(prepared, **options):
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return segment(prepared, **options)

    predictor.segment_prepared = segment_prepared
    return predictor, seen


def together(predictor, images, **options):
    """Return on how many threads each of images of 64x64 pixels runs, all of 4 where it is alone."""
    with_image = side_by_side(predictor, images, lambda prepared: prepared, **options)
    if with_image is None:
        return 1
    return with_image.together(predictor.prepare(np.zeros((64, 64, 3), np.uint8)))


@pytest.mark.medium
@pytest.mark.parametrize("backend", ["torch", "eager"])
def test_images_at_once_get_the_files_that_shards_of_one_thread_write(
    network, photos, threads, tmp_path, backend
):
    found = {}
    for name, count in (("at once", 4), ("shard", 1)):
        torch.set_num_threads(count)
        predictor, seen = watched(Predictor(network, device="cpu", backend=backend))
        done = list(Job(predictor, tmp_path / name, outputs=["mask", "overlay"]).run(find([photos]).images))
        assert [one.source.name for one in done] == [str(number) for number in range(9)]
        assert {used for _, used in seen} == {1}
        assert (threading.get_ident() in {thread for thread, _ in seen}) == (count == 1)
        found[name] = {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")}
        lines = (tmp_path / name / "manifest.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["input"] for line in lines) == [
            str(photos / f"{number}.png") for number in range(9)
        ]
        assert threads() == count
    assert len(found["shard"]) == 18
    assert found["at once"] == found["shard"]


def test_few_images_divide_the_threads_and_one_has_all(network, threads):
    predictor = Predictor(network, device="cpu")
    assert [together(predictor, images) for images in (1, 2, 3, 4, 100)] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(("memory", "count"), [("20MB", 1), ("40MB", 2), ("60MB", 3), ("10GB", 4)])
def test_the_memory_that_was_promised_is_that_of_all_images_at_once(network, threads, memory, count):
    # Each takes the 16 MB that every plan counts for the interpreter and the allocator, and little more.
    assert together(Predictor(network, device="cpu", memory=memory), 100) == count


def test_an_image_of_millions_of_pixels_is_segmented_when_no_other_is(network, threads):
    predictor = Predictor(network, device="cpu")
    beside = side_by_side(predictor, 100, lambda prepared: prepared)
    assert beside is not None
    assert beside.together(predictor.prepare(np.zeros((2048, 2048, 3), np.uint8))) == 1


@pytest.mark.parametrize("reason", ["batches", "an engine for one caller", "training", "one thread"])
def test_images_go_one_after_the_other_where_they_must(network, threads, reason):
    predictor = Predictor(network, device="cpu", backend="eager")
    if reason == "one thread":
        torch.set_num_threads(1)
    if reason == "an engine for one caller":
        predictor.engine = type("Plain", (), {"device": torch.device("cpu")})()
    if reason == "training":
        network.train()
    try:
        assert together(predictor, 100, batch=4 if reason == "batches" else 1) == 1
    finally:
        network.eval()


def test_evaluation_segments_images_at_once_and_finds_the_same_scores(network, threads):
    labels = Labels(classes=("background", "thing"))
    random = np.random.default_rng(0)

    class Samples:
        def __init__(self):
            self.labels = labels
            self.samples = [
                Sample(
                    image=random.integers(0, 256, (40, 56, 3), np.uint8),
                    mask=random.integers(0, 2, (40, 56), np.uint8),
                    name=str(number),
                )
                for number in range(12)
            ]

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            return self.samples[index]

    data, found = Samples(), []
    for count in (4, 1):
        torch.set_num_threads(count)
        predictor, seen = watched(Predictor(network, device="cpu", backend="eager"))
        found.append(score_model(predictor, data, resamples=0))
        assert {used for _, used in seen} == {1}
    assert found[0].scores == found[1].scores
    assert [image.name for image in found[0].images] == [str(number) for number in range(12)]
