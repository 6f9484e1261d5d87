"""Planned recipes: what the data shows, the rules that follow from it, and the steps that time allows."""
