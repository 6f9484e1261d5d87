"""Goldens of further libraries: transformers, torchvision, smp, MMSegmentation, Lightning.

Beside what `golden.filled` knows there are kinds for attention, tokens and index buffers; a golden also knows
how to write the checkpoint in the form that users of its library have.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from goldens.golden import filled, uniform
from safetensors.torch import load_file, save_file

FOLDER = Path(__file__).parent / "libraries"


def names(prefix=""):
    """The goldens whose names begin so, without those of preprocessing and those that are real files."""
    found = sorted(path.stem for path in FOLDER.glob(f"{prefix}*.json"))
    return [name for name in found if "logits_shape" in json.loads((FOLDER / f"{name}.json").read_text())]


def tensor(name, kind, shape):
    """The tensor `name`; kinds beyond `golden.filled`'s: see the README of this folder."""
    shape = tuple(shape)
    if kind in ("embed", "table"):
        return torch.from_numpy((2 * uniform(name, int(np.prod(shape)))).astype(np.float32).reshape(shape))
    if kind in ("quiet", "faint"):
        factor = np.float32(0.5 if kind == "quiet" else 0.1)
        return torch.from_numpy(factor * filled(name, "conv", shape).numpy())
    if kind in ("calm", "lift"):
        base, spread = {"calm": (0.4, 0.1), "lift": (1, 0.2)}[kind]
        u = uniform(name, int(np.prod(shape))).reshape(shape)
        return torch.from_numpy(np.float32(base) + np.float32(spread) * u)
    if kind in ("zero", "one"):
        return torch.full(shape, float(kind == "one"))
    if kind == "swin_index":
        return torch.from_numpy(_pairs(math.isqrt(shape[0])).reshape(shape))
    if kind == "beit_index":
        side = math.isqrt(shape[0] - 1)
        rows = (2 * side - 1) ** 2  # three more rows: class to patch, patch to class, class to class
        out = np.empty(shape, dtype=np.int64)
        out[1:, 1:] = _pairs(side)
        out[0, :], out[:, 0], out[0, 0] = rows, rows + 1, rows + 2
        return torch.from_numpy(out)
    return filled(name, kind, shape)


def _pairs(side):
    """For every pair of places of a window, the row of its table of relative positions."""
    y, x = np.divmod(np.arange(side * side), side)
    dy, dx = y[:, None] - y[None, :], x[:, None] - x[None, :]
    return ((dy + side - 1) * (2 * side - 1) + dx + side - 1).astype(np.int64)


def image8(height, width):
    """A picture like a photograph, uint8 `(H, W, 3)`: blocks of 8x8 pixels and a ramp."""
    shape = (1, 3, -(-height // 8), -(-width // 8))
    values = uniform("input", int(np.prod(shape))).reshape(shape) + np.float32(0.5)
    small = np.floor(256 * values[0].astype(np.float64)).astype(np.int64)
    big = small.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    ramp = (np.arange(height)[:, None] * 3 + np.arange(width)[None, :] * 2) % 64
    return np.minimum(255, big * 3 // 4 + ramp).astype(np.uint8).transpose(1, 2, 0)


def labels8(height, width, top):
    """A label map, uint8 `(H, W)`, of 0 to `top` and 255, in blocks of 8x8 pixels."""
    rows, columns = -(-height // 8), -(-width // 8)
    small = np.floor((top + 2) * (uniform("labels", rows * columns).astype(np.float64) + 0.5)).astype(
        np.int64
    )
    small[small == top + 1] = 255
    return small.reshape(rows, columns).repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)


class LibraryGolden:
    """One of the files in `libraries`."""

    def __init__(self, name):
        self.name = name
        self.about = json.loads((FOLDER / f"{name}.json").read_text())
        self.stored = load_file(FOLDER / f"{name}.safetensors")

    @property
    def tensors(self):
        """The state dict, in the order of the library."""
        return {name: tensor(name, kind, shape) for name, kind, shape in self.about["state_dict"]}

    @property
    def images(self):
        """The input of the network, values in [0, 1): already preprocessed."""
        shape = self.about["input_shape"]
        return torch.from_numpy(uniform("input", int(np.prod(shape))).reshape(shape) + np.float32(0.5))

    def write(self, folder, **more):
        """Write the checkpoint as its library does, into `folder`; return the file or folder.

        `more` replaces keys of config.json, or of MMSegmentation's meta.
        """
        system, tensors = self.about["system"], self.tensors
        if system in ("transformers", "segmentation_models_pytorch"):
            out = folder / self.name
            out.mkdir(parents=True, exist_ok=True)
            for name, text in self.about["files"].items():
                told = {**text, **more} if name == "config.json" else text
                (out / name).write_text(json.dumps(told, indent=2))
            metadata = {"format": "pt"} if system == "transformers" else None
            save_file(tensors, out / "model.safetensors", metadata=metadata)
            return out
        out = folder / f"{self.name}.pth"
        if system == "mmsegmentation":
            classes = [f"class_{index}" for index in range(self.about["num_classes"])]
            palette = [[(37 * i) % 256, (91 * i) % 256, (53 * i) % 256] for i in range(len(classes))]
            dataset = {"classes": classes, "palette": palette, "label_map": None, "reduce_zero_label": False}
            meta = {
                "epoch": 0,
                "iter": 2,
                "cfg": f"model = {self.about['config']['model']!r}\n",
                "seed": 0,
                "experiment_name": "golden",
                "time": "20240101_000000",
                "mmengine_version": self.about["mmengine"],
                "dataset_meta": dataset,
                **more,
            }
            hub = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
            tensors = {"meta": meta, "state_dict": tensors, "message_hub": hub}
        torch.save(tensors, out)
        return out

    @property
    def tolerance(self):
        """The largest `error` that counts as the same."""
        return self.about.get("tolerance", 1e-5)

    def error(self, logits, which="logits"):
        """How far `logits`, of the image's size, are from the library's, which are resized to it.

        Returns the largest difference over the largest logit.
        """
        step, expected = self.about.get("thinned", 1), self.stored[which]
        size, whole = self.about["input_shape"][2:], self.about.get("logits_shape", logits.shape)[2:]
        if list(whole) != list(size):  # the library leaves resizing to its caller; all of it is stored
            expected = F.interpolate(expected, size, mode="bilinear", align_corners=False)
        else:
            logits = logits[..., ::step, ::step]
        assert logits.shape == expected.shape, (logits.shape, expected.shape)
        return float((logits - expected).abs().max() / expected.abs().max())
