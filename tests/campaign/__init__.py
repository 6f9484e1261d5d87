"""A campaign of hostile and clumsy inputs: generated, run as people run them, and judged.

A module for each kind of input (`configs`, `filenames`, `archives`, `cli_words`, `pictures`, `checkpoints`)
makes cases from a seed; `running` runs their commands in forked processes; `judging` says what fell short;
`kills` stops programs at random instants and looks at what is left. ``python -m tests.campaign KIND NUMBER``
runs one case alone.
"""
