"""Planned recipes: what the data shows, the rules that use it, and the steps that the time allows."""
