"""Plug-ins bring steps, optimizers and schedules, which recipes name as they name segzoo's own."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import segzoo
from segzoo import cli
from segzoo.errors import MissingExtraError, OptionError, PluginError, UnknownNameError, UsageError
from segzoo.specs import AugmentationSpec, OptimizerSpec, ScheduleSpec
from segzoo.testing import check_augmentation, check_optimizer, check_schedule, isolated_zoo
from segzoo.training.augmentation import make_augmentation
from segzoo.training.optim.optimizers import find_optimizer, make_optimizer
from segzoo.training.optim.schedules import Schedule
from segzoo.training.recipe.reading import read_recipe

if TYPE_CHECKING:
    from segzoo.interfaces import Progress


@dataclass(frozen=True, kw_only=True)
class Darken:
    """A step that divides each pixel."""

    by: int = 2

    def __call__(self, image, mask, random, ignore):
        return image // self.by, mask


class Biased(Darken):
    """Mixes classes, writes into what it is given, and draws from elsewhere."""

    def __call__(self, image, mask, random, ignore):
        image[0] = int(np.random.default_rng().integers(256))
        return image, mask + 1


class Cut(Darken):
    """Changes the size and does not say so."""

    def __call__(self, image, mask, random, ignore):
        return image[:-1], mask[:-1]


class Halves:
    """A schedule that halves the rate after each validation without a better score."""

    def __init__(self, *, least: float = 0.1) -> None:
        self.least, self.share = least, 1.0

    def __call__(self, now: Progress) -> float:
        return self.share

    def evaluated(self, score: float, *, higher_is_better: bool) -> None:
        self.share = max(self.share / 2, self.least)

    def state_dict(self):
        return {"share": self.share}

    def load_state_dict(self, state) -> None:
        self.share = state["share"]


class Forgetful(Halves):
    """Does not keep what it counted."""

    state_dict = load_state_dict = None


class Unsteady(torch.optim.SGD):
    """Keeps a number outside its state, and moves what has no gradient."""

    def __init__(self, params, *, lr: float) -> None:
        super().__init__(params, lr=lr)
        self.count = 0

    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            group["lr"] *= self.count
        return super().step(closure)


class Interrupting(Darken):
    """A step after which the person who trains has had enough, once."""

    def __call__(self, image, mask, random, ignore):
        if os.environ.pop("INTERRUPT_AT", "") and signal.getsignal(signal.SIGINT) is not None:
            signal.raise_signal(signal.SIGINT)
        return image // (1 + int(random.integers(self.by))), mask


HERE = "test_training_parts"
STEP = AugmentationSpec(name="darken", factory=f"{HERE}:Darken")
OPTIMIZER = OptimizerSpec(name="plain-sgd", factory="torch.optim:SGD")
SCHEDULE = ScheduleSpec(name="halves", factory=f"{HERE}:Halves")


@pytest.fixture
def theirs():
    with isolated_zoo(STEP, OPTIMIZER, SCHEDULE, owner="segzoo-mine"):
        yield


@pytest.mark.usefixtures("theirs")
def test_a_recipe_names_the_parts_of_a_plugin_and_their_options(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'data = "folder"\nroot = "."\n'
        '[augment.darken]\nby = 4\nprobability = 1\n[augment."segzoo-mine:darken_2"]\n'
        '[optimizer]\nname = "plain-sgd"\nmomentum = 0.5\ndecay_norms = false\n'
        '[schedule]\nname = "halves"\nleast = 0.2\nwarmup = 0.5\n',
        encoding="utf-8",
    )
    recipe = read_recipe(file, ["augment.darken.by=8"])
    image, mask = np.full((8, 8, 3), 160, np.uint8), np.ones((8, 8), np.uint8)
    made, labels = make_augmentation(recipe.augment, ignore_index=None)(image, mask, np.random.default_rng(0))
    assert (made == 10).all()
    assert (labels == mask).all()
    rate = recipe.learning_rate
    optimizer = make_optimizer(
        nn.Conv2d(1, 1, 1), recipe.optimizer, recipe.optimizer_options, learning_rate=rate
    )
    assert type(optimizer) is torch.optim.SGD
    assert [group["momentum"] for group in optimizer.param_groups] == [0.5, 0.5]
    schedule = Schedule(optimizer, recipe.schedule, recipe.schedule_options, steps=8, steps_per_epoch=2)
    for _ in range(4):
        schedule.step()
    schedule.evaluated(1.0)
    assert set(schedule.rates.values()) == {rate / 2}


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["augment.darken.bye=2"], "augment.darken.bye: 'darken' has no such option; did you mean"),
        (["augment.darken.by=much"], "augment.darken.by must be a whole number, got 'much'"),
        (["augment.darken.probability=2"], "augment.darken.probability must be a number from 0 to 1"),
        (
            ["augment.darker=true"],
            "augment.darker is not a step: no augmentation is named 'darker'; did you mean",
        ),
        (["optimizer=plain-sgt"], "optimizer: no optimizer is named 'plain-sgt'.*did you mean 'plain-sgd'"),
        (["optimizer=plain-sgd", "optimizer.dampning=1"], "optimizer.dampning: .*did you mean 'dampening'"),
        (["schedule=halve"], "schedule: no schedule is named 'halve'; did you mean 'halves'"),
        (["schedule=halves", "schedule.least=low"], "schedule.least must be a number, got 'low'"),
        (["schedule=halves", "schedule.tail=0.1"], "schedule.tail: 'halves' has no such option"),
    ],
    ids=lambda one: one[-1] if isinstance(one, list) else "",
)
def test_a_slip_is_told_before_training_begins_with_its_key(words, told):
    with pytest.raises(UsageError, match=told):
        read_recipe(None, ["data=folder", "root=.", *words])


def test_a_recipe_of_a_plugin_that_is_gone_is_an_error_that_names_the_part():
    for words, told in (
        (["augment.darken=true"], "augment.darken is not a step: no augmentation is named 'darken'"),
        (["schedule=halves"], "no schedule is named 'halves'.*`segzoo list schedules`"),
        (["optimizer=plain-sgd"], "no optimizer is named 'plain-sgd'.*`segzoo list optimizers`"),
    ):
        with isolated_zoo(), pytest.raises(UsageError, match=told):
            read_recipe(None, ["data=folder", "root=.", *words])


@pytest.mark.usefixtures("theirs")
def test_the_parts_of_a_plugin_are_listed_as_others_are(capsys):
    assert cli.run(["list", "augmentations", "dark"]) == 0
    assert cli.run(["info", "halves"]) == 0
    out = capsys.readouterr().out
    assert "darken" in out
    assert "least" in out


@pytest.mark.parametrize("name", ["blur_2", "a.b", "one_of"])
def test_a_name_that_no_recipe_could_say_is_no_step(name):
    with pytest.raises(UsageError, match="cannot name an augmentation"):
        AugmentationSpec(name=name, factory=f"{HERE}:Darken")


@pytest.mark.usefixtures("theirs")
def test_the_parts_keep_their_promises():
    check_augmentation("darken", by=3)
    check_optimizer("plain-sgd", momentum=0.5)
    check_schedule("halves", least=0.2)


@pytest.mark.parametrize(
    ("check", "spec", "told"),
    [
        (check_augmentation, AugmentationSpec(name="x", factory=f"{HERE}:Biased"), "writes into the image"),
        (check_augmentation, AugmentationSpec(name="x", factory=f"{HERE}:Cut"), "size_after says"),
        (check_optimizer, OptimizerSpec(name="x", factory=f"{HERE}:Unsteady"), "ends with other weights"),
        (check_schedule, ScheduleSpec(name="x", factory=f"{HERE}:Forgetful"), "has other rates"),
    ],
    ids=["biased", "cut", "unsteady", "forgetful"],
)
def test_a_part_that_breaks_a_promise_is_told_which(check, spec, told):
    with pytest.raises(PluginError, match=told):
        check(spec)


def test_a_step_that_makes_another_type_is_named_in_training():
    bad = AugmentationSpec(name="bad", factory=f"{HERE}:Cast")
    image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    with isolated_zoo(bad), pytest.raises(PluginError, match="augmentation 'bad' made an image of float64"):
        make_augmentation({"bad": {}}, ignore_index=None)(image, mask, np.random.default_rng(0))


class Cast(Darken):
    """Makes floating point of an image."""

    def __call__(self, image, mask, random, ignore):
        return image / 255, mask


@pytest.mark.parametrize("name", ["lamb", "lion", pytest.param("kron", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:It is highly recommended:UserWarning")
def test_an_optimizer_of_timm_goes_by_its_name_and_keeps_the_promises(name):
    assert type(make_optimizer(nn.Conv2d(1, 1, 1), name, {}, learning_rate=1e-3)).__module__.startswith(
        ("timm.optim", "torch.optim")
    )
    check_optimizer(find_optimizer(name))


@pytest.mark.parametrize(
    ("name", "options", "error", "told"),
    [
        ("lamp", {}, UnknownNameError, "by a plug-in or by timm; did you mean 'lamb'"),
        ("lamb", {"eps": -1}, OptionError, r"optimizer\.eps must be 0 or more"),
        ("lamb", {"epz": 1}, OptionError, r"optimizer\.epz: .*did you mean 'optimizer\.eps'"),
        ("adahessian", {}, OptionError, "second derivatives"),
        ("bnbadam", {}, MissingExtraError, "pip install bitsandbytes"),
    ],
)
def test_an_optimizer_of_timm_is_held_to_the_same_checks(name, options, error, told):
    with pytest.raises(error, match=told):
        make_optimizer(nn.Conv2d(1, 1, 1), name, options, learning_rate=1e-3)


def leaves(**options):
    """Ends the program, as no factory may."""
    raise SystemExit(3)


def test_a_factory_that_would_end_the_program_is_named():
    spec = ScheduleSpec(name="leaving", factory=f"{HERE}:leaves")
    with (
        isolated_zoo(spec),
        pytest.raises(PluginError, match="schedule 'leaving' cannot be built: SystemExit"),
    ):
        read_recipe(None, ["data=folder", "root=.", "schedule=leaving"])


@pytest.mark.slow
def test_a_training_with_the_parts_of_a_plugin_is_resumed_to_the_bit_where_it_is_installed(
    tmp_path, monkeypatch
):
    pytest.importorskip("accelerate")
    random = np.random.default_rng(0)
    for index in range(6):
        for kind, pixels in (
            ("images", random.integers(0, 256, (16, 16, 3), np.uint8)),
            ("masks", np.eye(16)),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / kind / f"{index}.png")
    given = {
        "data": str(tmp_path), "model": "unet", "model_options": {"width": 2, "depth": 2, "num_classes": 2},
        "augment": {"interrupting": {}, "crop": {"size": 16}}, "optimizer": "lamb", "schedule": "halves",
        "schedule_options": {}, "epochs": 3, "batch_size": 2, "split": {"share": 0.34}, "device": "cpu",
        "precision": "no", "average": 0.0,
    }  # fmt: skip
    step = AugmentationSpec(name="interrupting", factory=f"{HERE}:Interrupting")
    with isolated_zoo(step, SCHEDULE, owner="segzoo-mine"):
        segzoo.train(**given, out=str(tmp_path / "whole"), progress=False)
        monkeypatch.setenv("INTERRUPT_AT", "now")
        with pytest.raises(KeyboardInterrupt):
            segzoo.train(**given, out=str(tmp_path / "stopped"), progress=False)
        segzoo.train(**given, out=str(tmp_path / "stopped"), progress=False, resume=True)
    whole, stopped = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    with isolated_zoo(), pytest.raises(OptionError, match=r"augment\.interrupting is not a step"):
        segzoo.train(**given, out=str(tmp_path / "stopped"), progress=False, resume=True)
