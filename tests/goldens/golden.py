"""A golden: the checkpoint of another program, filled by rule, and the logits that program computed."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

FOLDER = Path(__file__).parent


def uniform(name, count):
    """`count` values in [-0.5, 0.5), from the CRC-32 of `name` and the position (murmur3's finalizer)."""
    x = np.arange(count, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))
    x &= np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> np.uint64(shift)
        x = (x * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return (x.astype(np.float64) / 2.0**32 - 0.5).astype(np.float32)


def filled(name, kind, shape):
    """The tensor `name` of `shape`; kind is conv (a weight), scale, shift, mean, var or count."""
    if kind == "count":
        return torch.tensor(1)
    u = uniform(name, int(np.prod(shape))).reshape(shape)
    if kind == "conv":  # He's scale over the inputs that meet in one output
        u = (u * np.float32(np.sqrt(12.0) * np.sqrt(2.0 / int(np.prod(shape[1:]))))).astype(np.float32)
    else:
        base, spread = {"scale": (1, 0.2), "var": (1, 0.4), "shift": (0, 0.2), "mean": (0, 0.2)}[kind]
        u = np.float32(base) + np.float32(spread) * u
    return torch.from_numpy(np.ascontiguousarray(u))


class Golden:
    """One of the files beside this one."""

    def __init__(self, name):
        self.about = json.loads((FOLDER / f"{name}.json").read_text())
        self.logits = load_file(FOLDER / f"{name}.safetensors")

    @property
    def tensors(self):
        """The state dict, in the order of the program."""
        return {name: filled(name, kind, shape) for name, kind, shape in self.about["state_dict"]}

    @property
    def images(self):
        """The input, values in [0, 1)."""
        shape = self.about["input_shape"]
        return torch.from_numpy(uniform("input", int(np.prod(shape))).reshape(shape) + np.float32(0.5))

    def error(self, logits, which="logits"):
        """How far `logits` are from the program's: the largest difference over the largest logit."""
        step, expected = self.about["output_stride"], self.logits[which]
        logits = logits[..., ::step, ::step]
        assert logits.shape == expected.shape
        return float((logits - expected).abs().max() / expected.abs().max())
