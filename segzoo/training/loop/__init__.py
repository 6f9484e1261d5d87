"""The training loop: one step, one epoch, one run, on one device or many."""
