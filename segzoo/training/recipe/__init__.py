"""Recipes: their keys, files, checks and how they are read and written."""
