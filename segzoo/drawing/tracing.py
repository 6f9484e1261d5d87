"""What a network's blocks return, and which of them feed which, found by running it.

The network runs twice, on images without values (torch's ``meta`` device) of two sizes. The dimensions of an
output that grow with the image are its height and width, and their growth is its stride: so channels-last
maps, rows of tokens and the shrinking maps of valid convolutions are all understood. Which block feeds which
is read from the graph of gradients, which knows of reshapes and sums that no module does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from segzoo.segmenter import in_channels

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

#: Parts of a network, in the order in which they compute.
IMAGE, ENCODER, DECODER, HEAD = "image", "encoder", "decoder", "head"

#: Tokens without a place, such as the class token, that a row of tokens may begin with.
_MOST_EXTRA = 16

#: What a network raises for an image of a size that it does not take.
_REFUSALS = (RuntimeError, ValueError, IndexError, AssertionError)

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

Size = tuple[int, int]
Key = tuple[str, int]


class UntraceableError(Exception):
    """A network cannot be run on an image of this size."""


class Grid(NamedTuple):
    """Shape of a map, and how many pixels of the image one of its pixels stands for."""

    channels: int
    height: int
    width: int
    stride: int


@dataclass(frozen=True)
class Box:
    """All blocks of a part that compute at one stride.

    Attributes:
        part: ``encoder``, ``decoder`` or ``head``.
        grid: what the last of the blocks returns.
        names: names of the blocks in the network, in the order in which they compute.
        parameters: number of values that training changes.
    """

    part: str
    grid: Grid
    names: tuple[str, ...]
    parameters: int

    @property
    def key(self) -> Key:
        """Part and stride, which no other box of the network has."""
        return self.part, self.grid.stride


@dataclass(frozen=True)
class Traced:
    """What a network is made of.

    Attributes:
        image: channels, height and width of the image.
        inner: height and width of what the network computes with, if it pads or resizes the image.
        logits: channels, height and width of what the model returns.
        boxes: by part, finest stride first.
        edges: pairs of boxes' keys, the first of which feeds the second; the image is ``("image", 1)``.
        parameters: number of values that training changes, in the whole network.
        unused: how many of them take no part in prediction, such as heads of deep supervision.
    """

    image: tuple[int, int, int]
    inner: Size
    logits: tuple[int, int, int]
    boxes: tuple[Box, ...]
    edges: frozenset[tuple[Key, Key]]
    parameters: int
    unused: int


class _Output(NamedTuple):
    shape: tuple[int, ...]
    node: Any


@dataclass
class _Run:
    """One run: what each call of each module returned, and when each module returned first."""

    images: Tensor
    calls: dict[str, list[tuple[_Output, ...]]] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    inner: Size = (0, 0)
    logits: Any = None
    used: frozenset[str] = frozenset()


@dataclass
class _Block:
    name: str
    part: str
    grid: Grid
    time: int
    nodes: tuple[Any, ...]
    parameters: int

    @property
    def key(self) -> Key:
        return self.part, self.grid.stride


def traced(model: nn.Module, size: Size) -> Traced:
    """Run a network and return what it is made of.

    Args:
        model: the network; it is left as it was.
        size: height and width of the image.

    Raises:
        UntraceableError: it cannot be run on such an image.
    """
    return _Tracer(model, size).result()


class _Tracer:
    def __init__(self, model: nn.Module, size: Size) -> None:
        self.model, self.size = model, size
        self.modules = dict(model.named_modules())
        self.encoder, self.head = _encoder_of(model), ""
        self.channels = in_channels(model)
        self.first, self.second = self._runs()
        #: Modules below which some module was called.
        self.alive = {above for name in self.first.calls for above in _above(name)}
        #: Sizes of the parameters that no block has counted yet.
        self.left = {id(one): one.numel() for one in model.parameters()}
        self.blocks: list[_Block] = []

    def result(self) -> Traced:
        parameters = sum(self.left.values())
        logits = self.first.logits.shape
        self.head = self._head(logits[1])
        if self.head:
            self._add(self.head, HEAD)
        if self.encoder:
            self._expand(self.encoder, ENCODER, root=True)
        self._expand("", DECODER, root=True)
        if not self.encoder:
            self._split()
        owners = {id(one): name for name, one in self.model.named_parameters()}
        unused = 0
        for identity, count in self.left.items():
            name = owners[identity]
            block = self._nearest(name) if name in self.first.used else None
            if block is None:
                unused += count
            else:
                block.parameters += count
        boxes = self._boxes()
        return Traced(
            image=(self.channels, *self.size),
            inner=self.first.inner,
            logits=(logits[1], logits[2], logits[3]),
            boxes=boxes,
            edges=self._edges({box.key for box in boxes}),
            parameters=parameters,
            unused=unused,
        )

    def _runs(self) -> tuple[_Run, _Run]:
        step = 2 * math.lcm(
            *(max(int(getattr(self.model, name, 32)), 1) for name in ("_multiple", "_coarsest")), 32
        )
        height, width = self.size
        with _evaluating(self.model):
            try:
                first = self._run((height, width))
            except _REFUSALS as error:
                raise UntraceableError(str(error).strip().partition("\n")[0]) from error
            try:
                second = self._run((height + step, width + step))
            except _REFUSALS:
                second = first
        return first, second

    def _run(self, size: Size) -> _Run:
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        on_meta = {
            name: torch.empty_like(
                one, device="meta", requires_grad=isinstance(one, nn.Parameter) and one.is_floating_point()
            )
            for name, one in tensors.items()
        }
        try:
            return self._call(size, "meta", on_meta)
        except (NotImplementedError, RuntimeError):
            # Some code reads values, or keeps tensors that are neither parameters nor buffers.
            device = next((one.device for one in tensors.values()), torch.device("cpu"))
            if device.type == "meta":
                raise
            return self._call(size, str(device), {})

    def _call(self, size: Size, device: str, tensors: Mapping[str, Tensor]) -> _Run:
        run = _Run(torch.zeros(1, self.channels, *size, device=device, requires_grad=True))
        handles = [
            module.register_forward_hook(_recording(run, name))
            for name, module in self.modules.items()
            if name
        ]
        inner = self.modules[self.encoder] if self.encoder else self.model
        handles.append(inner.register_forward_pre_hook(_measuring(run), with_kwargs=True))
        try:
            with torch.enable_grad():
                if tensors:
                    run.logits = torch.func.functional_call(self.model, dict(tensors), (run.images,))
                else:
                    run.logits = self.model(run.images)
        finally:
            for handle in handles:
                handle.remove()
        run.logits = _tensor_in(run.logits)
        run.used = _used(run.logits.grad_fn, tensors or dict(self.model.named_parameters()))
        run.inner = run.inner if all(run.inner) else size
        return run

    def _grids(self, name: str) -> list[tuple[Grid, Any]]:
        """Return grid and gradient node of each call of a module that returned one map."""
        found = []
        first, second = self.first.calls.get(name, []), self.second.calls.get(name, [])
        for one, other in zip(first, second, strict=False):
            if len(one) == len(other) == 1:
                grid = _grid(one[0].shape, other[0].shape, self.first.inner, self.second.inner)
                if grid is not None:
                    found.append((grid, one[0].node))
        return found

    def _expand(self, name: str, part: str, *, root: bool = False) -> None:
        """Add the blocks of a module: itself, or those below it if it computes at several strides."""
        if part != ENCODER and name == self.encoder != "":
            return
        module = self.modules[name]
        if not any(id(one) in self.left for one in module.parameters()):
            return
        if part != ENCODER:  # what holds the encoder, or the head, is no block next to them
            root = root or any(one.startswith(f"{name}.") for one in (self.encoder, self.head))
        children = self._called(name)
        if (root and children) or not self._grids(name) or self._is_mixed(name):
            for child in children:
                self._expand(child, part)
        else:
            self._add(name, part)

    def _is_mixed(self, name: str) -> bool:
        """Whether a module is a row of blocks of several strides, rather than one block."""
        children = self._called(name)
        strides = {grid.stride for child in children for grid, _ in self._grids(child)}
        if isinstance(self.modules[name], _CONTAINERS):
            inner = [child for child in children if isinstance(self.modules[child], _CONTAINERS)]
            return len(strides) > 1 or any(map(self._is_mixed, inner))
        return bool(strides) and max(strides) >= 4 * min(strides)

    def _called(self, name: str) -> list[str]:
        """Return the names of the modules directly below one that were called, or hold some that were."""
        found = []
        for child, _ in self.modules[name].named_children():
            full = f"{name}.{child}".lstrip(".")
            if full in self.first.calls:
                found.append(full)
            elif full in self.alive:  # a list of modules is not called itself
                found += self._called(full)
        return found

    def _add(self, name: str, part: str) -> None:
        grids = self._grids(name)
        mine = [one for one in self.modules[name].parameters() if id(one) in self.left]
        stride = grids[0][0].stride
        kept = [(grid, node) for grid, node in grids if grid.stride == stride]
        self.blocks.append(
            _Block(
                name=name,
                part=part,
                grid=kept[-1][0],
                time=self.first.times[name],
                nodes=tuple(node for _, node in kept if node is not None),
                parameters=sum(self.left.pop(id(one)) for one in mine),
            )
        )

    def _head(self, classes: int) -> str:
        """Return the name of the module that made the logits: the last that returned as many channels.

        It is "" if there is none.
        """
        found = [
            (self.first.times[name], name)
            for name in self.first.calls
            if not any(True for _ in self.modules[name].children())
            and any(True for _ in self.modules[name].parameters())
            and any(grid.channels == classes for grid, _ in self._grids(name)[-1:])
        ]
        return max(found)[1] if found else ""

    def _split(self) -> None:
        """Call encoder what computes until the coarsest stride is reached."""
        body = [block for block in self.blocks if block.part != HEAD]
        if not body:
            return
        deepest = max(block.grid.stride for block in body)
        end = min(block.time for block in body if block.grid.stride == deepest)
        for block in body:
            same = block.grid.stride == deepest
            block.part = ENCODER if block.time <= end or same else DECODER

    def _nearest(self, parameter: str) -> _Block | None:
        """Return the block that computes first among those nearest to a parameter in the tree of modules."""
        for above in _above(parameter):
            below = [one for one in self.blocks if not above or f"{one.name}.".startswith(f"{above}.")]
            if below:
                return min(below, key=lambda one: one.time)
        return None

    def _boxes(self) -> tuple[Box, ...]:
        features = self._features()
        found: dict[Key, list[_Block]] = {}
        for block in sorted(self.blocks, key=lambda one: one.time):
            found.setdefault(block.key, []).append(block)
        order = (ENCODER, DECODER, HEAD)
        return tuple(
            Box(
                part=key[0],
                grid=features.get(key, (blocks[-1].grid, None))[0],
                names=tuple(block.name for block in blocks),
                parameters=sum(block.parameters for block in blocks),
            )
            for key, blocks in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
        )

    def _features(self) -> dict[Key, tuple[Grid, Any]]:
        """Return what the encoder hands to the decoder, by stride."""
        if not self.encoder:
            return {}
        first, second = (run.calls.get(self.encoder, [()])[0] for run in (self.first, self.second))
        found = {}
        for one, other in zip(first, second, strict=False):
            grid = _grid(one.shape, other.shape, self.first.inner, self.second.inner)
            if grid is not None:
                found[ENCODER, grid.stride] = (grid, one.node)
        return found

    def _edges(self, keys: set[Key]) -> frozenset[tuple[Key, Key]]:
        owners: dict[Any, Key] = {}
        for key, (_, node) in self._features().items():
            if node is not None and key in keys:
                owners[node] = key
        for block in self.blocks:
            for node in block.nodes:
                owners.setdefault(node, block.key)
        image = (IMAGE, 1)
        edges = set()
        for start, key in owners.items():
            for found in _sources(start, owners, self.first.images):
                source = image if found is None else owners[found]
                if source != key:
                    edges.add((source, key))
        return frozenset(edges)


def _encoder_of(model: nn.Module) -> str:
    """Return the name of the part from images to features; "" if the network has none that is known."""
    found = getattr(model, "backbone", None)  # which models of other libraries have as a property
    found = found if isinstance(found, nn.Module) else getattr(model, "encoder", None)
    return next((name for name, one in model.named_modules() if one is found and name), "")


def _above(name: str) -> Iterator[str]:
    """Yield the names of the modules that hold a module or a parameter, nearest first."""
    while name:
        name = name.rpartition(".")[0]
        yield name


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode, and each of its modules back in its own."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _recording(run: _Run, name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs
        run.times[name] = run.times.get(name, len(run.times))
        found = tuple(_Output(tuple(one.shape), one.grad_fn) for one in _tensors_in(output))
        run.calls.setdefault(name, []).append(found)

    return hook


def _measuring(run: _Run) -> Any:
    def hook(module: nn.Module, inputs: Any, named: Any) -> None:
        del module
        for one in _tensors_in((inputs, named)):
            if one.ndim == 4 and not all(run.inner):
                run.inner = (one.shape[-2], one.shape[-1])

    return hook


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors_in(one)


def _tensor_in(value: Any) -> Tensor:
    found = next((one for one in _tensors_in(value) if one.ndim == 4), None)
    if found is None:
        raise UntraceableError("it returns no map (N, C, H, W)")
    return found


def _grid(one: Sequence[int], other: Sequence[int], inner: Size, larger: Size) -> Grid | None:
    """Return the grid of a map by its shapes for images of two sizes; ``None`` if it is no such map."""
    if not one or one[0] != 1 or other[0] != 1 or len(one) != len(other):
        return None
    if inner == larger:
        return _grid_by_size(one, inner)
    changed = [index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(one) == 4 and changed in ([1, 2], [2, 3]):
        row = changed[0]
        strides = {
            round((larger[axis] - inner[axis]) / (other[row + axis] - one[row + axis])) for axis in (0, 1)
        }
        channels = one[1] if row == 2 else one[3]
        return Grid(channels, one[row], one[row + 1], max(strides.pop(), 1)) if len(strides) == 1 else None
    if len(one) == 3 and changed in ([1], [2]):
        along = changed[0]
        areas = math.prod(larger) - math.prod(inner)
        stride = max(round(math.sqrt(areas / max(other[along] - one[along], 1))), 1)
        return _tokens(one[along], one[3 - along], inner, stride)
    return None


def _grid_by_size(shape: Sequence[int], inner: Size) -> Grid | None:
    """Return the grid of a map of a network that takes one size alone, by how the map divides it."""
    height, width = inner
    if len(shape) == 4:
        for row, channels in ((2, shape[1]), (1, shape[3])):
            stride = round(height / shape[row])
            if stride >= 1 and (height // stride, width // stride) == (shape[row], shape[row + 1]):
                return Grid(channels, shape[row], shape[row + 1], stride)
    if len(shape) == 3:
        for stride in (4, 8, 14, 16, 32):
            found = _tokens(shape[1], shape[2], inner, stride)
            if found is not None:
                return found
    return None


def _tokens(count: int, channels: int, inner: Size, stride: int) -> Grid | None:
    height, width = inner[0] // stride, inner[1] // stride
    return Grid(channels, height, width, stride) if 0 <= count - height * width <= _MOST_EXTRA else None


def _sources(start: Any, owners: Mapping[Any, Key], images: Tensor) -> Iterator[Any]:
    """Yield the nearest nodes of other blocks that a node depends on; ``None`` stands for the image."""
    for node in _walk([one for one, _ in start.next_functions], owners):
        if node in owners:
            yield node
        elif getattr(node, "variable", None) is images:
            yield None


def _used(start: Any, parameters: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the names of the parameters that a node depends on."""
    names = {id(one): name for name, one in parameters.items()}
    reached = {id(getattr(node, "variable", None)) for node in _walk([start])}
    return frozenset(name for identity, name in names.items() if identity in reached)


def _walk(starts: Sequence[Any], ends: Container[Any] = ()) -> Iterator[Any]:
    """Yield nodes of the graph of gradients, and all that they depend on; nothing beyond ``ends``."""
    waiting, seen = list(starts), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        if node not in ends:
            waiting += [one for one, _ in node.next_functions]
