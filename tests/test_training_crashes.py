"""A training that is killed, stopped or starved goes on as if nothing had happened, or says what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from crashes import Blow, Ended, program, run_apart
from PIL import Image

#: A plug-in's network that draws random numbers from every generator there is.
RESTLESS = """
    import os
    import random

    from segzoo.hooks import hookimpl
    from segzoo.specs import ModelSpec

    @hookimpl
    def segzoo_models():
        return [ModelSpec(name="restless", factory="restless:make", summary="draws random numbers")]

    def make(num_classes, in_channels, width=4):
        import numpy as np
        import torch
        from torch import nn

        class Restless(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(in_channels, width, 3, padding=1)
                self.norm = nn.BatchNorm2d(width)
                self.drop = nn.Dropout2d(0.3)
                self.head = nn.Conv2d(width, num_classes, 1)

            def forward(self, x):
                x = self.norm(self.conv(x)).relu()
                if "GREEDY" in os.environ:
                    torch.empty(1 << 55)
                if self.training:
                    x = self.drop(x) * (1 + random.random()) + np.random.normal(0, 0.1)
                return self.head(x)

        return Restless()
"""

#: Four epochs of four steps; everything that has a state of its own is in it.
# fmt: off
RECIPE = [
    "model=restless", "precision=no", "epochs=4", "batch_size=2", "lr=0.02", "average=0.9", "keep=2",
    "schedule=plateau", "schedule.patience=0", "schedule.warmup=0", "augment.crop.size=24", "keep_best=2",
    "seed=3",
]
# fmt: on
EPOCH = 4

TIMES = ("seconds", "images_per_second", "images_per_second_computing")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, a plug-in, and the run that nothing disturbed, in ``run``."""
    folder = tmp_path_factory.mktemp("crashes")
    draw(folder / "photos", {"train": 8, "val": 2})
    site = folder / "site"
    info = site / "restless-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "restless.py").write_text(dedent(RESTLESS))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: restless\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[segzoo.plugins]\nplugin = restless\n")
    ended = train(folder, "run")
    assert ended.code == 0, ended.text
    return folder


def draw(root: Path, parts: dict[str, int]) -> None:
    random = np.random.default_rng(0)
    for part, count in parts.items():
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((32, 32), np.uint8)
            y, x = random.integers(0, 20, 2)
            mask[y : y + 12, x : x + 12] = 255
            noise = random.integers(0, 90, (32, 32, 3), np.uint8)
            Image.fromarray(noise + (mask // 3)[..., None]).save(root / part / f"images/{part}{number}.png")
            Image.fromarray(mask).save(root / part / f"masks/{part}{number}.png")


def train(place: Path, out: str, *words: str, data: str = "photos", blow: Blow | None = None) -> Ended:
    words = ("train", "--data", data, *RECIPE, "--out", out, *words)
    return run_apart(place, program, list(words), blow, str(place / "site"))


def resume(place: Path, out: str, *words: str) -> Ended:
    return run_apart(place, program, ["train", "--resume", out, *words], None, str(place / "site"))


def steps(place: Path, out: str) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (place / out / "checkpoints").iterdir())


def assert_same_end(place: Path, out: str, undisturbed: str = "run") -> None:
    """The run in ``out`` left what the undisturbed one left, to the last bit, but for times."""
    one, other = place / undisturbed, place / out
    assert steps(place, out) == steps(place, undisturbed)
    last = f"checkpoints/step-{steps(place, out)[-1]:08d}"
    for name in (f"{last}/tensors.safetensors", "model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    states = [json.loads((folder / last / "state.json").read_text())["state"] for folder in (one, other)]
    assert untimed(states[0]) == untimed(states[1])
    rows = [(folder / "history.jsonl").read_text().splitlines() for folder in (one, other)]
    assert [untimed(json.loads(row)) for row in rows[0]] == [untimed(json.loads(row)) for row in rows[1]]
    best = [sorted(path.name for path in (folder / "best").iterdir()) for folder in (one, other)]
    assert best[0] == best[1]


def untimed(state: dict[str, object]) -> dict[str, object]:
    """Return a state without what differs between any two runs."""
    recipe = state.get("recipe")
    if isinstance(recipe, dict):
        state["recipe"] = {key: value for key, value in recipe.items() if key not in ("out", "workers")}
    if isinstance(state.get("totals"), dict):
        state["totals"] = untimed(state["totals"])
    return {key: value for key, value in state.items() if key not in (*TIMES, "waited", "took")}


def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_weights(place):
    ended = train(place, "killed", blow=Blow("SIGKILL", EPOCH + 2))
    assert ended.code == -signal.SIGKILL
    assert steps(place, "killed") == [EPOCH]
    ended = resume(place, "killed")
    assert ended.code == 0, ended.text
    assert f"continues in epoch 2 of 4, after step {EPOCH} of {4 * EPOCH}" in ended.text
    assert_same_end(place, "killed")


def test_a_sum_of_losses_and_every_random_step_go_on_with_the_same_weights(place):
    terms = [{"loss": "ohem"}, {"loss": "boundary", "weight": 0.01}, {"loss": "cldice", "iterations": 2}]
    steps = ("affine", "perspective", "clahe", "stain", "invert", "shade", "exposure", "cutout")
    words = ["loss=sum", f"loss.terms={json.dumps(terms)}", *(f"augment.{step}=true" for step in steps)]
    whole = train(place, "whole", *words)
    assert whole.code == 0, whole.text
    assert train(place, "parts", *words, blow=Blow("SIGKILL", EPOCH + 2)).code == -signal.SIGKILL
    assert resume(place, "parts").code == 0
    assert_same_end(place, "parts", "whole")


def test_killed_while_it_saves_and_loading_with_workers_it_ends_with_the_same_weights(place):
    ended = train(place, "saving", "workers=2", blow=Blow("SIGKILL", 2 * EPOCH, saving=True))
    assert ended.code == -signal.SIGKILL
    assert [path.name[:5] for path in sorted((place / "saving/checkpoints").iterdir())] == [".segz", "step-"]
    ended = resume(place, "saving")
    assert ended.code == 0, ended.text
    assert_same_end(place, "saving")


@pytest.mark.parametrize("what", ["SIGTERM", "group SIGTERM", "group SIGINT"])
def test_asked_to_stop_it_saves_this_very_step_and_says_how_to_go_on(what, place):
    """A group is what a terminal, or a cluster, sends its signal to: the workers get it too."""
    out = what.replace(" ", "-")
    ended = train(place, out, "workers=1", blow=Blow(what, EPOCH + 2))
    assert ended.code == (130 if "INT" in what else 143), ended.text
    assert steps(place, out) == [EPOCH, EPOCH + 2]
    assert f"segzoo train --resume {out}" in ended.text
    assert "Traceback" not in ended.text
    ended = resume(place, out)
    assert ended.code == 0, ended.text
    assert_same_end(place, out)


def test_ctrl_c_after_the_last_step_of_an_epoch_loses_neither_validation_nor_step(place):
    ended = train(place, "between", blow=Blow("SIGINT", 2 * EPOCH))
    assert ended.code == 130, ended.text
    ended = resume(place, "between")
    assert ended.code == 0, ended.text
    assert_same_end(place, "between")


@pytest.mark.parametrize("epoch", [1, 4])
def test_killed_while_it_validates_it_validates_this_epoch_first_and_ends_with_the_same_weights(epoch, place):
    out = f"validating{epoch}"
    ended = train(place, out, blow=Blow("SIGKILL", epoch * EPOCH, validating=True))
    assert ended.code == -signal.SIGKILL
    assert steps(place, out)[-1] == epoch * EPOCH
    ended = resume(place, out)
    assert ended.code == 0, ended.text
    assert f"continues in epoch {epoch} of 4, after step {epoch * EPOCH} of {4 * EPOCH}" in ended.text
    assert_same_end(place, out)


def test_a_validation_that_runs_out_of_memory_is_told_and_its_epoch_is_saved(place):
    ended = train(place, "short", blow=Blow("short", 2 * EPOCH, validating=True))
    assert ended.code == 1, ended.text
    assert "Traceback" not in ended.text
    told = " ".join(ended.text.split())
    assert "error: epoch 2 cannot be validated: " in told
    assert "32x32 pixels" in told
    assert "can't allocate memory" in told
    assert "saved in short/checkpoints/step-00000008" in told
    assert "segzoo train --resume short" in told
    assert steps(place, "short") == [EPOCH, 2 * EPOCH]
    ended = resume(place, "short")
    assert ended.code == 0, ended.text
    assert_same_end(place, "short")


def test_an_epoch_that_was_to_have_no_checkpoint_has_one_where_memory_ends_in_its_validation(place):
    ended = train(place, "rare", "save_every=4", blow=Blow("short", 2 * EPOCH, validating=True))
    assert ended.code == 1, ended.text
    assert steps(place, "rare") == [2 * EPOCH]
    ended = resume(place, "rare")
    assert ended.code == 0, ended.text
    assert (place / "rare/model.safetensors").read_bytes() == (place / "run/model.safetensors").read_bytes()


def test_steps_that_end_within_an_epoch_are_not_done_again_after_a_kill_in_validation(place):
    words = (f"steps={2 * EPOCH - 1}",)
    assert train(place, "counted", *words).code == 0
    ended = train(place, "recounted", *words, blow=Blow("SIGKILL", 2 * EPOCH - 1, validating=True))
    assert ended.code == -signal.SIGKILL
    assert resume(place, "recounted").code == 0
    assert_same_end(place, "recounted", "counted")


def test_patience_that_ends_with_a_killed_validation_ends_a_resumed_training_too(place):
    words = ("patience=1", "lr=1e-9", "average=0", "metrics=iou", "epochs=6")
    assert train(place, "patient", *words).code == 0
    last = steps(place, "patient")[-1]
    assert last < 6 * EPOCH
    assert train(place, "patient-killed", *words, blow=Blow("SIGKILL", last, validating=True)).code < 0
    assert resume(place, "patient-killed").code == 0
    assert_same_end(place, "patient-killed", "patient")


def test_a_disk_that_fills_while_it_saves_leaves_the_earlier_checkpoint_to_go_on_from(place):
    ended = train(place, "full", blow=Blow("full", 2 * EPOCH, saving=True))
    assert ended.code == 1, ended.text
    assert "cannot save the checkpoint full/checkpoints/step-00000008: File too large" in ended.text
    assert "step-00000004 is intact: fix this and resume from it" in ended.text
    assert steps(place, "full") == [EPOCH]
    ended = resume(place, "full")
    assert ended.code == 0, ended.text
    assert_same_end(place, "full")


def test_a_disk_that_fills_between_saves_leaves_the_earlier_checkpoint_too(place):
    ended = train(place, "filled", blow=Blow("full", EPOCH + 2))
    assert ended.code == 1, ended.text
    assert "Traceback" not in ended.text
    assert steps(place, "filled") == [EPOCH]
    ended = resume(place, "filled")
    assert ended.code == 0, ended.text
    assert_same_end(place, "filled")


def test_a_loss_that_is_not_a_number_stops_it_and_names_the_files_of_the_batch(place):
    ended = train(place, "nan", blow=Blow("nan", EPOCH + 2))
    assert ended.code == 1, ended.text
    assert "the loss became nan in epoch 2, with train" in ended.text
    assert "step-00000004" in ended.text
    assert steps(place, "nan") == [EPOCH]
    before = (place / "nan/model.safetensors").read_bytes()
    assert b"nan" not in before
    ended = resume(place, "nan")
    assert ended.code == 0, ended.text
    assert_same_end(place, "nan")


def test_a_far_too_high_learning_rate_is_told_as_such(place):
    ended = train(place, "high", "lr=1e30")
    assert ended.code == 1, ended.text
    assert "lower the learning rate" in ended.text
    assert not steps(place, "high")


def test_a_worker_that_is_killed_is_told_with_what_to_do(place):
    ended = train(place, "orphan", "workers=1", blow=Blow("worker", EPOCH + 2))
    assert ended.code == 1, ended.text
    assert "a process that loads data was killed" in ended.text
    assert "segzoo train --resume orphan" in ended.text
    assert "Traceback" not in ended.text
    ended = resume(place, "orphan", "workers=0")
    assert ended.code == 0, ended.text
    assert_same_end(place, "orphan")


def test_a_damaged_image_is_told_alike_with_workers_and_without(place):
    shutil.copytree(place / "photos", place / "damaged")
    image = place / "damaged/train/images/train3.png"
    image.write_bytes(image.read_bytes()[:200])
    told = []
    for workers in (0, 1):
        ended = train(place, f"damaged{workers}", f"workers={workers}", data="damaged")
        assert ended.code == 1, ended.text
        told.append(ended.text.strip().splitlines()[-1])
    assert told[0] == told[1]
    assert "train3.png" in told[0]


def test_going_on_with_another_network_recipe_or_data_is_refused_with_what_differs(place):
    shutil.copytree(place / "run", place / "other")
    ended = resume(place, "other", "model.width=8", "lr=0.5", "augment.crop.size=16")
    assert ended.code == 2
    for line in (
        "model_options.width: nothing there, 8 here",
        "learning_rate: 0.02 there, 0.5 here",
        "augment.crop.size: 24 there, 16 here",
    ):
        assert line in ended.text
    shutil.copytree(place / "photos", place / "more")
    draw(place / "one", {"train": 1})
    for kind in ("images", "masks"):
        (place / "one/train" / kind / "train0.png").rename(place / "more/train" / kind / "train8.png")
    ended = resume(place, "other", "data=more")
    assert ended.code == 2
    assert "train.samples: 8 there, 9 here" in ended.text
    assert steps(place, "other") == steps(place, "run")


def test_the_installed_program_killed_from_outside_goes_on(place):
    program = Path(sysconfig.get_path("scripts")) / "segzoo"
    words = [program, "train", "--data", "photos", *RECIPE, "--out", "outside"]
    with (place / "outside.txt").open("w") as log:
        process = subprocess.Popen(
            words, cwd=place, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(place / "site")}
        )
    while process.poll() is None and not list((place / "outside/checkpoints").glob("step-*")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    ended = resume(place, "outside")
    assert ended.code == 0, ended.text
    assert_same_end(place, "outside")
