"""Weights made ready for many images: loaded once, made fast, with all that follows the network."""

from __future__ import annotations

import logging
import os
import warnings
import zlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from torch import nn

from segzoo.config import config_of
from segzoo.deprecation import renamed
from segzoo.errors import FailureError, ImageError, OptionError
from segzoo.images import read, read_reduced, read_with_info, select_bands, with_bands
from segzoo.images.intensity import measured_over
from segzoo.images.naming import naming_file
from segzoo.images.pixels import as_pixels_with_info
from segzoo.prediction.combining import Augmented, Ensemble, Tempered, check_alike, rules_of
from segzoo.prediction.decision import Decision, read_thresholds
from segzoo.prediction.engines import make_engine
from segzoo.prediction.postprocessing import (
    clean,
    may_lack_measurements,
    measured_alone,
)
from segzoo.prediction.preparing import network_input
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.shortage import (
    MemoryShortageError,
    is_short_of_memory,
    release_memory,
    told_shortage,
)
from segzoo.prediction.tiling.planner import Tiler, read_budget
from segzoo.prediction.watching import IntensityWatch
from segzoo.resources import told_bytes
from segzoo.runtimes.network import ExportedNetwork
from segzoo.specs import Intensity, intensity_text, parse_intensity
from segzoo.weights.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.images import Layout, Placement
    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.engines import Backend, Engine, Precision
    from segzoo.prediction.tiling import Plan

    #: A file, a Pillow image, an array or a tensor.
    Picture = str | os.PathLike[str] | NDArray[Any] | Tensor | Image.Image
    #: An array ``(H, W, C)`` with all bands, and the metadata of its file.
    Read = tuple[NDArray[Any], ImageInfo | None]

Item = TypeVar("Item")

_log = logging.getLogger(__name__)
#: Weights by name, their folder, or a model that segzoo made.
Model = str | os.PathLike[str] | nn.Module
#: Images of a run that an intensity for all of it is measured over: all, or so many spread evenly over it.
MEASURED = 64
#: Values of each tensor that tell one training from another.
_SOME = 256


@dataclass(frozen=True)
class Prepared:
    """An image on its way into the network: as a whole, or with the plan of its tiles.

    Attributes:
        image: ``(H, W, C)`` as its file has it, upright; or what reads it, where only a smaller one was read.
        size: ``(H, W)`` of it.
        tensor: ``(1, C, h, w)`` float32, preprocessed; nothing where there is a plan.
        placement: where the image lies in the tensor.
        plan: how to run it in tiles.
        info: the metadata of its file, if it is one.
        name: what it is called, for people.
    """

    image: NDArray[Any] | Callable[[], NDArray[Any]]
    size: tuple[int, int]
    tensor: Tensor | None = None
    placement: Placement | None = None
    plan: Plan | None = None
    info: ImageInfo | None = None
    name: str = ""

    @property
    def kind(self) -> Hashable:
        """Equal for images that can be one batch."""
        return id(self) if self.tensor is None else tuple(self.tensor.shape)


class Predictor:
    """Weights ready for many images.

    Args:
        model: weights by name, their folder, or a model that segzoo made; several are an
            ensemble, whose probabilities are averaged.
        device: where to compute; a GPU if there is one, unless told.
        precision: ``exact`` (logits within 1e-4 of float32, relative to the largest), ``fast`` (half the
            bits, where the machine is faster with them) or ``fastest`` (8-bit integers). Both of these
            also decode JPEGs no larger than the network needs, and resize to within 1 of 255.
        backend: ``torch``, ``compile``, ``openvino``, ``onnxruntime``, or ``eager``: the network as it is,
            which may change between two images, and which ``device`` moves. Scores are made with it.
        memory: a promise: an image that would take more than ``"4GB"`` besides what the process holds is run
            in tiles. Without, images of more than 4 million pixels are run in tiles where they would take
            more than most of the free memory (``eager``: in tiles of one size, whatever memory is free), and
            any image in smaller and smaller tiles once memory ran out.
        flips: directions in which each image is mirrored too, and the probabilities averaged.
        turns: whether it is turned by right angles too.
        scales: sizes that it is seen at.
        threshold: of a network with one logit, or of all classes that overlap, instead of the weights' own.
        thresholds: by class, name or index: a class is taken where its probability exceeds it.
        smallest_object: in pixels, for all classes or by class; smaller regions of the mask go. Smaller
            parts of regions that are split join the neighbour that they meet most deeply. ``None`` takes the
            weights' own, which keep all unless they say another.
        smallest_hole: likewise; smaller ones are filled.
        split_touching: whether objects that touch are told apart where objects are found (counts, polygons,
            COCO, label images), by what the network says of them, or by their shape where it says nothing;
            masks stay as they are. ``None`` does so where the network has a `segzoo.specs.Separator`.
        bands: which bands of an image the network gets, instead of the weights' own: numbers from 1 or names,
            such as ``(4, 3, 2)`` or ``"nir,red,green"``. A network of colours gets them as red, green, blue.
        intensity: how values become numbers, instead of the weights' own rule: an `segzoo.specs.Intensity` or
            its text form, such as ``"percentiles:1,99.8"`` (`segzoo.specs.parse_intensity`). One that holds
            for a whole run takes `measure` before the first image.
        calibration: images like those to come, which ``fastest`` measures.
        on_message: called with one message per decision, and for what could not be had.

    Attributes:
        config: of the weights.
        engine: what runs; its ``description`` says how.
        splits: whether objects that touch are told apart.
        watch: counts the images that are far from the training data.

    Raises:
        UnknownNameError: there are no such weights.
        OptionError: an option is unknown or out of range, or the models of an ensemble differ in classes or
            preprocessing.

    Example:
        >>> predictor = segzoo.Predictor("unet-nuclei", precision="fast")
        >>> masks = [predictor(path).mask for path in paths]
    """

    @renamed(tell="on_message")
    def __init__(
        self,
        model: Model | Sequence[Model],
        *,
        device: str | torch.device | None = None,
        precision: Precision = "exact",
        backend: Backend = "torch",
        memory: str | int | None = None,
        flips: Sequence[Literal["horizontal", "vertical"]] = (),
        turns: bool = False,
        scales: Sequence[float] = (1.0,),
        threshold: float | None = None,
        thresholds: Mapping[str | int, float] | None = None,
        smallest_object: int | Mapping[str | int, int] | None = None,
        smallest_hole: int | Mapping[str | int, int] = 0,
        split_touching: bool | None = None,
        bands: str | int | Sequence[str | int] = (),
        intensity: str | Intensity | None = None,
        calibration: Sequence[Picture | Read] = (),
        on_message: Callable[[str], None] = _log.info,
    ) -> None:
        named = [model] if isinstance(model, str | os.PathLike | nn.Module) else list(model)
        scales = tuple(scales)
        # What another process or a copy makes this predictor of again: engines cannot travel.
        self._models = named
        self._options: dict[str, Any] = {
            "device": device,
            "precision": precision,
            "backend": backend,
            "memory": memory,
            "flips": flips,
            "turns": turns,
            "scales": scales,
            "threshold": threshold,
            "thresholds": thresholds,
            "smallest_object": smallest_object,
            "smallest_hole": smallest_hole,
            "split_touching": split_touching,
            "bands": bands,
            "intensity": intensity,
            "calibration": calibration if precision == "fastest" else (),
        }
        networks = [one if isinstance(one, nn.Module) else load(one) for one in named]
        if not networks:
            raise OptionError("name at least one model")
        check_alike([config_of(network) for network in networks])
        self.config: ModelConfig = config_of(networks[0])
        if threshold is not None:
            self.config = replace(self.config, threshold=threshold, thresholds={})
        if bands != ():
            wanted = self.config.architecture.in_channels
            chosen = with_bands(self.config.preprocessing, bands, wanted)
            self.config = replace(self.config, preprocessing=chosen)
        if intensity is not None:
            rule = parse_intensity(intensity)
            chosen = replace(self.config.preprocessing, intensity=rule)
            self.config = replace(self.config, preprocessing=chosen)
        self._on_message, self._warned = on_message, False
        self.watch = IntensityWatch(self.config, on_message, chosen=intensity is not None)
        self._exact = precision == "exact"
        own = read_thresholds(self.config.labels, self.config.thresholds)
        self._thresholds = own | read_thresholds(self.config.labels, thresholds or {})
        smallest = self.config.smallest_object if smallest_object is None else smallest_object
        self._smallest: dict[str, Any] = {"smallest_object": smallest, "smallest_hole": smallest_hole}
        self.splits = self.config.separator is not None if split_touching is None else split_touching
        # Wrong sizes are reported now, not after the first image.
        planes = (len(self.config.labels.classes),) if self.config.labels.overlapping else ()
        clean(np.zeros((*planes, 1, 1), np.uint8), self.config.labels, **self._smallest)
        samples = []
        for picture in calibration:
            pixels, info = read_picture(picture)
            samples.append(network_input(pixels, self.config, info=info)[0])
        engines: list[Engine] = []
        for one, network in zip(named, networks, strict=True):
            try:
                engines.append(
                    make_engine(
                        network,
                        device=device,
                        precision=precision,
                        backend=backend,
                        calibration=samples,
                        on_message=on_message,
                    )
                )
            except FailureError as error:
                what = type(one).__name__ if isinstance(one, nn.Module) else one
                raise FailureError(f"{what}: {error}") from error
        views = bool(flips or turns or scales != (1.0,))
        self._temperatures = [config_of(network).temperature for network in networks]
        if (views or len(engines) > 1) and set(self._temperatures) != {1.0}:
            # Probabilities are averaged, so each network's are made at its own temperature before that.
            engines = [Tempered(one, config_of(net)) for one, net in zip(engines, networks, strict=True)]
            self.config = replace(self.config, temperature=1.0)
        self.engine: Engine = Ensemble(engines, **rules_of(self.config)) if len(engines) > 1 else engines[0]
        for network in networks:
            if isinstance(network, ExportedNetwork):
                network.check_views(turns=turns, scales=scales)
        if views:
            self.engine = Augmented(
                self.engine,
                flips=flips,
                turns=turns,
                scales=scales,
                **rules_of(self.config),
            )
        if backend != "eager":  # else nothing was chosen
            on_message(self.engine.description)
        self._networks, self._views = networks, (tuple(flips), turns, tuple(scales))
        self.tiler = Tiler(
            networks[0],
            self.engine,
            self.config,
            self._thresholds,
            read_budget(memory),
            on_message,
            steady=backend == "eager",
        )

    def __call__(
        self,
        image: Picture,
        *,
        layout: Layout = "HWC",
        probabilities: bool = False,
        separation: bool = False,
    ) -> Segmentation:
        """Segment one image.

        Args:
            image: a file, a Pillow image, or an array or a tensor ``(H, W)`` or as ``layout`` says, channels
                in RGB order; of any type, whose values the intensity of the config, or of this, takes.
            layout: of arrays and tensors: ``HWC``, or ``CHW`` for channels first.
            probabilities: whether to keep them too, 4 bytes a pixel and class.
            separation: whether to keep what the network says about objects that touch, 4 bytes a pixel.

        Raises:
            ImageError: it cannot be read, its bands are not the network's, or its values have no scale.
            OptionError: the separation is wanted of a network that has no separator.
        """
        with naming_file(image):
            if isinstance(image, str | os.PathLike):
                prepared = self.prepare(image, probabilities=probabilities)
            else:
                pixels, info = read_picture(image, layout)
                prepared = self.prepare_pixels(pixels, probabilities=probabilities, info=info)
        found = self.segment_prepared([prepared], probabilities=probabilities, separation=separation)[0]
        for line in () if self._warned else self.watch.report(in_python=True):
            self._warned = True
            warnings.warn(line, stacklevel=2)
        return found

    def measure(self, images: Iterable[Picture | Read]) -> None:
        """Measure an intensity that holds for a whole run, such as ``percentiles:1,99.8:run``, once.

        Args:
            images: those of the run, or some, as calling the predictor takes them; or arrays ``(H, W, C)``
                with what their files say, of which some rows will do. They are gone through once, and not at
                all if there is nothing to measure. Those whose bands do not fit are left out.

        Raises:
            OptionError: there is no image.
            ImageError: the bands of none fit, or the images have no scale in common.
        """
        rule, unfit = self.config.preprocessing.intensity, list[ImageError]()
        if not self.needs_measuring:
            return
        rule = measured_over(rule, self._fitting(images, unfit))
        if not rule.measured:
            if unfit:
                raise unfit[0]
            raise OptionError(f"intensity {intensity_text(rule)} is measured over images, and there is none")
        preprocessing = self.config.preprocessing
        self._options["intensity"] = rule
        self.config = replace(self.config, preprocessing=replace(preprocessing, intensity=rule))
        self.tiler.config = self.watch.config = self.config

    def _fitting(
        self, images: Iterable[Picture | Read], unfit: list[ImageError]
    ) -> Iterator[tuple[NDArray[Any], float | None]]:
        """Yield the bands of images, each with its value for no data.

        The trouble of those that have none to take goes into ``unfit``.
        """
        for image in images:
            try:
                pixels, info = read_picture(image)
                wanted = self.config.architecture.in_channels
                bands = select_bands(pixels, info, self.config.preprocessing, wanted)
                yield bands, None if info is None else info.nodata
            except ImageError as error:
                unfit.append(error)

    @property
    def needs_measuring(self) -> bool:
        """Whether `measure` must be called before the first image."""
        rule = self.config.preprocessing.intensity
        return rule.over == "data" and not rule.measured

    def tell_watched(self) -> None:
        """Report notes and warnings about the images since the last call; called once per run."""
        for line in self.watch.notes():
            self._on_message(line)
        in_python = self._on_message == _log.info
        for line in self.watch.report(in_python=in_python):
            if in_python:
                warnings.warn(line, stacklevel=3)
            else:
                self._on_message(line)

    def __reduce__(self) -> tuple[Callable[..., Predictor], tuple[Any, ...]]:
        """Pickle and copy as models and options, of which the predictor is made again.

        Models that were given by name are loaded by name again. ``on_message`` stays behind: what another
        process has to say goes to its log.
        """
        return _made_again, (self._models, self._options, self.settings)

    @property
    def settings(self) -> str:
        """A text that is equal for predictors which give equal masks and objects."""
        # Also where the engine is the same: what is not exact reads its files smaller.
        cut = (self._exact, self.config.threshold, self._thresholds, self._smallest)
        known: list[Any] = [fingerprint(network) for network in self._networks]
        if set(self._temperatures) != {1.0}:
            known += self._temperatures
        # Without splitting the text is that of older versions, so that their runs can go on.
        cut += ("split", self.config.separator) if self.splits else ()
        return repr((known, self.config.preprocessing, self.engine.description, self._views, cut))

    @property
    def about(self) -> dict[str, str]:
        """What a score says of how its masks were made, by name."""
        found = {"network": self.config.architecture.name, "engine": self.engine.description}
        if self.config.class_logits == 1 or self.config.labels.overlapping:
            found["threshold"] = f"{self.config.threshold:g}"
        for index, value in self._thresholds.items():
            found[f"threshold of {self.config.labels.classes[index]}"] = f"{value:g}"
        if set(self._temperatures) != {1.0}:
            found["temperature"] = ", ".join(f"{one:g}" for one in self._temperatures)
        if self.tiler.memory is not None:
            found["memory"] = told_bytes(self.tiler.memory)
        if self.config.preprocessing.bands:
            found["bands"] = ", ".join(self.config.preprocessing.bands)
        if self.config.preprocessing.intensity != Intensity():
            found["intensity"] = intensity_text(self.config.preprocessing.intensity)
        found |= {name.replace("_", " "): str(size) for name, size in self._smallest.items() if size}
        if self.splits:
            kind = self.config.separator.kind if self.config.separator else "shape"
            found["touching objects"] = f"split by {kind}"
        return found

    @property
    def cleans(self) -> bool:
        """Whether small objects or holes go, which needs the whole mask."""
        return any(self._smallest.values())

    def prepare(
        self, image: Picture, *, probabilities: bool = False, name: str = "", page: int | None = None
    ) -> Prepared:
        """Read and preprocess an image, whose probabilities may be wanted; errors as those of a call.

        Args:
            image: as calling the predictor takes it.
            probabilities: whether `segment_prepared` will be asked for them, which takes memory.
            name: what the image is called, for people; its path where it is one.
            page: of a file with several, from 0; ``None`` takes the first, with a warning if there are more.
        """
        if not isinstance(image, str | os.PathLike):
            pixels, info = read_picture(image)
            return self.prepare_pixels(pixels, probabilities=probabilities, info=info, name=name)
        name = name or str(image)
        if self._exact or page is not None:
            pixels, info = read_with_info(image, page=page)
            return self.prepare_pixels(pixels, probabilities=probabilities, info=info, name=name)
        pixels, info = read_reduced(image, self.config.preprocessing.resize)
        size = info.height, info.width
        if pixels.shape[:2] == size:
            return self.prepare_pixels(pixels, probabilities=probabilities, info=info, name=name)
        plan = self._plan(size, pixels, probabilities=probabilities)
        if plan is not None:
            return Prepared(read(image), size, plan=plan, info=info, name=name)
        return self._prepared(pixels, partial(read, image), size, info, name)

    def prepare_pixels(
        self,
        pixels: NDArray[Any],
        *,
        probabilities: bool = False,
        info: ImageInfo | None = None,
        name: str = "",
    ) -> Prepared:
        """Preprocess an array, as data sets give it.

        Args:
            pixels: ``(H, W, C)`` with all its bands, of the file's own type.
            probabilities: whether `segment_prepared` will be asked for them, which takes memory.
            info: the metadata of the image's file.
            name: what the image is called, for people.
        """
        size = pixels.shape[0], pixels.shape[1]
        plan = self._plan(size, pixels, probabilities=probabilities)
        if plan is not None:
            return Prepared(pixels, size, plan=plan, info=info, name=name)
        return self._prepared(pixels, pixels, size, info, name)

    def _prepared(
        self,
        pixels: NDArray[Any],
        image: NDArray[Any] | Callable[[], NDArray[Any]],
        size: tuple[int, int],
        info: ImageInfo | None,
        name: str,
    ) -> Prepared:
        """Return an image that is run as a whole; ``pixels`` may be fewer than it has."""
        self._check_measured()
        exact = self._exact and pixels.shape[:2] == size
        with self.watch.look(name, size, info) as look:
            tensor, placement = network_input(
                pixels, self.config, size=size, exact=exact, info=info, look=look
            )
        return Prepared(image, size, tensor, placement, info=info, name=name)

    def _check_measured(self) -> None:
        if self.needs_measuring:
            rule = intensity_text(self.config.preprocessing.intensity)
            raise OptionError(
                f"intensity {rule} is measured over the images of a run: call Predictor.measure(images) "
                "before the first, or leave the last word out, which measures each image by itself"
            )

    def _plan(self, size: tuple[int, int], pixels: NDArray[Any], *, probabilities: bool) -> Plan | None:
        channels = pixels.shape[2]
        resident = size[0] * size[1] * channels * pixels.itemsize
        given = {"channels": channels, "resident": resident, "stored": pixels.itemsize}
        return self.tiler.plan(*size, probabilities=probabilities, **given)

    @torch.inference_mode()
    def segment_prepared(
        self, prepared: Sequence[Prepared], *, probabilities: bool = False, separation: bool = False
    ) -> list[Segmentation]:
        """Segment prepared images that are all of one kind.

        Args:
            prepared: what `prepare` returned, of equal size, or one that is run in tiles.
            probabilities: whether the results hold the probabilities of every class.
            separation: whether they hold what the network says about objects that touch.

        Raises:
            MemoryShortageError: memory ran out, and no smaller tiles make the image fit.
            OptionError: the separation is wanted of a network that has no separator.
        """
        learnt = self.splits and self.config.separator is not None
        kept = {"probabilities": probabilities, "separation": separation or learnt}
        try:
            return self._segmented(prepared, **kept)
        except (RuntimeError, MemoryError) as error:
            if not is_short_of_memory(error):
                raise
            told = told_shortage(error)
        # Outside the handler, whose traceback would keep every feature map alive.
        release_memory()
        if len(prepared) > 1:
            return [self.segment_prepared([one], **kept)[0] for one in prepared]
        one = prepared[0]
        image = one.image() if callable(one.image) else one.image
        given = {"channels": image.shape[2], "stored": image.itemsize}
        plan = self.tiler.smaller(one.plan, *one.size, probabilities=probabilities, **given)
        if plan is None:
            size = f"{one.size[0]}x{one.size[1]}"
            raise MemoryShortageError(f"an image of {size} pixels does not fit the memory ({told})")
        smaller = Prepared(image, one.size, plan=plan, info=one.info, name=one.name)
        return self.segment_prepared([smaller], **kept)

    def _segmented(
        self, prepared: Sequence[Prepared], *, probabilities: bool, separation: bool
    ) -> list[Segmentation]:
        if prepared[0].plan is not None:
            return [self._tiled(one, probabilities=probabilities, separation=separation) for one in prepared]
        keeps = torch.float32 if probabilities else None
        decision = Decision(self.config, self._thresholds, keeps, separates=separation)
        tensors = [one.tensor for one in prepared if one.tensor is not None]
        logits = self.engine(tensors[0] if len(tensors) == 1 else torch.cat(tensors))
        return [self._finished(logits[number], one, decision) for number, one in enumerate(prepared)]

    def _tiled(self, prepared: Prepared, *, probabilities: bool, separation: bool) -> Segmentation:
        assert prepared.plan is not None
        assert not callable(prepared.image)
        self._check_measured()
        with self.watch.look(prepared.name, prepared.size, prepared.info) as look:
            mask, kept, apart = self.tiler.run(
                prepared.image,
                prepared.plan,
                probabilities=probabilities,
                separation=separation,
                info=prepared.info,
                look=look,
            )
        return self._segmentation(prepared, mask, kept, apart)

    def _finished(self, logits: Tensor, prepared: Prepared, decision: Decision) -> Segmentation:
        assert prepared.placement is not None
        found = decision.whole(logits, prepared.placement, prepared.size)
        mask, *kept = (one.cpu().numpy() for one in found)
        probabilities = kept[0] if decision.keeps else None
        return self._segmentation(prepared, mask, probabilities, kept[-1] if decision.separates else None)

    def _segmentation(
        self,
        prepared: Prepared,
        mask: NDArray[np.uint8],
        probabilities: NDArray[np.float32] | None,
        separation: NDArray[np.float32] | None,
    ) -> Segmentation:
        """Return what was found in an image, cleaned, with what tells its touching objects apart."""
        labels, info = self.config.labels, prepared.info
        found = Segmentation(
            mask=mask,
            labels=labels,
            image=prepared.image,
            probabilities=probabilities,
            info=info,
            bands=self.config.preprocessing.bands,
            separation=separation,
            separator=self.config.separator,
            split_touching=self.splits,
        )
        if info is not None and may_lack_measurements(info, labels):
            found = found.with_mask(measured_alone(mask, found.image, info.nodata, labels))
        return found.cleaned(**self._smallest) if self.cleans else found


def _made_again(models: Sequence[Model], options: Mapping[str, Any], settings: str) -> Predictor:
    made = Predictor(models, **options)
    if made.settings != settings:
        _log.warning("a predictor was made again with other settings: %s, it was %s", made.settings, settings)
    return made


def predict(
    image: Picture,
    *,
    model: Model,
    device: str | torch.device | None = None,
    layout: Layout = "HWC",
    probabilities: bool = False,
    bands: str | int | Sequence[str | int] = (),
    intensity: str | Intensity | None = None,
) -> Segmentation:
    """Segment one image by the network as it is; `segzoo.Predictor` is made for many.

    Args:
        image: a file, a Pillow image, or an array or a tensor ``(H, W)`` or as ``layout`` says, channels in
            RGB order; of any type, whose values the weights' intensity, or ``intensity``, takes.
        model: weights by name, their folder, or a model that segzoo made.
        device: where to compute; the model's own device unless told.
        layout: of arrays and tensors: ``HWC``, or ``CHW`` for channels first.
        probabilities: whether to keep them too, 4 bytes a pixel and class.
        bands: which bands of the image the network gets, as `segzoo.Predictor` takes them.
        intensity: how values become numbers, as `segzoo.Predictor` takes it.

    Raises:
        ImageError: the image cannot be read, or its bands are not those that the network takes.
        UnknownNameError: there are no such weights.

    Example:
        >>> result = segzoo.predict("cells.png", model="unet-nuclei")
        >>> result.overlay().save("cells_overlay.png")
    """
    predictor = Predictor(model, device=device, backend="eager", bands=bands, intensity=intensity)
    if predictor.needs_measuring:  # the run is this image
        predictor.measure([read_picture(image, layout)])
    return predictor(image, layout=layout, probabilities=probabilities)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return all items, or ``most`` of them that are spread evenly, the first among them."""
    return [items[index * len(items) // most] for index in range(most)] if len(items) > most else [*items]


def fingerprint(network: nn.Module) -> str:
    """Return eight hexadecimal digits that tell trained networks apart, from some values of each tensor."""
    found = 0
    for name, tensor in network.state_dict().items():
        some = tensor.detach().flatten()[:: max(1, tensor.numel() // _SOME)].float().cpu()
        found = zlib.crc32(
            some.numpy().tobytes(), zlib.crc32(f"{name} {tuple(tensor.shape)}".encode(), found)
        )
    return f"{found:08x}"


def read_picture(image: Picture | Read, layout: Layout = "HWC") -> Read:
    """Return ``(H, W, C)`` with all bands, and the metadata of a file."""
    if isinstance(image, tuple):
        return image
    if isinstance(image, str | os.PathLike):
        return read_with_info(image)
    return as_pixels_with_info(image, layout=layout)
