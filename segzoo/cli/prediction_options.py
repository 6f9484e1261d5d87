"""Options that say how masks are made, for ``segzoo predict``, ``segzoo evaluate`` and ``segzoo serve``."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli import weights_completions as weights_offers
from segzoo.cli.words import naming, numbers, thresholds
from segzoo.errors import UsageError
from segzoo.printing import echo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from segzoo.interfaces import Cluster
    from segzoo.prediction.predictor import Predictor

#: How many images ``--precision fastest`` measures, unless somebody names some.
CALIBRATION = 8
#: Pixels that an object or a hole may have, which is more than images have.
_PIXELS = click.IntRange(0, 10**12)


class EngineName(click.ParamType):
    """The name of a registered engine."""

    name = "ENGINE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of an engine that segzoo or a plug-in brings."""
        try:
            zoo.registry("engines").get(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return value


class IntensityRule(click.ParamType):
    """The text form of an intensity, which is checked before anything is read."""

    name = "RULE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the rule as it was written."""
        from segzoo.specs import parse_intensity

        try:
            parse_intensity(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return value


_OPTIONS = (
    click.option(
        "--device",
        shell_complete=offers.devices,
        help="Where to compute, such as cpu or cuda:1 [default: a GPU if there is one].",
    ),
    click.option(
        "--precision",
        type=click.Choice(["exact", "fast", "fastest"]),
        default="exact",
        show_default=True,
        help="float32, bf16/fp16, or int8.",
    ),
    click.option("--memory", help="Memory limit, such as 4GB; larger images are run in tiles."),
    click.option("--flips", is_flag=True, help="Average over the mirrored images too."),
    click.option("--turns", is_flag=True, help="Average over right-angle turns too."),
    click.option("--scales", help="Average over sizes such as 0.75,1,1.25."),
    click.option(
        "--threshold",
        "--mask-threshold",
        "-t",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Threshold for binary models, and for all classes that overlap [default: the weights'].",
    ),
    click.option(
        "--class-threshold",
        multiple=True,
        metavar="CLASS=T",
        shell_complete=weights_offers.class_thresholds,
        help="Threshold for one class of several; may be repeated.",
    ),
    click.option(
        "--bands",
        metavar="BAND,...",
        help="Bands of the images that the network gets, in its order, by number from 1 or by name, such as "
        "4,3,2 [default: the weights'].",
    ),
    click.option(
        "--intensity",
        type=IntensityRule(),
        help="How values become numbers: uint8, range:LOW,HIGH, window:CENTRE,WIDTH, percentiles:1,99.8, "
        "dtype or standard. :band behind it measures each band by itself, :run all images together [default: "
        "the weights'].",
    ),
    click.option(
        "--split-touching/--no-split-touching",
        default=None,
        help="Tell objects that touch apart where objects are counted or written: by what the network says "
        "of them, else by their shape [default: where the weights have a separator].",
    ),
)

_CLEANING = (
    click.option(
        "--smallest-object",
        type=_PIXELS,
        help="Remove objects of fewer pixels; 0 keeps all [default: the weights'].",
    ),
    click.option("--smallest-hole", type=_PIXELS, default=0, help="Fill holes of fewer pixels."),
)


#: Where masks are computed; `cluster_of` reads it.
cluster_option = click.option(
    "--on",
    metavar="CLUSTER",
    shell_complete=offers.clusters,
    help="Cluster that computes, such as ray, ray:auto or ray:HOST:PORT; its options follow commas: "
    "ray:auto,workers=4,gpus=0.5 [default: this process].",
)


def prediction_options(backend: str | None, default: str, *, batch: int = 1) -> Callable[[Any], Any]:
    """Return what gives a command the options; `PredictionRequest.taken` reads them.

    Args:
        backend: taken where none is named.
        default: that in words.
        batch: how many images of one size are run together unless told.
    """
    together = click.option(
        "--batch",
        type=click.IntRange(1, 65_536),
        default=batch,
        show_default=True,
        help="Images of one size that are run together.",
    )
    engine = click.option(
        "--backend",
        type=EngineName(),
        default=backend,
        shell_complete=offers.engines,
        help=f"Inference engine, one of `segzoo list engines` [default: {default}].",
    )

    def decorate(command: Any) -> Any:
        for option in reversed((*_OPTIONS[:2], engine, _OPTIONS[2], together, *_OPTIONS[3:])):
            command = option(command)
        return command

    return decorate


def cleaning_options(command: Any) -> Any:
    """Give a command the options that clean masks; `PredictionRequest.taken` reads them too."""
    for option in reversed(_CLEANING):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """How masks are to be made, as the command line says it."""

    device: str | None = None
    precision: str = "exact"
    backend: str | None = None
    memory: str | None = None
    batch: int = 1
    flips: bool = False
    turns: bool = False
    scales: str | None = None
    threshold: float | None = None
    class_threshold: tuple[str, ...] = ()
    bands: str | None = None
    intensity: str | None = None
    split_touching: bool | None = None
    smallest_object: int | None = None
    smallest_hole: int = 0

    @classmethod
    def taken(cls, options: dict[str, Any]) -> Self:
        """Take a command's options for prediction out of all its options."""
        return cls(**{one.name: options.pop(one.name) for one in fields(cls) if one.name in options})

    @property
    def first(self) -> str:
        """The first option that was given, nothing where none was."""
        given = (one.name for one in fields(self) if getattr(self, one.name) != one.default)
        return next((f"--{name.replace('_', '-')}" for name in given), "")

    def predictor(self, models: Sequence[Any], *, calibration: Sequence[Any] = ()) -> Predictor:
        """Make the predictor of models that are loaded.

        Args:
            models: several are an ensemble.
            calibration: images that ``--precision fastest`` measures.
        """
        from segzoo.images import with_bands
        from segzoo.prediction.decision import read_thresholds
        from segzoo.prediction.predictor import Predictor
        from segzoo.prediction.tiling.planner import read_budget

        cuts = thresholds(self.class_threshold)
        with naming("--class-threshold"):
            read_thresholds(models[0].segzoo_config.labels, cuts)
        with naming("--memory"):
            read_budget(self.memory)
        config = models[0].segzoo_config
        with naming("--bands"):
            if self.bands is not None:
                with_bands(config.preprocessing, self.bands, config.architecture.in_channels)
        backend: Any = self.backend or ("eager" if self.precision == "exact" else "torch")
        precision: Any = self.precision
        return Predictor(
            models,
            device=self.device,
            precision=precision,
            backend=backend,
            memory=self.memory,
            flips=("horizontal", "vertical") if self.flips else (),
            turns=self.turns,
            scales=numbers(self.scales),
            threshold=self.threshold,
            thresholds=cuts,
            bands=() if self.bands is None else self.bands,
            intensity=self.intensity,
            calibration=calibration,
            on_message=lambda text: echo(text, err=True),
            split_touching=self.split_touching,
            smallest_object=self.smallest_object,
            smallest_hole=self.smallest_hole,
        )


def cluster_of(on: str | None, asked: PredictionRequest) -> AbstractContextManager[Cluster | None]:
    """Return the cluster that computes, which entering it starts; ``None`` in place of this process.

    Args:
        on: what `cluster_option` was given.
        asked: how masks are made.
    """
    if on is None:
        return nullcontext()
    if asked.device is not None:
        raise UsageError(
            f"--device {asked.device} is of this machine, and --on computes on others: leave it out; "
            "whether workers have GPUs is an option of the cluster, such as --on ray,gpus=1"
        )
    from segzoo.build import open_cluster

    with naming("--on"):
        return open_cluster(on)
