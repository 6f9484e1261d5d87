"""Data sets: images with their masks. One file each."""
