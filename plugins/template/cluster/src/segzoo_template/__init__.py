"""A cluster for segzoo. This module only says so; the code is imported when it is used."""

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
            summary="processes of this machine, each with a model of its own",
        )
    ]
