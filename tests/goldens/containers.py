"""Files as the original programs write them, from named tensors."""

from __future__ import annotations

import argparse

import torch

_TYPES = {torch.float32: "Float32", torch.int64: "Int64", torch.int32: "Int32", torch.float16: "Float16"}


def small(golden, divisor=32):
    """A golden's tensors with a fraction of its channels."""
    from goldens.golden import filled

    return {
        name: filled(name, kind, tuple(size // divisor if size >= 8 else size for size in shape))
        for name, kind, shape in golden.about["state_dict"]
    }


def plain(tensors, file):
    """A bare state dict, as `torch.save(model.state_dict())` writes it."""
    torch.save(tensors, file)


def legacy(tensors, file):
    """The same before version 1.6 of torch: no zip."""
    torch.save(tensors, file, _use_new_zipfile_serialization=False)


def with_training_state(tensors, file):
    """WZMIAOMIAO's: what training needs to go on, and its arguments as a Namespace."""
    moments = {index: {"momentum_buffer": torch.zeros(3)} for index in range(2)}
    everything = {
        "model": tensors,
        "optimizer": {"state": moments, "param_groups": [{"lr": 0.01, "params": [0, 1]}]},
        "lr_scheduler": {"last_epoch": 7},
        "epoch": 7,
        "args": argparse.Namespace(data_path="/data/of/somebody", lr=0.01, amp=False, resume=""),
    }
    torch.save(everything, file)


def ascend(tensors, file):
    """The Ascend port's: a dict around a state dict of a network wrapped for several devices."""
    state = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 99, "arch": "NestedUNet", "state_dict": state, "best_iou": 0.84}, file)


def mindspore(tensors, file):
    """MindSpore's `.ckpt`: a protobuf of values."""
    file.write_bytes(b"".join(value(name, tensor) for name, tensor in tensors.items()))


def mindspore_in_training(tensors, file):
    """The same with Adam's moments and counters, as MindSpore keeps them beside the network."""
    extra = {
        f"{moment}.{name}": torch.zeros_like(t)
        for moment in ("moment1", "moment2")
        for name, t in tensors.items()
    }
    counters = {"beta1_power": torch.tensor(0.9), "global_step": torch.tensor([12], dtype=torch.int32)}
    mindspore({**tensors, **extra, **counters}, file)


def value(name, tensor):
    """One value of MindSpore's protobuf."""
    dims = b"".join(_varint(1 << 3) + _varint(size) for size in tensor.shape)
    body = dims + _field(2, _TYPES[tensor.dtype].encode()) + _field(3, tensor.numpy().tobytes())
    return _field(1, _field(1, name.encode()) + _field(2, body))


def _field(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
