"""A loss for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import LossSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_losses() -> list[LossSpec]:
    return [
        LossSpec(
            name="template",
            factory="segzoo_template.loss:AbsoluteError",
            summary="mean absolute error of probabilities, robust against wrong labels",
            paper="arXiv:1712.09482",
        )
    ]
