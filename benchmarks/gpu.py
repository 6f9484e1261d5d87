"""Every code path that only a GPU takes, compared with the CPU; then the speed of training and inference.

Each path runs in a process of its own and is reported as pass, fail or skipped, with what was measured; a
failure does not stop the others. Speeds are compared with plain PyTorch, compiled, in bf16. The output is
Markdown for docs/guides/speed.md, under the machine's name.

    python benchmarks/gpu.py [--only NAME ...] [--no-rates]
    python benchmarks/gpu.py --cpu       # the same code on the CPU with tiny sizes, to test this program

The exit code is 0 if nothing failed, 1 if something did, and 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import segzoo
from segzoo.build import make_loss
from segzoo.machine import fast_dtype, machine_in_words, peak_flops, wait
from segzoo.prediction.engines import make_engine
from segzoo.prediction.engines.graphs import Graphed, record
from segzoo.prediction.engines.probing import deviation
from segzoo.prediction.predictor import Predictor
from segzoo.prediction.shortage import release_memory
from segzoo.training import Recipe
from segzoo.training.data.splits import open_splits
from segzoo.training.fitting import fit_memory
from segzoo.training.loop.accelerator import make_accelerator
from segzoo.training.loop.distributed import optimizer_state, own_tensors, stages, whole
from segzoo.training.loop.state import TrainState
from segzoo.training.loop.trainer import endless_batches, training_batches, training_step
from segzoo.training.randomness import seed_everything
from segzoo.training.speed import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from segzoo.training.loop.step import TrainStep

#: Goals, which nothing here enforces: a share of the measured bf16 rate, images a second, milliseconds.
GOALS = {
    "U-Net 31 M, training": "60 % of the bf16 rate",
    "UNet++, training": "13,000 images/s",
    "U-Net 31 M, inference": "1.65 ms",
}
#: Largest differences from the CPU: of logits relative to the largest one (float32, low precision), then of
#: losses (float32, low precision).
EXACT, LOW, LOSS, LOW_LOSS = 1e-4, 5e-2, 2e-3, 5e-2
#: Largest share of a mask's pixels that may differ in low precision.
DIFFERING = 0.01
#: Seconds after which a path has failed.
LIMIT = 900


class SkippedError(Exception):
    """This machine cannot run the path; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where everything runs, and at which sizes.

    Attributes:
        device: a GPU, or the CPU for a trial.
        side: height and width of the images, in pixels.
        batch: images in a batch.
        width: channels of the U-Net's finest stage.
        depth: number of the U-Net's stages.
        data: folder of images and masks of this side.
    """

    device: torch.device
    side: int
    batch: int
    width: int
    depth: int
    data: Path

    @property
    def dry(self) -> bool:
        """Whether this is a trial without a GPU."""
        return self.device.type == "cpu"

    def network(self, **options: Any) -> nn.Module:
        """Return an untrained U-Net with logits of both signs, on the CPU."""
        torch.manual_seed(0)
        given = {"num_classes": 1, "width": self.width, "depth": self.depth, **options}
        model = segzoo.create("unet", **given).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(cast("Tensor", module.running_mean), -0.1, 0.1)
                nn.init.uniform_(cast("Tensor", module.running_var), 0.8, 1.2)
        with torch.no_grad():  # so that masks hold both classes
            cast("Any", model).head.bias -= model(self.images()).median()
        return model

    def images(self, count: int = 1) -> Tensor:
        """Return random images of the side, on the CPU."""
        return torch.randn(count, 3, self.side, self.side, generator=torch.Generator().manual_seed(1))

    def recipe(self, **changes: Any) -> Recipe:
        """Return a small training on the device."""
        given = {
            "data": str(self.data),
            "model_options": {"width": self.width, "depth": self.depth},
            "augment": {"crop": {"size": self.side}, "flip": {}},
            "batch_size": self.batch,
            "precision": "no",
            "device": self.device.type,
        }
        return Recipe(**{**given, **changes})


# -- paths of prediction


def exact_engine(place: Place) -> str:
    """Float32 with batch norms folded."""
    return _engine(place, EXACT, precision="exact")


def fast_engine(place: Place) -> str:
    """bf16, or fp16 where the GPU has no bf16."""
    return f"{fast_dtype(place.device)[0]}; {_engine(place, LOW, precision='fast')}"


def compiled_engine(place: Place) -> str:
    """Kernels of torch.compile."""
    return _engine(place, LOW, precision="fast", backend="compile")


def _engine(place: Place, limit: float, **options: Any) -> str:
    network, told = place.network(), list[str]()
    engine = make_engine(network, device=place.device, on_message=told.append, **options)
    off = 0.0
    for images in (place.images(), place.images(3)[..., : place.side - 3]):
        with torch.no_grad():
            off = max(off, deviation(engine(images).cpu(), network(images)))
    _hold(off, limit, "logits off by")
    return "; ".join([f"logits off by {off:.1e}", engine.description, *told])


def cuda_graphs(place: Place) -> str:
    """CUDA graphs: kernels recorded once for images of one shape."""
    network, told = place.network().to(place.device), list[str]()

    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        return network(images)

    # Without a GPU nothing is recorded; shapes are counted and logits compared by the same code.
    recorder = (lambda run, images: run) if place.dry else record
    graphed, images = Graphed(run, on_message=told.append, record=recorder), place.images().to(place.device)
    expected = run(images)
    off = max(deviation(graphed(images), expected) for _ in range(6))
    changed = images.flip(-1)
    off = max(off, deviation(graphed(changed), run(changed)))
    if not graphed._graphs:
        raise RuntimeError(f"no graph was made: {'; '.join(told)}")
    _hold(off, EXACT, "logits off by")
    return f"logits off by {off:.1e} with {len(graphed._graphs)} graph"


def masks(place: Place) -> str:
    """The masks of `segzoo.Predictor`, whole and in tiles."""
    network, pixels = place.network(), _pixels(place)
    expected = Predictor(network, device="cpu", on_message=_nothing)(pixels).mask
    found = []
    for precision, limit in (("exact", 1e-3), ("fast", DIFFERING)):
        predictor = Predictor(
            network, device=place.device, precision=cast("Any", precision), on_message=_nothing
        )
        off = float((predictor(pixels).mask != expected).mean())
        _hold(off, limit, f"{precision}: share of pixels that differ")
        found.append(f"{precision} {off:.3%}")
    return f"pixels that differ: {', '.join(found)}; {expected.mean():.0%} are of the class"


def smaller_tiles(place: Place) -> str:
    """Smaller and smaller tiles, where an image does not fit the memory."""
    network, pixels = place.network(), _pixels(place, side=640)
    expected = Predictor(network, device="cpu", on_message=_nothing)(pixels).mask
    told = list[str]()
    predictor = Predictor(network, device=place.device, on_message=told.append)
    with _short_of_memory(place, cast("Any", predictor.engine).network, most=300 * 300):
        found = predictor(pixels).mask
    if "tile" not in told[-1]:
        raise RuntimeError(f"memory was short and the image was not cut: {told[-1]}")
    off = float((found != expected).mean())
    _hold(off, 1e-3, "share of pixels that differ")
    return f"pixels that differ: {off:.3%}; {told[-1]}"


def memory_profile(place: Place) -> str:
    """Tiles planned by a measurement of the memory that they take."""
    network, pixels = place.network(), _pixels(place, side=4 * place.side)
    expected = Predictor(network, device="cpu", on_message=_nothing)(pixels).mask
    told = list[str]()
    predictor = Predictor(network, device=place.device, memory="1GB", on_message=told.append)
    traits = predictor.tiler.measured()
    off = float((predictor(pixels).mask != expected).mean())
    _hold(off, 1e-3, "share of pixels that differ")
    return f"radius {traits.radius}; pixels that differ: {off:.3%}"


# -- paths of training


def float32_steps(place: Place) -> str:
    """Steps in float32, channels first."""
    return _steps(place, LOSS, channels_last=False)


def channels_last(place: Place) -> str:
    """Steps in float32, channels last."""
    return _steps(place, LOSS, channels_last=True)


def bf16_steps(place: Place) -> str:
    """Steps in bf16."""
    return _steps(place, LOW_LOSS, precision="bf16")


def fp16_steps(place: Place) -> str:
    """Steps in fp16 with a loss scale."""
    if place.dry:
        raise SkippedError("fp16 needs a GPU")
    return _steps(place, LOW_LOSS, precision="fp16")


def compiled_steps(place: Place) -> str:
    """Steps of a network compiled by torch.compile."""
    return _steps(place, LOW_LOSS, precision="bf16", compile=True)


def recomputed_steps(place: Place) -> str:
    """Steps whose activations are computed again in the backward pass."""
    return _steps(place, LOSS, checkpointing=True)


def _steps(place: Place, limit: float, **changes: Any) -> str:
    expected = _losses(place.recipe(device="cpu"))
    found = _losses(place.recipe(**changes))
    off = max(abs(one - other) for one, other in zip(found, expected, strict=True))
    _hold(off, limit, "losses off by")
    return f"losses off by {off:.1e} in {len(found)} steps, the last {found[-1]:.4f}"


def _losses(recipe: Recipe, steps: int = 4) -> list[float]:
    stepper, trainee, batches, accelerator = _training(recipe)
    found = []
    for _ in range(steps):
        step = stepper.step(next(batches))
        trainee.stepped()
        found.append(float(step.loss))
    if recipe.precision == "fp16" and accelerator.scaler is None:
        raise RuntimeError("fp16 trained without a loss scale")
    return found


def _training(recipe: Recipe, steps: int = 8) -> tuple[TrainStep, TrainState, Iterator[Any], Any]:
    accelerator = make_accelerator(recipe.device, recipe.precision, out=recipe.out)
    seed_everything(recipe.seed)
    training, _ = open_splits(recipe.source, recipe.split)
    trainee = TrainState(recipe, accelerator, training, on_message=_nothing)
    loader, batches = training_batches(recipe, trainee, training, accelerator, on_message=_nothing)
    trainee.follow_schedule("constant", {}, steps=steps, steps_per_epoch=batches.steps)
    stepper = training_step(recipe, trainee, training, accelerator, on_message=_nothing)
    trainee.model.train()
    trainee.freezing.begin(1)
    return stepper, trainee, endless_batches(loader, batches, recipe.out), accelerator


def pinned_transfers(place: Place) -> str:
    """Batches in pinned memory, copied to the device asynchronously."""
    _, _, batches, _ = _training(place.recipe())
    batch = next(batches)
    pinned = batch.images.is_pinned()
    if not place.dry and not pinned:
        raise RuntimeError("the loader's batches are not pinned")
    there = batch.images.to(place.device, non_blocking=True)
    wait(place.device)
    if not torch.equal(there.cpu(), batch.images):
        raise RuntimeError("images changed on their way to the device")
    return "pinned, and the same on the device" if pinned else "not pinned, as there is no GPU"


def memory_probe(place: Place) -> str:
    """The number of parts in which a batch fits the memory, found before training."""
    stepper, trainee, _, _ = _training(place.recipe())
    before = {name: value.clone() for name, value in trainee.model.state_dict().items()}
    with _short_of_memory(place, trainee.model.network, most=place.batch // 2 * place.side**2):
        fit_memory(stepper, (place.batch, 3, place.side, place.side))
    if stepper.accumulate < 2:
        raise RuntimeError(f"memory was short and the batch was not divided: {stepper.accumulate} part")
    after = trainee.model.state_dict()
    if not all(torch.equal(value, after[name]) for name, value in before.items()):
        raise RuntimeError("weights changed while a step was tried")
    return f"{place.batch} images in {stepper.accumulate} parts, weights as before"


def halved_batches(place: Place) -> str:
    """A step that runs out of memory divides its batch, and takes the same step."""
    recipe = place.recipe(model_options={"width": place.width, "depth": place.depth, "norm": None})
    expected = _losses(recipe, steps=2)
    stepper, trainee, batches, _ = _training(recipe)
    found = []
    with _short_of_memory(place, trainee.model.network, most=place.batch // 2 * place.side**2):
        for _ in range(2):
            found.append(float(stepper.step(next(batches)).loss))
            trainee.stepped()
    if stepper.accumulate < 2:
        raise RuntimeError("memory was short and the batch was not divided")
    off = max(abs(one - other) for one, other in zip(found, expected, strict=True))
    _hold(off, LOSS, "losses off by")
    return f"{place.batch} images in {stepper.accumulate} parts; losses off by {off:.1e}"


def data_parallel(place: Place) -> str:
    """DDP of one process: NCCL on a GPU."""
    expected = _losses(place.recipe(), steps=2)
    stepper, trainee, batches, _ = _training(place.recipe())
    with _group(place):
        ids = None if place.dry else [place.device.index or 0]
        stepper.model = DistributedDataParallel(stepper.model, device_ids=ids)
        found = []
        for _ in range(2):
            found.append(float(stepper.step(next(batches)).loss))
            trainee.stepped()
    off = max(abs(one - other) for one, other in zip(found, expected, strict=True))
    _hold(off, LOSS, "losses off by")
    return f"losses off by {off:.1e} of those without"


def sharded(place: Place) -> str:
    """FSDP of one process: weights are sharded and gathered again, and the optimizer's state is gathered."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    expected = _losses(place.recipe(channels_last=False), steps=2)
    with _group(place):
        stepper, _, batches, _ = _training(place.recipe(channels_last=False, shard=False))
        model = cast("Any", stepper.model)
        mesh = init_device_mesh(place.device.type, (1,))
        for stage in stages(model):
            fully_shard(stage, mesh=mesh)
        fully_shard(model, mesh=mesh)
        # Sharding gives the network other parameters; an optimizer made before would train none of them.
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        found = []
        for _ in range(2):
            batch = next(batches)
            images, truth = batch.images.to(place.device), batch.masks.to(place.device).long()
            loss = stepper.loss(model(images), truth)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            found.append(float(loss.detach()))
        weights = whole(own_tensors(model))
        state = optimizer_state(model, optimizer, divided=True)
    off = abs(found[0] - expected[0])
    _hold(off, LOSS, "first loss off by")
    if not all(value.isfinite().all() for value in weights.values() if value.is_floating_point()):
        raise RuntimeError("weights that were put together are not finite")
    return (
        f"first loss off by {off:.1e}; {len(weights)} tensors and {len(state['state'])} states put together"
    )


#: Paths by name, in the order in which they are tried.
PATHS: dict[str, Callable[[Place], str]] = {
    "exact engine": exact_engine,
    "bf16 or fp16 engine": fast_engine,
    "CUDA graphs": cuda_graphs,
    "compiled engine": compiled_engine,
    "masks": masks,
    "memory profile of tiles": memory_profile,
    "tiles where memory ran out": smaller_tiles,
    "float32 training": float32_steps,
    "channels last": channels_last,
    "bf16 training": bf16_steps,
    "fp16 training with loss scale": fp16_steps,
    "compiled training": compiled_steps,
    "activations computed again": recomputed_steps,
    "pinned transfers": pinned_transfers,
    "memory probe": memory_probe,
    "batches where memory ran out": halved_batches,
    "DDP, one process": data_parallel,
    "FSDP, one process": sharded,
}


# -- what the paths share


def _hold(off: float, limit: float, what: str) -> None:
    if not off <= limit:
        raise RuntimeError(f"{what} {off:.2e}, more than {limit:g}")


def _nothing(_: str) -> None:
    """Ignore a message."""


def _pixels(place: Place, side: int = 0) -> np.ndarray[Any, Any]:
    """Return smooth noise, so that neighbouring pixels are of one class."""
    side = side or place.side
    small = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


@contextlib.contextmanager
def _short_of_memory(place: Place, network: Any, *, most: int) -> Iterator[None]:
    """Make a network run out of memory where its batch has more than ``most`` pixels."""

    def ask(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        images = given[0]
        if images.shape[0] * images.shape[-2] * images.shape[-1] > most:
            torch.empty(1 << 50, dtype=torch.uint8, device=place.device)

    hook = network.register_forward_pre_hook(ask)
    try:
        yield
    finally:
        hook.remove()
        release_memory()


@contextlib.contextmanager
def _group(place: Place) -> Iterator[None]:
    """Make this process the only one of a group."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        kind = "gloo" if place.dry else "nccl"
        dist.init_process_group(kind, init_method=store, rank=0, world_size=1)
        try:
            yield
        finally:
            dist.destroy_process_group()


def write_images(root: Path, side: int, count: int) -> None:
    """Write a dataset of noisy images, each with a bright square."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((side, side), np.uint8)
            y, x = random.integers(0, side // 2, 2)
            mask[y : y + side // 2, x : x + side // 2] = 255
            noise = random.integers(0, 100, (side, side, 3), np.uint8)
            Image.fromarray(noise + (mask // 2)[..., None]).save(root / part / f"images/{number}.png")
            Image.fromarray(mask).save(root / part / f"masks/{number}.png")


# -- rates


def training_rate(place: Place, model: str, options: dict[str, Any], side: int, batch: int) -> dict[str, Any]:
    """Return images a second by segzoo and by a plain compiled step, and segzoo's share of the bf16 rate."""
    steps = 1 if place.dry else 20
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), side, batch)
        recipe = Recipe(
            data=folder,
            model=model,
            model_options=options,
            augment={"crop": {"size": side}},
            batch_size=batch,
            precision="bf16",
            compile=True,
            device=place.device.type,
        )
        found = measure(recipe, steps=steps, warmup=1 if place.dry else 10)
    step = batch / found.images_per_second_computing
    network = segzoo.create(model, **{"num_classes": 1, **options}).to(place.device).train()
    plain = _plain_step(place, network, side, batch, steps)
    return {
        "segzoo": batch / step,
        "plain": batch / plain,
        "unit": "images/s",
        "ratio": plain / step,
        "share": found.share,
    }


def _plain_step(place: Place, network: nn.Module, side: int, batch: int, steps: int) -> float:
    """Return the seconds of a step as people write it: compiled, in bf16, channels last, fused AdamW."""
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    compiled = cast("Any", torch.compile(network))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=not place.dry)
    loss = make_loss("ce-dice")
    images = torch.rand(batch, 3, side, side, device=place.device).to(memory_format=torch.channels_last)
    truth = torch.randint(0, 2, (batch, side, side), device=place.device)
    times = []
    for _ in range(steps + (1 if place.dry else 10)):
        begun = time.perf_counter()
        with torch.autocast(place.device.type, torch.bfloat16):
            found = compiled(images)
        outputs = found if isinstance(found, list | tuple) else [found]
        sum((loss(one.float(), truth) for one in outputs), torch.zeros((), device=place.device)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        wait(place.device)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[-steps:])


def inference_rate(
    place: Place, model: str, options: dict[str, Any], size: tuple[int, int]
) -> dict[str, Any]:
    """Return milliseconds an image, by segzoo's fast engine and by a plain network compiled in bf16."""
    torch.manual_seed(0)
    network = segzoo.create(model, **{"num_classes": 1, **options}).eval()
    images = torch.rand(1, 3, *size).to(place.device)
    engine = make_engine(network, device=place.device, precision="fast", on_message=_nothing)
    plain = network.to(place.device, torch.bfloat16).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    compiled = cast("Any", torch.compile(plain))
    given = images.to(torch.bfloat16).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def plainly() -> Tensor:
        return compiled(given).float()

    ours, theirs = (_seconds(place, run) for run in (lambda: engine(images), plainly))
    return {"segzoo": 1e3 * ours, "plain": 1e3 * theirs, "unit": "ms", "ratio": theirs / ours}


def _seconds(place: Place, run: Callable[[], object]) -> float:
    times = []
    for _ in range(2 if place.dry else 60):
        begun = time.perf_counter()
        run()
        wait(place.device)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[len(times) // 2 :])


def rates(place: Place) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return the measurements by name."""
    unet: dict[str, Any] = {"width": 4, "depth": 2} if place.dry else {}
    nested: dict[str, Any] = {"encoder": {"width": 4, "depth": 2}} if place.dry else {}
    plus = "nested/plain" if place.dry else "nested"
    side, size, small, batch, many = (32, (40, 59), 32, 2, 2) if place.dry else (512, (640, 959), 96, 16, 256)
    return {
        "U-Net 31 M, training": lambda: training_rate(place, "unet", unet, side, batch),
        "UNet++, training": lambda: training_rate(place, plus, nested, small, many),
        "U-Net 31 M, inference": lambda: inference_rate(place, "unet", unet, size),
        "UNet++, inference": lambda: inference_rate(place, plus, nested, (small, small)),
    }


# -- the program


def tried(place: Place, name: str) -> dict[str, Any]:
    """Return the result of a path or a measurement; an exception is a failure."""
    begun = time.perf_counter()
    try:
        found: dict[str, Any]
        if name in PATHS:
            found = {"result": "pass", "told": PATHS[name](place)}
        else:
            found = {"result": "pass", **rates(place)[name]()}
    except SkippedError as error:
        found = {"result": "skipped", "told": str(error)}
    except Exception as error:  # whatever it is, the others are tried all the same
        told = (str(error).splitlines() or [""])[0]
        found = {"result": "fail", "told": f"{type(error).__name__}: {told}"}
    return {**found, "seconds": time.perf_counter() - begun}


def apart(arguments: list[str], name: str) -> dict[str, Any]:
    """Return the result of a path that runs in a process of its own, so that a crash ends that one alone."""
    command = [sys.executable, __file__, *arguments, "--path", name]
    begun = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if lines:
            return json.loads(lines[-1])
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        told = f"the process ended with {done.returncode}: {last}"
    except subprocess.TimeoutExpired:
        told = f"took more than {LIMIT} s"
    return {"result": "fail", "told": told, "seconds": time.perf_counter() - begun}


def place_of(arguments: argparse.Namespace, folder: Path) -> Place:
    """Return where everything runs."""
    if arguments.cpu:
        side, batch, width, depth = 32, 4, 4, 2
    else:
        side, batch, width, depth = 128, 8, 32, 5
    write_images(folder, side, 2 * batch)
    device = torch.device("cpu" if arguments.cpu else "cuda")
    return Place(device, side, batch, width, depth, folder)


def machine() -> str:
    """Return the GPU's name and memory, the versions of the software, and the processor."""
    if not torch.cuda.is_available():
        return f"{machine_in_words()}; torch {torch.__version__}"
    free, total = torch.cuda.mem_get_info()
    return (
        f"{torch.cuda.get_device_name()}, {total / 2**30:.0f} GiB ({free / 2**30:.0f} free); "
        f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}; "
        f"{machine_in_words()}"
    )


def cell(text: str) -> str:
    """Return text as a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="test this program with tiny sizes, without a GPU")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="paths and measurements to run")
    parser.add_argument("--no-rates", action="store_true", help="skip the measurements of speed")
    parser.add_argument("--path", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.cpu and not torch.cuda.is_available():
        print(
            f"torch {torch.__version__} sees no GPU here, so nothing was tried; with --cpu this program "
            "tries itself with tiny sizes",
            file=sys.stderr,
        )
        return 2
    if arguments.cpu:
        # Compiling takes a minute each time and shows nothing about a GPU: calls stay, nothing is compiled.
        torch._dynamo.config.disable = True
    with tempfile.TemporaryDirectory() as folder:
        place = place_of(arguments, Path(folder) / "data")
        os.chdir(folder)  # runs write their folders here
        known = [*PATHS, *rates(place)]
        if arguments.path:
            print(json.dumps(tried(place, arguments.path)))
            return 0
        unknown = [name for name in arguments.only if name not in known]
        if unknown:
            parser.error(f"{unknown[0]!r} is none of {', '.join(known)}")
        names = [name for name in arguments.only or known if name in PATHS or not arguments.no_rates]
        return report(place, names, ["--cpu"] if arguments.cpu else [])


def report(place: Place, names: list[str], arguments: list[str]) -> int:
    """Try everything, print both tables, and return the exit code."""
    print(f"### {machine()}\n")
    if place.dry:
        print(
            "A trial of this program on the CPU: sizes are tiny, nothing is compiled, recorded or pinned; "
            "its numbers say nothing.\n"
        )
    peak = peak_flops(place.device, "bf16")
    print(f"One large matrix product in bf16: {peak / 1e12:,.1f} TFLOP/s.\n")
    results: dict[str, dict[str, Any]] = {}
    paths = [name for name in names if name in PATHS]
    if paths:
        print("| path | result | found | s |\n|---|---|---|---|")
    for name in paths:
        one = results[name] = tried(place, name) if place.dry else apart(arguments, name)
        print(f"| {name} | {one['result']} | {cell(one['told'])} | {one['seconds']:.0f} |", flush=True)
    measured = [name for name in names if name not in PATHS]
    if measured:
        header = ("measured", "segzoo", "plain, compiled, bf16", "times plain", "share of bf16 rate", "goal")
        print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for name in measured:
        one = results[name] = tried(place, name) if place.dry else apart(arguments, name)
        if one["result"] == "pass":
            share = f"{one['share']:.0%}" if "share" in one else ""
            row = [f"{one[way]:,.2f} {one['unit']}" for way in ("segzoo", "plain")]
            row += [f"{one['ratio']:.2f}", share, GOALS.get(name, "")]
        else:
            row = [f"{one['result']}: {cell(one['told'])}", "", "", "", GOALS.get(name, "")]
        print(f"| {name} | {' | '.join(row)} |", flush=True)
    counts = {
        kind: sum(one["result"] == kind for one in results.values()) for kind in ("pass", "fail", "skipped")
    }
    print(f"\n{counts['pass']} passed, {counts['fail']} failed, {counts['skipped']} skipped")
    return 1 if counts["fail"] else 0


if __name__ == "__main__":
    sys.exit(main())
