"""A schedule for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import ScheduleSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_schedules() -> list[ScheduleSpec]:
    return [
        ScheduleSpec(
            name="template",
            factory="segzoo_template.schedule:Restarts",
            falls=True,
            summary="half a cosine, repeated several times",
            paper="arXiv:1608.03983",
        )
    ]
