"""Weights prepared for many images: loaded once, optimised, with preprocessing and postprocessing."""

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
from segzoo.printing import Detail
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
#: Name of weights, folder of weights, or a model that segzoo made.
Model = str | os.PathLike[str] | nn.Module
#: Number of images over which a run's intensity is measured: all, or this many spread evenly.
MEASURED = 64
#: Number of values per tensor that go into the fingerprint of weights.
_SOME = 256


@dataclass(frozen=True)
class Prepared:
    """An image prepared for the network: as a whole, or with a plan for its tiles.

    Attributes:
        image: ``(H, W, C)`` upright, in the file's own type; or a function that reads it, if only a smaller
            version was read.
        size: ``(H, W)`` of the image.
        tensor: ``(1, C, h, w)`` float32, preprocessed; ``None`` if there is a plan.
        placement: position of the image within the tensor.
        plan: how to run the image in tiles.
        info: metadata of the image's file, if there is one.
        name: name of the image, for messages.
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
        """Kind of the image; images of equal kind can share a batch."""
        return id(self) if self.tensor is None else tuple(self.tensor.shape)


class Predictor:
    """Weights prepared for predictions on many images.

    Args:
        model: name of weights, their folder, or a model that segzoo made; several are an ensemble, whose
            probabilities are averaged.
        device: device to compute on; a GPU if there is one, by default.
        precision: ``exact`` (logits within 1e-4 of float32, relative to the largest), ``fast`` (bf16 or fp16,
            if that is faster on this machine) or ``fastest`` (int8). The last two also decode JPEGs at a
            smaller size if that is enough for the network, and resize with values that may differ by 1 of
            255.
        backend: inference engine: ``torch``, ``compile``, ``openvino``, ``onnxruntime``, or ``eager``: plain
            PyTorch, whose network is moved to ``device`` and may change between two images. Scores are
            computed with ``eager``.
        memory: memory limit, such as ``"4GB"``: images that would need more, in addition to what the process
            already holds, are run in tiles. Without a limit, images above 4 million pixels are run in tiles
            if they would need most of the free memory (``eager``: in tiles of a fixed size, regardless of
            free memory), and any image is run in smaller and smaller tiles after memory ran out.
        flips: test-time augmentation: directions in which each image is also mirrored.
        turns: test-time augmentation: whether each image is also rotated by right angles.
        scales: test-time augmentation: factors by which each image is resized.
        threshold: threshold for binary models, or for all overlapping classes, instead of the weights' own.
        thresholds: thresholds by class name or index: a class is chosen where its probability exceeds its
            threshold.
        smallest_object: minimum size of objects in pixels, for all classes or by class; smaller regions are
            removed from the mask. If touching objects are split, smaller parts are merged into the neighbour
            with the deepest contact. ``None`` uses the weights' own minimum, which by default removes
            nothing.
        smallest_hole: minimum size of holes in pixels, for all classes or by class; smaller holes are filled.
            ``None`` uses the weights' own minimum.
        split_touching: whether touching objects are separated in counts, polygons, COCO and label images: by
            the network's separator, or by shape if it has none. Masks do not change. ``None`` separates them
            if the network has a `segzoo.specs.Separator`.
        bands: bands of an image that the network gets, instead of the weights' own: numbers from 1 or names,
            such as ``(4, 3, 2)`` or ``"nir,red,green"``. A network for colour images gets them as red, green,
            blue.
        intensity: how pixel values are scaled, instead of the weights' own rule: a `segzoo.specs.Intensity`
            or its text form, such as ``"percentiles:1,99.8"`` (`segzoo.specs.parse_intensity`). For a rule
            that is measured over a whole run, call `measure` before the first image.
        calibration: images like those to predict, for the calibration of ``fastest``.
        on_message: called with one message per decision, and for each option that cannot be used.

    Attributes:
        config: config of the weights.
        engine: inference engine; see its ``description``.
        splits: whether touching objects are separated.
        watch: counts the images that are very different from the training data.

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
        # Copies, also in other processes, are made from these: engines cannot be pickled.
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
        self._on_message, self._warned = on_message, False
        self._exact = precision == "exact"
        self._thresholds = read_thresholds(self.config.labels, self.config.thresholds)
        self._choose(threshold, thresholds or {}, bands, intensity)
        smallest = self.config.smallest_object if smallest_object is None else smallest_object
        self._smallest: dict[str, Any] = {"smallest_object": smallest, "smallest_hole": smallest_hole}
        self.splits = self.config.separator is not None if split_touching is None else split_touching
        # Report wrong sizes now, not after the first image.
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
            # Apply each network's temperature before probabilities are averaged.
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
        if backend != "eager":  # with eager there was no choice
            on_message(Detail(self.engine.description))
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

    def _choose(
        self,
        threshold: float | None,
        thresholds: Mapping[str | int, float],
        bands: str | int | Sequence[str | int],
        intensity: str | Intensity | None,
    ) -> None:
        """Replace what the weights say about thresholds, bands and intensity, where something was chosen."""
        if threshold is not None:
            self.config = replace(self.config, threshold=threshold, thresholds={})
            self._thresholds = {}
        self._thresholds = self._thresholds | read_thresholds(self.config.labels, thresholds)
        preprocessing = self.config.preprocessing
        if bands != ():
            preprocessing = with_bands(preprocessing, bands, self.config.architecture.in_channels)
        if intensity is not None:
            preprocessing = replace(preprocessing, intensity=parse_intensity(intensity))
        self.config = replace(self.config, preprocessing=preprocessing)
        chosen = self._options["intensity"] is not None
        self.watch = IntensityWatch(self.config, self._on_message, chosen=chosen)

    def with_options(
        self,
        *,
        threshold: float | None = None,
        thresholds: Mapping[str | int, float] | None = None,
        bands: str | int | Sequence[str | int] = (),
        intensity: str | Intensity | None = None,
    ) -> Predictor:
        """Return a predictor with the same networks and engine, and other options.

        Nothing is loaded or optimised again. The two count unusual images separately, and cannot run at the
        same time.

        Args:
            threshold: replaces all thresholds; see `Predictor`.
            thresholds: thresholds of some classes; the others keep theirs.
            bands: bands of an image; see `Predictor`.
            intensity: how pixel values are scaled; see `Predictor`.

        Raises:
            OptionError: an option is out of range, or there is no such class.

        Example:
            >>> predictor = segzoo.Predictor("unet-nuclei")
            >>> strict = predictor.with_options(threshold=0.8)
        """
        made = object.__new__(type(self))
        # `copy.copy` would load the networks again, as pickling does.
        made.__dict__.update(self.__dict__)
        given = {"threshold": threshold, "bands": bands, "intensity": intensity}
        before = {} if threshold is not None else self._options["thresholds"] or {}
        made._options = self._options | {name: one for name, one in given.items() if one not in (None, ())}
        made._options["thresholds"] = {**before, **(thresholds or {})}
        made._choose(threshold, thresholds or {}, bands, intensity)
        made.tiler = replace(self.tiler, config=made.config, thresholds=made._thresholds)
        return made

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
            image: a file, a Pillow image, or an array or tensor ``(H, W)`` or in ``layout``, with channels in
                RGB order; of any type whose values suit the config's or this predictor's intensity rule.
            layout: axes of arrays and tensors: ``HWC``, or ``CHW`` for channels first.
            probabilities: whether to keep probabilities too, 4 bytes per pixel and class.
            separation: whether to keep the separator's output, which separates touching objects, 4 bytes per
                pixel.

        Raises:
            ImageError: the image cannot be read, its bands do not fit the network, or its values cannot be
                scaled.
            OptionError: the separation is requested, but the network has no separator.
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
        """Measure an intensity rule that holds for a whole run, such as ``percentiles:1,99.8:run``, once.

        Args:
            images: the images of the run, or some of them, in any form that a call accepts; or arrays
                ``(H, W, C)`` with the metadata of their files, for which some rows are enough. They are
                iterated once, and only if there is something to measure. Images whose bands do not fit are
                skipped.

        Raises:
            OptionError: there is no image.
            ImageError: no image has fitting bands, or the images have no common scale.
        """
        rule, unfit = self.config.preprocessing.intensity, list[ImageError]()
        if not self.needs_measuring:
            return
        rule = measured_over(rule, self._fitting(images, unfit))
        if not rule.measured:
            if unfit:
                raise unfit[0]
            raise OptionError(
                f"intensity {intensity_text(rule)} must be measured over images, but there is no image"
            )
        preprocessing = self.config.preprocessing
        self._options["intensity"] = rule
        self.config = replace(self.config, preprocessing=replace(preprocessing, intensity=rule))
        self.tiler.config = self.watch.config = self.config

    def _fitting(
        self, images: Iterable[Picture | Read], unfit: list[ImageError]
    ) -> Iterator[tuple[NDArray[Any], float | None]]:
        """Yield the bands of images, each with its no-data value.

        Errors of images without fitting bands are added to ``unfit``.
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
        """Whether `measure` must be called before the first image is segmented."""
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
        """Pickle and copy the predictor as its models and options, from which it is made again.

        Models given by name are loaded by name again. ``on_message`` is dropped: messages in another process
        are logged there.
        """
        return _made_again, (self._models, self._options, self.settings)

    @property
    def class_thresholds(self) -> dict[str, float]:
        """Thresholds of the classes that have one, by name."""
        return {self.config.labels.classes[index]: value for index, value in self._thresholds.items()}

    @property
    def settings(self) -> str:
        """Settings as text; predictors with equal settings give equal masks and objects."""
        # Precision matters even if the engine is the same: other than exact, files are read at a smaller
        # size.
        cut = (self._exact, self.config.threshold, self._thresholds, self._smallest)
        known: list[Any] = [fingerprint(network) for network in self._networks]
        if set(self._temperatures) != {1.0}:
            known += self._temperatures
        # Without splitting, the text equals that of older versions, so that their runs can be resumed.
        cut += ("split", self.config.separator) if self.splits else ()
        return repr((known, self.config.preprocessing, self.engine.description, self._views, cut))

    @property
    def about(self) -> dict[str, str]:
        """Facts about how masks are made, by name, for the report of a score."""
        found = {"network": self.config.architecture.name, "engine": self.engine.description}
        if self.config.has_threshold:
            found["threshold"] = f"{self.config.threshold:g}"
        found |= {f"threshold of {name}": f"{value:g}" for name, value in self.class_thresholds.items()}
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
        """Whether small objects or holes are removed, which needs the whole mask."""
        return any(self._smallest.values())

    def prepare(
        self, image: Picture, *, probabilities: bool = False, name: str = "", page: int | None = None
    ) -> Prepared:
        """Read and preprocess an image; raises the errors of a call.

        Args:
            image: the image, in any form that a call accepts.
            probabilities: whether `segment_prepared` will be asked for probabilities, which take memory.
            name: name of the image, for messages; by default, its path.
            page: page of a file with several, from 0; ``None`` uses the first, with a warning if there are
                more.
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
        """Preprocess an array from a dataset.

        Args:
            pixels: ``(H, W, C)`` with all bands, in the file's own type.
            probabilities: whether `segment_prepared` will be asked for probabilities, which take memory.
            info: metadata of the image's file.
            name: name of the image, for messages.
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
        """Return an image that is run as a whole; ``pixels`` may be a smaller version of it."""
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
                "before the first image, or leave out the last word to measure each image separately"
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
            prepared: results of `prepare` of equal size, or a single one that is run in tiles.
            probabilities: whether the results hold the probabilities of every class.
            separation: whether the results hold the separator's output.

        Raises:
            MemoryShortageError: memory ran out, even with the smallest tiles.
            OptionError: the separation is requested, but the network has no separator.
        """
        learnt = self.splits and self.config.separator is not None
        kept = {"probabilities": probabilities, "separation": separation or learnt}
        try:
            return self._segmented(prepared, **kept)
        except (RuntimeError, MemoryError) as error:
            if not is_short_of_memory(error):
                raise
            told = told_shortage(error)
        # Outside the except block, whose traceback would keep every feature map alive.
        release_memory()
        if len(prepared) > 1:
            return [self.segment_prepared([one], **kept)[0] for one in prepared]
        one = prepared[0]
        image = one.image() if callable(one.image) else one.image
        given = {"channels": image.shape[2], "stored": image.itemsize}
        plan = self.tiler.smaller(one.plan, *one.size, probabilities=probabilities, **given)
        if plan is None:
            size = f"{one.size[0]}x{one.size[1]}"
            raise MemoryShortageError(f"an image of {size} pixels does not fit in memory ({told})")
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
        """Return the segmentation of an image, cleaned, with what separates its touching objects."""
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
    """Segment one image with the unmodified network; use `segzoo.Predictor` for many images.

    Args:
        image: a file, a Pillow image, or an array or tensor ``(H, W)`` or in ``layout``, with channels in RGB
            order; of any type whose values suit the weights' intensity rule or ``intensity``.
        model: name of weights, their folder, or a model that segzoo made.
        device: device to compute on; the model's own device by default.
        layout: axes of arrays and tensors: ``HWC``, or ``CHW`` for channels first.
        probabilities: whether to keep probabilities too, 4 bytes per pixel and class.
        bands: bands of the image that the network gets; see `segzoo.Predictor`.
        intensity: how pixel values are scaled; see `segzoo.Predictor`.

    Raises:
        ImageError: the image cannot be read, or its bands do not fit the network.
        UnknownNameError: there are no such weights.

    Example:
        >>> result = segzoo.predict("cells.png", model="unet-nuclei")
        >>> result.overlay().save("cells_overlay.png")
    """
    predictor = Predictor(model, device=device, backend="eager", bands=bands, intensity=intensity)
    if predictor.needs_measuring:  # this image is the whole run
        predictor.measure([read_picture(image, layout)])
    return predictor(image, layout=layout, probabilities=probabilities)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return all items, or ``most`` of them spread evenly, including the first."""
    return [items[index * len(items) // most] for index in range(most)] if len(items) > most else [*items]


def fingerprint(network: nn.Module) -> str:
    """Return eight hexadecimal digits that identify trained weights, from some values of each tensor."""
    found = 0
    for name, tensor in network.state_dict().items():
        some = tensor.detach().flatten()[:: max(1, tensor.numel() // _SOME)].float().cpu()
        found = zlib.crc32(
            some.numpy().tobytes(), zlib.crc32(f"{name} {tuple(tensor.shape)}".encode(), found)
        )
    return f"{found:08x}"


def read_picture(image: Picture | Read, layout: Layout = "HWC") -> Read:
    """Return ``(H, W, C)`` with all bands, and the metadata if it is a file."""
    if isinstance(image, tuple):
        return image
    if isinstance(image, str | os.PathLike):
        return read_with_info(image)
    return as_pixels_with_info(image, layout=layout)
