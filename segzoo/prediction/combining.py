"""Combine several predictions of one image into one: test-time augmentation, and ensembles of weights.

The result is the mean of the predicted probabilities. It is returned as logits whose sigmoid or softmax is
that mean, so a combination of engines is itself an engine: thresholds, tiles and outputs work as with one
network. The mean is computed in log space (log of the mean of exponentials), so that confident predictions
are not rounded to 0 or 1 on the way.
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

#: Quarter turns counterclockwise, and whether the image is mirrored left to right before them.
View = tuple[int, bool]

_FLIPS: dict[str, View] = {"horizontal": (0, True), "vertical": (2, True)}


class Augmented:
    """Test-time augmentation: an engine that averages the probabilities over several views of each image.

    The views are all combinations of those named: both flips give 4 views (the two flips together make a half
    turn), turns give 4, a flip with turns gives 8; each of them at every scale. Views run one after another,
    so memory does not grow with their number.

    Args:
        engine: runs the network, which must accept images of any size for turns and scales.
        flips: ``horizontal`` (left to right), ``vertical`` (top to bottom), both or none.
        turns: whether to add rotations by right angles, which swap height and width.
        scales: factors for height and width. Images are resized bilinearly, with averaging when they shrink;
            probabilities are resized back bilinearly. The original size is used only if 1.0 is listed.
        overlapping: whether classes overlap, so that each logit has its own sigmoid.
        separator: whether the last logit belongs to the separator, which is not a class and has its own
            sigmoid; see `segzoo.specs.Separator`.

    Raises:
        OptionError: there is no such flip, or a scale is not in (0, 16].

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
            raise OptionError(f"a flip is horizontal or vertical, not {wrong[0]!r}")
        for index, scale in enumerate(scales):
            check_number(f"scales[{index}]", scale)
        if not scales or not all(0 < scale <= 16 for scale in scales):
            raise OptionError(f"scales: give at least one, each above 0 and at most 16; got {tuple(scales)}")
        self.engine, self._rules = engine, {"overlapping": overlapping, "separator": separator}
        self.views = _views([_FLIPS[flip] for flip in flips] + [(1, False)] * turns)
        self.scales = tuple(dict.fromkeys(scales))

    @property
    def device(self) -> torch.device:
        """Device of the logits."""
        return self.engine.device

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call the engine at once."""
        return is_concurrent(self.engine)

    @property
    def description(self) -> str:
        """Description of the engine, with the number of views."""
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
    """An engine that averages the probabilities of several engines.

    All must have the same classes in the same order, and the same preprocessing: `check_alike` verifies it.

    Args:
        engines: engines on one or several devices; the result is on the first one's device.
        overlapping: whether classes overlap, so that each logit has its own sigmoid.
        separator: whether the last logit belongs to the separator, which is not a class and has its own
            sigmoid; see `segzoo.specs.Separator`.

    Raises:
        OptionError: there is no engine; or, when called, the numbers of classes differ.
    """

    def __init__(
        self, engines: Sequence[Engine], *, overlapping: bool = False, separator: bool = False
    ) -> None:
        if not engines:
            raise OptionError("an ensemble needs at least one engine")
        self.engines, self._rules = tuple(engines), {"overlapping": overlapping, "separator": separator}

    @property
    def device(self) -> torch.device:
        """Device of the logits."""
        return self.engines[0].device

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call the ensemble at once."""
        return all(is_concurrent(engine) for engine in self.engines)

    @property
    def description(self) -> str:
        """Descriptions of the engines, without repetition."""
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
    """An engine that divides class logits by the network's temperature, to average calibrated probabilities.

    Args:
        engine: runs the network.
        config: config of the network.
    """

    def __init__(self, engine: Engine, config: ModelConfig) -> None:
        self.engine, self._decision = engine, Decision(config)
        self.description = engine.description

    @property
    def device(self) -> torch.device:
        """Device of the logits."""
        return self.engine.device

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call the engine at once."""
        return is_concurrent(self.engine)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, K, H, W)``: class logits divided, the separator's logit unchanged."""
        logits = self.engine(images)
        classes = self._decision.of_classes(logits)
        rest = logits[:, classes.shape[1] :]
        return torch.cat([classes, rest], dim=1) if rest.shape[1] else classes


def is_concurrent(engine: Engine) -> bool:
    """Whether several threads may call an engine at once; see `segzoo.interfaces.Engine`."""
    return bool(getattr(engine, "concurrent", False))


def rules_of(config: ModelConfig) -> dict[str, bool]:
    """Return which logits of a network have their own sigmoid, as arguments of `Augmented` and `Ensemble`."""
    return {"overlapping": config.labels.overlapping, "separator": config.separator is not None}


def check_alike(configs: Sequence[ModelConfig]) -> None:
    """Raise unless the networks of an ensemble have the same classes and the same preprocessing.

    Raises:
        OptionError: they differ; the message says in what.
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
    """Return all combinations of views, the unchanged image first."""
    found: list[View] = [(0, False)]
    for view in found:
        for turns, mirrored in generators:
            # A mirror reverses the direction of the turns before it.
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
    """Return parts ``(S, N, K, H, W)``: log-probabilities; for sigmoids also of the complement (S is 2).

    The separator is a separate part.
    """
    if separator:
        classes = _log_probabilities(logits[:, :-1], overlapping=overlapping, separator=False)
        return [*classes, *_log_probabilities(logits[:, -1:], overlapping=True, separator=False)]
    if overlapping or logits.shape[1] == 1:
        return [torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)])]
    return [logits.log_softmax(dim=1)[None]]


def _mean(answers: Iterable[Sequence[Tensor]]) -> Tensor:
    """Return the logits of the mean probability, given log-probabilities in parts."""
    several = iter(answers)
    totals, count = list(next(several)), 1
    for answer in several:
        for number, part in enumerate(answer):
            if part.shape != totals[number].shape:
                shapes = " and ".join(str(tuple(one.shape[1:])) for one in (totals[number], part))
                raise OptionError(
                    f"the networks returned logits of different shapes, which have no mean: {shapes}"
                )
            totals[number] = torch.logaddexp(totals[number], part)
        count += 1
    # The count cancels in odds; for classes it makes the probabilities add up to 1.
    means = [total[0] - total[1] if len(total) == 2 else total[0] - math.log(count) for total in totals]
    return means[0] if len(means) == 1 else torch.cat(means, dim=1)
