"""An inference engine for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import EngineSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_engines() -> list[EngineSpec]:
    return [
        EngineSpec(
            name="template",
            factory="segzoo_template.engine:ChannelsLast",
            precisions=("exact",),
            summary="torch in the channels-last memory format",
        )
    ]
