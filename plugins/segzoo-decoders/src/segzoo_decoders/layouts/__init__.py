"""Checkpoints of transformers that become networks of segzoo; the library need not be installed."""
