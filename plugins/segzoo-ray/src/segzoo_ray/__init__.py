"""Ray for segzoo: images are segmented and scored by the machines of a cluster."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import ClusterSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_clusters() -> list[ClusterSpec]:
    return [
        ClusterSpec(
            name="ray",
            factory="segzoo_ray.cluster:RayCluster",
            addresses="nothing for a Ray of its own on this machine, auto, or HOST:PORT of the head",
            summary="Ray Data: actors with the model, on one or many machines",
        )
    ]
