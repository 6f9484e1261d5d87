"""The hooks that a plug-in may implement, on one screen.

A plug-in is a module named by an entry point in the group ``segzoo.plugins``. It implements any of
these functions, marked with `hookimpl`, and returns specs; importing it must not import torch::

    from segzoo.hooks import hookimpl
    from segzoo.specs import DecoderSpec

    @hookimpl
    def segzoo_decoders():
        return [DecoderSpec(name="mine", factory="segzoo_mine.decoder:MyDecoder")]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from segzoo.distribution import displacement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segzoo.specs import (
        AugmentationSpec,
        ClusterSpec,
        DatasetSpec,
        DecoderSpec,
        EncoderSpec,
        EngineSpec,
        ExportSpec,
        LayoutSpec,
        LossSpec,
        MetricSpec,
        ModelSpec,
        OptimizerSpec,
        OutputSpec,
        ReaderSpec,
        RecipeSpec,
        ScheduleSpec,
        TrackerSpec,
        WeightsSpec,
    )

# Every plug-in and the zoo import this module, so it reports if another program's `segzoo` was imported.
if _told := displacement():
    raise ImportError(_told, name="segzoo")

#: Version of this interface; it increases when a change to a hook or a spec breaks plug-ins.
API_VERSION = 1

#: Marks the functions of this module; plug-ins do not need it.
hookspec = pluggy.HookspecMarker("segzoo")
#: Marks a plug-in's implementations: put ``@hookimpl`` above a function named like one of these hooks.
hookimpl = pluggy.HookimplMarker("segzoo")


@hookspec(firstresult=True)
def segzoo_api() -> int:
    """Return the interface version that the plug-in was written for (`API_VERSION` at that time)."""
    return API_VERSION


@hookspec
def segzoo_encoders() -> Iterable[EncoderSpec]:
    """Return encoders."""
    return ()


@hookspec
def segzoo_decoders() -> Iterable[DecoderSpec]:
    """Return decoders."""
    return ()


@hookspec
def segzoo_models() -> Iterable[ModelSpec]:
    """Return whole networks, or named pairs of decoder and encoder."""
    return ()


@hookspec
def segzoo_weights() -> Iterable[WeightsSpec]:
    """Return trained weights."""
    return ()


@hookspec
def segzoo_datasets() -> Iterable[DatasetSpec]:
    """Return datasets."""
    return ()


@hookspec
def segzoo_metrics() -> Iterable[MetricSpec]:
    """Return metrics."""
    return ()


@hookspec
def segzoo_losses() -> Iterable[LossSpec]:
    """Return losses."""
    return ()


@hookspec
def segzoo_augmentations() -> Iterable[AugmentationSpec]:
    """Return augmentation steps."""
    return ()


@hookspec
def segzoo_optimizers() -> Iterable[OptimizerSpec]:
    """Return optimizers."""
    return ()


@hookspec
def segzoo_schedules() -> Iterable[ScheduleSpec]:
    """Return learning rate schedules."""
    return ()


@hookspec
def segzoo_trackers() -> Iterable[TrackerSpec]:
    """Return experiment trackers."""
    return ()


@hookspec
def segzoo_readers() -> Iterable[ReaderSpec]:
    """Return readers of image files."""
    return ()


@hookspec
def segzoo_outputs() -> Iterable[OutputSpec]:
    """Return outputs: kinds of files for segmentations."""
    return ()


@hookspec
def segzoo_engines() -> Iterable[EngineSpec]:
    """Return inference engines."""
    return ()


@hookspec
def segzoo_exports() -> Iterable[ExportSpec]:
    """Return export formats: kinds of model files for other inference engines."""
    return ()


@hookspec
def segzoo_clusters() -> Iterable[ClusterSpec]:
    """Return clusters: machines that compute a run in parallel."""
    return ()


@hookspec
def segzoo_recipes() -> Iterable[RecipeSpec]:
    """Return training recipes: TOML files in the plug-in's package."""
    return ()


@hookspec
def segzoo_layouts() -> Iterable[LayoutSpec]:
    """Return layouts of other programs' checkpoints."""
    return ()
