"""The torch backend: a copy of the network with batch norms folded, channels last and weights packed.

Each engine is compared with the original network on a small random image before it is used. If the two
differ, an engine with fewer changes is tried, and a message reports it.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segzoo.errors import FailureError
from segzoo.prediction.engines.folding import fold
from segzoo.prediction.engines.graphs import Graphed
from segzoo.prediction.engines.graphs import record as record_graph
from segzoo.prediction.engines.joining import join, offers
from segzoo.prediction.engines.packing import pack, packed_directly
from segzoo.prediction.engines.probing import deviation, probe
from segzoo.prediction.engines.recording import record
from segzoo.prediction.engines.winograd import WinogradConv, for_all_sizes, packed_conv
from segzoo.printing import Detail
from segzoo.segmenter import SegmentationModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from segzoo.prediction.engines.recording import Chain

#: Largest deviation on the random image for float32, and for half precision, whose rounding is far coarser.
TOLERANCE, LOW_TOLERANCE = 3e-5, 0.2
#: Size of the example image for compilation; not square, or the program would accept only square images.
USUAL = (256, 320)


class NativeEngine:
    """A network that torch runs; see `segzoo.prediction.engines.Engine`.

    Args:
        network: in eval mode, on ``device``, and not used elsewhere.
        device: device of the network.
        dtype: type of its weights.
        autocast: whether torch chooses which operations use ``dtype`` (mixed precision); weights are float32.
        description: description in one line.
        concurrent: whether several threads may call it at once.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        autocast: bool = False,
        description: str = "",
        concurrent: bool = False,
    ) -> None:
        self.network, self.device, self.dtype = network, device, dtype
        self.description, self.concurrent = description, concurrent
        self._autocast = autocast
        #: Maps images of the network's type to logits; may be replaced.
        self.run: Callable[[Tensor], Tensor] = self.compute

    # Not inference_mode: it is not faster here, and its tensors cannot be modified in place afterwards.
    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` float32 to logits ``(N, K, H, W)`` float32."""
        taken = torch.float32 if self._autocast else self.dtype
        x = images.to(self.device, taken, non_blocking=True).contiguous(memory_format=torch.channels_last)
        return self.run(x)

    def compute(self, images: Tensor) -> Tensor:
        """Map images in the network's type, on its device, to float32 logits."""
        with self._precision():
            return self.network(images).float()

    def _precision(self) -> AbstractContextManager[object]:
        if self._autocast:
            return torch.autocast(self.device.type, self.dtype)
        return float32_as_it_is(self.device) if self.dtype is torch.float32 else nullcontext()


@dataclass(frozen=True)
class _Way:
    """A combination of optimisations."""

    folded: bool = True
    packed: bool = False
    fused: bool = False
    winograd: bool = False
    dtype: torch.dtype = torch.float32
    autocast: bool = False
    compiled: bool = False

    def words(self, device: torch.device) -> str:
        """Describe it in a few words."""
        kind = str(self.dtype).removeprefix("torch.") + (" where torch chooses to" if self.autocast else "")
        made = ["channels last", *(["batch norms folded"] if self.folded else [])]
        made += ["weights packed"] if self.packed else []
        made += ["skips added instead of joined"] if self.fused else []
        made += ["Winograd's convolutions where channels are many"] if self.winograd else []
        made += ["compiled"] if self.compiled else []
        return f"torch on {device}, {kind}: {', '.join(made)}"


def make_native(
    network: nn.Module,
    *,
    device: torch.device,
    dtype: torch.dtype,
    on_message: Callable[[str], None],
    compiled: bool = False,
    frugal: bool = False,
) -> NativeEngine:
    """Make the fastest engine that agrees with ``network``; see `segzoo.prediction.engines.make_engine`.

    Args:
        network: the network; it is not changed.
        device: device to compute on.
        dtype: float32 for an exact engine, else the type to compute in.
        on_message: called with each optimisation that could not be used.
        compiled: whether to use torch.compile.
        frugal: whether to avoid weights in a form that is faster but takes several times the memory.
    """
    known = Known(network, device)
    for way in _ways(device, dtype, compiled=compiled):
        if (frugal and way.winograd) or (way.fused and not known.offers):
            continue
        try:
            # Half precision would hide a mistake in its rounding, so check in float32 first.
            if way.packed and way.dtype is not torch.float32:
                _checked(_build(known, replace(way, dtype=torch.float32)), known)
            if way.compiled:
                # A program compiled for a tiny image would be compiled again for a larger one.
                known.enlarge()
            engine = _checked(_build(known, way), known)
            if device.type == "cuda" and not way.autocast:
                engine.run = Graphed(engine.compute, on_message=on_message, record=record_graph)
            return engine
        # If one combination fails, the next may work; the last is the network itself.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            reason += f"; fused form of {', '.join(known.offers.values())}" if way.fused else ""
        on_message(Detail(f"not used: {way.words(device)} ({reason})"))
    if not known.expected.isfinite().all():
        raise FailureError(
            "the network's logits for a random image are NaN or infinite: its training diverged, or its "
            "weights are damaged"
        )
    raise AssertionError("a network agrees with its own copy")


class Known:
    """A network and what one run of it shows.

    Attributes:
        device: device that it runs on.
        images: ``(1, C, H, W)``, random.
        expected: float32 logits of the network itself for these images.
        offers: class names of the modules that have a fused form, by module name.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.device = device
        self._network = network
        self._spare: nn.Module | None = self.copy()
        with float32_as_it_is(device):
            self.images, seen = probe(self._spare, record)
        self.expected, self._chains = seen.output, seen.chains
        self.offers = offers(network)

    def enlarge(self) -> None:
        """Use an image of a usual size instead."""
        shape = (*self.images.shape[:2], *USUAL)
        self.images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        with torch.no_grad(), float32_as_it_is(self.device):
            self.expected = self.copy()(self.images)

    def copy(self) -> nn.Module:
        """Return a copy in eval mode on the device."""
        return copied(self._network, self.device)

    def folded(self) -> tuple[nn.Module, list[Chain]]:
        """Return a copy with its batch norms folded, and the remaining chains."""
        copy, self._spare = self._spare or self.copy(), None
        return copy, fold(copy, self._chains)


def copied(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of ``network`` on ``device``, in eval mode and without gradients."""
    return deepcopy(network).to(device).eval().requires_grad_(False)


def _ways(device: torch.device, dtype: torch.dtype, *, compiled: bool) -> list[_Way]:
    if compiled:
        return [_Way(dtype=dtype, compiled=True), *_ways(device, dtype, compiled=False)]
    cpu = device.type == "cpu"
    fused = [_Way(packed=True, fused=True, winograd=True), _Way(packed=True, fused=True)]
    packing = [*fused, _Way(packed=True, winograd=True), _Way(packed=True)] if cpu else []
    exact = [*packing, _Way(), _Way(folded=False)]
    if dtype is torch.float32:
        return exact
    packed = [_Way(packed=True, fused=fused, dtype=dtype) for fused in (True, False)] if cpu else []
    return [*packed, _Way(dtype=dtype), _Way(dtype=dtype, autocast=True), *exact]


def _build(known: Known, way: _Way) -> NativeEngine:
    copy, chains = known.folded() if way.folded else (known.copy(), [])
    if not way.autocast:
        _convert(copy, way.dtype)
    if way.packed:
        modules = dict(copy.named_modules())
        make = packed_conv if way.winograd else packed_directly
        if way.fused:
            way = replace(way, fused=bool(join(copy, chains, make)))
        pack(copy, chains, modules, make)
        if way.winograd and not any(isinstance(module, WinogradConv) for module in copy.modules()):
            way = replace(way, winograd=False)
    copy.to(memory_format=torch.channels_last)
    if isinstance(copy, SegmentationModel):
        copy.float32_logits = way.dtype is not torch.float32
    if way.compiled:
        # It warns about CUDA on machines without it.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        # One program for all sizes: a minute of compiling for each new size would never pay off. torch still
        # compiles once for single images, once for batches, and again for small images (about 100 x 100),
        # whose convolutions it computes in another way.
        copy = cast("nn.Module", torch.compile(copy, dynamic=True))
    return NativeEngine(
        copy,
        device=known.device,
        dtype=way.dtype,
        autocast=way.autocast,
        description=way.words(known.device),
        concurrent=not way.compiled,
    )


def _checked(engine: NativeEngine, known: Known) -> NativeEngine:
    limit = TOLERANCE if engine.dtype is torch.float32 else LOW_TOLERANCE
    with for_all_sizes(engine.network):
        off = deviation(engine(known.images), known.expected)
    if off > limit:
        raise ValueError(f"logits differ by {off:.1e} relative to the largest, more than {limit:.0e}")
    return engine


def _convert(network: nn.Module, dtype: torch.dtype) -> None:
    """Convert all weights except those of batch norms, whose variances need more precision."""
    kept = {
        id(tensor)
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    }
    network._apply(lambda t: t if id(t) in kept or not t.is_floating_point() else t.to(dtype))


@contextmanager
def float32_as_it_is(device: torch.device) -> Iterator[None]:
    """Compute float32 in full precision; CUDA's convolutions would use TensorFloat-32 otherwise."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled,
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=False,
    ):
        yield
