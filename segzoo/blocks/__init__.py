"""Pieces that two or more architectures use."""
