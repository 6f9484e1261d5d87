"""An optimizer for segzoo. This module only registers it; the code is imported on first use."""

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
            summary="steps of equal size, by the sign of the momentum",
            paper="arXiv:1802.04434",
        )
    ]
