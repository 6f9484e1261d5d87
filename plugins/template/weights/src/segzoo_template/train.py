"""Trains the weights again, on generated images: ``python -m segzoo_template.train``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import segzoo
from segzoo.specs import Labels

LABELS = Labels(classes=("background", "bright"), palette=((0, 0, 0), (255, 255, 0)))


def rectangles(count: int) -> tuple[Tensor, Tensor]:
    """Return images ``(N, 3, 32, 32)`` with one bright rectangle each, and their masks ``(N, 32, 32)``."""
    masks = torch.zeros(count, 32, 32, dtype=torch.long)
    for mask in masks:
        top, left, height, width = torch.randint(4, 16, (4,)).tolist()
        mask[top : top + height, left : left + width] = 1
    return 0.6 * masks.unsqueeze(1) + 0.4 * torch.rand(count, 3, 32, 32), masks


def train(steps: int = 400) -> None:
    """Train a U-Net, and write it into the folder that the weights' spec names."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, width=2, depth=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        images, masks = rectangles(8)
        loss = F.cross_entropy(model(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    config: Any = model.segzoo_config
    told = replace(config, labels=LABELS, licence="MIT")
    segzoo.save(model, Path(__file__).parent / "weights", config=told)


if __name__ == "__main__":
    train()
