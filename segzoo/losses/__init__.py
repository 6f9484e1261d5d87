"""Losses: logits and class indices to a number. One file each.

`pixels` checks what is compared and leaves out what is ignored, for all of them. A network with one
logit tells class 1 from class 0; losses of several classes treat it as such.
"""
