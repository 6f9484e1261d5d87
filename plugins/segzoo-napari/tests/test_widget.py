"""The widget in napari: layers in, layers out, errors in words, and a viewer that stays alive.

These tests need napari and a Qt binding; README.md says how to run them. No window is opened.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import segzoo
from segzoo.specs import Labels

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
napari = pytest.importorskip(
    "napari", reason="needs napari: plugins/segzoo-napari/README.md says how to run it"
)
pytest.importorskip("qtpy.QtWidgets", reason="needs a Qt binding, such as PySide6")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from segzoo_napari.widget import SegmentWidget

PATIENCE = 600
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 24, 40, 3), np.uint8)


@pytest.fixture(scope="session")
def app() -> Any:
    from napari.qt import get_qapp

    return get_qapp()


@pytest.fixture
def viewer(app: Any) -> Any:
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def widget(viewer: Any) -> SegmentWidget:
    from segzoo_napari.widget import SegmentWidget

    made = SegmentWidget(viewer)
    for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
        event.connect(made.reset_choices)  # as napari does with widgets that it docks
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of one class, of colour images."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=1, width=2, depth=2).eval()
    with torch.no_grad():  # both classes somewhere
        seen = torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255
        list(model.parameters())[-1].sub_(model(seen).mean())
    labels = Labels(classes=("ground", "roof"), palette=((0, 0, 0), (255, 0, 0)))
    model.segzoo_config = replace(model.segzoo_config, labels=labels)
    folder = tmp_path_factory.mktemp("weights") / "roofs"
    segzoo.save(model, folder)
    return folder


def until(app: Any, true: Callable[[], bool]) -> int:
    """Process the viewer's events until a condition is true; return how often that was possible."""
    end, turns = time.monotonic() + PATIENCE, 0
    while not true():
        assert time.monotonic() < end
        app.processEvents()
        time.sleep(0.005)
        turns += 1
    return turns


def press(widget: SegmentWidget, app: Any) -> int:
    widget.button.changed.emit(True)
    return until(app, lambda: widget._worker is None)


def test_a_layer_is_segmented_and_the_result_is_named_coloured_and_in_place(viewer, widget, app, weights):
    viewer.add_image(PIXELS[0], name="town", rgb=True, scale=(2, 3), translate=(5, 7), rotate=30)
    widget.own.value = weights
    for box in widget.outputs:
        box.value = True
    assert press(widget, app) > 1, "the viewer's events are processed while the model runs"
    expected = segzoo.Predictor(weights)(PIXELS[0], probabilities=True)
    mask = viewer.layers["town mask roofs"]
    np.testing.assert_array_equal(mask.data, expected.mask)
    np.testing.assert_allclose(mask.get_color(1), (1, 0, 0, 1))
    assert mask.features["class"].tolist() == ["ground", "roof"]
    np.testing.assert_allclose(mask.data_to_world((4, 9)), viewer.layers["town"].data_to_world((4, 9)))
    assert viewer.layers["town objects roofs"].data.max() == len(expected.instances().areas)
    np.testing.assert_allclose(
        viewer.layers["town uncertainty roofs"].data, expected.uncertainty(), atol=1e-6
    )
    assert "town mask roofs" in widget.status.value


def test_a_stack_with_bands_is_segmented_and_keeps_its_place(viewer, widget, app, weights):
    bands_first = PIXELS.transpose(0, 3, 1, 2)
    layer = viewer.add_image(bands_first, name="stack", scale=(4, 1, 2, 3), channel_axis=None)
    widget.own.value, widget.band_axis.value = weights, 1
    assert widget.facts.value == "3 slices of 40 x 24 pixels, 3 bands, uint8"
    press(widget, app)
    mask = viewer.layers["stack mask roofs"]
    made = segzoo.Predictor(weights)
    np.testing.assert_array_equal(mask.data, [made(one).mask for one in PIXELS])
    np.testing.assert_allclose(mask.scale, (4, 2, 3))
    assert layer.data.shape == bands_first.shape


def test_the_threshold_counts_and_edited_masks_are_kept(viewer, widget, app, weights):
    viewer.add_image(PIXELS[0], name="town", rgb=True)
    widget.own.value = weights
    press(widget, app)
    first = viewer.layers["town mask roofs"]
    before = first.data.copy()
    widget.threshold.value = 0.95
    press(widget, app)
    np.testing.assert_array_equal(first.data, segzoo.Predictor(weights, threshold=0.95)(PIXELS[0]).mask)
    assert (first.data != before).any()
    assert len(viewer.layers) == 2
    first.data[:3, :3] = 1
    first.data[3:6, :3] = 0
    edited = first.data.copy()
    press(widget, app)
    np.testing.assert_array_equal(first.data, edited)
    assert len(viewer.layers) == 3


def test_what_is_wrong_is_said_in_words_and_the_widget_goes_on(viewer, widget, app, weights, tmp_path):
    def said() -> str:
        press(widget, app)
        assert widget.button.text == "Segment"
        return widget.status.value

    assert "open an image" in said()
    viewer.add_image(np.zeros((24, 40), np.complex64).real, name="empty")
    assert "choose weights" in said()
    widget.own.value = tmp_path / "nothing"
    assert "no weights are named" in said()
    widget.own.value = weights
    widget.intensity.value = "nonsense"
    assert "intensity is one of" in said()
    widget.intensity.value = ""
    viewer.add_image(np.full((24, 40), np.nan, np.float32), name="missing")
    widget.image.value = viewer.layers["missing"]
    assert "no pixel holds a measurement" in said()
    viewer.add_image(np.zeros((24, 40, 5), np.uint8), name="five", rgb=False)
    widget.image.value, widget.band_axis.value = viewer.layers["five"], 2
    assert "5 bands" in said()
    widget.bands.value = "5,1,2"
    assert "mask" in said()
    for box in widget.outputs:
        box.value = False
    assert "choose what to show" in said()


def test_a_run_can_be_stopped(viewer, widget, app, weights):
    viewer.add_image(np.zeros((500, 24, 40, 3), np.uint8), name="long", rgb=True)
    widget.own.value = weights
    widget.button.changed.emit(True)
    until(app, lambda: widget.progress.value > 1)
    press(widget, app)
    assert widget.status.value == "stopped"
    assert [layer.name for layer in viewer.layers] == ["long"]


def test_napari_finds_widget_and_sample():
    import npe2
    from npe2.manifest.utils import import_python_name

    manager = npe2.PluginManager()
    manager.discover()
    contributions = manager.get_manifest("segzoo-napari").contributions
    commands = {one.id: import_python_name(one.python_name) for one in contributions.commands}
    (found,) = contributions.widgets
    assert commands[found.command].__name__ == "SegmentWidget"
    (sample,) = contributions.sample_data
    ((pixels, _, _),) = commands[sample.command]()
    assert pixels.shape == (256, 256)


def test_the_widget_is_imported_without_torch():
    code = "import sys, segzoo_napari.widget; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
