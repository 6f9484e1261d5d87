"""Inputs for comparing an exported file with its model, and the comparisons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segzoo.blocks.sizes import centre_crop, mirror
from segzoo.config import config_of
from segzoo.errors import FailureError, ImageError, SegzooError
from segzoo.exporting.apart import RuntimeEndedError
from segzoo.exporting.certificate import TIE, TIE_PROBABILITY, Probe, told
from segzoo.prediction.decision import Decision
from segzoo.prediction.predictor import Predictor, read_picture
from segzoo.prediction.preparing import network_input, normalised_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from segzoo.config import ModelConfig
    from segzoo.prediction.predictor import Picture
    from segzoo.runtimes import Port, Program

#: Sizes of random images if height and width are free: odd, not square, and none that files are made
#: with. The last one is a batch of two.
_SIZES = ((75, 101), (64, 200), (131, 66), (75, 101))
#: Sides to which real images are cropped if height and width are free: the result does not depend on them,
#: and a photograph of 50 million pixels would take minutes.
_LONGEST = 512
#: Number of values of the model's output that are kept for each random image.
_POINTS = 64
_SMALL = (
    "images of less than {least} pixels a side: a program for free sizes pads them more than the "
    "network does, because no size in it may be 1"
)


@dataclass(frozen=True)
class Given:
    """An input of a file; all fields except ``images`` are copied to the `segzoo.exporting.Probe` for it.

    Attributes:
        images: array with the file's type and shape.
        source: name of the image's file, or ``random``.
        seed: seed of a random image.
        held: whether it must meet the tolerance.
        note: remark for the reader.
    """

    images: NDArray[Any]
    source: str
    seed: int | None = None
    held: bool = True
    note: str = ""


def random_image(seed: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Return an image ``(H, W, C)`` that is the same on every machine, permanently.

    Squares of 16x16 pixels of one colour each, and noise of -8 to 8 on them, both drawn as integers by
    `numpy.random.RandomState`, whose stream NumPy promises not to change (NEP 19).

    Args:
        seed: seed from 0 to 2**32 - 1.
        height: height in pixels.
        width: width in pixels.
        channels: number of bands.
    """
    random = np.random.RandomState(seed)
    coarse = random.randint(0, 256, (-(-height // 16), -(-width // 16), channels))
    noise = random.randint(-8, 9, (height, width, channels))
    squares = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    return (squares + noise).clip(0, 255).astype(np.uint8)


def random_input(shape: Sequence[int], seed: int, port: Port, config: ModelConfig) -> NDArray[Any]:
    """Return the file's input for a random image, or for several with consecutive seeds.

    Args:
        shape: shape of the file's input: ``(N, C, H, W)``, or ``(H, W, C)`` with preprocessing.
        seed: seed of the first image.
        port: the file's input.
        config: config of the model.
    """
    if len(shape) == 3:
        image = random_image(seed, shape[0], shape[1], shape[2])
        return image.astype(np.uint16) * 257 if port.dtype == "uint16" else image
    count, channels, height, width = shape
    images = [random_image(seed + number, height, width, channels) for number in range(count)]
    tensors = [normalised_tensor(image, config.preprocessing) for image in images]
    return torch.cat(tensors).contiguous().numpy()


def random_inputs(program: Program, network: nn.Module) -> Iterator[Given]:
    """Yield random images at several sizes, or only at the file's size if it is fixed.

    They include odd sizes, one smaller than the network's stride, and a batch of two.
    """
    config, port = config_of(network), program.inputs[0]
    channels = _bands(port, config)
    least = exact_from(network)
    with_preprocessing = len(port.shape) == 3
    fixed = _fixed_size(port)
    sizes = [fixed] if fixed else [*_SIZES, (max(least // 2 - 1, 1), least // 2 + 5)]
    for number, (height, width) in enumerate(sizes):
        several = number == len(_SIZES) - 1 and not isinstance(port.shape[0], int)
        count = 2 if several else port.shape[0] if isinstance(port.shape[0], int) else 1
        shape = (height, width, channels) if with_preprocessing else (count, channels, height, width)
        if with_preprocessing and number == len(_SIZES) - 1:
            continue  # it accepts one image
        resized = with_preprocessing and config.preprocessing.resize is not None
        small = not fixed and min(height, width) < least and not resized
        yield Given(
            random_input(shape, 1000 * number, port, config),
            "random",
            seed=1000 * number,
            held=not small,
            note=_SMALL.format(least=least) if small else "",
        )


def _fixed_size(port: Port) -> tuple[int, int] | None:
    """Return the height and width that a file requires; ``None`` if it accepts any."""
    sides = port.shape[:2] if len(port.shape) == 3 else port.shape[2:]
    fixed = [side for side in sides if isinstance(side, int)]
    return (fixed[0], fixed[1]) if len(fixed) == 2 else None


def _bands(port: Port, config: ModelConfig) -> int:
    """Return the number of bands that a file takes; with preprocessing, it may exceed the network's."""
    bands = port.shape[-1] if len(port.shape) == 3 else port.shape[1]
    return bands if isinstance(bands, int) else config.architecture.in_channels


def exact_from(network: nn.Module) -> int:
    """Return the smallest image side for which a program for free sizes pads like the network."""
    return 2 * int(getattr(network, "_coarsest", 32))


def real_inputs(
    images: Sequence[Picture], program: Program, network: nn.Module, *, skip: bool = False
) -> Iterator[Given]:
    """Yield real images in the file's input format; large ones are cropped to their centre.

    Args:
        images: images in any form that `segzoo.Predictor` accepts.
        program: the file.
        network: the model.
        skip: whether to skip images that the network cannot process.

    Raises:
        ImageError: an image cannot be read, or its bands do not fit the network.
    """
    config, port = config_of(network), program.inputs[0]
    for number, image in enumerate(images, start=1):
        name = Path(image).name if isinstance(image, str | os.PathLike) else f"image {number}"
        try:
            pixels, info = read_picture(image)
            if len(port.shape) == 3:
                array = _as_taken(pixels, port, _bands(port, config), name)
            else:
                tensor, _ = network_input(pixels, config, info=info)
                count = port.shape[0] if isinstance(port.shape[0], int) else 1
                tensor = fitted(tensor, _fixed_size(port), _LONGEST).expand(count, -1, -1, -1)
                array = tensor.contiguous().numpy()
        except SegzooError:
            if skip:
                continue
            raise
        yield Given(array, name)


def fitted(tensor: Tensor, size: tuple[int, int] | None, longest: int) -> Tensor:
    """Return the centre of a preprocessed image ``(N, C, H, W)``.

    Args:
        tensor: the image.
        size: height and width that a file requires; smaller images are mirrored at the edges. ``None`` if it
            accepts any.
        longest: longest side in pixels if sizes are free.
    """
    height, width = tensor.shape[-2:]
    rows, columns = size or (longest, longest)
    middle = centre_crop(tensor, min(height, rows), min(width, columns))
    return mirror(middle, rows, columns, 0, 0) if size else middle


def _as_taken(pixels: NDArray[Any], port: Port, channels: int, name: str) -> NDArray[Any]:
    """Return pixels ``(H, W, C)`` with the type, bands and size that a file with preprocessing takes."""
    if pixels.dtype != port.dtype or pixels.shape[2] != channels:
        raise ImageError(
            f"{name} is {pixels.dtype} with {pixels.shape[2]} bands, but the file takes {port.dtype} with "
            f"{channels}"
        )
    height, width, _ = pixels.shape
    size = _fixed_size(port)
    if size is not None and (height < size[0] or width < size[1]):
        raise ImageError(f"{name} has {height}x{width} pixels, but the file takes {size[0]}x{size[1]}")
    rows, columns = size or (min(height, _LONGEST), min(width, _LONGEST))
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])


class Reference:
    """The reference for an exported file: the network in float32, or `segzoo.Predictor`.

    Args:
        network: network with its config; on the CPU, in evaluation mode.
        with_preprocessing: whether the file maps images to class maps.
    """

    def __init__(self, network: nn.Module, *, with_preprocessing: bool) -> None:
        self.network, self.with_preprocessing = network, with_preprocessing
        self.config = config_of(network)
        self._decision = Decision(self.config)
        self._predictor = (
            # The file's class maps contain small objects, even if the config removes them.
            Predictor(
                network,
                backend="eager",
                device="cpu",
                smallest_object=0,
                split_touching=False,
                on_message=lambda _: None,
            )
            if with_preprocessing
            else None
        )

    @torch.inference_mode()
    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return the expected output of the file."""
        if self._predictor is not None:
            return self._predictor(images).mask
        return self.network(torch.from_numpy(images)).numpy()

    @torch.inference_mode()
    def compare(self, given: Given, found: NDArray[Any]) -> Probe:
        """Compare the file's output with the model's.

        Args:
            given: input images.
            found: output of the file.
        """
        wanted, probabilities = self._output_of(given.images)
        trouble = wrong_output(found, wanted.shape)
        if trouble:
            return _probe(given, trouble=trouble)
        largest = difference = 0.0
        if probabilities is None:
            logits = torch.from_numpy(wanted)
            largest = float(np.abs(wanted).max())
            difference = float(np.abs(found.astype(np.float32) - wanted).max())
            margins = [self._margins(self._decision.of_classes(one)) for one in logits]
            near = torch.stack(margins) < TIE * largest / self.config.temperature
            differs = self._classes(torch.from_numpy(found).float()) != self._classes(logits)
        else:
            near = self._margins(torch.from_numpy(probabilities), probabilities=True) < TIE_PROBABILITY
            differs = torch.from_numpy(found.astype(np.int64) != wanted.astype(np.int64))
        return _probe(
            given,
            largest=largest,
            difference=difference,
            pixels=differs.numel(),
            differing=int(differs.sum()),
            clear=int((differs & ~near).sum()),
            points=_points(wanted) if given.seed is not None else (),
        )

    def _output_of(self, images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the expected output, and probabilities if that is a class map."""
        if self._predictor is None:
            return self(images), None
        segmented = self._predictor(images, probabilities=True)
        assert segmented.probabilities is not None
        return segmented.mask, segmented.probabilities

    def _classes(self, logits: Tensor) -> Tensor:
        """Return the class maps of a batch ``(N, K, H, W)``, decided by the common rule."""
        return torch.stack([self._decision.found(self._decision.scores(one))[0] for one in logits])

    def _margins(self, values: Tensor, *, probabilities: bool = False) -> Tensor:
        """Return the margin of the winning class at each pixel, from scores ``(K, H, W)``."""
        cuts, overlapping = self._decision.cuts, self.config.labels.overlapping
        if overlapping or len(values) == 1:
            indices = range(len(values)) if overlapping else (1,)
            levels = values.new_tensor([cuts.get(index, self.config.threshold) for index in indices])
            margins = (values - (levels if probabilities else levels.logit())[:, None, None]).abs()
            return margins if overlapping else margins[0]
        first, second = values.topk(2, dim=0).values
        margins = first - second
        for index, level in cuts.items():
            # A pixel near its threshold may get either result, like a pixel near a tie of two classes.
            chance = (values if probabilities else values.softmax(dim=0))[index]
            least = values.new_tensor(level)
            away = chance - least if probabilities else chance.logit() - least.logit()
            margins = torch.minimum(margins, away.abs())
        return margins


def wrong_output(found: NDArray[Any], shape: Sequence[int]) -> str:
    """Return what is wrong with an output before its numbers are compared; nothing if it is valid."""
    if tuple(found.shape) != tuple(shape):
        return f"the file outputs {told(found.shape)}, the model {told(shape)}"
    if not np.isfinite(found).all():
        return "the file outputs numbers that are not finite"
    return ""


def compare_points(given: Given, found: NDArray[Any], stored: Probe) -> Probe:
    """Compare a file's output with the values of the model's output in its certificate.

    For logits, only differences are found; for class maps, the classes at the values' places.
    """
    where = _places(found.size)
    if len(where) != len(stored.points):
        return _probe(given, trouble=f"the file outputs {told(found.shape)}, unlike when it was certified")
    if not np.isfinite(found).all():
        return _probe(given, trouble=wrong_output(found, found.shape))
    off = np.abs(found.reshape(-1)[where].astype(np.float64) - np.array(stored.points))
    if stored.largest:
        return _probe(given, largest=stored.largest, difference=float(off.max()))
    return _probe(given, pixels=len(where), differing=int((off > 0).sum()), clear=int((off > 0).sum()))


def run_on(program: Program, given: Given) -> NDArray[Any] | str:
    """Return a file's output for images, or the reason why it failed."""
    try:
        return program(given.images)
    except RuntimeEndedError:
        raise
    except FailureError as error:
        return str(error).splitlines()[0]


def failed(given: Given, trouble: str) -> Probe:
    """Return the probe for images on which the file failed."""
    return _probe(given, trouble=trouble)


def _probe(given: Given, **figures: Any) -> Probe:
    return Probe(
        source=given.source,
        shape=tuple(given.images.shape),
        seed=given.seed,
        held=given.held,
        note=given.note,
        **figures,
    )


def _places(size: int) -> NDArray[np.int64]:
    """Return evenly spread indices of an array with ``size`` numbers, from the first to the last."""
    return np.linspace(0, size - 1, min(size, _POINTS)).round().astype(np.int64)


def _points(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(f"{value:.7g}") for value in values.reshape(-1)[_places(values.size)])
