"""Preprocessing and decision as modules, so that a file maps unprocessed images to class maps.

They compute what `segzoo.Predictor` does for an image that it processes as a whole, with operations that all
inference engines have. Sizes are symbolic, computed as 32-bit integers, the type that OpenVINO has. Images
are resized by matrix products whose rows are Pillow's weights.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from segzoo.errors import UsageError
from segzoo.images import choose_bands
from segzoo.prediction.decision import Decision
from segzoo.specs import intensity_text
from segzoo.specs.pictures import is_band_number

if TYPE_CHECKING:
    from segzoo.config import ModelConfig
    from segzoo.specs import Intensity, Resize
    from segzoo.specs.prediction import Pixels

#: Longest side of an image.
LONGEST = 32768
#: Number of parts per 1 % when percentiles are searched.
_PARTS = 100


class WholeImage(nn.Module):
    """A network that maps one unprocessed image to its class map.

    Args:
        network: maps ``(N, C, H, W)`` to logits.
        config: config of the network.
        dtype: type of the image: ``torch.uint8`` or ``torch.uint16``.

    Raises:
        UsageError: the preprocessing cannot be part of a file; the message says why, and what to do.
    """

    def __init__(self, network: nn.Module, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.before, self.network, self.after = Before(config, dtype), network, After(config)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(H, W, C)`` to class indices ``(H, W)``, or 0 and 1 ``(K, H, W)`` where classes overlap."""
        return self.after(self.network(self.before(image)), image)


class Before(nn.Module):
    """Maps an image to the network's input: bands, intensity, size, mean and standard deviation.

    Args:
        config: config of the network.
        dtype: type of the image.

    Raises:
        UsageError: see `WholeImage`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        preprocessing = config.preprocessing
        self.bands = bands_inside(config)
        self.intensity, self.dtype = preprocessing.intensity, dtype
        check_intensity(self.intensity)
        self.resizing = Resizing(preprocessing.resize) if preprocessing.resize else None
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(-1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(H, W, C)`` to ``(1, C, h, w)`` float32."""
        planes = image.to(torch.float32).permute(2, 0, 1)
        if self.bands:
            planes = torch.cat([planes[band : band + 1] for band in self.bands])
        # Bytes stay bytes, as float32 values, until the image is resized.
        planes = scaled(planes, self.intensity, self.dtype)
        if self.resizing is not None:
            planes = self.resizing(planes, is_bytes=self.intensity.mode == "uint8")
        if self.intensity.mode == "uint8":
            planes = planes / 255
        return ((planes - self.mean) / self.std)[None]


class After(nn.Module):
    """Maps logits to the class map of the image.

    Args:
        config: config of the network.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.decision = Decision(config)
        resize = config.preprocessing.resize
        self.placing = Placing(resize) if resize else None

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        """Map ``(1, K, h, w)`` to classes at the size of the image ``(H, W, C)``."""
        scores = self.decision.scores(logits[0])
        if self.placing is not None:
            height, width = image.shape[0], image.shape[1]
            (rows, columns), (top, left) = self.placing(height, width)
            scores = _stretched(scores, 1, top, rows, height)
            scores = _stretched(scores, 2, left, columns, width)
        return self.decision.found(scores)[0]


def _stretched(scores: Tensor, axis: int, first: Any, count: Any, wanted: Any) -> Tensor:
    """Return scores whose ``count`` rows starting at ``first`` are resized to ``wanted``, bilinearly."""
    places = torch.arange(wanted, device=scores.device)
    first, count, wanted = map(_number, (first, count, wanted))
    # (place + 1/2) count / wanted - 1/2, as an integer and a fraction.
    doubled = (2 * places + 1) * count + wanted
    above = doubled // (2 * wanted) - 1
    share = (doubled % (2 * wanted)).to(torch.float32) / (2 * wanted).to(torch.float32)
    share = torch.where(above < 0, torch.zeros_like(share), share)
    above = above.clamp(min=0)
    below = torch.minimum(above + 1, count - 1)
    share = share[:, None] if axis == 1 else share
    upper, lower = scores.index_select(axis, above + first), scores.index_select(axis, below + first)
    return upper + (lower - upper) * share


class Resizing(nn.Module):
    """Resizes an image according to a `Resize`.

    Args:
        resize: how to resize.
    """

    def __init__(self, resize: Resize) -> None:
        super().__init__()
        self.resize, self.placing = resize, Placing(resize)

    def forward(self, planes: Tensor, *, is_bytes: bool) -> Tensor:
        """Map ``(C, H, W)`` to ``(C, h, w)``; bytes are rounded after each pass, as Pillow does."""
        height, width = planes.shape[1], planes.shape[2]
        (rows, columns), (top, left) = self.placing(height, width)
        framed = self.resize.mode == "letterbox"
        fill = float(self.resize.fill) if is_bytes else self.resize.fill / 255
        seen = (self.resize.height, self.resize.width) if framed else (rows, columns)
        across, inside_across = self._weights(width, columns, seen[1], left, planes)
        planes = planes @ across.T
        if is_bytes and self.resize.antialias:
            planes = _bytes(planes)
        down, inside_down = self._weights(height, rows, seen[0], top, planes)
        planes = down @ planes
        if is_bytes:
            # Pillow rounds when it averages, and truncates when it samples.
            planes = _bytes(planes if self.resize.antialias else planes - 0.5 + 1e-4)
        if framed:
            inside = inside_down[:, None] & inside_across[None, :]
            planes = torch.where(inside, planes, torch.full_like(planes, fill))
        return planes

    def _weights(self, have: Any, count: Any, seen: Any, first: Any, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(seen, have)`` weights, and which of the ``seen`` pixels are inside the image."""
        source = torch.arange(have, device=like.device)
        places = torch.arange(seen, device=like.device) - _number(first)
        have, count = _number(have), _number(count)
        inside = (places >= 0) & (places < count)
        # The centre, (place + 1/2) have / count, as an integer and a fraction.
        doubled = (2 * places + 1) * have
        whole = doubled // (2 * count)
        share = (doubled % (2 * count)).to(torch.float32) / (2 * count).to(torch.float32)
        if self.resize.interpolation == "nearest":
            return (source[None, :] == whole[:, None]).to(torch.float32), inside
        away = (source[None, :] - whole[:, None]).to(torch.float32) + (0.5 - share[:, None])
        bicubic = self.resize.interpolation == "bicubic"
        if not self.resize.antialias:
            return _sampled(away, source == have - 1, bicubic=bicubic), inside
        # The kernel grows with the averaged area.
        wide = (have.to(torch.float32) / count.to(torch.float32)).clamp(min=1.0)
        weights = _kernel((away / wide).abs(), bicubic=bicubic)
        return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6), inside


def _bytes(planes: Tensor) -> Tensor:
    return (planes + 0.5).floor().clamp(0, 255)


def _sampled(away: Tensor, last: Tensor, *, bicubic: bool) -> Tensor:
    """Return weights of only the neighbours; beyond the edge, the pixel at the edge is repeated.

    Args:
        away: ``(wanted, have)``: distance of each pixel from the centre.
        last: ``(have,)``: marks the last pixel.
        bicubic: whether two neighbours on each side count, instead of one.
    """
    weights = _sampling(away.abs(), bicubic=bicubic)
    for step in range(1, 3 if bicubic else 2):
        before, after = (_sampling((away + at).abs(), bicubic=bicubic) for at in (-step, step))
        first = torch.arange(away.shape[1], device=away.device) == 0
        weights = weights + before * first + after * last
    return weights


def _sampling(away: Tensor, *, bicubic: bool) -> Tensor:
    if not bicubic:
        return _kernel(away, bicubic=False)
    # The same with a = -1, as in Pillow when it samples.
    near = (away - 2) * away * away + 1
    far = ((5 - away) * away - 8) * away + 4
    return torch.where(away < 1, near, torch.where(away < 2, far, torch.zeros_like(away)))


def _kernel(away: Tensor, *, bicubic: bool) -> Tensor:
    if not bicubic:
        return (1 - away).clamp(min=0)
    # Keys, 1981, with a = -0.5, as in Pillow when it averages.
    near = (1.5 * away - 2.5) * away * away + 1
    far = (((away - 5) * away + 8) * away - 4) * -0.5
    return torch.where(away < 1, near, torch.where(away < 2, far, torch.zeros_like(away)))


def _number(size: Any) -> Tensor:
    """Return a size as a tensor, the only type that ONNX divides by."""
    return size if isinstance(size, Tensor) else torch.scalar_tensor(size, dtype=torch.int64)


class Placing(nn.Module):
    """Position of an image in the network's input: `segzoo.images.sizes.placed` for symbolic sizes.

    Args:
        resize: how the image is resized.
    """

    short_rows: Tensor
    short_columns: Tensor

    def __init__(self, resize: Resize) -> None:
        super().__init__()
        self.resize = resize
        if resize.mode == "scale":
            # With a scale such as 0.29, the product with some sides is an integer minus a rounding error.
            # These sides come out one pixel longer than in `scaled_size`.
            self.ratio = Fraction(resize.scale).limit_denominator(1_000).as_integer_ratio()
        if resize.mode == "letterbox":
            self.register_buffer("short_rows", _cut_short(resize.height))
            self.register_buffer("short_columns", _cut_short(resize.width))

    def forward(self, height: Any, width: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Return rows and columns of the resized image, and the position of its first row and column."""
        resize = self.resize
        if resize.mode == "stretch":
            return (resize.height, resize.width), (0, 0)
        if resize.mode == "letterbox":
            return self._framed(height, width)
        if resize.mode == "scale":
            above, below = self.ratio
            return (_at_least_1(height * above // below), _at_least_1(width * above // below)), (0, 0)
        shorter, longer = torch.sym_min(height, width), torch.sym_max(height, width)
        return (self._bounded(height, shorter, longer), self._bounded(width, shorter, longer)), (0, 0)

    def _framed(self, height: Any, width: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        resize = self.resize
        full = (
            resize.height - _picked(self.short_rows, height),
            resize.width - _picked(self.short_columns, width),
        )
        kept = (
            _number(_at_least_1(height * resize.width // width)),
            _number(_at_least_1(width * resize.height // height)),
        )
        rows, columns = (torch.minimum(*pair) for pair in zip(full, kept, strict=True))
        return (rows, columns), ((resize.height - rows) // 2, (resize.width - columns) // 2)

    def _bounded(self, side: Any, shorter: Any, longer: Any) -> Any:
        resize = self.resize
        if resize.mode == "bounds":
            most = _halves_up(resize.long * side, longer)
            found = torch.sym_min(most, _halves_up(resize.short * side, shorter))
        else:
            found = resize.short * side // shorter
            if resize.long:
                found = torch.sym_min(found, _halves_up(resize.long * side, longer))
        found = _at_least_1(found)
        if resize.multiple == 1:
            return found
        return (found + resize.multiple - 1) // resize.multiple * resize.multiple


def _at_least_1(side: Any) -> Any:
    return torch.sym_max(side, 1)


def _cut_short(wanted: int) -> Tensor:
    """Return by how many pixels a side resized to ``wanted`` falls short of it, for each length.

    The size is a product of floats, which may be just below the intended integer and is then truncated.
    """
    return torch.tensor(
        [0, *(wanted - max(int(side * (wanted / side)), 1) for side in range(1, LONGEST + 1))],
        dtype=torch.uint8,
    )


def _picked(table: Tensor, index: Any) -> Tensor:
    return table.index_select(0, _number(index).view(1))[0].to(torch.int64)


def _halves_up(above: Any, below: Any) -> Any:
    """Return a quotient rounded to the nearest integer."""
    return (2 * above + below) // (2 * below)


def bands_inside(config: ModelConfig) -> tuple[int, ...]:
    """Return the bands of the image that a file uses, in order; nothing if it uses all unchanged.

    Raises:
        UsageError: bands are named, but an array has no band names.
    """
    preprocessing, in_channels = config.preprocessing, config.architecture.in_channels
    if not all(map(is_band_number, preprocessing.bands)):
        raise UsageError(
            f"the weights select bands by name ({', '.join(preprocessing.bands)}), but arrays have no names: "
            "export without preprocessing, or use band numbers in config.json"
        )
    count = max(map(int, preprocessing.bands), default=in_channels)
    taken = choose_bands(count, None, preprocessing, in_channels).indices
    return () if taken == tuple(range(count)) else taken


def natural_pixels(intensity: Intensity) -> Pixels:
    """Return the pixel type that an intensity is made for: 16 bits if its values exceed 255."""
    known = [pair[-1] for pair in intensity.measured]
    if intensity.mode == "range":
        known = [intensity.high]
    if intensity.mode == "standard":
        known = [mean for mean, _ in intensity.measured]
    return "uint16" if any(value > 255 for value in known) else "uint8"


def check_intensity(intensity: Intensity) -> None:
    """Raise `UsageError` if an intensity cannot be part of a file."""
    if intensity.over == "data" and not intensity.measured:
        raise UsageError(
            f"intensity {intensity_text(intensity)} is measured over all images of a run, which files cannot "
            "do: export without preprocessing, or use weights whose config.json holds measured values"
        )
    fine = [one for one in (intensity.low, intensity.high) if abs(one * _PARTS - round(one * _PARTS)) > 1e-6]
    if intensity.mode == "percentiles" and not intensity.measured and fine:
        raise UsageError(
            f"percentiles in a file can have two decimals, got {fine[0]}: export without preprocessing"
        )


def scaled(planes: Tensor, intensity: Intensity, dtype: torch.dtype) -> Tensor:
    """Return values scaled as in `segzoo.images.intensity`: bytes in ``uint8`` mode, else about 0 to 1.

    Args:
        planes: ``(C, H, W)`` float32.
        intensity: rule of scaling.
        dtype: type of the original image.
    """
    mode, measured = intensity.mode, intensity.measured
    most = 255 if dtype == torch.uint8 else 65535
    if mode == "uint8":
        if dtype == torch.uint8:
            return planes
        high = planes.new_tensor(measured[0][1]) if measured else _bits(planes)
        return (planes * (255 / high)).round().clamp(0, 255)
    if mode == "dtype":
        measured = ((0.0, float(most)),)
    elif mode == "range":
        measured = ((intensity.low, intensity.high),)
    if measured:
        low, high = (planes.new_tensor([pair[at] for pair in measured]).view(-1, 1, 1) for at in (0, 1))
        wide = high if mode == "standard" else high - low
    elif mode == "standard":
        low, wide = _moments(planes, per_band=intensity.per == "band")
    else:
        low, high = _percentiles(planes, intensity, most)
        wide = high - low
    found = (planes - low) / torch.where(wide > 0, wide, torch.ones_like(wide))
    if mode == "standard":
        return found
    return torch.where(wide > 0, found, (planes > low).to(found.dtype)).clamp(0, 1)


def _bits(planes: Tensor) -> Tensor:
    """Return the largest value of the bit depth that fits all values except single bright pixels."""
    total = _count(torch.ones_like(planes))
    high = planes.new_tensor(255.0)
    inner = torch.arange(planes.shape[2], device=planes.device) > 0
    for bits in (8, 10, 12, 14):
        beyond = (planes >= 2**bits).to(torch.float32)
        alone, beside = _count(beyond), _count(beyond * beyond.roll(1, dims=2) * inner)
        few = (alone * 1_000 <= total) & (beside * 100_000 <= total)
        high = torch.where(few, high, planes.new_tensor(float(2 ** (bits + 2) - 1)))
    return high


def _count(marks: Tensor) -> Tensor:
    """Return the sum of zeros and ones; by rows, whose sums float32 represents exactly."""
    return marks.sum(dim=2).sum(dim=1).sum()


def _moments(planes: Tensor, *, per_band: bool) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``(C or 1, 1, 1)``; rows are averaged first for precision."""

    def mean(values: Tensor) -> Tensor:
        found = values.mean(dim=2).mean(dim=1)
        return (found if per_band else found.mean(dim=0, keepdim=True)).view(-1, 1, 1)

    middle = mean(planes)
    return middle, mean((planes - middle) ** 2).sqrt()


def _percentiles(planes: Tensor, intensity: Intensity, most: int) -> tuple[Tensor, Tensor]:
    """Return the values at two percentiles, ``(C or 1, 1, 1)``, from a histogram of the values."""
    groups = planes.flatten(1) if intensity.per == "band" else planes.reshape(1, -1)
    index = groups.to(torch.int64)
    counts = torch.zeros(groups.shape[0], most + 1, dtype=torch.int32, device=planes.device)
    counts = counts.scatter_add(1, index, torch.ones_like(index, dtype=torch.int32))
    summed = counts.cumsum(dim=1, dtype=torch.int32)
    last = summed[:, -1:] - 1
    found = []
    for percentile in (intensity.low, intensity.high):
        # As in numpy.percentile: interpolate between the two neighbouring values. The position fits into 32
        # bits if it is divided before it is multiplied.
        part, parts = round(percentile * _PARTS), 100 * _PARTS
        rest = (last % parts) * part
        before = last // parts * part + rest // parts
        share = (rest % parts).to(torch.float32) / parts
        after = torch.minimum(before + 1, last)
        first, second = (
            (summed <= place).to(torch.float32).sum(dim=1, keepdim=True) for place in (before, after)
        )
        found.append((first + (second - first) * share).view(-1, 1, 1))
    return found[0], found[1]
