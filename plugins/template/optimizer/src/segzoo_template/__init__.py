"""An optimizer for segzoo. This module only says so; the code is imported when it is used."""

from segzoo.hooks import hookimpl
from segzoo.specs import OptimizerSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_optimizers() -> list[OptimizerSpec]:
    return [
        OptimizerSpec(
            name="template",
            factory="segzoo_template.optimizer:SignDescent",
            summary="steps of one size, by the sign of the momentum",
            paper="arXiv:1802.04434",
        )
    ]
