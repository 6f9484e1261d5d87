"""What notebooks show of segmentations and models: HTML that stands alone.

It asks nothing of any server, runs no script, and takes its colours from the page, light or dark. Whatever
comes from a file is escaped. Nothing heavy is imported before something is shown.
"""
