"""A metric for segzoo. This module only says so; the code is imported when it is used."""

from segzoo.hooks import hookimpl
from segzoo.specs import MetricSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="template",
            factory="segzoo_template.metric:foreground_iou",
            summary="IoU of everything that is not background, whatever its class",
        )
    ]
