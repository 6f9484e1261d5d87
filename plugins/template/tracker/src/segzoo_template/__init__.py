"""A tracker for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import TrackerSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_trackers() -> list[TrackerSpec]:
    return [
        TrackerSpec(
            name="template",
            factory="segzoo_template.tracker:LinesTracker",
            summary="a line of JSON for each step, in the folder of the run",
        )
    ]
