"""Frozen descriptions of all parts of the zoo: plain data, without torch.

A spec contains a part's name and the location of its code (``factory``, a string), but never the code itself,
so that listing a zoo of thousands is fast. Plug-ins return specs from their hooks (`segzoo.hooks`);
`segzoo.zoo` collects them.
"""

from __future__ import annotations

from segzoo.specs.base import PartSpec, Spec, field_names
from segzoo.specs.data import Archive, DatasetSpec, LossSpec, MetricSpec, Recognition
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
from segzoo.specs.prediction import ClusterSpec, EngineSpec, ExportSpec, OutputSpec, ReaderSpec
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

#: Every kind of spec, in the order of display; its hook is ``segzoo_`` plus its plural.
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
