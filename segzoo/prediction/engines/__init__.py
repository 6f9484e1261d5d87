"""Engines: a network as it runs fastest on a machine, with the results it had.

`make_engine` takes a network and says in one line what it made of it. The given network is never
changed: an engine works on a copy.
"""

from segzoo.interfaces import Engine
from segzoo.prediction.engines.making import Backend, make_engine
from segzoo.specs.prediction import PRECISIONS, Precision

__all__ = ["PRECISIONS", "Backend", "Engine", "Precision", "make_engine"]
