"""Whole networks that are more than a decoder and an encoder side by side. One file each."""
