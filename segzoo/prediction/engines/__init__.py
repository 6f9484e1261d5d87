"""Inference engines: a network in the form that runs fastest on a machine, with equal results.

`make_engine` takes a network and describes in one line what it made of it. The network that it is given never
changes: an engine works on a copy.
"""

from segzoo.interfaces import Engine
from segzoo.prediction.engines.making import Backend, make_engine
from segzoo.specs.prediction import PRECISIONS, Precision

__all__ = ["PRECISIONS", "Backend", "Engine", "Precision", "make_engine"]
