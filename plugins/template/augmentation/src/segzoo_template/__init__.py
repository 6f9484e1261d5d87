"""An augmentation step for segzoo. This module only says so; the code is imported when it is used."""

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
            summary="a rectangle of the image made grey, which the mask leaves out",
            paper="arXiv:1708.04896",
        )
    ]
