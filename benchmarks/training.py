"""A training step by segzoo's engine against a plain PyTorch loop over the same network.

The plain loop is what people write: float32, channels first, AdamW, gradients clipped. The network is the
U-Net of 31 million parameters, or segmentation_models.pytorch's U-Net in its own code and as segzoo builds
it. Each measurement is a process of its own, in turns; of its steps, the first are not counted, and
the median of the others is. Memory is what the process grew by at its peak (resident set) since the network
was built.

    python benchmarks/training.py [--rounds 3] [--steps 6] [--side 256] [--batch 2] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

NETWORKS = ("unet", "smp resnet34")
#: Each way: the loop, the precision, and whether channels come last.
WAYS = {
    "plain float32": ("plain", "no", False),
    "plain bf16 autocast": ("plain", "bf16", False),
    "segzoo float32, channels first": ("segzoo", "no", False),
    "segzoo float32": ("segzoo", "no", True),
    "segzoo bf16": ("segzoo", "bf16", True),
}


def write_images(root: Path, side: int, count: int) -> None:
    import numpy as np
    from PIL import Image

    for part in ("train", "val"):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(noise).save(root / part / f"images/{number}.png")
            Image.fromarray((noise[..., 0] // 128) * 255).save(root / part / f"masks/{number}.png")


def with_segzoo(network: str, precision: str, last: bool, args: argparse.Namespace) -> dict[str, float]:
    from segzoo.training import Recipe
    from segzoo.training.speed import measure

    smp = {"backbone": "resnet34", "num_classes": 1}
    recipe = Recipe(
        data=args.data,
        model="unet" if network == "unet" else "smp-unet",
        model_options={} if network == "unet" else smp,
        augment={"crop": {"size": args.side}},
        batch_size=args.batch,
        precision=precision,
        channels_last=last,
        device="auto",
    )
    found = measure(recipe, steps=args.steps, warmup=args.warmup)
    return {"seconds": args.batch / found.images_per_second_computing, "peak": found.peak_bytes}


def by_hand(network: str, precision: str, args: argparse.Namespace) -> dict[str, float]:
    import time

    import torch

    import segzoo
    from segzoo.build import make_loss
    from segzoo.machine import forget_peak, peak_bytes

    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if network == "unet":
        model = segzoo.create("unet", num_classes=1)
    else:
        import segmentation_models_pytorch as smp

        model = smp.Unet("resnet34", encoder_weights=None, classes=1)
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = make_loss("ce-dice")
    images = torch.rand(args.batch, 3, args.side, args.side)
    masks = torch.randint(0, 2, (args.batch, args.side, args.side))
    times = []
    for number in range(args.warmup + args.steps):
        if number == args.warmup:
            forget_peak(device)
        begun = time.perf_counter()
        there, truth = images.to(device), masks.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(there)
        loss(logits.float(), truth).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        times.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(times[args.warmup :]), "peak": peak_bytes(device)}


def child(network: str, way: str, args: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(args.threads)
    loop, precision, last = WAYS[way]
    if loop == "plain":
        found = by_hand(network, precision, args)
    else:
        found = with_segzoo(network, precision, last, args)
    print(json.dumps(found))


def run(network: str, way: str, arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments, "--network", network, "--way", way]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ))
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in {"rounds": 3, "steps": 6, "warmup": 2, "side": 256, "batch": 2, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--data", default="")
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--way", choices=WAYS)
    args = parser.parse_args()
    if args.way:
        child(args.network, args.way, args)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), args.side, args.batch * 2)
        given = [
            f"--{name}={getattr(args, name)}" for name in ("steps", "warmup", "side", "batch", "threads")
        ]
        given.append(f"--data={folder}")
        found: dict[tuple[str, str], list[dict[str, float]]] = {}
        for _ in range(args.rounds):
            for network in NETWORKS:
                for way in WAYS:
                    found.setdefault((network, way), []).append(run(network, way, given))
    print(
        f"{platform.processor() or platform.machine()}, {args.threads} threads, "
        f"batches of {args.batch} at {args.side}x{args.side}"
    )
    print(f"{'network':<14}{'way':<34}{'images/s':>10}{'ratio':>8}{'peak MB':>10}")
    for network in NETWORKS:
        base = statistics.median(one["seconds"] for one in found[network, "plain float32"])
        for way in WAYS:
            seconds = statistics.median(one["seconds"] for one in found[network, way])
            peak = statistics.median(one["peak"] for one in found[network, way])
            ratio = f"{base / seconds:.2f}x"
            print(f"{network:<14}{way:<34}{args.batch / seconds:>10.2f}{ratio:>8}{peak / 1e6:>10,.0f}")


if __name__ == "__main__":
    main()
