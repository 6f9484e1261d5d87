"""Other programs' files are read as data; what is damaged, hostile or something else is refused by name."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import pathlib
import pickle
import random
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from goldens import containers
from goldens.golden import FOLDER, Golden
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from segzoo.errors import WeightsError
from segzoo.weights.checkpoints import read_checkpoint

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2), "count": torch.tensor(3)}
LIBRARIES = FOLDER / "libraries"
TINY = FOLDER / "mindspore_simple_tiny.ckpt"


class RunsCode:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Network(torch.nn.Module):
    """A network that somebody pickled whole."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1)


def same(tensors):
    return tensors.keys() == TENSORS.keys() and all(
        torch.equal(tensors[name], TENSORS[name]) for name in TENSORS
    )


@pytest.mark.parametrize(
    ("write", "container"),
    [
        (containers.plain, "torch"),
        (containers.legacy, "torch, before version 1.6"),
        (save_file, "safetensors"),
        (containers.mindspore, "MindSpore"),
        (containers.mindspore_in_training, "MindSpore"),
        (containers.with_training_state, "torch"),
        (containers.ascend, "torch"),
    ],
)
def test_every_container_gives_the_same_tensors(write, container, tmp_path):
    file = tmp_path / "model.pth.tar"
    write(TENSORS, file)
    checkpoint = read_checkpoint(file)
    assert same(checkpoint.tensors)
    assert checkpoint.container == container
    assert len(checkpoint.sha256) == 64


def test_the_training_state_is_left_out_by_name_and_plain_data_is_kept(tmp_path):
    containers.with_training_state(TENSORS, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert checkpoint.left_out == ("optimizer",)
    assert checkpoint.extras["epoch"] == 7
    assert checkpoint.extras["args"]["lr"] == 0.01


def test_moments_and_counters_of_mindspore_are_left_out_by_name(tmp_path):
    containers.mindspore_in_training(TENSORS, tmp_path / "a.ckpt")
    left_out = read_checkpoint(tmp_path / "a.ckpt").left_out
    assert {"moment1.a.weight", "moment2.a.bias", "beta1_power", "global_step"} <= set(left_out)


def test_data_between_the_tensors_is_kept_apart(tmp_path):
    torch.save({**TENSORS, "mask_values": [0, 255]}, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert same(checkpoint.tensors)
    assert checkpoint.extras == {"mask_values": [0, 255]}


@pytest.mark.parametrize("value", [1 << 1000, "\ud800", {1: 2}, "x" * 200_000, [b"a"]], ids=range(5))
def test_data_that_no_config_could_hold_is_left_out_by_name(value, tmp_path):
    containers.plain({**TENSORS, "odd": value}, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert same(checkpoint.tensors)
    assert checkpoint.left_out == ("odd",)


def test_lists_that_hold_each_other_a_thousand_times_over_are_left_out_at_once(tmp_path):
    nested = 0
    for _ in range(6):
        nested = [nested] * 1000
    containers.plain({**TENSORS, "laughs": nested}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").left_out == ("laughs",)


@pytest.mark.parametrize("zipped", [True, False])
def test_nobody_is_told_to_read_a_pickle_in_an_unsafe_way(zipped, tmp_path):
    torch.save({**TENSORS, "odd": 1 << 5000}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="its pickle cannot be read") as caught:
        read_checkpoint(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)


def test_prefixes_of_wrappers_are_taken_off_only_where_every_name_has_them(tmp_path):
    torch.save({f"module._orig_mod.{name}": tensor for name, tensor in TENSORS.items()}, tmp_path / "a.pth")
    torch.save({**TENSORS, "module.b": torch.ones(1)}, tmp_path / "b.pth")
    assert same(read_checkpoint(tmp_path / "a.pth").tensors)
    assert "module.b" in read_checkpoint(tmp_path / "b.pth").tensors


def test_parameters_are_read_as_tensors(tmp_path):
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "a.pth")
    assert not read_checkpoint(tmp_path / "a.pth").tensors["a"].requires_grad


def test_a_file_that_mindspore_itself_wrote_is_read_to_the_last_tensor():
    checkpoint = read_checkpoint(TINY)
    assert set(checkpoint.tensors) == {name for name, _, _ in Golden("mindspore_simple").about["state_dict"]}
    assert checkpoint.tensors["conv0.convs.0.0.weight"].shape == (2, 1, 3, 3)
    assert checkpoint.tensors["conv0.convs.0.1.moving_variance"].tolist() == [1.0, 1.0]


def test_a_tensor_that_mindspore_split_into_pieces_is_joined(tmp_path):
    whole = containers.value("a", torch.arange(4.0))
    content = torch.arange(4.0).numpy().tobytes()
    # Twice the same name and shape, each with half of the contents.
    halves = [_shorter(whole, content, half) for half in (content[:8], content[8:])]
    (tmp_path / "a.ckpt").write_bytes(b"".join(halves))
    assert read_checkpoint(tmp_path / "a.ckpt").tensors["a"].tolist() == [0.0, 1.0, 2.0, 3.0]


def _shorter(value, content, part):
    missing = len(content) - len(part)
    value = value.replace(bytes([0x1A, len(content)]) + content, bytes([0x1A, len(part)]) + part)
    tensor = value.index(b"\x12", 5)
    value = value[: tensor + 1] + bytes([value[tensor + 1] - missing]) + value[tensor + 2 :]
    return value[:1] + bytes([value[1] - missing]) + value[2:]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_does_not_run_and_is_named(zipped, tmp_path):
    sentinel = tmp_path / "ran"
    state = {**TENSORS, "extra": RunsCode(sentinel)}
    torch.save(state, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"would run code: it asks for '(posix|nt|os)\.mkdir'"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not sentinel.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bare_pickle_that_would_run_code_is_named_too(protocol, tmp_path):
    sentinel = tmp_path / "ran"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(RunsCode(sentinel), protocol=protocol))
    with pytest.raises(WeightsError, match=r"(posix|nt|os)\.mkdir"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not sentinel.exists()


def test_an_environment_that_unlocks_pickles_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"extra": RunsCode(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="would run code"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_a_whole_network_in_a_pickle_is_refused_with_what_to_do(tmp_path):
    torch.save(Network(), tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match=r"test_checkpoints\.Network.*save model\.state_dict\(\) instead"):
        read_checkpoint(tmp_path / "whole.pth")


def test_of_a_namespace_the_plain_parts_are_kept_and_no_class_stays_allowed(tmp_path):
    arguments = argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("a"), data=argparse.Namespace(a=1))
    torch.save({"model": TENSORS, "args": arguments}, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert same(checkpoint.tensors)
    assert checkpoint.extras == {"args": {"lr": 0.1}}
    assert checkpoint.left_out == ("args.path", "args.data")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    assert not [one for one in torch.serialization.get_safe_globals() if isinstance(one, tuple)]


def test_a_file_of_mmengine_is_read_without_mmengine():
    checkpoint = read_checkpoint(LIBRARIES / "mmseg_container_unet.pth")
    assert {name for name, _, _ in about("mmseg_container_unet")["state_dict"]} == set(checkpoint.tensors)
    assert checkpoint.extras["meta"]["dataset_meta"]["classes"] == ["background", "vessel"]
    assert "bgr_to_rgb=True" in checkpoint.extras["meta"]["cfg"]
    assert checkpoint.left_out == ("message_hub",)


def test_of_a_lightning_checkpoint_the_network_is_parted_from_what_lies_around_it(tmp_path):
    checkpoint = read_checkpoint(LIBRARIES / "lightning_smp_unet.ckpt")
    stored = [name for name, _, _ in about("lightning_smp_unet")["state_dict"]]
    assert {f"model.{name}" for name in checkpoint.tensors} | {"mean", "std"} == set(stored)
    assert set(checkpoint.wrapper) == {"mean", "std"}
    assert checkpoint.extras["hyper_parameters"]["encoder_name"] == "tu-mobilenetv3_small_050"


@pytest.mark.parametrize(
    ("prefix", "around"),
    [("net", []), ("net._orig_mod", []), ("network", ["teacher.a"]), ("unet", []), ("segmenter", ["offset"])],
)
def test_the_network_of_a_lightning_module_is_found_under_any_name(prefix, around, tmp_path):
    state = {f"{prefix}.{name}": tensor for name, tensor in TENSORS.items()}
    state |= {"loss_fn.weight": torch.ones(3), "train_metrics.confmat": torch.ones(3)}
    state |= {name: torch.ones(1) for name in around}
    torch.save({"pytorch-lightning_version": "2.0", "state_dict": state}, tmp_path / "a.ckpt")
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert same(checkpoint.tensors)
    assert list(checkpoint.wrapper) == around
    assert checkpoint.left_out == ("loss_fn.weight", "train_metrics.confmat")


def test_a_lightning_module_that_is_the_network_keeps_its_names(tmp_path):
    state = {"encoder.a": torch.ones(1), "decoder.b": torch.ones(1), "count": torch.ones(1)}
    torch.save({"pytorch-lightning_version": "2.0", "state_dict": state}, tmp_path / "a.ckpt")
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert set(checkpoint.tensors) == {"encoder.a", "decoder.b"}
    assert set(checkpoint.wrapper) == {"count"}


def about(name):
    return json.loads((LIBRARIES / f"{name}.json").read_text())


def around(raw, *, tensors=TENSORS):
    """A file of torch before 1.6 that holds tensors and, under "odd", what a piece of a pickle makes."""
    stream = io.BytesIO()
    torch.save({**tensors, "odd": None}, stream, _use_new_zipfile_serialization=False)
    whole = stream.getvalue()
    place = whole.index(b"odd")
    none = whole.index(b"N", place)
    return whole[:none] + raw + whole[none + 1 :]


def named(module, name):
    return f"c{module}\n{name}\n".encode()


TEXT = b"X\x04\x00\x00\x00true"
HOSTILE = {
    "os.system": named("os", "system") + TEXT + b"\x85R",
    "posix": named("posix", "system") + TEXT + b"\x85R",
    "eval": named("builtins", "eval") + TEXT + b"\x85R",
    "eval of Python 2": named("__builtin__", "eval") + TEXT + b"\x85R",
    "exec": named("builtins", "exec") + TEXT + b"\x85R",
    "__import__": named("builtins", "__import__") + TEXT + b"\x85R",
    "open": named("builtins", "open") + TEXT + TEXT + b"\x86R",
    "subprocess": named("subprocess", "Popen") + TEXT + b"\x85R",
    "commands of Python 2": named("commands", "getoutput") + TEXT + b"\x85R",
    "copied os": named("shutil", "rmtree") + TEXT + b"\x85R",
    "instance of an old class": b"(" + TEXT + b"ios\nsystem\n",
    "object of an old class": b"(" + named("os", "system") + TEXT + b"o",
    "named on the stack": b"\x8c\x02os\x8c\x06system\x93" + TEXT + b"\x85R",
    "new object": named("os", "system") + TEXT + b"\x85\x81",
    "from the memo": named("os", "system") + b"q\xfe0h\xfe" + TEXT + b"\x85R",
    "extension": b"\x82\x01",
    "by persistent name": b"Pos.system\n",
    "what was looked up": named("builtins", "getattr")
    + (named("torch", "hub") + b"X\x04\x00\x00\x00load" + b"\x86R")
    + (TEXT + b"\x85R"),
    "a gigabyte of bytes": named("builtins", "bytearray") + b"J\x00\x00\x00\x7f\x85R",
    "a gigabyte of Python 2's bytes": named("__builtin__", "bytearray")
    + b"\x8a\x05\x00\x00\x00\x00\x10\x85R",
    "a tensor of a size": named("torch", "FloatTensor") + b"J\x00\x00\x00\x7f\x85R",
    "a storage of a size": named("torch.storage", "UntypedStorage") + b"J\x00\x00\x00\x7f\x85R",
    "a text made long again and again": (
        named("_codecs", "encode")
        + (b"q\xfc0X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"X\x05\x00\x00\x00utf32\x86q\xfb0")
        + b"h\xfch\xfbR0" * 200
        + b"N"
    ),
    "more classes than any network": b"".join(named("a", f"b{index}") + b"0" for index in range(2000)) + b"N",
    "no function after all": TEXT + TEXT + b"\x85R",
    "an ordered dictionary of other methods": named("collections", "OrderedDict")
    + (b")R}X\x05\x00\x00\x00items" + named("a", "B") + b"sb" + named("a", "B") + b")Rb"),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pickle_is_refused_and_nothing_runs(raw, tmp_path, monkeypatch):
    for module, function in ((os, "system"), (shutil, "rmtree"), (subprocess, "Popen")):
        monkeypatch.setattr(module, function, lambda *_: pytest.fail("it ran"))
    (tmp_path / "evil.pth").write_bytes(around(raw))
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        read_checkpoint(tmp_path / "evil.pth")


INERT = {
    "functools.partial": named("functools", "partial") + named("torch.hub", "load") + b"\x85R",
    "a function of torch": named("torch.hub", "load") + TEXT + b"\x85R",
    "a function of torch's reader": named("torch.serialization", "load") + TEXT + b"\x85R",
    "getattr": named("builtins", "getattr") + named("torch", "hub") + TEXT + b"\x86R",
    "__setstate__": named("a", "B") + b")\x81" + named("a", "C") + b")Rb",
    "a class of nobody": named("no.such.module", "Class") + b")\x81}" + TEXT + b"Nsb",
    "a list": named("no.such.module", "List") + b")\x81(K\x01K\x02e}" + TEXT + b"Nsb",
    "a deque": named("collections", "deque") + b")R(K\x01K\x02e",
    "a dictionary": named("no.such.module", "Dict") + b")\x81(" + TEXT + named("a", "B") + b")Ru",
    "a dictionary with a default": named("collections", "defaultdict")
    + (named("__builtin__", "list") + b"\x85R(" + TEXT + b"]u"),
    "dictionaries that look like methods": named("collections", "OrderedDict")
    + (b")R}X\x05\x00\x00\x00items" + named("a", "B") + b"sb"),
}


@pytest.mark.parametrize("raw", INERT.values(), ids=INERT)
def test_what_a_pickle_names_beside_the_tensors_is_never_imported_or_called(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "load", lambda *_: pytest.fail("it ran"))
    (tmp_path / "odd.pth").write_bytes(around(raw))
    assert same(read_checkpoint(tmp_path / "odd.pth").tensors)
    assert "no.such.module" not in sys.modules


def test_numbers_of_numpy_are_numbers(tmp_path):
    score = {"best": np.float64(0.25), "step": np.int32(-7), "flag": np.bool_(True), "half": np.float16(1.5)}
    torch.save({**TENSORS, **score, "array": np.ones(3)}, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert checkpoint.extras == {"best": 0.25, "step": -7, "flag": True, "half": 1.5}
    assert checkpoint.left_out == ("array",)


def test_dictionaries_and_lists_of_other_classes_are_those(tmp_path):
    made = {"Dict": type("Dict", (dict,), {}), "List": type("List", (list,), {})}
    module = ModuleType("somebody")
    for name, kind in made.items():
        kind.__module__ = "somebody"
        setattr(module, name, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "somebody", module)
        torch.save(
            {**TENSORS, "sizes": made["List"]([1, 2]), "options": made["Dict"](a=1)}, tmp_path / "a.pth"
        )
    assert read_checkpoint(tmp_path / "a.pth").extras == {"sizes": [1, 2], "options": {"a": 1}}


def test_many_threads_may_read_odd_files_at_once(tmp_path):
    for index in range(4):
        torch.save(
            {**TENSORS, "odd": pathlib.PurePosixPath("a"), "best": np.float64(index)}, tmp_path / str(index)
        )
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(read_checkpoint, [tmp_path / str(index % 4) for index in range(24)]))
    assert [one.extras["best"] for one in read] == [index % 4 for index in range(24)]


def test_a_zip_of_two_pickles_is_refused_since_torch_might_read_the_other_one(tmp_path):
    torch.save(TENSORS, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth", "a") as archive:
        archive.writestr("other/data.pkl", b"")
    with pytest.raises(WeightsError, match="holds 2 pickles"):
        read_checkpoint(tmp_path / "a.pth")


def test_a_compressed_zip_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    with pytest.raises(WeightsError, match="declares 50,000,000 bytes in a file of"):
        read_checkpoint(tmp_path / "bomb.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_that_repeats_one_number_to_fill_memory_is_refused(zipped, tmp_path):
    huge = torch.zeros(1).expand(1 << 20, 1 << 20)
    torch.save({"a": huge}, tmp_path / "bomb.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"declares \(1048576, 1048576\).*made to exhaust memory"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_many_names_for_one_large_tensor_are_refused(tmp_path):
    one = torch.zeros(100_000)
    torch.save({f"a{index}": one for index in range(50)}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match="made to exhaust memory"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_an_absurd_size_in_an_old_file_is_refused(tmp_path):
    containers.legacy({"a": torch.ones(3)}, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    # The number of elements of the storage, in the pickle: K\x03 is 3 in one byte.
    changed = data.replace(b"cpuq\x06K\x03", b"cpuq\x06\x8a\x06\xff\xff\xff\xff\xff\x0f")
    assert changed != data
    (tmp_path / "a.pth").write_bytes(changed)
    with pytest.raises(WeightsError, match="damaged"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore:.*(nested|quantize)")
@pytest.mark.parametrize(
    "made",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.empty(3, device="meta"),
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    ],
    ids=["sparse", "sparse rows", "meta", "quantised", "nested"],
)
def test_tensors_that_are_no_plain_numbers_are_refused(made, tmp_path):
    torch.save({"a": made()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="'a' is sparse, nested, quantised or empty"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("write", [containers.plain, containers.legacy, save_file, containers.mindspore])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_half_a_file_is_refused(write, part, tmp_path):
    file = tmp_path / "a.pth"
    write({name: torch.ones(40, 50) for name in "abc"}, file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(WeightsError, match=r"a\.pth"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[9,9],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}}',
        b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}',
        b'{"a":1}',
        b"{{{{",
    ],
)
def test_a_safetensors_header_that_lies_is_refused(header, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_safetensors_header_longer_than_its_file_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"epoch 1, loss 0.5\n", "is a text file"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1f\x8b\x08\x00", "is an archive"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (bytes(range(200, 256)), "no known container"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(content, what, tmp_path):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=what):
        read_checkpoint(tmp_path / "a.pth")


def test_archives_of_other_kinds_are_told_apart(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a.pth"), io.BytesIO())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("model.pth", b"")
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("a/code/__torch__.py", b"class ReLU(Module): ...")
    for name, what in (("a.tar", "unpack it"), ("a.zip", "not from torch.save"), ("a.pt", "TorchScript")):
        with pytest.raises(WeightsError, match=what):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("saved", [[1, 2], {"epoch": 3}, torch.ones(3)])
def test_a_file_without_named_tensors_says_what_it_holds(saved, tmp_path):
    torch.save(saved, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"holds (a list|no tensors; its keys are \['epoch'\]|a Tensor)"):
        read_checkpoint(tmp_path / "a.pth")


def test_missing_files_and_incomplete_folders_are_named(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        read_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("[")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="is not JSON"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.replace(b"Float32", b"Float99"), "unknown type 'Float99'"),
        (lambda data: data.replace(b"\x08\x02\x08\x03", b"\x08\x02\x08\x7f"), "holds 24 bytes"),
        (lambda data: data + data[:-1] + b"\x00", "damaged"),
        (lambda data: data + b"\x1a\x02ab", "unexpected field 3 at the top"),
        (lambda data: data + b"\x0b", "not a protobuf field"),
        (lambda data: data + b"\x0a\xff\xff\xff\xff\x7f", "are left"),
        (lambda data: data + b"\x0a\x04\x1a\x02ab", "hash map"),
        (lambda data: b"\n" + b"a text after an empty line", "is a text file"),
    ],
)
def test_a_mindspore_file_that_lies_is_refused(change, told, tmp_path):
    file = tmp_path / "a.ckpt"
    containers.mindspore({"a": torch.ones(2, 3)}, file)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(WeightsError, match=told):
        read_checkpoint(file)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 126_264), byte=st.integers(0, 255), cut=st.booleans())
@example(at=1, byte=255, cut=False)
def test_a_damaged_mindspore_file_is_read_or_refused_and_nothing_else(at, byte, cut, tmp_path):
    data = bytearray(TINY.read_bytes())
    data[at] = byte
    file = tmp_path / "a.ckpt"
    file.write_bytes(data[:at] if cut else data)
    with contextlib.suppress(WeightsError):
        read_checkpoint(file)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1 << 20), byte=st.integers(0, 255), zipped=st.booleans())
def test_a_damaged_torch_file_is_read_or_refused_and_nothing_else(at, byte, zipped, tmp_path):
    file = tmp_path / "a.pth"
    torch.save(TENSORS, file, _use_new_zipfile_serialization=zipped)
    data = bytearray(file.read_bytes())
    data[at % len(data)] = byte
    file.write_bytes(data)
    with contextlib.suppress(WeightsError):
        read_checkpoint(file)


def test_types_that_networks_do_not_compute_with_are_refused(tmp_path):
    for kind in (torch.complex64, torch.float8_e4m3fn, torch.uint16):
        torch.save({"a": torch.ones(3).to(kind)}, tmp_path / "a.pth")
        with pytest.raises(WeightsError, match=rf"'a' is of type {str(kind)[6:]}, which no network"):
            read_checkpoint(tmp_path / "a.pth")


def test_a_name_of_thousands_of_letters_is_refused_in_a_short_sentence(tmp_path):
    torch.save({"a" * 5000: torch.ones(3)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="name has 5,000 characters") as caught:
        read_checkpoint(tmp_path / "a.pth")
    assert len(str(caught.value)) < 300


@pytest.mark.medium
def test_a_flipped_bit_in_a_zipped_file_is_refused_or_changes_nothing(tmp_path):
    file, draw, refused = tmp_path / "a.pth", random.Random(1), 0
    torch.save({"a": torch.arange(600.0)}, file)
    whole = file.read_bytes()
    for _ in range(120):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        try:
            read = read_checkpoint(file).tensors
        except WeightsError as error:
            refused += str(file) in str(error)
        else:
            assert torch.equal(read["a"], torch.arange(600.0))
            refused += 1
    assert refused == 120


def test_a_file_that_was_written_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(TENSORS, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(read_checkpoint(tmp_path / "a.pth").tensors)


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device", "socket"])
def test_what_is_no_file_is_refused_at_once(kind, tmp_path, monkeypatch):
    file = tmp_path / "a.pth"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
            one.bind("a.pth")
    elif kind == "device":
        file = pathlib.Path("/dev/zero")
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(
        WeightsError, match=rf"{file.name} cannot be read: it is a (pipe|device|socket), not a"
    ):
        read_checkpoint(file)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_a_million_empty_containers_is_refused_before_it_is_read(zipped, tmp_path):
    spam, file = b"\x80\x02" + b"}" * 600_000, tmp_path / "a.pth"
    if zipped:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a/data.pkl", spam)
    else:
        file.write_bytes(spam)
    with pytest.raises(WeightsError, match=r"a\.pth has a pickle with more parts than any network"):
        read_checkpoint(file)


def test_state_dicts_that_hold_themselves_are_read_or_refused(tmp_path):
    state = {**TENSORS, "extra": [], "args": argparse.Namespace()}
    state["extra"].append(state)
    state["args"].args = state["args"]
    torch.save(state, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert same(checkpoint.tensors)
    assert set(checkpoint.left_out) == {"extra", "args"}
    inner = {}
    inner["model"] = inner
    torch.save(inner, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"holds no tensors; its keys are \['model'\]"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("dims", [(0, 1 << 69), (1,) * 100, (1 << 62, 0)])
def test_a_mindspore_tensor_of_absurd_dimensions_is_refused(dims, tmp_path):
    shapeless = SimpleNamespace(
        shape=dims, dtype=torch.float32, numpy=lambda: np.ones(math.prod(dims) and 1, "f")
    )
    (tmp_path / "a.ckpt").write_bytes(containers.value("a", shapeless))
    with pytest.raises(WeightsError, match=r"tensor 'a' declares"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_what_training_programs_keep_beside_the_network_is_left_out_by_name(tmp_path):
    average = {f"module.{name}": tensor for name, tensor in TENSORS.items()}
    extra = {
        "model": {f"module.{name}": tensor for name, tensor in TENSORS.items()},
        "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "lr_scheduler": {"last_epoch": 3, "_last_lr": [0.1]},
        "model_ema": {"n_averaged": torch.tensor(3), **average},
        "scaler": {"scale": 65536.0},
        "args": argparse.Namespace(model="fcn_resnet50", aux_loss=True, device=torch.device("cpu")),
        "epoch": 3,
    }
    torch.save(extra, tmp_path / "model_3.pth")
    checkpoint = read_checkpoint(tmp_path / "model_3.pth")
    assert same(checkpoint.tensors)
    assert checkpoint.left_out == ("optimizer", "model_ema", "args.device")
    assert checkpoint.extras["args"] == {"model": "fcn_resnet50", "aux_loss": True}
    averaged = {"state_dict": TENSORS, "ema_state_dict": average, "meta": {"epoch": 1}}
    torch.save(averaged, tmp_path / "epoch_1.pth")
    assert read_checkpoint(tmp_path / "epoch_1.pth").left_out == ("ema_state_dict",)


def test_a_network_within_two_modules_of_lightning_is_found(tmp_path):
    tensors = {f"segmentor.model.{name}": torch.ones(2) for name in ("encoder.weight", "decoder.weight")}
    torch.save({"state_dict": tensors, "pytorch-lightning_version": "2.6.0"}, tmp_path / "nested.ckpt")
    assert set(read_checkpoint(tmp_path / "nested.ckpt").tensors) == {"encoder.weight", "decoder.weight"}
