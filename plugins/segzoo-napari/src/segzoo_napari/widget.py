"""The widget: choose weights and a layer, and get what the model finds as new layers."""

from __future__ import annotations

import logging
import re
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui import widgets  # pyright: ignore[reportMissingImports]
from napari.layers import Image, Labels  # pyright: ignore[reportMissingImports]
from napari.qt.threading import create_worker  # pyright: ignore[reportMissingImports]
from napari.utils.notifications import show_error  # pyright: ignore[reportMissingImports]
from qtpy.QtCore import Qt  # pyright: ignore[reportMissingImports]
from qtpy.QtWidgets import QComboBox, QSizePolicy  # pyright: ignore[reportMissingImports]

from segzoo import zoo
from segzoo.errors import ImageError, OptionError, SegzooError
from segzoo_napari.stacks import MASK, OUTPUTS, Results, Stack

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari  # pyright: ignore[reportMissingImports]
    from napari.layers import Layer  # pyright: ignore[reportMissingImports]
    from torch import nn

    from segzoo import Predictor
    from segzoo.specs import WeightsSpec
    from segzoo_napari.stacks import LayerData

_log = logging.getLogger(__name__)
#: Value of the threshold that stands for the weights' own.
_OWN = 0.0
#: Key of what this plug-in keeps in a layer's metadata.
_KEPT = "segzoo"


@dataclass(frozen=True)
class Options:
    """What makes a predictor.

    Attributes:
        weights: name or location of the weights.
        threshold: threshold of binary models; ``None`` for the weights' own.
        bands: bands that the network gets, such as ``4,3,2``; empty for the weights' own.
        intensity: how pixel values are scaled; empty for the weights' own rule.
    """

    weights: str
    threshold: float | None
    bands: str
    intensity: str


class Models:
    """Makes predictors, and keeps the last network of the zoo and the last predictor."""

    def __init__(self) -> None:
        self._network: tuple[str, nn.Module] | None = None
        self._predictor: tuple[Options, Predictor] | None = None

    def predictor(self, options: Options) -> Predictor:
        """Return a predictor; weights that are not in the cache yet are downloaded.

        Raises:
            SegzooError: the weights cannot be loaded, or an option does not fit them.
        """
        _avoid_triton()
        # torch takes seconds to import: not before it is needed, and not in the viewer's thread.
        from segzoo import Predictor, load

        if self._predictor and self._predictor[0] == options:
            return self._predictor[1]
        if self._network is None or self._network[0] != options.weights:
            self._network = options.weights, load(options.weights)
        made = Predictor(
            self._network[1],
            threshold=options.threshold,
            bands=options.bands or (),
            intensity=options.intensity or None,
        )
        if options.weights not in zoo.weights:
            self._network = None  # a run that continues changes the weights in its folder
        elif not made.needs_measuring:  # what was measured belongs to one stack
            self._predictor = options, made
        return made


class SegmentWidget(widgets.Container):
    """Segment an image layer with weights of segzoo.

    Args:
        napari_viewer: viewer whose layers can be chosen, and which gets the results.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        self._viewer, self._models, self._worker = napari_viewer, Models(), None
        self.image = widgets.ComboBox(
            label="Image",
            choices=self._images,
            tooltip="Layer to segment; a stack is segmented slice by slice",
        )
        self.band_axis = widgets.ComboBox(
            label="Band axis",
            choices=self._axes,
            nullable=True,
            tooltip="Axis of the layer that holds bands (channels); every other axis before rows and columns "
            "is a stack",
        )
        self.facts = _text()
        self.weights = widgets.ComboBox(label="Weights", choices=_choices(), nullable=True)
        self.own = widgets.FileEdit(
            label="Or your own",
            mode="d",
            nullable=True,
            tooltip="Folder of a run of segzoo train, or of weights; you can also type a file or "
            "hf-hub:org/name",
        )
        self.summary = _text()
        self.threshold = widgets.FloatSpinBox(
            label="Threshold",
            value=_OWN,
            min=_OWN,
            max=0.99,
            step=0.05,
            tooltip="Probability above which a pixel belongs to the class",
        )
        self.threshold.native.setSpecialValueText("the weights' own")
        self.bands = widgets.LineEdit(
            label="Bands",
            tooltip="Bands for the network, in its order, such as 4,3,2; empty: the weights' own",
        )
        self.intensity = widgets.LineEdit(
            label="Intensity",
            tooltip="How pixel values are scaled, such as percentiles:1,99.8 or range:0,4095; "
            "empty: the weights' own rule",
        )
        for edit in (self.bands, self.intensity):
            edit.native.setPlaceholderText("the weights' own")
        self.outputs = widgets.Container(
            label="Results",
            layout="horizontal",
            labels=False,
            widgets=[widgets.CheckBox(name=name, text=name, value=name == MASK) for name in OUTPUTS],
        )
        for box in (self.image, self.band_axis, self.weights):
            # Else the longest name of all weights sets the width of the widget.
            box.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.native.setMinimumContentsLength(16)
        self.button = widgets.PushButton(text="Segment")
        self.progress = widgets.ProgressBar(visible=False, max=1)
        self.status = _text()
        super().__init__(
            widgets=[
                self.image,
                self.band_axis,
                self.facts,
                self.weights,
                self.own,
                self.summary,
                self.threshold,
                self.bands,
                self.intensity,
                self.outputs,
                self.button,
                self.progress,
                self.status,
            ]
        )
        self.image.changed.connect(self._show_axes)
        self.band_axis.changed.connect(self._show_facts)
        for choice in (self.weights, self.own):
            choice.changed.connect(self._show_weights)
        self.button.changed.connect(self._start_or_stop)
        self.native.destroyed.connect(self._leave)
        self._show_axes()
        self._show_weights()

    # -- what is shown

    def _images(self, _: Any) -> list[tuple[str, Image]]:
        return [(layer.name, layer) for layer in self._viewer.layers if isinstance(layer, Image)]

    def _axes(self, _: Any) -> list[tuple[str, int]]:
        layer = self.image.value
        if layer is None or layer.rgb:
            return []
        shape = _data(layer).shape
        return [(f"{axis}: {size}", axis) for axis, size in enumerate(shape)] if len(shape) > 2 else []

    def _show_axes(self) -> None:
        self.band_axis.reset_choices()
        self.band_axis.visible = bool(self._axes(None))
        self._show_facts()

    def _show_facts(self) -> None:
        try:
            self.facts.value = "" if self.image.value is None else str(self._stack())
        except ImageError as error:
            self.facts.value = str(error)

    def _show_weights(self) -> None:
        own, name = self._own(), self.weights.value
        self.weights.enabled = not own
        spec = None if own or name is None else zoo.weights.get(name)
        self.summary.value = "" if spec is None else f"{spec.summary}. Licence: {spec.licence}"
        # How many logits weights have is known once they are loaded: `_done` hides what does not fit.
        self._offer_threshold(spec is None or len(spec.classes) == 2 or _overlap(spec))

    def _offer_threshold(self, fits: bool) -> None:
        # `visible` is also false while the whole widget is behind another.
        self._has_threshold = self.threshold.visible = fits

    # -- what is done

    def _own(self) -> str:
        word = str(self.own.value or "").strip()
        return "" if word == "." else word

    def _stack(self) -> Stack:
        layer = self.image.value
        data = _data(layer)
        alpha = layer.rgb and data.shape[-1] == 4 and data.dtype == np.uint8
        return Stack(data, data.ndim - 1 if layer.rgb else self.band_axis.value, alpha=alpha)

    def _start_or_stop(self) -> None:
        if self._worker is not None:
            self._worker.quit()
            self.status.value = "stopping after this slice"
            return
        try:
            layer, weights = self.image.value, self._own() or self.weights.value
            outputs = [box.name for box in self.outputs if box.value]
            if layer is None:
                raise OptionError("open an image first: File > Open, or File > Open Sample > segzoo")
            if not weights:
                raise OptionError(
                    "choose weights, or the folder of your own. If the list is empty, install a plug-in of "
                    "segzoo that has weights, such as segzoo-medical"
                )
            if not outputs:
                raise OptionError(f"choose what to show: {', '.join(OUTPUTS)}")
            stack = self._stack()
        except SegzooError as error:
            self._fail(error)
            return
        threshold = self.threshold.value if self._has_threshold else _OWN
        options = Options(
            weights=weights,
            threshold=None if threshold == _OWN else threshold,
            bands=self.bands.value.strip(),
            intensity=self.intensity.value.strip(),
        )
        self.button.text = "Stop"
        self.progress.max, self.progress.value, self.progress.visible = len(stack), 0, True
        self.status.value = f"loading {weights}"
        self._worker = create_worker(self._work, options, stack, outputs)
        self._worker.yielded.connect(self._show_progress)
        self._worker.returned.connect(lambda result: self._done(result, layer, options))
        self._worker.aborted.connect(lambda: self._end("stopped"))
        self._worker.start()

    def _work(
        self, options: Options, stack: Stack, outputs: list[str]
    ) -> Generator[tuple[int, str], None, tuple[Results | Exception, Predictor | None]]:
        """Segment in another thread: yield progress, return what was found, or the error."""
        try:
            predictor = self._models.predictor(options)
            yield 0, "segmenting"
            found = Results(predictor.config.labels, stack, outputs)
            for number in found.collect(predictor):
                yield number, f"slice {number} of {len(stack)}" if stack.shape else "segmented"
            return found, predictor
        except Exception as error:
            return error, None

    def _show_progress(self, step: tuple[int, str]) -> None:
        if self._worker is not None:
            self.progress.value, self.status.value = step

    def _done(
        self, result: tuple[Results | Exception, Predictor | None], layer: Image, options: Options
    ) -> None:
        if self._worker is None:
            return
        found, predictor = result
        if isinstance(found, Exception):
            self._end("")
            self._fail(found)
            return
        assert predictor is not None
        made = [self._show(one, layer, found.stack.axes, options.weights) for one in found.layers()]
        config = predictor.config
        self._offer_threshold(config.class_logits == 1 or config.labels.overlapping)
        self._end(f"done: {', '.join(one.name for one in reversed(made))}")

    def _show(self, one: LayerData, layer: Image, axes: list[int], weights: str) -> Layer:
        """Add a layer, or update that of an earlier run on the same image, unless people have edited it."""
        data, attributes, kind = one
        source = re.split(r"[/\\]", weights.rstrip("/\\"))[-1]
        name = f"{layer.name} {attributes['name']} {source}"
        cls = Labels if kind == "labels" else Image
        kept = {_KEPT: {"name": name, "checksum": _checksum(data)}}
        for shown in self._viewer.layers:
            last = shown.metadata.get(_KEPT, {})
            if last.get("name") != name or shown.data.shape != data.shape:
                continue
            if last["checksum"] == _checksum(shown.data):
                shown.data, shown.metadata = data, {**shown.metadata, **kept}
                if kind == "labels":
                    shown.features = attributes["features"]
                return shown
        made = cls(data, **{**attributes, "name": name}, metadata=kept, **_position(layer, axes))
        return self._viewer.add_layer(made)

    def _fail(self, error: Exception) -> None:
        text = str(error)
        if not isinstance(error, SegzooError):
            text = f"{type(error).__name__}: {error}"
            _log.error("segmenting failed", exc_info=error)
        self.status.value = text
        show_error(text)

    def _end(self, text: str) -> None:
        if self._worker is not None:
            self._worker = None
            self.button.text, self.progress.visible, self.status.value = "Segment", False, text

    def _leave(self) -> None:
        """Stop when the widget is closed; what comes later has nowhere to be shown."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.quit()


def _data(layer: Image) -> Any:
    """Return a layer's array, of a pyramid the largest."""
    return layer.data[0] if layer.multiscale else layer.data


def _choices() -> list[tuple[str, str]]:
    """Return the weights that segment, those that need no download first."""
    found = sorted(
        (not one.spec.folder, name, one.spec) for name, one in zoo.weights.items() if one.spec.classes
    )
    return [(f"{name} (download{_size(spec.bytes)})" if away else name, name) for away, name, spec in found]


def _size(count: int) -> str:
    return f", {count / 1e6:,.0f} MB" if count else ""


def _overlap(spec: WeightsSpec) -> bool:
    return spec.labels is not None and spec.labels.overlapping


def _text() -> Any:
    """Return a label that wraps its lines and shows plain text."""
    made = widgets.Label(label="")
    made.native.setWordWrap(True)
    made.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    made.native.setTextFormat(Qt.TextFormat.PlainText)
    made.native.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def _avoid_triton() -> None:
    """Hide Triton from torch where importing it would end the process: Mesa has loaded another LLVM.

    Nothing here needs Triton. Mesa draws with LLVM on Linux, if the driver is not NVIDIA's own.
    """
    maps = Path("/proc/self/maps")
    if "triton" not in sys.modules and maps.exists() and "libLLVM" in maps.read_text(errors="replace"):
        sys.modules["triton"] = None  # pyright: ignore[reportArgumentType]


def _checksum(data: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(data).data)


def _position(layer: Image, axes: list[int]) -> dict[str, Any]:
    """Return where a layer lies, for one with only some of its axes."""
    pick = np.ix_(axes, axes)
    affine = np.eye(len(axes) + 1)
    affine[:-1, :-1] = np.asarray(layer.affine.linear_matrix)[pick]
    affine[:-1, -1] = np.asarray(layer.affine.translate)[axes]
    found = {
        "scale": layer.scale[axes],
        "translate": layer.translate[axes],
        "rotate": layer.rotate[pick],
        "affine": affine,
        "units": [layer.units[axis] for axis in axes],
        "axis_labels": [layer.axis_labels[axis] for axis in axes],
    }
    return found if len(axes) < layer.ndim else {**found, "shear": layer.shear}
