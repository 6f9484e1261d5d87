"""Two processes train as one does: the same batches, the same gradients, the same scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo import cli

pytestmark = pytest.mark.slow

#: Batch norms would see half a batch each, and a CPU cannot join what they see.
PLAIN = ["model.width=4", "model.depth=3", "model.norm=null", "loss=ce"]


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    """Twenty-four noisy images of a bright square each; four of them validate."""
    random = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("dots")
    for part, count in (("train", 20), ("val", 4)):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((32, 32), np.uint8)
            y, x = random.integers(0, 20, 2)
            mask[y : y + 12, x : x + 12] = 255
            noise = random.integers(0, 60, (32, 32, 3), np.uint8)
            Image.fromarray(noise + (mask // 2)[..., None]).save(root / part / f"images/{number}.png")
            Image.fromarray(mask).save(root / part / f"masks/{number}.png")
    return root


#: The program, in which the second process is killed, or finds no memory, where it first validates.
STRUCK = """
import os, signal, sys, torch
from segzoo import cli
from segzoo.training.loop import validation

predicted = validation.predicted

def struck(*arguments, **options):
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL) if {kill} else torch.empty(1 << 55)
    return predicted(*arguments, **options)

validation.predicted = struck
sys.exit(cli.run(sys.argv[1:]))
"""


def train(dots, out, *words, processes=1, program=("-m", "segzoo"), fails=False):
    said = [
        "--data",
        str(dots),
        "--out",
        str(out),
        "--device",
        "cpu",
        "precision=no",
        "crop=32",
        "batch_size=4",
    ]
    if processes == 1:
        assert cli.run(["train", *said, "epochs=2", *words]) == 0
        return history(out)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, *program, "train", *said, "epochs=2", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert (done.returncode != 0) == fails, done.stderr[-2000:]
    return done.stderr if fails else history(out)


def history(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(dots, tmp_path_factory):
    """The history and the folder of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    return train(dots, out, *PLAIN, "average=0.9"), out


def curves(rows):
    return [(row["loss"], row["dice_per_image"], row["dice_pooled"]) for row in rows]


def test_two_processes_follow_the_loss_curve_of_one(dots, alone, tmp_path):
    shared = train(dots, tmp_path / "two", *PLAIN, "average=0.9", processes=2)
    assert np.allclose(curves(alone[0]), curves(shared), atol=1e-4)


def test_two_processes_mix_and_sample_the_images_that_one_does(dots, tmp_path):
    mixes = ["augment.mixup.alpha=1", "augment.cutmix={}", "augment.copy_paste={}", "sampling=classes"]
    mixes += ["augment.crop.foreground=0.33"]
    one = train(dots, tmp_path / "one", *PLAIN, *mixes)
    two = train(dots, tmp_path / "two", *PLAIN, *mixes, processes=2)
    assert np.allclose(curves(one), curves(two), atol=1e-4)


def test_heads_of_deep_supervision_are_trained_together(dots, tmp_path):
    nested = ["--model", "nested/plain", 'model.encoder={"width":4,"depth":2,"norm":null}', "loss=ce"]
    nested += ['model.decoder={"deep_supervision":true,"norm":null}', "epochs=1"]
    train(dots, tmp_path / "one", *nested)
    train(dots, tmp_path / "two", *nested, processes=2)
    one, two = (segzoo.load(tmp_path / name).state_dict() for name in ("one", "two"))
    assert all(torch.allclose(one[key], two[key], atol=1e-4) for key in one)


def test_divided_weights_are_whole_where_they_are_saved(dots, alone, tmp_path):
    words = [*PLAIN, "average=0.9", "accumulate=2", "shard=true"]
    shared = train(dots, tmp_path / "two", *words, processes=2)
    assert np.allclose(curves(alone[0]), curves(shared), atol=1e-4)
    one, two = (segzoo.load(folder).state_dict() for folder in (alone[1], tmp_path / "two"))
    assert all(torch.allclose(one[key], two[key], atol=1e-4) for key in one)


@pytest.mark.parametrize("kill", [False, True])
def test_two_processes_of_which_one_is_lost_in_validation_go_on_from_the_epoch(dots, alone, tmp_path, kill):
    program = tmp_path / "struck.py"
    program.write_text(STRUCK.format(kill=kill))
    out, words = tmp_path / "two", [*PLAIN, "average=0.9"]
    told = train(dots, out, *words, processes=2, program=(program,), fails=True)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000005"]
    if not kill:
        assert "epoch 1 cannot be validated: val/1 (32x32 pixels): memory ran out" in told
        assert "segzoo train --resume" in told
        return  # what is saved is what the other case goes on from
    shared = train(dots, out, *words, "--resume", processes=2)
    assert np.allclose(curves(alone[0]), curves(shared), atol=1e-4)
