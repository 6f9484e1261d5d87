"""Albumentations for segzoo: its transforms as an augmentation step."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import AugmentationSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_augmentations() -> list[AugmentationSpec]:
    return [
        AugmentationSpec(
            name="albumentations",
            aliases=("albu",),
            factory="segzoo_albumentations.step:Albumentations",
            summary="a sequence of Albumentations transforms, by name",
            paper="arXiv:1809.06839",
        )
    ]
