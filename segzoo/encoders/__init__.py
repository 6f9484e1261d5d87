"""Encoders: images in, a pyramid of features out. One file per family."""
