"""Drawings of architectures: `draw` returns an SVG with the shapes and parameters of a network's blocks."""

from segzoo.drawing.draw import Drawing, draw

__all__ = ["Drawing", "draw"]
