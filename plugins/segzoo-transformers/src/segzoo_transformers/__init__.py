"""Semantic segmentation models of transformers, and their checkpoints."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
    from segzoo.specs import LayoutSpec, ModelSpec, WeightsSpec
except ModuleNotFoundError as error:
    if error.name in ("segzoo.hooks", "segzoo.specs"):
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise

_HOME = "https://github.com/huggingface/transformers"
#: SegFormer exports for all sizes; the other kinds have these limits.
_LIMITS = {
    "export": "all of its kinds but SegFormer compute with the size of the example: export them for "
    "one size, or take segzoo's own segformer, dpt and upernet",
    "onnx": "all of its kinds but SegFormer and UPerNet on ConvNeXt hold for the size of the example only: "
    "export them for one size, or take segzoo's own segformer, dpt and upernet",
}


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="transformers",
            factory="segzoo_transformers.network:transformers_model",
            summary="Any semantic segmentation network of transformers, described by its config",
            limits=_LIMITS,
        )
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    from segzoo_transformers.catalogue import catalogue

    return catalogue()


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="transformers",
            factory="segzoo_transformers.layout:transformers_layout",
            summary="A folder of transformers, whose network runs as the library has it",
            beside=("config.model_type",),
            fallback=True,
            homepage=_HOME,
            licence="Apache-2.0",
        )
    ]
