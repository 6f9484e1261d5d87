"""Decoders: a pyramid of features in, one feature map out. One file per architecture."""
