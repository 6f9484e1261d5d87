"""Options for making masks, shared by the commands that predict."""

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
from segzoo.printing import echo_note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from segzoo.interfaces import Cluster
    from segzoo.prediction.predictor import Predictor

#: Number of images that ``--precision fastest`` measures, unless the user names some.
CALIBRATION = 8
#: Range of the size of objects and holes; no image has so many pixels.
_PIXELS = click.IntRange(0, 10**12)


class EngineName(click.ParamType):
    """The name of a registered engine."""

    name = "ENGINE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of an engine of segzoo or of a plug-in."""
        try:
            zoo.registry("engines").get(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return value


class IntensityRule(click.ParamType):
    """The text form of an intensity rule, which is checked before any file is read."""

    name = "RULE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the rule unchanged."""
        from segzoo.specs import parse_intensity

        try:
            parse_intensity(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return value


#: Gives a command ``--device``.
device_option = click.option(
    "--device",
    shell_complete=offers.devices,
    help="Device, such as cpu or cuda:1 [default: a GPU if there is one].",
)

_OPTIONS = (
    device_option,
    click.option(
        "--precision",
        type=click.Choice(["exact", "fast", "fastest"]),
        default="exact",
        show_default=True,
        help="Number type: exact is float32, fast is bf16 or fp16, fastest is int8.",
    ),
    click.option("--memory", help="Memory limit, such as 4GB; images that need more are cut into tiles."),
    click.option("--flips", is_flag=True, help="Test-time augmentation: average over mirrored images too."),
    click.option("--turns", is_flag=True, help="Test-time augmentation: average over right-angle turns too."),
    click.option("--scales", help="Test-time augmentation: average over scales such as 0.75,1,1.25."),
    click.option(
        "--threshold",
        "--mask-threshold",
        "-t",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Probability threshold of binary models and of overlapping classes [default: the weights'].",
    ),
    click.option(
        "--class-threshold",
        multiple=True,
        metavar="CLASS=T",
        shell_complete=weights_offers.class_thresholds,
        help="Probability threshold of one class; may be repeated.",
    ),
    click.option(
        "--bands",
        metavar="BAND,...",
        help="Bands of the images for the network, in its order, by name or by number from 1, such as 4,3,2 "
        "[default: the weights'].",
    ),
    click.option(
        "--intensity",
        type=IntensityRule(),
        help="Rule for scaling pixel values: uint8, range:LOW,HIGH, window:CENTRE,WIDTH, percentiles:1,99.8, "
        "dtype or standard. Add :band to measure each band separately, :run to measure all images together "
        "[default: the weights'].",
    ),
    click.option(
        "--split-touching/--no-split-touching",
        default=None,
        help="Separate touching objects when objects are counted or written, by the separator of the "
        "weights or else by shape [default: only if the weights have a separator].",
    ),
)

_CLEANING = (
    click.option(
        "--smallest-object",
        type=_PIXELS,
        help="Remove objects with fewer pixels; 0 keeps all [default: the weights'].",
    ),
    click.option("--smallest-hole", type=_PIXELS, default=0, help="Fill holes with fewer pixels."),
)


#: Gives a command ``--on``; `cluster_of` reads it.
cluster_option = click.option(
    "--on",
    metavar="CLUSTER",
    shell_complete=offers.clusters,
    help="Cluster to compute on, such as ray, ray:auto or ray:HOST:PORT, with options after commas: "
    "ray:auto,workers=4,gpus=0.5 [default: this process].",
)


def prediction_options(backend: str | None, default: str, *, batch: int = 1) -> Callable[[Any], Any]:
    """Return a decorator that gives a command the options; `PredictionRequest.taken` reads them.

    Args:
        backend: default of ``--backend``.
        default: description of that default.
        batch: default number of images in a batch.
    """
    together = click.option(
        "--batch",
        type=click.IntRange(1, 65_536),
        default=batch,
        show_default=True,
        help="Number of images of one size in a batch.",
    )
    engine = click.option(
        "--backend",
        type=EngineName(),
        default=backend,
        shell_complete=offers.engines,
        help=f"Inference engine; see `segzoo list engines` [default: {default}].",
    )

    def decorate(command: Any) -> Any:
        for option in reversed((*_OPTIONS[:2], engine, _OPTIONS[2], together, *_OPTIONS[3:])):
            command = option(command)
        return command

    return decorate


#: Groups of the shared options in ``--help``.
MODEL_GROUP = ("threshold", "class_threshold", "bands", "intensity", "flips", "turns", "scales")
ENGINE_GROUP = ("device", "precision", "backend", "batch", "memory")
CLEANING_GROUP = ("split_touching", "smallest_object", "smallest_hole")


def cleaning_options(command: Any) -> Any:
    """Give a command the options for cleaning masks; `PredictionRequest.taken` reads them too."""
    for option in reversed(_CLEANING):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """The options for making masks on the command line."""

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
        """Remove the options for prediction from all options of a command, and return them."""
        return cls(**{one.name: options.pop(one.name) for one in fields(cls) if one.name in options})

    @property
    def first(self) -> str:
        """The first option on the command line; empty if there is none."""
        given = (one.name for one in fields(self) if getattr(self, one.name) != one.default)
        return next((f"--{name.replace('_', '-')}" for name in given), "")

    def predictor(self, models: Sequence[Any], *, calibration: Sequence[Any] = ()) -> Predictor:
        """Create the predictor for loaded models.

        Args:
            models: loaded models; several form an ensemble.
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
            on_message=echo_note,
            split_touching=self.split_touching,
            smallest_object=self.smallest_object,
            smallest_hole=self.smallest_hole,
        )


def cluster_of(on: str | None, asked: PredictionRequest) -> AbstractContextManager[Cluster | None]:
    """Return the cluster to compute on, which starts when entered; ``None`` stands for this process.

    Args:
        on: value of ``--on``.
        asked: options for making masks.
    """
    if on is None:
        return nullcontext()
    if asked.device is not None:
        raise UsageError(
            f"--device {asked.device} is a device of this machine, and --on computes on others: leave "
            "--device out. To give the workers GPUs, use an option of the cluster, such as --on ray,gpus=1"
        )
    from segzoo.build import open_cluster

    with naming("--on"):
        return open_cluster(on)
