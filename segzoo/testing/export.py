"""The contracts of export: what is made of a model computes what the model computes, at every size."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim, export

from segzoo.runtimes.onnxruntime import onnx_session
from segzoo.testing.promises import promise, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn


#: Below, a program for free sizes continues images further than the model must, as no size may be 1 in it.
_TINY = 64
#: Sizes to try by default: odd, tiny, and larger than the example, which comes first.
_SIZES = ((75, 101), (1, 1), (65, 200), (64, 64))


def check_export(
    model: nn.Module,
    *,
    in_channels: int = 3,
    dynamic: bool = True,
    sizes: Sequence[tuple[int, int]] = _SIZES,
) -> None:
    """Check that `torch.export` takes a model, and that the program gives the model's logits.

    Args:
        model: model in any mode; it is in evaluation mode afterwards.
        in_channels: channels of its images.
        dynamic: whether height and width are free; else only the first size is tried.
        sizes: (height, width) to try; the first is the one that is traced.

    Raises:
        PluginError: logits differ in shape, or, from 64x64 pixels up, by more than 1e-5 of the largest.
    """
    model.eval()
    traced = seeded(1, in_channels, *sizes[0])
    shapes = (_free_sides(),) if dynamic else None
    program = export(model, (traced,), dynamic_shapes=shapes, strict=False).module()
    for height, width in sizes if dynamic else sizes[:1]:
        images = seeded(1, in_channels, height, width)
        _same(model, program, images, "exported program", 1e-5, least=_TINY)


def check_onnx(
    model: nn.Module,
    *,
    in_channels: int = 3,
    dynamic: bool = True,
    dynamo: bool = True,
    sizes: Sequence[tuple[int, int]] = _SIZES,
) -> None:
    """Check that `torch.onnx.export` takes a model, and that ONNX Runtime gives the model's logits.

    Args:
        model: model in any mode; it is in evaluation mode afterwards.
        in_channels: channels of its images.
        dynamic: whether batch, height and width are free; else only the first size is tried.
        dynamo: whether torch exports by way of `torch.export`, or else by way of `torch.jit.trace`.
        sizes: (height, width) to try; the first is that of the example.

    Raises:
        PluginError: logits differ in shape, or by more than 1e-4 of the largest; of images below 64x64
            pixels only the shape is compared where torch exports by way of `torch.export`.
        MissingExtraError: ONNX Runtime, or what exports to ONNX, is not installed.
    """
    model.eval()
    session = onnx_session(_onnx(model, seeded(2, in_channels, *sizes[0]), dynamic=dynamic, dynamo=dynamo))
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: images.numpy()})[0])

    for number, (height, width) in enumerate(sizes if dynamic else sizes[:1]):
        images = seeded(1 if number else 2, in_channels, height, width)
        _same(model, run, images, "ONNX model", 1e-4, least=_TINY if dynamo and dynamic else 1)


def check_trace(
    model: nn.Module,
    *,
    in_channels: int = 3,
    dynamic: bool = True,
    sizes: Sequence[tuple[int, int]] = _SIZES,
) -> None:
    """Check that `torch.jit.trace` takes a model, and that the trace gives the model's logits.

    Args:
        model: model in any mode; it is in evaluation mode afterwards.
        in_channels: channels of its images.
        dynamic: whether the trace holds for every size; else only the first one is tried.
        sizes: (height, width) to try; the first is the one that is traced.

    Raises:
        PluginError: logits differ in shape, or by more than 1e-5 of the largest.
    """
    model.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing itself, deprecated, and of what it takes for constant
        trace: Any = torch.jit.trace(model, (seeded(2, in_channels, *sizes[0]),), check_trace=False)
    for number, (height, width) in enumerate(sizes if dynamic else sizes[:1]):
        images = seeded(1 if number else 2, in_channels, height, width)
        _same(model, trace, images, "trace", 1e-5)


def _free_sides() -> dict[int, Dim]:
    return {2: Dim("height", min=1, max=16384), 3: Dim("width", min=1, max=16384)}


def _onnx(model: nn.Module, images: Tensor, *, dynamic: bool, dynamo: bool) -> bytes:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch itself does
        if dynamo:
            free = {0: Dim("batch", min=1, max=4096), **_free_sides()}
            shapes = (free,) if dynamic else None
            made = torch.onnx.export(model, (images,), dynamo=True, verbose=False, dynamic_shapes=shapes)
            assert made is not None
            return made.model_proto.SerializeToString()
        file, free = io.BytesIO(), {0: "batch", 2: "height", 3: "width"}
        axes = {"images": free, "logits": free} if dynamic else None
        names = {"input_names": ["images"], "output_names": ["logits"], "dynamic_axes": axes}
        torch.onnx.export(model, (images,), file, dynamo=False, verbose=False, **names)  # pyright: ignore
        return file.getvalue()


@torch.no_grad()
def _same(
    model: nn.Module,
    made: Callable[[Tensor], Tensor],
    images: Tensor,
    what: str,
    tolerance: float,
    *,
    least: int = 1,
) -> None:
    """Promise the model's shape and, of images of so many pixels a side, logits."""
    wanted, given = model(images), made(images)
    height, width = images.shape[-2:]
    told = f"{type(model).__name__}: its {what} differs at {height}x{width}"
    promise(given.shape == wanted.shape, told)
    if min(height, width) >= least:
        promise(bool((given - wanted).abs().max() <= tolerance * wanted.abs().max()), told)
