"""Photographs, networks, and the plain way from the ones through the others: what benchmarks have in common.

Photographs are made up (smooth, with the fine noise of a 1/f spectrum); weights are random, with batch norms
that have seen a photograph, so that both classes occur.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import segzoo
from segzoo.config import Architecture, ModelConfig
from segzoo.specs import Labels, Preprocessing, Resize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CPU = torch.device("cpu")
LABELS = Labels(classes=("background", "object"))


def photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write photographs of (height, width)."""
    folder.mkdir()
    kinds = [_picture(seed, size) for seed in range(min(count, 3))]
    files = []
    for number in range(count):
        moved = np.roll(kinds[number % len(kinds)], (37 * number, 53 * number), axis=(0, 1))
        files.append(folder / f"photo_{number:02}.jpg")
        Image.fromarray(moved).save(files[-1], quality=85)
    return files


def _picture(seed: int, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    random = np.random.default_rng(seed)
    spectrum = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    spectrum[0, 0] = 1
    planes = []
    for _ in range(3):
        phases = random.normal(size=spectrum.shape) + 1j * random.normal(size=spectrum.shape)
        plane = np.fft.irfft2(phases / spectrum**1.6, size)
        planes.append(plane / plane.std())
    values = np.stack([120 + 50 * (0.8 * planes[0] + 0.3 * plane) for plane in planes], -1)
    return values.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Plain:
    """The usual way: one photograph at a time, with all logits resized to the size of the photograph.

    Attributes:
        network: maps images ``(1, 3, H, W)`` to logits; eager float32 unless it was compiled.
        scale: factor by which the photograph is resized for the network.
        multiple: height and width are padded to a multiple of this; some networks need multiples of 32.
        device: device on which the network runs.
    """

    network: Callable[[Tensor], Tensor]
    scale: float
    multiple: int = 1
    device: torch.device = CPU

    def __call__(self, file: Path, out: Path) -> None:
        """Segment a photograph."""
        with Image.open(file) as photo:
            width, height = photo.size
            seen = int(width * self.scale), int(height * self.scale)
            small = photo.resize(seen, Image.Resampling.BICUBIC)
        pixels = np.asarray(small).transpose(2, 0, 1) / 255
        images = torch.from_numpy(pixels)[None].to(self.device, torch.float32)
        rows, columns = images.shape[-2:]
        with torch.no_grad():
            images = F.pad(images, (0, -columns % self.multiple, 0, -rows % self.multiple))
            logits = self.network(images)[..., :rows, :columns]
            full = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
            mask = full.argmax(dim=1)[0].cpu().numpy()
        Image.fromarray((mask * 255).astype(np.uint8)).save(out / f"{file.stem}_mask.png")


def compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a network as a careful person runs it: bfloat16, channels last, torch.compile."""
    made = torch.compile(network.to(memory_format=torch.channels_last))

    def run(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            return made(images.to(memory_format=torch.channels_last)).float()

    return run


def sane(network: nn.Module, file: Path) -> nn.Module:
    """Fit the batch norms to a photograph, and the last convolution to what differs most in it.

    With random weights alone, the two logits are nearly equal everywhere, and rounding decides the class.
    """
    with Image.open(file) as photo:
        small = np.asarray(photo.resize((480, 320)))
    images = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # the plain mean of what it sees
            norm.reset_running_stats()
    head = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    assert head.bias is not None
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network.train()(images)
        network.eval()(images)
        handle.remove()
        features = seen[-1][0].flatten(1)
        main = torch.linalg.eigh(torch.cov(features)).eigenvectors[:, -1]
        middle = head.kernel_size[0] // 2
        head.weight.zero_()
        head.bias.zero_()
        head.weight[1, :, middle, middle] = main
        head.bias[1] = -(main @ features).median()
    return network.requires_grad_(False)


def unet() -> nn.Module:
    """Make milesial's U-Net of 64 to 1024 channels."""
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2)


def of_smp(name: str, file: Path, folder: Path) -> tuple[nn.Module, nn.Module]:
    """Return segmentation_models_pytorch's network, and segzoo's with the same weights."""
    smp = import_module("segmentation_models_pytorch")
    torch.manual_seed(0)
    theirs = sane(smp.Unet(name, encoder_weights=None, classes=2), file)
    theirs.save_pretrained(folder / f"{name}-smp")  # pyright: ignore[reportCallIssue]
    segzoo.convert(folder / f"{name}-smp", folder / name, labels=LABELS)
    return theirs, segzoo.load(f"local-dir:{folder / name}")


def ready(network: nn.Module, scale: float) -> nn.Module:
    """Say how segzoo is to predict with a network."""
    plain = ModelConfig(architecture=Architecture(name="segzoo:unet", num_classes=2), labels=LABELS)
    known = getattr(network, "segzoo_config", None) or plain
    resize = None if scale == 1 else Resize(mode="scale", scale=scale)
    network.segzoo_config = replace(  # pyright: ignore[reportArgumentType]
        known, labels=LABELS, preprocessing=Preprocessing(resize=resize)
    )
    return network
