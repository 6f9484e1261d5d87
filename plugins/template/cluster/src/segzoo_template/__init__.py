"""A cluster for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import ClusterSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_clusters() -> list[ClusterSpec]:
    return [
        ClusterSpec(
            name="template",
            factory="segzoo_template.cluster:ProcessCluster",
            summary="processes of this machine, each with its own copy of the model",
        )
    ]
