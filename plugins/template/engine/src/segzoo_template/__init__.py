"""An inference engine for segzoo. This module only says so; the code is imported when it is used."""

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
            summary="torch with the channels of a pixel side by side",
        )
    ]
