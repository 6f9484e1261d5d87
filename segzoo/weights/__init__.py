"""Weights: the folder that holds a model, reading and writing it."""

from __future__ import annotations

from segzoo.weights.folder import load, save

__all__ = ["load", "save"]
