"""A plug-in of napari, not of segzoo: it runs segzoo's models on napari's layers."""
