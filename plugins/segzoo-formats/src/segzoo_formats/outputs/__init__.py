"""Segmentations as files of annotation tools, to be corrected there: one module a tool.

What lies in one ring is written as a polygon, which people correct with ease; what has holes as the mask that
the tool knows. Each module also writes the one file of all images of a run, where its tool imports one.
"""
