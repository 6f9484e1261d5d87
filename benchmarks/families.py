"""Speed of the networks of segzoo-decoders relative to the same networks of other libraries, on a CPU.

    python benchmarks/families.py [--size 512] [--rounds 5] [--threads 1] [--engines exact fast] [NAME ...]

The two networks of a line take turns in one process, so that other work on the machine slows both. With one
thread, CPU time of the process is measured; with more threads, wall-clock time. The table shows the ratio of
the medians, which is above 1 if segzoo is faster. ``plain`` is the network in plain PyTorch. ``exact`` is
segzoo's own engine in float32, whose logits are within 1e-4 of the largest. ``fast`` is the network with
``precision="fast"``, and ``openvino`` the same with ``backend="openvino"``.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

import segzoo
from segzoo.prediction.engines import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Run = Callable[[Tensor], Any]

CLASSES = 21


def torchvision_of(name: str) -> Callable[[], torch.nn.Module]:
    """Return what builds one of torchvision's networks, without weights."""

    def build() -> torch.nn.Module:
        from torchvision.models import get_model

        network = get_model(name, weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=None)
        return network.eval()

    return build


def smp_of(name: str, encoder: str = "resnet50", **options: Any) -> Callable[[], torch.nn.Module]:
    """Return what builds one of segmentation_models.pytorch's networks, without weights."""

    def build() -> torch.nn.Module:
        import segmentation_models_pytorch as smp

        return smp.create_model(
            name, encoder, encoder_weights=None, classes=CLASSES, in_channels=3, **options
        ).eval()

    return build


def lraspp() -> torch.nn.Module:
    """Build torchvision's LR-ASPP, which takes no ``aux_loss``."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES).eval()


def segformer_of(**options: Any) -> Callable[[], torch.nn.Module]:
    """Return what builds transformers' SegFormer, its logits resized to the image as ours are."""

    def build() -> torch.nn.Module:
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        class Resized(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                config: Any = SegformerConfig
                self.network = SegformerForSemanticSegmentation(config(num_labels=CLASSES, **options))

            def forward(self, images: Tensor) -> Tensor:
                return F.interpolate(self.network(images).logits, images.shape[-2:], mode="bilinear")

        return Resized().eval()

    return build


def upernet() -> torch.nn.Module:
    """Build transformers' UPerNet on ConvNeXt-Tiny, which resizes its logits to the image itself."""
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

    stages = [f"stage{number}" for number in range(1, 5)]
    make: Any = UperNetConfig
    backbone: Any = ConvNextConfig
    config = make(
        backbone_config=backbone(hidden_sizes=[96, 192, 384, 768], out_features=stages),
        use_auxiliary_head=False,
        num_labels=CLASSES,
    )
    return UperNetForSemanticSegmentation(config).eval()


#: By line: segzoo's network with its options, and the other library's.
PAIRS: dict[str, tuple[str, dict[str, Any], Callable[[], torch.nn.Module]]] = {
    "fcn, torchvision": ("fcn/resnet50", {}, torchvision_of("fcn_resnet50")),
    "deeplabv3, torchvision": (
        "deeplabv3/resnet50",
        {"project": [1, 3]},
        torchvision_of("deeplabv3_resnet50"),
    ),
    "lraspp, torchvision": ("lraspp/mobilenetv3_large_100", {}, lraspp),
    "deeplabv3plus, smp": (
        "deeplabv3plus/resnet50",
        {"separable_norm": False, "project": [1, 3], "num_convs": 1, "rates": [12, 24, 36]},
        smp_of("deeplabv3plus"),
    ),
    "deeplabv3, smp": ("deeplabv3/resnet50", {"project": [1, 3]}, smp_of("deeplabv3")),
    "segformer-b0, smp": ("segformer-b0", {}, smp_of("segformer", "mit_b0")),
    "upernet, transformers": ("upernet/convnext_tiny", {}, upernet),
    "fpn, smp": ("fpn/resnet50", {"output_convs": False}, smp_of("fpn")),
    "segformer-b0, transformers": ("segformer-b0", {}, segformer_of()),
    "segformer-b2, transformers": (
        "segformer-b2",
        {},
        segformer_of(depths=[3, 4, 6, 3], hidden_sizes=[64, 128, 320, 512], decoder_hidden_size=768),
    ),
    "upernet, smp": ("upernet/resnet50", {"width": 256}, smp_of("upernet", decoder_channels=256)),
}


#: By column: what an engine is made with.
ENGINES: dict[str, dict[str, Any]] = {
    "exact": {},
    "fast": {"precision": "fast"},
    "openvino": {"precision": "fast", "backend": "openvino"},
}


def measured(runs: dict[str, Run], images: Tensor, rounds: int) -> dict[str, float]:
    """Return the median seconds of each run; they take turns."""
    # What a process waits for another is no time of its own; of several threads, the sum says little.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    with torch.no_grad():
        for run in runs.values():
            run(images)
        for _ in range(rounds):
            for name, run in runs.items():
                start = clock()
                run(images)
                times[name].append(clock() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"lines to measure: {', '.join(PAIRS)}")
    parser.add_argument("--size", type=int, default=512, help="height and width of the image")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(asked.threads)
    images = torch.randn(1, 3, asked.size, asked.size, generator=torch.Generator().manual_seed(0))
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {asked.threads} thread(s),"
    )
    print(f"one image of {asked.size}x{asked.size}; ratios of medians of {asked.rounds} alternating rounds\n")
    columns = "".join(f"{kind:>9}" for kind in ("theirs", "plain", *asked.engines))
    print(f"{'network, against':<28}{columns}")
    for line in asked.names or PAIRS:
        name, options, build = PAIRS[line]
        torch.manual_seed(0)
        theirs = build()
        ours = segzoo.create(name, num_classes=CLASSES, decoder=options).eval()
        engines = {kind: make_engine(ours, **ENGINES[kind]) for kind in asked.engines}
        runs: dict[str, Run] = {"theirs": theirs, "plain": ours, **engines}
        seconds = measured(runs, images, asked.rounds)
        ratios = "".join(f"{seconds['theirs'] / seconds[kind]:9.2f}" for kind in ("plain", *engines))
        print(f"{line:<28}{seconds['theirs']:8.2f}s{ratios}", flush=True)
        for kind, engine in engines.items():
            print(f"    {kind}: {engine.description}", flush=True)


if __name__ == "__main__":
    main()
