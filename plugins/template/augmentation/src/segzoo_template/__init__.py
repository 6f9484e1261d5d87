"""An augmentation step for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import AugmentationSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_augmentations() -> list[AugmentationSpec]:
    return [
        AugmentationSpec(
            name="template",
            factory="segzoo_template.augmentation:Erase",
            summary="a random grey rectangle, ignored in the mask",
            paper="arXiv:1708.04896",
        )
    ]
