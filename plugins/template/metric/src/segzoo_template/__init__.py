"""A metric for segzoo. This module only registers it; the code is imported on first use."""

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
            summary="IoU of the foreground, without regard to its class",
        )
    ]
