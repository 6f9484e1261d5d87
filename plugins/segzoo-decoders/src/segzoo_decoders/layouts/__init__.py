"""Checkpoints of transformers that become networks of segzoo; the library need not be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.weights.layouts import Checkpoint


def config_of(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the contents of config.json, which describes what the tensors alone do not show.

    Raises:
        WeightsError: there is none.
    """
    config = checkpoint.extras.get("config")
    if not isinstance(config, dict):
        raise WeightsError(
            f"{checkpoint.file} has no config.json next to it, which holds what its tensors do not: "
            "convert the folder that save_pretrained wrote"
        )
    return config


def check_class(checkpoint: Checkpoint, wanted: str) -> None:
    """Refuse a folder whose config.json names (``architectures``) other classes than a layout is for.

    Args:
        checkpoint: with its config or without; one that names no class is taken.
        wanted: the class of transformers.

    Raises:
        WeightsError: it names others.
    """
    config = checkpoint.extras.get("config")
    named = config.get("architectures") if isinstance(config, dict) else None
    names = named if isinstance(named, list) else [named] if named else []
    if names and wanted not in names:
        raise WeightsError(
            f"{checkpoint.file}: its config.json names {', '.join(map(str, names))} (architectures); this "
            f"layout is for {wanted} alone"
        )
