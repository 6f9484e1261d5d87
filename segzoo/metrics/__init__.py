"""Metrics: masks to numbers that state their contract. One file each."""
