"""A recipe for segzoo. This module only says so; the code is imported when it is used."""

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
            summary="a small U-Net in an hour, on images that have no up or down",
        )
    ]
