"""Whole networks that are more than a combination of decoder and encoder. One file each."""
