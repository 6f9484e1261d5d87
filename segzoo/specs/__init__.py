"""Frozen descriptions of everything that the zoo holds: plain data, no torch.

A spec says what a part is called and where its code is (``factory``, a string), never holds the
code itself, so that listing a zoo of thousands costs nothing. Plug-ins return specs from their
hooks (`segzoo.hooks`); `segzoo.zoo` collects them.
"""

from __future__ import annotations

from segzoo.specs.base import PartSpec, Spec, field_names
from segzoo.specs.clusters import ClusterSpec
from segzoo.specs.data import Archive, DatasetSpec, LossSpec, MetricSpec, Recognition
from segzoo.specs.exports import ExportSpec
from segzoo.specs.networks import CAPABILITIES, DecoderSpec, EncoderSpec, LayoutSpec, ModelSpec, Pretraining
from segzoo.specs.pictures import (
    DEFAULT_PALETTE,
    IGNORED,
    IMAGENET,
    VOC_VOID,
    BandStatistics,
    Intensity,
    Labels,
    Preprocessing,
    Resize,
    Separator,
    default_preprocessing,
    intensity_text,
    known_labels,
    numbered_labels,
    parse_bands,
    parse_intensity,
    voc_colour,
)
from segzoo.specs.prediction import EngineSpec, OutputSpec
from segzoo.specs.readers import ReaderSpec
from segzoo.specs.training import AugmentationSpec, OptimizerSpec, RecipeSpec, ScheduleSpec, TrackerSpec
from segzoo.specs.weights import WeightsSpec

__all__ = [
    "CAPABILITIES",
    "DEFAULT_PALETTE",
    "IGNORED",
    "IMAGENET",
    "VOC_VOID",
    "Archive",
    "AugmentationSpec",
    "BandStatistics",
    "ClusterSpec",
    "DatasetSpec",
    "DecoderSpec",
    "EncoderSpec",
    "EngineSpec",
    "ExportSpec",
    "Intensity",
    "Labels",
    "LayoutSpec",
    "LossSpec",
    "MetricSpec",
    "ModelSpec",
    "OptimizerSpec",
    "OutputSpec",
    "PartSpec",
    "Preprocessing",
    "Pretraining",
    "ReaderSpec",
    "RecipeSpec",
    "Recognition",
    "Resize",
    "ScheduleSpec",
    "Separator",
    "Spec",
    "TrackerSpec",
    "WeightsSpec",
    "default_preprocessing",
    "field_names",
    "intensity_text",
    "known_labels",
    "numbered_labels",
    "parse_bands",
    "parse_intensity",
    "voc_colour",
]

#: Every kind of spec, in the order in which commands show them; its hook is ``segzoo_`` and its plural.
SPEC_TYPES: tuple[type[Spec], ...] = (
    ModelSpec,
    WeightsSpec,
    EncoderSpec,
    DecoderSpec,
    DatasetSpec,
    MetricSpec,
    LossSpec,
    AugmentationSpec,
    OptimizerSpec,
    ScheduleSpec,
    TrackerSpec,
    ReaderSpec,
    OutputSpec,
    EngineSpec,
    ExportSpec,
    ClusterSpec,
    RecipeSpec,
    LayoutSpec,
)
