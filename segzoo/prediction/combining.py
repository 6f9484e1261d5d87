"""Several answers to one image made into one: test-time augmentation, and ensembles of weights.

The result is the mean of the answers' probabilities. It is given as logits, whose sigmoid or softmax
is that mean, so that what combines engines is an engine itself: thresholds, tiles and outputs go on
as with one. Logarithms are averaged where they are (log of the mean of exponentials), so that sure
answers do not round to 0 or 1 on the way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F

from segzoo.errors import OptionError
from segzoo.options import check_number
from segzoo.prediction.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.prediction.engines import Engine

#: Quarter turns counterclockwise, after an image was mirrored left to right or not.
View = tuple[int, bool]

_FLIPS: dict[str, View] = {"horizontal": (0, True), "vertical": (2, True)}


class Augmented:
    """An engine that sees each image in several ways and answers with the mean of the probabilities.

    The ways are all that follow from those named: both flips give 4, with the half turn that they make
    together; turns give 4; a flip and turns 8; each of them at every scale. They are run one after
    another, so that memory is that of one.

    Args:
        engine: runs the network, which must take images of any size for turns and scales.
        flips: ``horizontal`` (left to right), ``vertical`` (top to bottom), both or none.
        turns: whether by right angles too, which swap the sides of an image.
        scales: what both sides are multiplied by, bilinearly, averaging where the image shrinks; the
            probabilities come back bilinearly. 1.0 is only part of it where it is named.
        overlapping: whether each logit is a class of its own, with a sigmoid, instead of one of several.
        separator: whether the last logit is no class and has a sigmoid of its own; see
            `segzoo.specs.Separator`.

    Raises:
        OptionError: there is no such flip, or a scale does not lie in (0, 16].

    Example:
        >>> engine = Augmented(make_engine(network), flips=("horizontal",), scales=(0.75, 1.0, 1.25))
    """

    def __init__(
        self,
        engine: Engine,
        *,
        flips: Sequence[Literal["horizontal", "vertical"]] = ("horizontal", "vertical"),
        turns: bool = False,
        scales: Sequence[float] = (1.0,),
        overlapping: bool = False,
        separator: bool = False,
    ) -> None:
        wrong = [flip for flip in flips if flip not in _FLIPS]
        if wrong:
            raise OptionError(f"flips are horizontal and vertical, not {wrong[0]!r}")
        for index, scale in enumerate(scales):
            check_number(f"scales[{index}]", scale)
        if not scales or not all(0 < scale <= 16 for scale in scales):
            raise OptionError(f"scales must lie in (0, 16], at least one, got {tuple(scales)}")
        self.engine, self._rules = engine, {"overlapping": overlapping, "separator": separator}
        self.views = _views([_FLIPS[flip] for flip in flips] + [(1, False)] * turns)
        self.scales = tuple(dict.fromkeys(scales))

    @property
    def device(self) -> torch.device:
        """Where logits come out."""
        return self.engine.device

    @property
    def concurrent(self) -> bool:
        """Whether threads may call it at once."""
        return is_concurrent(self.engine)

    @property
    def description(self) -> str:
        """The engine's, and how many ways an image is seen in."""
        return (
            f"{self.engine.description}; mean over {len(self.views) * len(self.scales)} views of each image"
        )

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, K, H, W)``: logits of the mean probability."""
        if self.views == [(0, False)] and self.scales == (1.0,):
            return self.engine(images)
        return _mean(self._answer(images, view, scale) for scale in self.scales for view in self.views)

    def _answer(self, images: Tensor, view: View, scale: float) -> list[Tensor]:
        size = images.shape[-2:]
        seen = images if scale == 1 else _resized(images, [max(round(side * scale), 1) for side in size])
        answers = _log_probabilities(self.engine(_turned(seen, view)), **self._rules)
        return [_brought_to(size, _turned_back(answer, view)) for answer in answers]


class Ensemble:
    """An engine that answers with the mean of the probabilities of several.

    Their classes must be the same and in one order, and images must be preprocessed alike for all:
    `check_alike` holds configs to that.

    Args:
        engines: of one device or several; the first one's device is that of the answer.
        overlapping: whether each logit is a class of its own, with a sigmoid, instead of one of several.
        separator: whether the last logit is no class and has a sigmoid of its own; see
            `segzoo.specs.Separator`.

    Raises:
        OptionError: there is no engine; when called, the numbers of classes differ.
    """

    def __init__(
        self, engines: Sequence[Engine], *, overlapping: bool = False, separator: bool = False
    ) -> None:
        if not engines:
            raise OptionError("an ensemble needs at least one engine")
        self.engines, self._rules = tuple(engines), {"overlapping": overlapping, "separator": separator}

    @property
    def device(self) -> torch.device:
        """Where logits come out."""
        return self.engines[0].device

    @property
    def concurrent(self) -> bool:
        """Whether threads may call it at once."""
        return all(is_concurrent(engine) for engine in self.engines)

    @property
    def description(self) -> str:
        """Those of the engines, each said once."""
        told = "; ".join(dict.fromkeys(engine.description for engine in self.engines))
        return f"mean of {len(self.engines)} networks: {told}"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, K, H, W)``: logits of the mean probability."""
        if len(self.engines) == 1:
            return self.engines[0](images)
        answers = (engine(images) for engine in self.engines)
        return _mean(
            [part.to(self.device) for part in _log_probabilities(answer, **self._rules)] for answer in answers
        )


class Tempered:
    """An engine whose class logits are divided by its network's temperature, for averages of probabilities.

    Args:
        engine: runs the network.
        config: of the network.
    """

    def __init__(self, engine: Engine, config: ModelConfig) -> None:
        self.engine, self._decision = engine, Decision(config)
        self.description = engine.description

    @property
    def device(self) -> torch.device:
        """Where logits come out."""
        return self.engine.device

    @property
    def concurrent(self) -> bool:
        """Whether threads may call it at once."""
        return is_concurrent(self.engine)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, K, H, W)``: logits of classes divided, the separator's as it is."""
        logits = self.engine(images)
        classes = self._decision.of_classes(logits)
        rest = logits[:, classes.shape[1] :]
        return torch.cat([classes, rest], dim=1) if rest.shape[1] else classes


def is_concurrent(engine: Engine) -> bool:
    """Whether an engine says that several threads may call it at once; see `segzoo.interfaces.Engine`."""
    return bool(getattr(engine, "concurrent", False))


def rules_of(config: ModelConfig) -> dict[str, bool]:
    """Return which logits of a network have a sigmoid of their own, as `Augmented` and `Ensemble` take it."""
    return {"overlapping": config.labels.overlapping, "separator": config.separator is not None}


def check_alike(configs: Sequence[ModelConfig]) -> None:
    """Raise unless the networks of an ensemble have the same classes and the same preprocessing.

    Raises:
        OptionError: they differ; the text says where.
    """
    first = configs[0]
    for number, config in enumerate(configs[1:], start=2):
        for what, one, other in (
            ("classes", first.labels.classes, config.labels.classes),
            ("kind of classes", _kind(first), _kind(config)),
            ("logits", first.architecture.num_classes, config.architecture.num_classes),
            ("separator", _separating(first), _separating(config)),
            ("channels", first.architecture.in_channels, config.architecture.in_channels),
            ("preprocessing", first.preprocessing, config.preprocessing),
        ):
            if one != other:
                raise OptionError(
                    f"an ensemble needs networks of the same {what}: the first has {one}, number {number} "
                    f"has {other}"
                )


def _views(generators: Sequence[View]) -> list[View]:
    """Return everything that views make when they follow each other, the image as it is first."""
    found: list[View] = [(0, False)]
    for view in found:
        for turns, mirrored in generators:
            # A mirror reverses the turns that come before it.
            then = ((turns + (-view[0] if mirrored else view[0])) % 4, view[1] != mirrored)
            if then not in found:
                found.append(then)
    return found


def _turned(images: Tensor, view: View) -> Tensor:
    turns, mirrored = view
    images = images.flip(-1) if mirrored else images
    return images.rot90(turns, (-2, -1)) if turns else images


def _turned_back(images: Tensor, view: View) -> Tensor:
    turns, mirrored = view
    images = images.rot90(-turns, (-2, -1)) if turns else images
    return images.flip(-1) if mirrored else images


def _resized(images: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def _brought_to(size: Sequence[int], answer: Tensor) -> Tensor:
    """Return log-probabilities ``(S, N, K, h, w)`` at another height and width."""
    if answer.shape[-2:] == size:
        return answer
    probabilities = F.interpolate(
        answer.exp().flatten(0, 1), list(size), mode="bilinear", align_corners=False
    )
    least = torch.finfo(probabilities.dtype).tiny
    return probabilities.clamp_min(least).log().unflatten(0, answer.shape[:2])


def _kind(config: ModelConfig) -> str:
    return "classes that overlap" if config.labels.overlapping else "one class a pixel"


def _separating(config: ModelConfig) -> str:
    return config.separator.kind if config.separator else "none"


def _log_probabilities(logits: Tensor, *, overlapping: bool, separator: bool) -> list[Tensor]:
    """Return parts ``(S, N, K, H, W)``: log-probabilities; those of sigmoids with their opposites (S is 2).

    The separator is a part of its own.
    """
    if separator:
        classes = _log_probabilities(logits[:, :-1], overlapping=overlapping, separator=False)
        return [*classes, *_log_probabilities(logits[:, -1:], overlapping=True, separator=False)]
    if overlapping or logits.shape[1] == 1:
        return [torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)])]
    return [logits.log_softmax(dim=1)[None]]


def _mean(answers: Iterable[Sequence[Tensor]]) -> Tensor:
    """Return the logits of the mean of probabilities whose logarithms are given in parts."""
    several = iter(answers)
    totals, count = list(next(several)), 1
    for answer in several:
        for number, part in enumerate(answer):
            if part.shape != totals[number].shape:
                shapes = " and ".join(str(tuple(one.shape[1:])) for one in (totals[number], part))
                raise OptionError(f"only logits of one shape have a mean, the networks gave {shapes}")
            totals[number] = torch.logaddexp(totals[number], part)
        count += 1
    # The count divides both sides of odds alike; for classes it makes their probabilities add up to 1.
    means = [total[0] - total[1] if len(total) == 2 else total[0] - math.log(count) for total in totals]
    return means[0] if len(means) == 1 else torch.cat(means, dim=1)
