"""The checks of datasets, weights and layouts catch those that break a promise, and say which."""

from __future__ import annotations

import pytest

from segzoo import zoo
from segzoo.errors import OptionError, PluginError
from segzoo.specs import DatasetSpec, Labels, LayoutSpec, Preprocessing, WeightsSpec
from segzoo.testing import check_dataset, check_layout, check_weights, checks_of
from segzoo.weights.layouts import Conversion, Transfer, plan

HERE = __name__


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
        ({"url": "", "folder": "segzoo:weights/nobodys"}, "contains no folder"),
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


def layout(factory, *signature):
    return LayoutSpec(
        name="mine", factory=f"{HERE}:{factory}", signature=signature or ("net.a",), summary="s", homepage="h"
    )


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (layout("trusting"), "it takes a file that has nothing but its signature"),
        (layout("clumsy"), "promise 'other-files': it raised KeyError"),
        (layout("shrug"), "its factory must take `checkpoint` first, takes root, split"),
        (
            layout("trusting", *zoo.registry("layouts").get("smp-unet").signature),
            "smp-unet has the same signature",
        ),
        (layout("trusting", 7), "must be names of tensors"),
    ],
    ids=["trusting", "clumsy", "arguments", "signature", "numbers"],
)
def test_a_layout_that_breaks_a_promise_is_told_which(spec, told):
    with pytest.raises(PluginError, match=told):
        check_layout(spec)
