"""The table of each kind, by its name in the plural."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_pages import materials, networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from zoo_pages.table import Table

#: From the name of the page that shows a table to the table.
TABLES: dict[str, Callable[[str], Table]] = {
    "models": networks.models,
    "weights": networks.weights,
    "encoders": networks.encoders,
    "decoders": networks.decoders,
    "datasets": materials.datasets,
    "metrics": materials.metrics,
    "losses": materials.named("losses", "Loss", "loss={}"),
    "augmentations": materials.named("augmentations", "Step", "augment.{}=true"),
    "optimizers": materials.named("optimizers", "Optimizer", "optimizer={}"),
    "schedules": materials.named("schedules", "Schedule", "schedule={}"),
    "trackers": materials.named("trackers", "Tracker", "trackers={}"),
    "readers": materials.readers,
    "outputs": materials.outputs,
    "engines": materials.named("engines", "Engine", "--backend {}", when="In prediction"),
    "clusters": materials.named("clusters", "Cluster", "--on {}", when="In prediction and evaluation"),
    "exports": materials.exports,
    "recipes": materials.recipes,
    "layouts": materials.layouts,
}
