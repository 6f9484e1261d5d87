"""The checks of `segzoo.testing` catch those that break a promise, and say which; and the isolated zoo."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from segzoo import discovery, zoo
from segzoo.errors import OptionError, PluginError, UnknownNameError, UsageError
from segzoo.hooks import hookimpl
from segzoo.metrics.scores import class_score
from segzoo.specs import (
    DatasetSpec,
    DecoderSpec,
    EncoderSpec,
    Labels,
    LayoutSpec,
    LossSpec,
    MetricSpec,
    Preprocessing,
    WeightsSpec,
)
from segzoo.testing import (
    check_dataset,
    check_decoder,
    check_encoder,
    check_layout,
    check_listing,
    check_loss,
    check_metric,
    check_plugin,
    check_weights,
    checks_of,
    every_check,
    isolated_zoo,
)
from segzoo.weights.layouts import Conversion, Transfer, plan

HERE = __name__


# Encoders and decoders.


class GoodEncoder(nn.Module):
    channels, strides = (3, 4), (1, 2)

    def __init__(self, in_channels=3):
        super().__init__()
        self.first, self.second = nn.Conv2d(in_channels, 3, 3, padding=1), nn.Conv2d(3, 4, 2, 2)

    def forward(self, images):
        fine = self.first(images)
        return [fine, self.second(fine)]


class ThreeChannelsOnly(GoodEncoder):
    def __init__(self, in_channels=3):
        super().__init__(3)


class WrongStride(GoodEncoder):
    strides = (1, 4)


class Idle(GoodEncoder):
    def __init__(self, in_channels=3):
        super().__init__(in_channels)
        self.spare = nn.Linear(2, 2)


class Noisy(GoodEncoder):
    def forward(self, images):
        return [feature + torch.rand(()) for feature in super().forward(images)]


class Statistical(GoodEncoder):
    """Normalises over the batch, in evaluation mode too."""

    def forward(self, images):
        return super().forward(images / images.mean(0))


class Hooked(GoodEncoder):
    def __init__(self, in_channels=3):
        super().__init__(in_channels)
        self.activation = lambda value: value


def encoder(factory, strides=(1, 2)):
    return EncoderSpec(name="mine", factory=f"{HERE}:{factory}", channels=(3, 4), strides=strides)


def test_an_encoder_that_keeps_its_promises_passes():
    check_encoder(encoder("GoodEncoder"))


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("ThreeChannelsOnly", r"encoder 'mine', promise 'features': it raised RuntimeError: .*channels"),
        ("WrongStride", r"its spec declares \(\(3, 4\), \(1, 2\)\), the module has .*make them agree"),
        ("Idle", r"no gradient reaches 2 of its parameters: spare\.weight, spare\.bias"),
        ("Noisy", "an image alone must give what it gives in a batch|two calls with the same input"),
        ("Statistical", "an image alone must give what it gives in a batch of two"),
        ("Hooked", "promise 'copies': it raised .*lambda"),
        ("missing", "has no callable 'missing'"),
        ("encoder", "promise 'features': it raised TypeError"),
    ],
)
def test_an_encoder_that_breaks_a_promise_is_told_which(factory, told):
    with pytest.raises(PluginError, match=told):
        check_encoder(encoder(factory))


def test_strides_that_spec_and_module_agree_on_are_measured():
    with pytest.raises(PluginError, match=r"at stride 4 images .* declare the strides"):
        check_encoder(encoder("WrongStride", strides=(1, 4)))


class Forgetful(nn.Module):
    """A decoder that adds something to the first image of a batch alone."""

    out_channels, stride = 4, 1

    def __init__(self, channels, strides):
        super().__init__()
        self.stride = strides[0]
        self.conv = nn.Conv2d(channels[0], 4, 1)

    def forward(self, features):
        found = self.conv(features[0])
        return found if len(found) == 1 else torch.cat([found[:1] + 1, found[1:]])


def test_a_decoder_that_treats_images_by_their_place_is_told():
    with pytest.raises(PluginError, match="an image alone"):
        check_decoder(DecoderSpec(name="mine", factory=f"{HERE}:Forgetful"))


# Metrics.


class Accuracy:
    """Keeps every promise; subclasses break one each."""

    contract = "accuracy; classes: all; average: pooled; empty: NaN; ignored: target 255, invalid"

    def __init__(self, *, labels):
        self.right = self.all = 0

    def update(self, prediction, target, *, probabilities=None, instances=None, valid=None):
        if prediction.shape != target.shape or prediction.dtype.kind not in "iub":
            raise OptionError("masks of one size, please")
        seen = np.ones(target.shape, bool) if valid is None else valid
        self.count((prediction == target)[seen & (target != 255)])

    def count(self, right):
        self.right, self.all = self.right + right.sum(), self.all + right.size

    def merge(self, other):
        self.right, self.all = self.right + other.right, self.all + other.all

    def compute(self):
        return {"pooled": self.right / self.all if self.all else math.nan}


class Silent(Accuracy):
    contract = ""


class Vague(Accuracy):
    contract = "the accuracy"


class Optimist(Accuracy):
    def compute(self):
        return {"pooled": self.right / self.all if self.all else 1.0}


class Growing(Accuracy):
    def compute(self):
        return {"pooled": self.right / self.all} if self.all else {}


class LateName(Accuracy):
    def compute(self):
        return {**super().compute(), **({"more": 1.0} if self.all else {})}


class Averaging(Accuracy):
    """Averages the halves instead of adding counts."""

    def merge(self, other):
        if other.all:
            self.right, self.all = (self.right / self.all + other.right / other.all) / 2, 1


class Blind(Accuracy):
    def update(self, prediction, target, *, valid=None, **rest):
        super().update(prediction, target, **rest)


class Careless(Accuracy):
    def update(self, prediction, target, *, valid=None, **rest):
        shown = np.s_[: min(len(prediction), len(target))]
        super().update(np.asarray(prediction[shown], np.uint8), target[shown], valid=valid)


class Errors(Accuracy):
    def compute(self):
        return {"pooled": 1 - super().compute()["pooled"]}


class Keywordless(Accuracy):
    def update(self, prediction, target):
        super().update(prediction, target)


class Picky(Accuracy):
    def __init__(self, *, labels):
        raise OptionError("four classes, please")


def metric(factory):
    return MetricSpec(name="mine", factory=f"{HERE}:{factory}")


def slow_accuracy(labels, examples):
    pairs = [
        (p, t)
        for one in examples
        for p, t, v in zip(one.prediction.flat, one.target.flat, one.valid.flat, strict=True)
        if v and t != labels.ignore_index
    ]
    return {"pooled": sum(p == t for p, t in pairs) / len(pairs)}


def test_a_metric_that_keeps_its_promises_passes():
    check_metric(metric("Accuracy"), oracle=slow_accuracy, best=1.0)


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("Silent", "must have a `contract` in words"),
        ("Vague", "says nothing of classes, average, empty, ignored; write"),
        ("Optimist", "before anything is counted, every score must be NaN"),
        ("Growing", "compute.. returns no score"),
        ("LateName", r"its names change from \['pooled'\] to \['pooled', 'more'\]"),
        ("Averaging", "two shards merged give .* all images together"),
        ("Blind", "outside the field of view"),
        ("Careless", "a prediction of another size must be an OptionError"),
        ("Errors", "of a perfect prediction is 0.0, of another .*say higher_is_better=False"),
        ("Keywordless", "promise 'names': it raised TypeError: .*probabilities"),
        ("Picky", "takes none of the labels tried, .*four classes, please"),
    ],
)
def test_a_metric_that_breaks_a_promise_is_told_which(factory, told):
    with pytest.raises(PluginError, match=told):
        check_metric(metric(factory))


def test_a_metric_is_held_against_its_oracle_and_its_best_score():
    with pytest.raises(PluginError, match=r"pooled is 0\.\d+, by its oracle 0\.5"):
        check_metric(metric("Accuracy"), oracle=lambda labels, examples: {"pooled": 0.5})
    with pytest.raises(PluginError, match=r"its oracle names \['dice'\], the metric \['pooled'\]"):
        check_metric(metric("Accuracy"), oracle=lambda labels, examples: {"dice": 0.5})
    with pytest.raises(PluginError, match=r"scores {'pooled': 1\.0}, not 2\.0"):
        check_metric(metric("Accuracy"), best=2.0)


def test_a_metric_for_two_classes_alone_is_checked_on_those():
    def binary(*, labels):
        if len(labels.classes) != 2:
            raise OptionError("two classes, please")
        return class_score(labels=labels)

    globals()["binary"] = binary
    check_metric(metric("binary"))


# Losses.


def good_loss(*, ignore_index=None):
    def loss(logits, target):
        if logits.shape[1] == 1:
            raise OptionError("two logits or more, please")
        known = target.where(target != 255, torch.zeros_like(target))
        entropy = nn.functional.cross_entropy(logits.float(), known, reduction="none")
        counts = torch.ones_like(entropy) if ignore_index is None else (target != ignore_index).float()
        return (entropy * counts).sum() / counts.sum().clamp(min=1)

    return loss


def _spoilt(change):
    def factory(*, ignore_index=None):
        loss = good_loss(ignore_index=ignore_index)
        return lambda logits, target: change(loss, logits, target)

    return factory


def torch_loss(*, ignore_index=None):
    return nn.CrossEntropyLoss(ignore_index=-100 if ignore_index is None else ignore_index)


def no_index():
    return good_loss()


vector = _spoilt(lambda loss, logits, target: loss(logits, target).expand(2))
overflowing = _spoilt(lambda loss, logits, target: loss(logits, target) + logits.exp().mean() * 0)
hard = _spoilt(lambda loss, logits, target: loss(logits, target).detach() + 0 * logits.float().sum())
first_image = _spoilt(lambda loss, logits, target: loss(logits[:1], target[:1]))
backwards = _spoilt(lambda loss, logits, target: loss(-logits, target))
negative = _spoilt(lambda loss, logits, target: loss(logits, target) - 9)


def one_logit_only(*, ignore_index=None):
    def loss(logits, target):
        raise OptionError("seven logits, please")

    return loss


def loss_spec(factory):
    return LossSpec(name="mine", factory=f"{HERE}:{factory}")


def test_a_loss_that_keeps_its_promises_passes_though_it_takes_no_single_logit():
    check_loss(loss_spec("good_loss"))


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("torch_loss", "of .*everything ignored.* not finite|a target of ignored pixels alone it is nan"),
        ("no_index", "its factory must take ignore_index"),
        ("vector", r"a tensor of one number, got \(2,\); take the mean"),
        ("overflowing", r"of 2 logits of -10000 and 10000 as float32 .* or its gradient is not finite"),
        ("hard", "it has no gradient on random logits"),
        ("first_image", "the order of images changes it"),
        ("backwards", "right, undecided and wrong it makes .* must increase"),
        ("one_logit_only", "takes none of 1, 2, 5 logits: seven logits, please"),
    ],
)
def test_a_loss_that_breaks_a_promise_is_told_which(factory, told):
    with pytest.raises(PluginError, match=told):
        check_loss(loss_spec(factory), logits=(1, 2, 5) if factory == "one_logit_only" else (2, 5))


def test_a_loss_may_promise_never_to_fall_below_something():
    with pytest.raises(PluginError, match=r"of 2 logits it is -.*, below 0\.0"):
        check_loss(loss_spec("negative"), least=0.0)


# Data sets, weights and layouts.


def dataset(**changes):
    told = {"summary": "s", "layout": "l", "splits": ("train",), "labels": Labels(classes=("a", "b"))}
    kept = {"licence": "CC0-1.0", "by_hand": "ask"}
    return DatasetSpec(name="mine", factory=f"{HERE}:shrug", **{**told, **kept, **changes})


def shrug(root, split="train"):
    if split != "train":
        raise OptionError("no")
    raise FileNotFoundError("nothing here")


@pytest.mark.parametrize(
    ("changes", "promise", "told"),
    [
        ({"summary": ""}, "described", "lacks summary"),
        ({"licence": ""}, "described", "lacks licence"),
        ({"by_hand": ""}, "described", "how people get it"),
        ({}, "no-data", "it raised FileNotFoundError"),
        ({}, "splits", "of split 'no-such-split' it says 'no'"),
    ],
)
def test_a_data_set_that_breaks_a_promise_is_told_which(changes, promise, told):
    (check,) = (one for one in checks_of(dataset(**changes)) if one.promise == promise)
    with pytest.raises(PluginError, match=told):
        check.run()


def test_a_data_set_is_read_where_its_author_writes_an_example(tmp_path):
    def example(root):
        for folder, mode in (("images", "RGB"), ("masks", "L")):
            (root / folder).mkdir()
            from PIL import Image

            Image.new(mode, (5, 4)).save(root / folder / "one.png")

    check_dataset("folder", example=example, split="all")
    with pytest.raises(PluginError, match="it raised FailureError"):
        check_dataset("folder", example=lambda root: None, split="all")


def weights(**changes):
    good = {
        "name": "mine",
        "url": "https://example.org/mine.pth",
        "bytes": 7,
        "model": "unet",
        "options": {"width": 2},
        "classes": ("a", "b"),
        "preprocessing": Preprocessing(),
        "summary": "s",
        "data": "d",
        "licence": "MIT",
        "homepage": "h",
    }
    return WeightsSpec(**{**good, **changes})


def test_weights_that_keep_their_promises_pass():
    check_weights(weights())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": "", "licence": ""}, "lacks data, licence"),
        ({"url": "http://example.org/mine.pth"}, "is not https"),
        ({"bytes": 0}, "neither sha256 nor bytes"),
        ({"labels": Labels(classes=("a", "c"))}, r"classes are \('a', 'b'\), those of labels \('a', 'c'\)"),
        ({"num_classes": 3}, "num_classes=3 logits tell 3 classes apart, 2 are named"),
        ({"preprocessing": None}, "give preprocessing, or the layout"),
        ({"preprocessing": Preprocessing(channels="grey")}, "in_channels=3, but its preprocessing makes 1"),
        ({"layout": "nobodys"}, "no plug-in that is loaded has its layout 'nobodys'"),
        ({"model": "nobodys"}, "promise 'network': it raised UnknownNameError"),
        ({"options": {"wdith": 2}}, "promise 'network': it raised OptionError"),
        ({"url": "", "folder": "segzoo:weights/nobodys"}, "holds no folder"),
    ],
)
def test_weights_that_break_a_promise_are_told_which(changes, told):
    with pytest.raises(PluginError, match=told):
        check_weights(weights(**changes))


def trusting(checkpoint):
    return Conversion(
        architecture=plan("segzoo:unet", num_classes=2, options={}), transfer=Transfer(checkpoint)
    )


def clumsy(checkpoint):
    return checkpoint.tensors["net.absent"]


def layout(factory, *marks):
    return LayoutSpec(
        name="mine", factory=f"{HERE}:{factory}", marks=marks or ("net.a",), summary="s", homepage="h"
    )


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (layout("trusting"), "it takes a file that has nothing but its marks"),
        (layout("clumsy"), "promise 'other-files': it raised KeyError"),
        (layout("shrug"), "its factory must take `checkpoint` first, takes root, split"),
        (layout("trusting", *zoo.registry("layouts").get("smp-unet").marks), "smp-unet has the same marks"),
        (layout("trusting", 7), "must be names of tensors"),
    ],
    ids=["trusting", "clumsy", "signature", "marks", "numbers"],
)
def test_a_layout_that_breaks_a_promise_is_told_which(spec, told):
    with pytest.raises(PluginError, match=told):
        check_layout(spec)


# Checks as values.


def test_every_promise_is_a_check_with_an_id():
    checks = checks_of(metric("Accuracy"), oracle=slow_accuracy)
    assert [check.id for check in checks][:2] == ["metric/mine/contract", "metric/mine/names"]
    assert checks[-1].promise == "oracle"
    assert str(checks[0]) == checks[0].id
    for check in checks:
        check.run()


def test_an_expected_failure_passes_while_it_fails_and_fails_once_it_passes():
    with isolated_zoo(metric("Errors"), owner="segzoo-mine"):
        broken = {"metric/mine/perfect": "lower is better, and the spec cannot say so yet"}
        checks = every_check("segzoo-mine", expected_failures=broken)
        (expected,) = (check for check in checks if check.expected_failure)
        expected.run()
        check_plugin("segzoo-mine", expected_failures=broken)
        with pytest.raises(PluginError, match=r"metric/mine/merge is expected to fail \(why\) and does not"):
            check_plugin("segzoo-mine", expected_failures={**broken, "metric/mine/merge": "why"})
        with pytest.raises(PluginError, match=r"1 of \d+ checks failed:\n  metric/mine/perfect: "):
            check_plugin("segzoo-mine")


def test_an_expected_failure_needs_a_reason_and_a_check():
    with isolated_zoo(metric("Accuracy"), owner="segzoo-mine"):
        with pytest.raises(UsageError, match="say why"):
            every_check("segzoo-mine", expected_failures={"metric/mine/merge": " "})
        with pytest.raises(UnknownNameError, match="did you mean 'metric/mine/merge'"):
            every_check("segzoo-mine", expected_failures={"metric/mine/marge": "why"})
        with pytest.raises(UnknownNameError, match="no part 'metric/other'"):
            every_check("segzoo-mine", arguments={"metric/other": {}})
        with pytest.raises(UnknownNameError, match=r"'segzoo-other' was found.*install it first"):
            every_check("segzoo-other")


def test_without_a_distribution_ids_say_whose_a_part_is():
    with isolated_zoo(metric("Accuracy"), owner="segzoo-mine", builtin=False):
        assert "metric/segzoo-mine:mine/merge" in [check.id for check in every_check()]


def test_a_distribution_that_does_not_load_fails_as_a_whole(site):
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    with pytest.raises(PluginError, match=r"plugin/segzoo-bad/loads: .* is broken: RuntimeError: no licence"):
        check_plugin("segzoo-bad")


LOUD = """
{}
from segzoo.hooks import hookimpl
from segzoo.specs import LossSpec

@hookimpl
def segzoo_losses():
    return [LossSpec(name="l", factory="a:b")]
"""


@pytest.mark.parametrize(
    ("code", "told"),
    [("import numpy", "listing imports numpy; keep"), ("print('welcome')", "prints 'welcome'")],
)
def test_a_plugin_that_is_heavy_or_loud_to_list_is_told(site, code, told):
    site.install("segzoo-loud", LOUD.format(code))
    with pytest.raises(PluginError, match=told):
        check_listing("segzoo-loud")


# The isolated zoo.


def plugin(name="segzoo_mine"):
    module = ModuleType(name)

    @hookimpl
    def segzoo_losses():
        return [loss_spec("good_loss")]

    module.__dict__["segzoo_losses"] = segzoo_losses
    return module


def test_an_isolated_zoo_holds_what_it_is_given_and_nothing_that_is_installed():
    before = zoo.registry("encoders")
    with isolated_zoo(plugin(), encoder("GoodEncoder")):
        assert {record.distribution for record in zoo.plugins} == {"segzoo", "segzoo-mine", "isolated"}
        assert zoo.losses.entry("mine").owner == "segzoo-mine"
        assert zoo.encoders.entry("mine").owner == "isolated"
        assert "plain" in zoo.encoders
        with isolated_zoo(builtin=False):
            assert len(zoo.encoders) == 0
        assert "mine" in zoo.encoders
    assert zoo.registry("encoders") is before


def test_an_isolated_zoo_refuses_to_look_for_plugins(tmp_path):
    looks = (discovery.installed, lambda: discovery.in_folder(tmp_path), lambda: zoo.add_folder(tmp_path))
    with isolated_zoo(plugin()):
        for look in looks:
            with pytest.raises(PluginError, match="the zoo is isolated"):
                look()
        zoo.refresh()
        assert "mine" in zoo.losses
    assert tmp_path not in zoo.folders()
    assert isinstance(discovery.installed(), list)


def test_an_isolated_zoo_is_left_when_a_test_fails_in_it():
    with pytest.raises(ZeroDivisionError), isolated_zoo(plugin()):
        _ = 1 / 0
    assert not zoo.isolated()
    assert "mine" not in zoo.losses


@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        ([ModuleType("empty")], "it has no hook"),
        ([loss_spec("a"), loss_spec("b")], "names two losses 'mine'"),
        ([plugin("segzoo_banned")], "is blocked: named by SEGZOO_DISABLE_PLUGINS"),
    ],
)
def test_a_plugin_that_breaks_a_rule_is_told_at_once(monkeypatch, plugins, told):
    monkeypatch.setenv("SEGZOO_DISABLE_PLUGINS", "segzoo-banned")
    with pytest.raises(PluginError, match=told), isolated_zoo(*plugins):
        pass
    assert not zoo.isolated()
