"""Losses: logits and class indices to a number. One file each."""
