"""Experiment trackers, driven by Accelerate; training does not need one.

All trackers get numbers and the recipe. TensorBoard and Weights & Biases also get histograms, and every
tracker with Accelerate's ``log_images`` gets pictures.

Weights & Biases works offline if there is no account or no network, and reports this. Of several processes,
only the main one writes.
"""

from __future__ import annotations

import importlib
import math
import os
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segzoo import zoo
from segzoo.errors import FailureError, MissingExtraError, PluginError
from segzoo.evaluation.pictures import shrunk, thinned, without
from segzoo.files import writable
from segzoo.http import offline
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import IGNORED, numbered_labels
from segzoo.training.parts import build
from segzoo.training.report.examples import LONGEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from segzoo.specs import Labels, TrackerSpec
    from segzoo.training.report.examples import Example


def make_trackers(names: Sequence[str], out: Path) -> list[GeneralTracker]:
    """Return trackers for ``Accelerator(log_with=..., project_dir=...)``; nothing is written yet.

    Args:
        names: names of registered trackers.
        out: the run folder; trackers store their files in subfolders.

    Raises:
        UnknownNameError: there is no such tracker.
        MissingExtraError: the package of one is not installed.
        FailureError: a tracker needs a network, and the network is switched off.
    """
    specs = {spec.name: spec for spec in map(zoo.registry("trackers").get, names)}
    for spec in specs.values():
        check_installed(spec)
        if spec.network and offline():
            raise FailureError(
                f"the tracker {spec.name} needs a network, which is switched off by {offline()}: leave it out"
            )
    return [make_tracker(spec, out) for spec in specs.values()]


def check_installed(spec: TrackerSpec) -> None:
    """Raise `MissingExtraError` if a tracker's package is missing, with the command that installs it."""
    for module in spec.modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            how = f"pip install '{spec.install}'" if spec.install else "install it"
            raise MissingExtraError(f"the tracker {spec.name} needs {module}: {how}") from error


def make_tracker(spec: TrackerSpec, out: Path) -> GeneralTracker:
    """Create one tracker for a run in the folder ``out``.

    Raises:
        PluginError: its factory returned something else.
    """
    from accelerate.tracking import GeneralTracker

    made = build(spec, out)
    if not isinstance(made, GeneralTracker):
        told = f"tracker {spec.name!r}: its factory returned a {type(made).__name__}"
        raise PluginError(f"{told}, which is not an accelerate.tracking.GeneralTracker")
    return made


# segzoo's own trackers.


def tensorboard(folder: Path) -> GeneralTracker:
    """Return the tracker of TensorBoard."""
    from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker("tensorboard", logging_dir=str(folder))


def wandb(folder: Path) -> GeneralTracker:
    """Return the tracker of Weights & Biases."""
    from accelerate.tracking import WandBTracker

    return WandBTracker(os.environ.get("WANDB_PROJECT", _PROJECT), name=folder.name, dir=str(folder))


def mlflow(folder: Path) -> GeneralTracker:
    """Return the tracker of MLflow."""
    from accelerate.tracking import MLflowTracker

    return MLflowTracker(_PROJECT, run_name=folder.name)


def comet_ml(folder: Path) -> GeneralTracker:
    """Return the tracker of Comet."""
    from accelerate.tracking import CometMLTracker

    del folder
    return CometMLTracker(_PROJECT)


def aim(folder: Path) -> GeneralTracker:
    """Return the tracker of Aim."""
    from accelerate.tracking import AimTracker

    return AimTracker(folder.name, logging_dir=str(folder))


def clearml(folder: Path) -> GeneralTracker:
    """Return the tracker of ClearML."""
    from accelerate.tracking import ClearMLTracker

    return ClearMLTracker(_PROJECT, task_name=folder.name)


def dvclive(folder: Path) -> GeneralTracker:
    """Return the tracker of DVCLive."""
    from accelerate.tracking import DVCLiveTracker

    return DVCLiveTracker(dir=str(folder / "dvclive"))


#: The project name of runs, unless the user sets another.
_PROJECT = "segzoo"


class Tracking:
    """The trackers of one run; without any, all calls do nothing.

    They start with `begin`, or with the first value that is logged.

    Args:
        accelerator: created with the result of `make_trackers`.
        names: names of the trackers.
        config: the recipe's values, by which runs are compared.
        labels: labels of the data; numbers if not given.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        names: Sequence[str],
        config: Mapping[str, Any],
        *,
        labels: Labels | None = None,
    ) -> None:
        self.accelerator, self.names, self.config, self.labels = accelerator, names, config, labels
        self._step, self._trackers = 0, list[Any]()

    def rewind(self, step: int) -> None:
        """Continue from a step; must be called before the trackers start.

        TensorBoard hides the values of later steps, and Weights & Biases continues its run.
        """
        self._step = step

    def begin(self) -> None:
        """Start the trackers, unless they are already started.

        Raises:
            FailureError: a folder cannot be written, or a tracker does not start.
        """
        if self._trackers or not self.names or not self.accelerator.is_main_process:
            return
        for tracker in self.accelerator.log_with:
            _prepare(tracker, self._step)
        try:
            self.accelerator.init_trackers(_PROJECT)
        except (OSError, ImportError) as error:
            raise FailureError(f"the trackers {', '.join(self.names)} do not start: {error}") from error
        self._trackers = list(self.accelerator.trackers)
        told = dict(_flat(self.config))
        for tracker in self._trackers:
            if tracker.name == "tensorboard":
                # In the folder of its run: Accelerate's own method adds a run for each start.
                _writer(tracker).add_hparams(told, {}, run_name=".")
            else:
                tracker.store_init_configuration(told)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers, except those that are not finite."""
        self.begin()
        if self._trackers:
            told = {name: float(value) for name, value in values.items() if math.isfinite(value)}
            for tracker in self._trackers:
                tracker.log(told, step=step)

    def histograms(self, model: nn.Module, step: int) -> None:
        """Log the distribution of the weights, and of the gradients if there are any.

        Of a tensor with more than 100,000 values, only that many are counted. Call it before gradients are
        cleared.
        """
        self.begin()
        if not self._trackers:
            return
        found = distributions(model)
        for tracker in self._trackers:
            if tracker.name == "wandb":
                import wandb

                drawn = {
                    name: wandb.Histogram(np_histogram=(one.counts, one.edges)) for name, one in found.items()
                }
                tracker.log(drawn, step=step)
            elif tracker.name == "tensorboard":
                for name, one in found.items():
                    _writer(tracker).add_histogram_raw(name, **one.summary(), global_step=step)

    def pictures(self, name: str, examples: Sequence[Example], step: int) -> None:
        """Log each example as its image, its ground truth and its prediction, drawn on the image."""
        self.begin()
        if not self._trackers:
            return
        for tracker in self._trackers:
            if tracker.name == "wandb":
                tracker.log({name: [self._masked(example) for example in examples]}, step=step)
            elif tracker.name == "tensorboard":
                for example in examples:
                    drawn = np.concatenate(self._drawn(example), axis=1)
                    _writer(tracker).add_image(f"{name}/{example.name}", drawn, step, dataformats="HWC")
                _writer(tracker).flush()
            elif hasattr(tracker, "log_images"):
                drawn = [(one.name, np.concatenate(self._drawn(one), axis=1)) for one in examples]
                tracker.log_images({f"{name}/{which}": picture for which, picture in drawn}, step=step)

    def close(self) -> None:
        """Finish; values that are still in memory are written."""
        started, self._trackers, self.names = self._trackers, [], ()
        for tracker in started:
            tracker.finish()

    def _named(self, example: Example) -> Labels:
        """Return the labels, or numbered ones for as many classes as the masks hold."""
        if self.labels is not None:
            return self.labels
        masks = example.target, example.prediction
        unused = np.iinfo(np.result_type(*masks)).max
        return numbered_labels(int(max(mask[mask < unused].max(initial=1) for mask in masks)) + 1)

    def _drawn(self, example: Example) -> tuple[NDArray[np.uint8], ...]:
        labels = self._named(example)
        image, *masks = _small(example, labels)
        plain = [np.where(mask == labels.unused_index, mask.dtype.type(0), mask) for mask in masks]
        overlays = [
            np.asarray(Segmentation(mask=mask, labels=labels, image=image).overlay()) for mask in plain
        ]
        return image, overlays[0], overlays[1]

    def _masked(self, example: Example) -> Any:
        """Return an image with masks that Weights & Biases can show and hide."""
        import wandb

        labels = self._named(example)
        image, target, prediction = _small(example, labels)
        names = {**dict(enumerate(labels.classes)), labels.unused_index: "not counted"}
        shown = {"truth": target, "prediction": prediction}
        masks = {what: {"mask_data": mask, "class_labels": names} for what, mask in shown.items()}
        if labels.overlapping:
            masks = {
                f"{what}: {name}": {"mask_data": plane, "class_labels": {1: name, IGNORED: "not counted"}}
                for what, mask in shown.items()
                for name, plane in zip(labels.classes, mask, strict=True)
            }
        score = "" if math.isnan(example.score) else f", {example.score:.4f}"
        return wandb.Image(image, masks=masks, caption=f"{example.name}{score}")


def _prepare(tracker: Any, step: int) -> None:
    """Pass a tracker what is known only now: the step to continue from, and whether it can be online."""
    options: dict[str, Any] = getattr(tracker, "init_kwargs", {})
    if tracker.name == "tensorboard":
        options |= {"purge_step": step + 1}
    if tracker.name != "wandb":
        return
    folder = writable(Path(options["dir"]) / "wandb")
    known = folder / "segzoo-run.txt"
    if step and known.exists():
        options |= {"id": known.read_text(encoding="utf-8").strip(), "resume": "allow"}
    else:
        options |= {"id": uuid.uuid4().hex[:12]}
        known.write_text(f"{options['id']}\n", encoding="utf-8")
    settings: dict[str, Any] = {"console": "off"}
    why = _offline()
    if why:
        options |= {"mode": "offline"}
        settings["silent"] = True
        warnings.warn(
            f"Weights & Biases is offline, because {why}: the run is stored in {folder}, and "
            f"`wandb sync {folder}/offline-run-*` uploads it later",
            stacklevel=2,
        )
    options["settings"] = settings


def _offline() -> str:
    """Return why Weights & Biases cannot be online; nothing if it can, or if the user chose."""
    import wandb

    chosen = os.environ.get("WANDB_MODE", "")
    if offline() and chosen not in ("offline", "disabled", "dryrun"):
        return f"the network is switched off by {offline()}"
    if chosen:
        return ""
    try:
        return "" if wandb.login(prompt=False, verify=True) else "no account is logged in"
    except wandb.Error as error:
        return f"its server refused access ({str(error).splitlines()[0]})"


def _writer(tracker: Any) -> Any:
    """Return TensorBoard's writer."""
    return tracker.tracker


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    """Yield the values of a recipe by dotted name, as numbers and text."""
    for name, value in config.items():
        if hasattr(value, "items"):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{prefix}{name}", value
        elif value is not None:
            yield (
                f"{prefix}{name}",
                ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value),
            )


def _small(
    example: Example, labels: Labels
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return image, ground truth and prediction with sides of at most 256, without ignored pixels."""
    rows, columns = thinned(example.target.shape, LONGEST)
    grid = (..., rows[:, None], columns)
    target, prediction = example.target[grid], example.prediction[grid]
    outside = (target == labels.unused_index) | (target == labels.ignore_index)
    shown = [without(mask, outside, labels) for mask in (target, prediction)]
    return shrunk(example.image, target.shape[-2:]), shown[0], shown[1]


# How the weights and gradients of a network are distributed, for histograms.

#: Values of a tensor that are counted; of more, about as many at equal distances.
COUNTED = 100_000

_BARS = 64


@dataclass(frozen=True)
class Distribution:
    """The values of a tensor in bars.

    Attributes:
        counts: ``(bars,)``: how many values lie in each.
        edges: ``(bars + 1,)``: edges of the bars.
        values: ``(n,)`` float64: those that were counted, finite.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    values: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """Return what TensorBoard's ``add_histogram_raw`` takes."""
        return {
            "min": float(self.values.min()),
            "max": float(self.values.max()),
            "num": len(self.values),
            "sum": float(self.values.sum()),
            "sum_squares": float(np.square(self.values).sum()),
            "bucket_limits": self.edges[1:].tolist(),
            "bucket_counts": self.counts.tolist(),
        }


def distributions(model: nn.Module) -> dict[str, Distribution]:
    """Return those of ``weights/NAME`` and, if there are gradients, ``gradients/NAME``.

    Tensors without a finite value are left out.
    """
    found = {name: _distribution(tensor) for name, tensor in _tensors(model)}
    return {name: one for name, one in found.items() if one is not None}


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        yield f"weights/{name}", parameter.detach()
        if parameter.grad is not None:
            yield f"gradients/{name}", parameter.grad.detach()


def _distribution(tensor: Tensor) -> Distribution | None:
    flat = tensor.flatten()
    stride = max(-(-len(flat) // COUNTED), 1)
    values = flat[::stride].to(device="cpu", dtype=torch.float32).numpy().astype(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    counts, edges = np.histogram(values, bins=_BARS)
    return Distribution(counts, edges, values)
