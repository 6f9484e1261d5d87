"""Metrics: masks to numbers that state their contract.

`image` checks what is scored, `confusion` counts it in one pass, `rates` turns counts into numbers,
`counting` pools and averages them, `contract` puts the rules into words. The other files hold metrics;
each is a function that joins those pieces, or a small class where they do not fit.
"""
