"""A recipe for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import RecipeSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="template",
            file="segzoo_template:recipe.toml",
            summary="a small U-Net in an hour, for images without a fixed orientation",
        )
    ]
