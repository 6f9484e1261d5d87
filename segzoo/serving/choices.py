"""What a client may choose about a mask: thresholds, bands and intensity; checked before an image is read."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.errors import OptionError, UsageError
from segzoo.options import read_class_thresholds
from segzoo.specs import intensity_text, parse_intensity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.prediction.predictor import Predictor


class ChoiceError(OptionError):
    """An option of a request is wrong.

    Attributes:
        option: name of the option.
    """

    def __init__(self, text: str, option: str) -> None:
        super().__init__(text)
        self.option = option


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The options of a request that change the mask; ``None`` and empty ones keep those of the server.

    Attributes:
        threshold: threshold of a binary model, or of all overlapping classes.
        class_thresholds: words such as ``roof=0.4``.
        bands: bands for the network, such as ``4,3,2``.
        intensity: text form of an intensity rule.
    """

    threshold: float | None = None
    class_thresholds: tuple[str, ...] = ()
    bands: str | None = None
    intensity: str | None = None

    def applied(self, predictor: Predictor) -> Predictor:
        """Return a predictor with these options, which shares the network of the given one.

        Raises:
            ChoiceError: an option is wrong, or this model does not have it.
        """
        if self == Choices():
            return predictor
        made = predictor
        with _about("threshold"):
            if self.threshold is not None:
                if not predictor.config.has_threshold:
                    raise OptionError(
                        "this model chooses the most probable class and has no threshold: set one for a class"
                    )
                made = made.with_options(threshold=self.threshold)
        with _about("class_threshold"):
            made = made.with_options(thresholds=read_class_thresholds(self.class_thresholds))
        with _about("bands"):
            if self.bands is not None:
                made = made.with_options(bands=self.bands)
        with _about("intensity"):
            if self.intensity is not None:
                rule = parse_intensity(self.intensity)
                if rule.over == "data":
                    raise OptionError(
                        f"intensity {intensity_text(rule)} is measured over all images of a run, and a "
                        "request has one: leave out the last word"
                    )
                made = made.with_options(intensity=rule)
        return made


@contextmanager
def _about(option: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise ChoiceError(str(error), option) from error


def option_of(error: BaseException | None) -> str:
    """Return the name of the option that an error is about; empty if it is about none."""
    while error is not None:
        if option := getattr(error, "option", ""):
            return option
        error = error.__cause__
    return ""
